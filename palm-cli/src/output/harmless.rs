//! Text that others wrote, for a terminal or a log: it may have colours, and do nothing else there.
//!
//! This is the one place through which text reaches a terminal; [`is_harmless`] says which characters may. Nobody's text moves the cursor, clears the screen, sets a title, fills
//! the clipboard, begins a line of its own, or has what stands beside it shown in another order.

use std::borrow::Cow;

use palm_registry::names::is_harmless;

/// The text with every control character made visible, as `cat -v` does it (`^[` for an escape), but for tabs; and with what
/// changes the direction of a text written as a number. Colours and styles are kept if they are wanted, and left out otherwise.
pub(crate) fn harmless(text: &str, is_coloured: bool) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len() + 8), text);
    while let Some(at) = rest.find(is_harmful) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let style = style(from);
        if is_coloured {
            out.push_str(style);
        }
        let mut after = from.get(style.len()..).unwrap_or_default().chars();
        if style.is_empty() {
            after.next().into_iter().for_each(|control| show(control, &mut out));
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// As [`harmless`], for a text of several lines. Colours end with their line.
pub(crate) fn harmless_lines(text: &str, is_coloured: bool) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && is_harmful(c)) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text
        .split('\n')
        .map(|line| {
            let shown = harmless(line, is_coloured);
            if shown.contains('\x1b') { Cow::Owned(format!("{shown}\x1b[0m")) } else { shown }
        })
        .collect();
    Cow::Owned(lines.join("\n"))
}

/// A JSON text in which what would do harm is escaped. That is the same document: such characters stand in strings only.
pub(crate) fn harmless_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            // Between the parts of a document that somebody has laid out.
            '\n' | '\r' => out.push(c),
            c if is_harmful(c) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a character must not reach a terminal or a log as it is. Tabs may.
pub(crate) fn is_harmful(c: char) -> bool {
    c != '\t' && !is_harmless(c)
}

/// The sequence for colours and styles (SGR: `ESC [`, numbers, `m`) with which a text begins; empty: it begins with none.
fn style(text: &str) -> &str {
    let Some(numbers) = text.strip_prefix("\x1b[") else { return "" };
    let length = numbers.find(|c: char| !matches!(c, '0'..='9' | ';' | ':')).unwrap_or(numbers.len());
    if !numbers.get(length..).is_some_and(|rest| rest.starts_with('m')) {
        return "";
    }
    text.get(.."\x1b[".len() + length + "m".len()).unwrap_or_default()
}

fn show(control: char, out: &mut String) {
    match u8::try_from(control) {
        Ok(0x7f) => out.push_str("^?"),
        Ok(byte @ 0..0x20) => out.extend(['^', char::from(byte + b'@')]),
        // Those of eight bits, which some terminals take for sequences of two; and marks of direction.
        _ => out.extend(control.escape_unicode()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_are_kept_and_all_else_is_seen() {
        for (text, coloured, plain) in [
            ("plain, ä\tand more", "plain, ä\tand more", "plain, ä\tand more"),
            ("\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m", "red"),
            ("\x1b[38:2::1:2:3mrgb", "\x1b[38:2::1:2:3mrgb", "rgb"),
            // Clears the screen, moves up, sets the title, goes back to the line's begin.
            ("\x1b[2J\x1b[1A", "^[[2J^[[1A", "^[[2J^[[1A"),
            ("\x1b]0;title\x07", "^[]0;title^G", "^[]0;title^G"),
            ("50%\r60%", "50%^M60%", "50%^M60%"),
            ("a\nb", "a^Jb", "a^Jb"),
            (
                "a\u{202e}b\u{2066}c\u{2069}\u{2028}",
                "a\\u{202e}b\\u{2066}c\\u{2069}\\u{2028}",
                "a\\u{202e}b\\u{2066}c\\u{2069}\\u{2028}",
            ),
            ("\x1b]52;c;ZXZpbA==\x1b\\", "^[]52;c;ZXZpbA==^[\\", "^[]52;c;ZXZpbA==^[\\"),
            ("\u{9b}2J\x7f\0", "\\u{9b}2J^?^@", "\\u{9b}2J^?^@"),
            // What only looks like colours, or is cut off.
            ("\x1b[?1m\x1b[1 m\x1b[31", "^[[?1m^[[1 m^[[31", "^[[?1m^[[1 m^[[31"),
            ("\x1b\x1b[31mx", "^[\x1b[31mx", "^[x"),
        ] {
            assert_eq!(harmless(text, true), coloured, "{text:?}");
            assert_eq!(harmless(text, false), plain, "{text:?}");
        }
    }

    #[test]
    fn several_lines_stay_so() {
        assert_eq!(harmless_lines("a\n\x1b[31mb\nc\r\n", true), "a\n\x1b[31mb\x1b[0m\nc^M\n");
        assert_eq!(harmless_lines("a\n\x1b[31mb\nc\r\n", false), "a\nb\nc^M\n");
        assert!(matches!(harmless_lines("a\nb", true), Cow::Borrowed("a\nb")));
    }

    #[test]
    fn a_document_says_the_same() {
        for text in ["plain ä", "\u{202e}\u{9b}2J\x7f\u{2028}", "\x1b[2J\n"] {
            let value = serde_json::json!({ text: [text] });
            let (pretty, compact) = (serde_json::to_string_pretty(&value).unwrap(), value.to_string());
            for document in [harmless_json(&compact), harmless_json(&pretty)] {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&document).unwrap(), value);
                assert!(!document.contains(|c| c != '\n' && is_harmful(c)), "{document:?}");
            }
        }
    }

    /// Without what may be there: styles, and tabs.
    fn without_styles(text: &str) -> String {
        let mut rest = text.replace('\t', "");
        while let Some(at) = rest.find("\x1b[") {
            let end = rest[at..].find('m').expect("a style ends");
            assert!(
                rest[at + 2..at + end].bytes().all(|byte| byte.is_ascii_digit() || b";:".contains(&byte)),
                "{text:?}"
            );
            rest.replace_range(at..=at + end, "");
        }
        rest
    }

    proptest! {
        #[test]
        fn no_control_character_but_those_of_styles_is_left(text in "(\x1b|\x1b\\[|[0-9;:m]|[ -~]|\\PC|[\x00-\x1f]|[\u{7f}-\u{9f}]|\x1b\\[[0-9;]{0,4}m){0,40}") {
            prop_assert!(!harmless(&text, false).contains(is_harmful));
            let shown = harmless(&text, true);
            prop_assert!(!without_styles(&shown).contains(char::is_control), "{:?}", shown);
            // Made harmless again it is the same.
            prop_assert_eq!(harmless(&shown, true), shown.clone());
        }
    }
}
