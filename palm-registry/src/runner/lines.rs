//! Cutting what a process prints into lines.

use crate::wire::TEXT_MAX;

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    begun: Vec<u8>,
}

impl Splitter {
    /// Takes bytes as they came, and gives the lines that are whole with them. One that is too long comes in pieces.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (rest, after) = bytes.split_at(end);
            self.extend(rest, &mut line);
            let whole = std::mem::take(&mut self.begun);
            line(text(whole.strip_suffix(b"\r").unwrap_or(&whole)));
            bytes = after.split_first().map_or(&[][..], |(_, after)| after);
        }
        self.extend(bytes, &mut line);
    }

    /// What was printed last, without an end of line.
    pub(super) fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.begun.is_empty() {
            line(text(&std::mem::take(&mut self.begun)));
        }
    }

    fn extend(&mut self, bytes: &[u8], line: &mut impl FnMut(String)) {
        self.begun.extend_from_slice(bytes);
        // What is not UTF-8 takes three bytes once it is replaced.
        while self.begun.len() > TEXT_MAX / 3 {
            let rest = self.begun.split_off(boundary(&self.begun));
            line(text(&std::mem::replace(&mut self.begun, rest)));
        }
    }
}

/// Where a line that is too long is cut: not inside of a character.
fn boundary(bytes: &[u8]) -> usize {
    let most = TEXT_MAX / 3;
    let is_inside = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (most - 3..=most).rev().find(|at| !is_inside(at)).unwrap_or(most)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece, |line| lines.push(line));
        }
        splitter.finish(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        assert_eq!(split(&[b"a\nb", b"c\r\n\n", b"end"]), ["a", "bc", "", "end"]);
        assert_eq!(split(&[b"a\xff\n"]), ["a\u{fffd}"]);
        assert_eq!(split(&[b"a\n"]), ["a"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn long_lines_come_in_pieces_that_are_characters() {
        let long = "ä€".repeat(TEXT_MAX);
        let lines = split(&[long.as_bytes(), b"\nnext\n"]);
        assert_eq!(lines[..lines.len() - 1].concat(), long);
        assert_eq!(lines.last().map(String::as_str), Some("next"));
        assert!(split(&[&[0xff; TEXT_MAX * 3]]).iter().all(|line| line.len() <= TEXT_MAX));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-zä\n]{0,200}", cut in 0..200_usize) {
            let bytes = text.as_bytes();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let expected: Vec<_> = text.split_terminator('\n').map(str::to_owned).collect();
            prop_assert_eq!(split(&[first, second]), expected);
        }
    }
}
