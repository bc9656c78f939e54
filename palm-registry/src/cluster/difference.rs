//! What differs between two files.

use std::time::Duration;

use similar::TextDiff;

/// How long a difference may be looked for: what is not found by then is shown as longer than it had to be.
const SEARCH: Duration = Duration::from_millis(200);

/// What differs, as unified text with the names of both; empty: nothing.
pub fn difference(old: &str, new: &str, names: (&str, &str)) -> String {
    let diff = TextDiff::configure().timeout(SEARCH).diff_lines(old, new);
    diff.unified_diff().header(names.0, names.1).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_that_went_and_came_are_shown() {
        let text = super::difference("a\nb\n", "a\nc\n", ("version 1", "c.ini"));
        assert_eq!(text, "--- version 1\n+++ c.ini\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        assert_eq!(super::difference("a\n", "a\n", ("x", "y")), "");
    }
}
