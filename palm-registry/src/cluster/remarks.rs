//! What is passed over in a file, or read otherwise than it looks. Nothing of it is wrong.

use std::collections::HashSet;

use super::ini::is_known;
use super::key_lines::KeyLines;
use super::sections::Section;
use super::{Cluster, Component, FileError, ForShell, Ini, Readiness, Values};
use crate::words;

/// What the keys and values of an INI file have of it.
pub(super) fn of_ini(ini: &Ini, values: &Values<'_>) -> Vec<FileError> {
    let mut remarks = ini.remarks.clone();
    for section in [&ini.defaults].into_iter().chain(&ini.sections) {
        remarks.extend(of_section(section, values));
    }
    remarks
}

fn of_section(section: &Section, values: &Values<'_>) -> Vec<FileError> {
    let mut remarks = Vec::new();
    for entry in &section.entries {
        let at = |reason: String| FileError::at(entry.line, reason).of(&section.name).key(&entry.written);
        if !is_known(&entry.key) {
            if !values.is_used(&entry.key) {
                let reason = "it is passed over: it is not Script, Connected, Role or Replicas, and no flag begins so";
                remarks.push(at(reason.to_owned()));
            }
            continue;
        }
        if entry.key.starts_with('-') && entry.key != entry.written {
            remarks.push(at(format!("it is read as `{}`: INI has no large letters in keys, TOML has", entry.key)));
        }
        if looks_commented(&entry.value) {
            remarks.push(at("what is behind `#` or `;` belongs to the value: a comment has its own line".to_owned()));
        }
        if entry.key.starts_with('-') && !entry.value.starts_with('_') && words::split(&entry.value).is_none() {
            remarks.push(at(OPEN_QUOTE.to_owned()));
        } else if entry.key.starts_with('-') && !entry.value.starts_with('_') {
            let found = ForShell::in_value(&entry.value);
            remarks.extend(found.map(|found| at(for_shell(&found, FileKind::Ini, &entry.key))));
        }
    }
    remarks
}

/// Whether a word but the first, which stands outside of quotes, begins as a comment would.
fn looks_commented(value: &str) -> bool {
    match words::split(value) {
        // Here quotes are characters like others.
        None => value.split_whitespace().skip(1).any(|word| word.starts_with(['#', ';'])),
        Some(_) => ForShell::begins_words(value, ['#', ';']),
    }
}

/// What is not done, and how to have it done.
fn for_shell(found: &ForShell, file: FileKind, key: &str) -> String {
    let remedy = match (found, file) {
        (_, FileKind::Ini) if key.starts_with('-') => {
            "write what it stands for, or a Script of sh -c '...' with this flag"
        }
        (_, FileKind::Toml) if key.starts_with('-') => {
            "write what it stands for, or a script of sh -c '...' with this flag"
        }
        (ForShell::Variable(_), FileKind::Toml) => {
            "name variables in the component's `environment`, or write sh -c '...'"
        }
        (ForShell::Variable(_), FileKind::Ini) => "write `env` in front of it, or sh -c '...'",
        (ForShell::Builtin(word), FileKind::Toml) if word == "cd" => {
            "name the folder as `directory`, or write sh -c '...'"
        }
        _ => "write sh -c '...' to have one",
    };
    format!("{found}: {remedy}")
}

/// Which keys there are to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Ini,
    Toml,
}

/// What a TOML file has of it.
pub(super) fn of_toml(cluster: &Cluster, text: &str, names: &[usize]) -> Vec<FileError> {
    let keys = KeyLines::of(text);
    let line = |index, key: &str| keys.line(index, key).or_else(|| names.get(index).copied()).unwrap_or(1);
    let mut remarks = of(cluster, FileKind::Toml, line);
    // Their words are words already.
    let flags = cluster.components.iter().enumerate().flat_map(|(index, component)| {
        component.flags.iter().filter_map(move |flag| {
            let found = flag.words().iter().find_map(|word| ForShell::in_word(word))?;
            let reason = for_shell(&found, FileKind::Toml, &flag.name);
            Some(FileError::at(line(index, &flag.name), reason).of(&component.name).key(&flag.name))
        })
    });
    remarks.extend(flags);
    remarks
}

const OPEN_QUOTE: &str = "a quote is left open, or a backslash ends it: it is split at blanks, and has its quotes";

/// What the components of a file have of it, whatever the file is, whose keys stand in these lines.
pub(super) fn of(cluster: &Cluster, file: FileKind, line: impl Fn(usize, &str) -> usize + Copy) -> Vec<FileError> {
    let script = match file {
        FileKind::Ini => "Script",
        FileKind::Toml => "script",
    };
    let at = |index: usize, component: &Component, key: &str, reason: String| {
        FileError::at(line(index, key), reason).of(&component.name).key(key)
    };
    let mut told = HashSet::new();
    let components = || cluster.components.iter().enumerate();
    let open = components().filter(|(_, component)| words::split(&component.script).is_none());
    let open = open.filter(|(_, component)| told.insert(component.script.as_str()));
    let mut remarks: Vec<_> =
        open.map(|(index, component)| at(index, component, script, OPEN_QUOTE.to_owned())).collect();
    for (index, component) in components() {
        let ready = match &component.extras.ready {
            Some(Readiness::Command(line)) => ForShell::in_command(line),
            _ => None,
        };
        for (key, found) in [(script, ForShell::in_command(&component.script)), ("ready", ready)] {
            remarks.extend(found.map(|found| at(index, component, key, for_shell(&found, file, key))));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_comment_is_told_unless_it_is_in_quotes() {
        for (value, is_told) in [
            ("a # b", true),
            ("a\t;b", true),
            ("a 'b' #", true),
            ("it's # b", true),
            ("sh -c 'while :; do (sleep 0.3 &) ; done'", false),
            ("a \"b ; # c\" d", false),
            ("a '#b' \\;", false),
            ("#fff", false),
            ("a;b c#d", false),
        ] {
            let remarks = Cluster::remarks(&format!("[A]\nScript = a\n--x = {value}\n"));
            let told = remarks.iter().filter(|remark| remark.reason.contains("a comment has its own line"));
            assert_eq!(told.count() == 1, is_told, "{value}: {remarks:?}");
            assert_eq!(looks_commented(value), is_told, "{value}");
        }
        assert!(Cluster::remarks("[A]\nScript = sh -c 'sleep 1 ; # done'\n").is_empty());
    }

    #[test]
    fn what_was_meant_for_a_shell_is_told_with_what_to_write() {
        let ini = "[DEFAULT]\nScript = x|y\n\n[A]\n# a comment\nRole = r\nScript = FOO=1 a\n[B]\nScript = cd x && b\n\
                   [C]\n--out = $HOME/out\n--db = _1\nscript = c*\n[D]\nScript = sh -c 'cd x | $A'\n--text = '$HOME'\n\
                   --files = *.txt\n[E]\n";
        let toml = "[[component]]\nscript = 'a&&b'\nname = 'E'\nready.command = 'test -e x > y'\n\
                    flags = { '--out' = '~/x' }\n\n[[component]]\nname = 'F'\nscript = 'A=1 f'\n[component.flags]\n--a = '1'\n\
                    --b = ['$X', '*']\n[component.ready]\ncommand = 'cd x'\n[[component]]\nname = 'G'\nscript = \"\"\"\n\
                    cd /\"\"\"\n";
        let shell = "write sh -c '...' to have one";
        for (file, expected) in [
            (
                ini,
                &[
                    ("line 11, [C], --out: `$HOME` is handed", "a Script of sh -c '...' with this flag"),
                    ("line 17, [D], --files: `*.txt` is handed", "a Script of sh -c '...' with this flag"),
                    ("line 7, [A], Script: `FOO=1` sets no variable", "write `env` in front of it, or sh -c '...'"),
                    ("line 9, [B], Script: `cd` is a shell's own", shell),
                    ("line 13, [C], Script: `c*` is handed", shell),
                    ("line 2, [E], Script: `x|y` is taken for", shell),
                ][..],
            ),
            (
                toml,
                &[
                    ("line 2, [E], script: `a&&b` is taken for", shell),
                    ("line 4, [E], ready: `>` is handed", shell),
                    ("line 9, [F], script: `A=1` sets no variable", "`environment`, or write sh -c '...'"),
                    ("line 14, [F], ready: `cd` is a shell's own", "`directory`, or write sh -c '...'"),
                    ("line 17, [G], script: `cd` is a shell's own", "`directory`, or write sh -c '...'"),
                    ("line 5, [E], --out: `~/x` is handed", "a script of sh -c '...' with this flag"),
                    ("line 12, [F], --b: `$X` is handed", "a script of sh -c '...' with this flag"),
                ],
            ),
        ] {
            let remarks: Vec<_> = Cluster::remarks(file).iter().map(ToString::to_string).collect();
            assert_eq!(remarks.len(), expected.len(), "{remarks:#?}");
            for (remark, (begin, end)) in remarks.iter().zip(expected) {
                assert!(remark.starts_with(begin) && remark.ends_with(end), "{remark}");
            }
        }
    }
}
