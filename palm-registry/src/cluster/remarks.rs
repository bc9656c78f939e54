//! What is passed over in a file, or read otherwise than it looks. Nothing of it is wrong.

use std::collections::HashSet;

use super::ini::is_known;
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
            remarks.extend(ForShell::in_value(&entry.value).map(|found| at(for_shell(&found))));
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
fn for_shell(found: &ForShell) -> String {
    let remedy = match found {
        ForShell::Variable(_) => "name variables in the component's `environment`, or write sh -c '...'",
        ForShell::Builtin(word) if word == "cd" => "name the folder as `directory`, or write sh -c '...'",
        _ => "write sh -c '...' to have one",
    };
    format!("{found}: {remedy}")
}

/// What the flags of a TOML file have of it, whose words are words already.
pub(super) fn of_flags(cluster: &Cluster, lines: &[usize]) -> Vec<FileError> {
    let remarks = cluster.components.iter().zip(lines).flat_map(|(component, line)| {
        component.flags.iter().filter_map(move |flag| {
            let found = flag.words().iter().find_map(|word| ForShell::in_word(word))?;
            Some(FileError::at(*line, for_shell(&found)).of(&component.name).key(&flag.name))
        })
    });
    remarks.collect()
}

const OPEN_QUOTE: &str = "a quote is left open, or a backslash ends it: it is split at blanks, and has its quotes";

/// What the components of a file have of it, whatever the file is; with their lines.
pub(super) fn of(cluster: &Cluster, lines: &[usize]) -> Vec<FileError> {
    let is_open = |script: &str| words::split(script).is_none();
    let mut told = HashSet::new();
    let remarks = cluster.components.iter().zip(lines).filter(|(component, _)| is_open(&component.script));
    let remarks = remarks.filter(|(component, _)| told.insert(component.script.as_str()));
    let open = remarks.map(|(component, line)| FileError::at(*line, OPEN_QUOTE).of(&component.name).key("Script"));
    let commands = cluster.components.iter().zip(lines).flat_map(|(component, line)| {
        let told =
            move |(key, found): (&str, ForShell)| FileError::at(*line, for_shell(&found)).of(&component.name).key(key);
        commands(component).map(told)
    });
    open.chain(commands).collect()
}

/// What of a component's commands was meant for a shell.
fn commands(component: &Component) -> impl Iterator<Item = (&'static str, ForShell)> {
    let ready = match &component.extras.ready {
        Some(Readiness::Command(line)) => ForShell::in_command(line),
        _ => None,
    };
    let script = ForShell::in_command(&component.script);
    [("Script", script), ("ready", ready)].into_iter().filter_map(|(key, found)| Some((key, found?)))
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
        let ini = "[A]\nScript = FOO=1 a\n[B]\nScript = cd x && b\n[C]\nScript = c | d\n--out = $HOME/out\n--db = _1\n\
                   [D]\nScript = sh -c 'cd x | $A'\n--text = '$HOME'\n";
        let toml =
            "[[component]]\nname = 'E'\nscript = 'e'\nready.command = 'test -e x > y'\nflags = { '--out' = '~/x' }\n";
        let remarks =
            [ini, toml].map(|file| Cluster::remarks(file).iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut remarks = remarks.concat();
        remarks.sort();
        let expected = [
            ("line 1, [A], Script: `FOO=1` sets no variable", "`environment`, or write sh -c '...'"),
            ("line 2, [E], --out: `~/x` is handed", "write sh -c '...' to have one"),
            ("line 2, [E], ready: `>` is handed", "write sh -c '...' to have one"),
            ("line 3, [B], Script: `cd` is a shell's own", "`directory`, or write sh -c '...'"),
            ("line 5, [C], Script: `|` is handed", "write sh -c '...' to have one"),
            ("line 7, [C], --out: `$HOME` is handed", "write sh -c '...' to have one"),
        ];
        assert_eq!(remarks.len(), expected.len(), "{remarks:#?}");
        for (remark, (begin, end)) in remarks.iter().zip(expected) {
            assert!(remark.starts_with(begin) && remark.ends_with(end), "{remark}");
        }
    }
}
