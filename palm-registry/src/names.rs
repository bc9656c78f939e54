//! Which characters do no harm where they are shown. This is the only place that says so, for names, pages, terminals and logs.
//!
//! A character must not do anything there, hide, or change the direction of what stands beside it.

/// Whether a character can be shown as it is, in a line of text.
pub fn is_harmless(letter: char) -> bool {
    !letter.is_control() && !turns(letter)
}

/// Whether a character says in which direction others are read, ends a line, or is not seen at all. Joiners of letters, which many
/// languages need, are none of these.
fn turns(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// What is wrong with a text of one line, if anything.
pub(crate) fn wrong(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some("without control characters");
    }
    text.chars().any(turns).then_some("without characters that turn or hide others")
}

/// What is wrong with a text that may have several lines, if anything.
pub(crate) fn wrong_lines(text: &str) -> Option<&'static str> {
    text.split(['\n', '\t']).find_map(wrong)
}

/// A text as a page shows it, in which what would turn or hide others is seen: `^[` for an escape, `<U+202E>`.
pub(crate) fn seen(text: &str) -> String {
    use std::fmt::Write as _;
    text.chars().fold(String::with_capacity(text.len()), |mut seen, letter| {
        match letter {
            '\t' | '\n' => seen.push(letter),
            '\0'..='\u{1f}' => {
                seen.push('^');
                seen.push(char::from(letter as u8 + 64));
            }
            '\u{7f}' => seen.push_str("^?"),
            letter if is_harmless(letter) => seen.push(letter),
            letter => {
                let _ = write!(seen, "<U+{:04X}>", u32::from(letter));
            }
        }
        seen
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_and_hide_nothing() {
        for name in ["Valuation Master", "Ännchen", "日本", "می\u{200c}خواهم", "👩\u{200d}🔬", "עברית", ""]
        {
            assert_eq!(wrong(name), None, "{name}");
            assert_eq!(seen(name), name);
        }
        for name in ["a\u{1b}[2J", "a\nb", "a\0", "a\u{9b}31m", "a\u{7f}"] {
            assert_eq!(wrong(name), Some("without control characters"), "{name:?}");
        }
        for name in ["a\u{202e}b", "\u{2066}a", "a\u{200b}", "a\u{2028}b", "\u{feff}a", "a\u{e0041}"] {
            assert_eq!(wrong(name), Some("without characters that turn or hide others"), "{name:?}");
        }
        assert_eq!((wrong_lines("a\n\tb"), wrong_lines("a\rb").is_some()), (None, true));
        assert_eq!(seen("\u{1b}[2J a\u{202e}b\tc\u{9b}\u{7f}"), "^[[2J a<U+202E>b\tc<U+009B>^?");
    }
}
