//! All that the program prints: data to standard output, what is said to a person to standard error.

mod folder;
mod harmless;
pub(crate) mod latency;
pub(crate) mod progress;
pub(crate) mod results;
pub(crate) mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

pub(crate) use folder::Folder;
pub(crate) use harmless::{harmless, harmless_json, harmless_lines, is_harmful};

/// Standard output was closed by whoever read it: nothing more is wanted, and nothing is wrong.
#[derive(Debug)]
pub(crate) struct ClosedPipe;

impl Display for ClosedPipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for ClosedPipe {}

/// Writes `bytes` to standard output at once.
///
/// # Errors
/// [`ClosedPipe`], or what else the system says.
pub(crate) fn data(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ClosedPipe.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// Writes what others may have written to standard output at once: as it is for a file or a pipe, and what a person may see of it
/// for a terminal.
///
/// # Errors
/// As [`data`].
pub(crate) fn text(bytes: &[u8]) -> anyhow::Result<()> {
    if !io::stdout().is_terminal() {
        return data(bytes);
    }
    data(harmless_lines(&String::from_utf8_lossy(bytes), table::is_coloured()).as_bytes())
}

/// Writes a line of JSON to standard output at once. It may have been written by others.
///
/// # Errors
/// As [`data`].
pub(crate) fn json(document: &str) -> anyhow::Result<()> {
    data(format!("{}\n", harmless_json(document)).as_bytes())
}

/// Says something to the person at the terminal, whoever wrote it.
pub(crate) fn say(text: &dyn Display) {
    let text = text.to_string();
    // With standard error gone there is nobody to tell.
    progress::suspended(|| {
        let _ = writeln!(io::stderr(), "{}", harmless_lines(&text, false));
    });
}

/// Says why the program ends.
pub(crate) fn error(text: &dyn Display) {
    say(&format_args!("palm: {text}"));
}

/// What went wrong and why, each cause once: many an error's text has its cause's text at its end already.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// `1 message`, `2 messages`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let system = || io::Error::from_raw_os_error(98);
        let plain: anyhow::Error = Err::<(), _>(system()).context("cannot bind").unwrap_err();
        assert_eq!(causes(&plain), "cannot bind: Address already in use (os error 98)");
        let repeated = Err::<(), _>(system()).with_context(|| format!("cannot bind: {}", system())).unwrap_err();
        assert_eq!(
            causes(&repeated.context("no master")),
            "no master: cannot bind: Address already in use (os error 98)"
        );
    }
}
