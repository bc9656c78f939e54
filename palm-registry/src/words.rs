//! A command line and its words.
//!
//! Nothing here runs a shell, and nothing is put in place of `$HOME`, `*` or `~`.

use std::borrow::Cow;

/// The words of a line as a shell would split it: at blanks outside of quotes. Nothing is a comment, as a command line has none.
///
/// `None`: a quote is left open, or a backslash ends the line.
///
/// ```
/// use palm_registry::words::split;
///
/// assert_eq!(split(r##"grep 'a b' --colour "#fff" # x"##).unwrap(), ["grep", "a b", "--colour", "#fff", "#", "x"]);
/// assert_eq!(split("it's"), None);
/// ```
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => quoted(&mut rest, word.get_or_insert_default())?,
            '"' => doubly_quoted(&mut rest, word.get_or_insert_default())?,
            '\\' => match rest.next()? {
                // The line goes on.
                '\n' => {}
                escaped => word.get_or_insert_default().push(escaped),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

fn quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            '\'' => return Some(()),
            other => word.push(other),
        }
    }
}

fn doubly_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            '"' => return Some(()),
            '\\' => match rest.next()? {
                '\n' => {}
                escaped @ ('$' | '`' | '"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

/// The words of a line as [`split`] has them. Where a quote is left open, quotes and backslashes are characters like others, and the
/// line is split at its blanks, as `pylm-runner` splits each line.
pub fn split_all(line: &str) -> Vec<String> {
    split(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect())
}

/// A word as it stands in a line: with quotes where it needs them.
pub fn quote(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%^".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))),
    }
}

/// The words as a line that [`split`] takes apart again.
pub fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(quote).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, words) in [
            ("  a\t b \n c\r\n", vec!["a", "b", "c"]),
            (r#"a"b c"'d e'\ f"#, vec!["ab cd e f"]),
            (r#""a\"\\\$\x""#, vec![r#"a"\$\x"#]),
            ("a '' \"\"", vec!["a", "", ""]),
            ("a #b # c;d", vec!["a", "#b", "#", "c;d"]),
            ("a\\\nb \\\n", vec!["ab"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        for line in ["it's", "\"", "'a", "a\\"] {
            assert_eq!(split(line), None, "{line:?}");
        }
        assert_eq!(split_all("echo it's \"a b\""), ["echo", "it's", "\"a", "b\""]);
    }

    proptest! {
        #[test]
        fn what_is_joined_is_split_again(words in proptest::collection::vec("[a '\"\\\\\n#$é_-]{0,6}", 0..6)) {
            let line = join(words.iter().map(String::as_str));
            prop_assert_eq!(split(&line), Some(words));
        }
    }
}
