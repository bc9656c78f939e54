//! What in a command line only a shell would understand. Lines are split into words as a shell would, and no shell reads them.

use std::fmt;

/// Programs that read a command line themselves.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"];
/// Commands that a shell does itself.
const BUILTINS: [&str; 17] = [
    ".", ":", "alias", "case", "cd", "eval", "exec", "export", "for", "if", "set", "source", "trap", "ulimit", "unset",
    "until", "while",
];

/// Something that was meant for a shell, and that none reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForShell {
    /// `NAME=value` before the program.
    Variable(String),
    /// A command such as `cd`.
    Builtin(String),
    /// Something that joins commands or leads their output elsewhere.
    Operator(String),
    /// The same in the first word.
    InName(String),
    /// A variable, a command in place of its output, somebody's home, or a pattern for names of files.
    Expansion(String),
}

impl ForShell {
    /// The first in a command line that begins with its program.
    pub fn in_command(line: &str) -> Option<Self> {
        let words = words(line);
        let program = words.first()?;
        let name = program.text.split_once('=').map_or("", |(name, _)| name);
        if !program.is_quoted && is_name(name) {
            return Some(Self::Variable(program.text.clone()));
        }
        if BUILTINS.contains(&program.text.as_str()) {
            return Some(Self::Builtin(program.text.clone()));
        }
        let is_shell = program.text.rsplit('/').next().is_some_and(|name| SHELLS.contains(&name));
        if program.is_operator() {
            return Some(Self::InName(program.text.clone()));
        }
        words.iter().find_map(|word| {
            let operator = word.is_operator().then(|| Self::Operator(word.text.clone()));
            operator.or_else(|| word.expansion().or_else(|| word.pattern()).filter(|_| !is_shell))
        })
    }

    /// The first in a word that has no quotes any more.
    pub fn in_word(word: &str) -> Option<Self> {
        let begins = word.char_indices().filter(|(_, c)| matches!(c, '$' | '`'));
        let mut expansions = begins.filter_map(|(at, c)| expansion(c, word.get(at + 1..)?));
        let word = Word { text: word.to_owned(), expansion: expansions.next(), ..Word::default() };
        word.expansion()
    }

    /// Whether a word but the first begins with one of these characters, and has no quotes.
    pub(super) fn begins_words(line: &str, first: [char; 2]) -> bool {
        words(line).iter().skip(1).any(|word| !word.is_quoted && word.text.starts_with(first))
    }

    /// The first in a word, or several, that follow a flag.
    pub fn in_value(value: &str) -> Option<Self> {
        // One that stands alone means everything to many a program.
        let pattern = |word: &Word| word.pattern().filter(|_| word.text.len() > 1);
        words(value).iter().find_map(|word| word.expansion().or_else(|| pattern(word)))
    }
}

impl fmt::Display for ForShell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(word) => write!(f, "`{word}` sets no variable, as no shell reads this line"),
            Self::Builtin(word) => write!(f, "`{word}` is a shell's own command, and no shell reads this line"),
            Self::Operator(word) => {
                write!(f, "`{word}` is handed to the program as a word like any other, as no shell reads this line")
            }
            Self::InName(word) => {
                write!(f, "`{word}` is taken for the program's name, as no shell reads this line")
            }
            Self::Expansion(word) => {
                write!(f, "`{word}` is handed to the program as it stands, as no shell reads this line")
            }
        }
    }
}

#[derive(Debug, Default)]
struct Word {
    /// Without its quotes.
    text: String,
    /// The same without what was in quotes.
    bare: String,
    is_quoted: bool,
    /// What a shell would put something else in the place of, and where that begins.
    expansion: Option<String>,
}

impl Word {
    fn is_operator(&self) -> bool {
        let bare = self.bare.as_str();
        // A single `&` in the middle is most of all one of an URL, and `>` behind a dash one of an arrow.
        let redirects = bare.contains(['<', '>']) && !bare.starts_with('-');
        let joins = bare.contains(['|', ';']) || bare.contains("&&") || bare.ends_with('&');
        joins || redirects
    }

    /// What a shell would put names of files in the place of. It is no address, in which `*` is a host, and no flag.
    fn pattern(&self) -> Option<ForShell> {
        let is_pattern = self.bare.contains('*') && !self.bare.contains(':') && !self.bare.starts_with('-');
        is_pattern.then(|| ForShell::Expansion(self.text.clone()))
    }

    fn expansion(&self) -> Option<ForShell> {
        let is_home = !self.is_quoted && (self.text == "~" || self.text.starts_with("~/"));
        let found = if is_home { Some(self.text.clone()) } else { self.expansion.clone() };
        found.map(ForShell::Expansion)
    }
}

/// The words of a line, as a shell splits them. One with a quote that is left open, which is refused elsewhere, ends with the line.
fn words(line: &str) -> Vec<Word> {
    let (mut words, mut word) = (Vec::new(), None::<Word>);
    let mut quote = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default().is_quoted = true;
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                let word = word.get_or_insert_default();
                word.is_quoted = true;
                word.text.extend(rest.next());
            }
            (None | Some('"'), '$' | '`') => {
                let word = word.get_or_insert_default();
                if word.expansion.is_none() {
                    word.expansion = expansion(c, rest.as_str());
                }
                word.text.push(c);
            }
            (quote, c) => {
                let word = word.get_or_insert_default();
                word.text.push(c);
                if quote.is_none() {
                    word.bare.push(c);
                }
            }
        }
    }
    words.extend(word);
    words
}

/// What a shell would put something else in the place of: it begins with `first`, and `rest` follows.
fn expansion(first: char, rest: &str) -> Option<String> {
    let until = |end: char| rest.find(end).map(|end| format!("{first}{}", rest.get(..=end).unwrap_or(rest)));
    match (first, rest.chars().next()?) {
        ('`', _) => until('`'),
        (_, '{') => until('}'),
        (_, '(') => until(')'),
        (_, next) if next == '_' || next.is_ascii_alphabetic() => {
            let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            Some(format!("${}", rest.get(..end).unwrap_or(rest)))
        }
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c == '_' || c.is_ascii_alphabetic();
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_shell_understands_is_found() {
        let found = |line: &str| ForShell::in_command(line).map(|found| found.to_string());
        for (line, word) in [
            ("FOO=bar program", "`FOO=bar` sets no variable"),
            ("cd x && make", "`cd` is a shell's own command"),
            ("export A=1", "`export` is"),
            ("make all && make test", "`&&` is handed"),
            ("tr a b | sort", "`|` is handed"),
            ("sleep 1; echo a", "`1;` is handed"),
            ("server &", "`&` is handed"),
            ("program >log", "`>log` is handed"),
            ("program 2>&1", "`2>&1` is handed"),
            ("program < input", "`<` is handed"),
            ("program $HOME/x", "`$HOME` is handed"),
            ("program \"a ${B}\"", "`${B}` is handed"),
            ("program $(date +%s)", "`$(date +%s)` is handed"),
            ("program `date`", "``date`` is handed"),
            ("~/bin/program", "`~/bin/program` is handed"),
            ("program ~", "`~` is handed"),
            ("sh -c 'a' | sort", "`|` is handed"),
            ("sort a|uniq", "`a|uniq` is handed"),
            ("sort 'a b'|uniq", "`a b|uniq` is handed"),
            ("sort -u|uniq", "`-u|uniq` is handed"),
            ("make a||make b", "`a||make` is handed"),
            ("make a&&make b", "`a&&make` is handed"),
            ("make&&make b", "`make&&make` is taken for the program's name"),
            ("make a;make b", "`a;make` is handed"),
            ("server -v&", "`-v&` is handed"),
            ("program x>log", "`x>log` is handed"),
            ("program x<<<y", "`x<<<y` is handed"),
            ("cat *.txt", "`*.txt` is handed"),
            ("rm *", "`*` is handed"),
            ("cat */'a b'", "`*/a b` is handed"),
        ] {
            assert!(found(line).is_some_and(|told| told.starts_with(word)), "{line}: {:?}", found(line));
        }
        for line in [
            "program --flag a=b --url 'http://x/?a=1&b=2' https://y/?c&d=1",
            "sh -c 'cd x && FOO=$BAR make | tee log'",
            "bash -c \"echo $HOME\"",
            "awk '{ print $NF; }'",
            "awk \"{print $1}\"",
            "grep a\\|b '|' \"&&\" \\| \\$HOME '$HOME' \\; 'a|b' x\"&&\"y",
            "find . -name '*.txt' -o -name \\*.c -o -name \"*\".h",
            "palm master --db tcp://*:5559 --pull *:5555 --include=*.txt",
            "bash -c 'ls' *.txt",
            "program --arrow=-> -->x",
            "find . -exec rm {} \\;",
            "program a~ x/~ --price 5$ -1",
            "FOO-x=1",
            "",
            "'open",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn a_flags_value_is_not_expanded_either() {
        assert_eq!(ForShell::in_value("$HOME/x"), Some(ForShell::Expansion("$HOME".to_owned())));
        assert_eq!(ForShell::in_value("~/x"), Some(ForShell::Expansion("~/x".to_owned())));
        assert_eq!(ForShell::in_value("a *.txt"), Some(ForShell::Expansion("*.txt".to_owned())));
        for value in ["a | b", "cd", "X=1", "'$HOME'", "'*.txt'", "*", "tcp://*:5555", "a|b"] {
            assert_eq!(ForShell::in_value(value), None, "{value}");
        }
    }
}
