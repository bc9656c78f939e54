//! Text that others wrote, for a terminal: it may have colours, and do nothing else there.

use std::borrow::Cow;

/// The text with every control character made visible, as `cat -v` does it (`^[` for an escape), but for tabs. Colours and
/// styles are kept if they are wanted, and left out otherwise. So nobody's output moves the cursor, clears the screen, or sets a title.
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

fn is_harmful(c: char) -> bool {
    c.is_control() && c != '\t'
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
        // Those of eight bits, which some terminals take for sequences of two.
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
            ("\u{9b}2J\x7f\0", "\\u{9b}2J^?^@", "\\u{9b}2J^?^@"),
            // What only looks like colours, or is cut off.
            ("\x1b[?1m\x1b[1 m\x1b[31", "^[[?1m^[[1 m^[[31", "^[[?1m^[[1 m^[[31"),
            ("\x1b\x1b[31mx", "^[\x1b[31mx", "^[x"),
        ] {
            assert_eq!(harmless(text, true), coloured, "{text:?}");
            assert_eq!(harmless(text, false), plain, "{text:?}");
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
