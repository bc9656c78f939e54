//! `palm demo`: a whole job inside one process.

use crate::Outcome;
use crate::args::Global;

/// Flags of `palm demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Messages of the job
    #[arg(long, value_name = "MESSAGES", default_value = "20000", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Workers
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
}

/// Shows a job.
///
/// # Errors
/// If loopback cannot be used.
pub(crate) fn run(_global: &Global, _args: Args) -> anyhow::Result<Outcome> {
    todo!()
}
