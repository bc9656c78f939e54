//! `palm lifeline`: the copy of this program that ends what a killed worker leaves behind.

use crate::{Outcome, process};

/// It has no flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Waits for the worker to end.
///
/// # Errors
/// Never.
#[expect(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(crate) fn run(Args {}: Args) -> anyhow::Result<Outcome> {
    process::watch(std::io::stdin().lock());
    Ok(Outcome::Done)
}
