//! Tables of which a page shows a part.

use std::ops::Range;

/// Rows of a table that are shown at a time.
pub(super) const A_PAGE: usize = 100;

/// Which rows are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    /// From 1.
    number: usize,
    rows: usize,
    /// The address of a page, up to its number.
    address: String,
}

impl Pages {
    /// The page that is asked for, or the nearest that there is; `address` is where another is, up to its number.
    pub(super) fn new(asked: &str, rows: usize, address: String) -> Self {
        let last = rows.div_ceil(A_PAGE).max(1);
        Self { number: asked.trim().parse().unwrap_or(1).clamp(1, last), rows, address }
    }

    /// The rows of the page.
    pub(super) fn range(&self) -> Range<usize> {
        let first = (self.number - 1) * A_PAGE;
        first..(first + A_PAGE).min(self.rows)
    }

    /// Whether that is all.
    pub(super) const fn is_all(&self) -> bool {
        self.rows <= A_PAGE
    }

    /// Rows in all.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// What is shown, in words.
    pub(super) fn says(&self) -> String {
        let Range { start, end } = self.range();
        format!("{} to {end} of {}", (start + 1).min(end), self.rows)
    }

    /// Where the page before is; empty: there is none.
    pub(super) fn earlier(&self) -> String {
        if self.number > 1 { self.link(self.number - 1) } else { String::new() }
    }

    /// Where the next page is; empty: there is none.
    pub(super) fn later(&self) -> String {
        if self.number * A_PAGE < self.rows { self.link(self.number + 1) } else { String::new() }
    }

    fn link(&self, number: usize) -> String {
        format!("{}{number}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_on_one_page() {
        let page = |asked: &str, rows| Pages::new(asked, rows, "?page=".to_owned());
        assert_eq!((page("", 0).range(), page("", 0).is_all(), page("", 0).says()), (0..0, true, "0 to 0 of 0".into()));
        assert!(page("1", 100).is_all() && !page("1", 101).is_all());
        let (first, second) = (page("x", 250), page("2", 250));
        assert_eq!((first.range(), first.earlier(), first.later()), (0..100, String::new(), "?page=2".into()));
        assert_eq!(
            (second.says(), second.earlier(), second.later()),
            ("101 to 200 of 250".into(), "?page=1".into(), "?page=3".into())
        );
        assert_eq!((page("99", 250).range(), page("99", 250).later()), (200..250, String::new()));
        assert_eq!(page("0", 250).range(), 0..100);
    }
}
