//! All that the program prints: data to standard output, what is said to a person to standard error.

mod harmless;
pub(crate) mod latency;
pub(crate) mod progress;
pub(crate) mod results;
pub(crate) mod table;

use std::fmt::Display;
use std::io::{self, Write as _};

pub(crate) use harmless::harmless;

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

/// Says something to the person at the terminal.
pub(crate) fn say(text: &dyn Display) {
    // With standard error gone there is nobody to tell.
    progress::suspended(|| {
        let _ = writeln!(io::stderr(), "{text}");
    });
}

/// Says why the program ends.
pub(crate) fn error(text: &dyn Display) {
    say(&format_args!("palm: {text}"));
}

/// `1 message`, `2 messages`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
