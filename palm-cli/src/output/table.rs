//! Tables for people: aligned, and no wider than the terminal where that can be.

use std::io::{IsTerminal as _, stdout};

/// Between two columns.
const GAP: usize = 2;
/// A column is not cut below this.
const WIDTH_MIN: usize = 12;

/// Whether colours are wanted on standard output.
pub(crate) fn is_coloured() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Rows of cells below their titles.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// The column whose words have a colour.
    status: Option<usize>,
}

impl Table {
    /// No rows yet.
    pub(crate) fn new(titles: &[&str]) -> Self {
        let status = titles.iter().position(|title| *title == "STATE");
        Self { rows: vec![titles.iter().map(|&title| title.to_owned()).collect()], status }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let clean =
            |cell: String| cell.chars().map(|c| if c == '\t' || super::is_harmful(c) { ' ' } else { c }).collect();
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    /// As text, for the terminal that standard output is, if it is one.
    pub(crate) fn text(&self) -> String {
        let columns = rustix::termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
        self.render(columns.filter(|columns| *columns > 0 && stdout().is_terminal()), is_coloured())
    }

    fn render(&self, columns: Option<usize>, is_coloured: bool) -> String {
        let count = self.rows.first().map_or(0, Vec::len);
        let width_of = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let mut widths: Vec<_> = (0..count).map(width_of).collect();
        // The widest gives way first.
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * count.saturating_sub(1);
        while columns.is_some_and(|columns| total(&widths) > columns) {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > WIDTH_MIN) else { break };
            *widest -= 1;
        }
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let (cell, width) = (cut(cell, widths[column]), widths[column]);
                let padded = format!("{cell:width$}");
                let colour = colour(&cell).filter(|_| is_coloured && index > 0 && self.status == Some(column));
                line += &colour.map_or_else(|| padded.clone(), |colour| format!("\x1b[{colour}m{padded}\x1b[0m"));
                if column + 1 < count {
                    line += &" ".repeat(GAP);
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Of what is well, what is on its way, and what is not.
fn colour(word: &str) -> Option<&'static str> {
    match word {
        "ready" | "running" | "alive" | "exited" => Some("32"),
        "waiting" | "starting" | "stopping" | "incomplete" => Some("33"),
        "failed" | "crash-loop" | "silent" | "no place" => Some("31"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_widest_gives_way() {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        table.row(["a".into(), "failed".into(), "x".repeat(40)]);
        let text = table.render(None, false);
        assert_eq!(text, format!("NAME  STATE   WHY\na     failed  {}\n", "x".repeat(40)));
        let text = table.render(Some(30), false);
        assert_eq!(text.lines().map(|line| line.chars().count()).max(), Some(30), "{text}");
        assert!(table.render(None, true).contains("\x1b[31mfailed\x1b[0m"));
    }
}
