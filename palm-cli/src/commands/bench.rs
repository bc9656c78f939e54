//! `palm bench`: how many messages a second, and how long each takes.

use std::time::Duration;

use clap::Subcommand;

use crate::args::Global;
use crate::{Outcome, values};

const EXAMPLES: &str = "\
Examples:
  palm bench local
      a master, an echo worker and a load generator in one process, each on a thread of its own

  palm bench worker --db tcp://node-1:5559
  palm bench client --db tcp://node-1:5559 --size 1KiB --window 1000 --messages 1000000
      against a master that runs elsewhere

  palm bench local --window 1
      the round trip of a single message

Exit status: 0 every message came back, 1 some were lost.";

/// Flags of `palm bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) part: Part,
}

/// Which part of the measurement this process is.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Generate load, and measure
    Client {
        /// Where the master's cache answers
        #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address)]
        db: String,
        /// Function that is called: any that answers, of the server at --db
        #[arg(long, value_name = "METHOD", default_value = "echo")]
        function: String,
        #[command(flatten)]
        load: Load,
    },
    /// Answer each message with itself, until stopped
    Worker {
        /// Where the master's cache answers
        #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address)]
        db: String,
    },
    /// Measure a master, a worker and a client in this process
    Local {
        /// Echo workers
        #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
        workers: u16,
        #[command(flatten)]
        load: Load,
    },
}

/// The load.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Load {
    /// Bytes of each message
    #[arg(long, value_name = "SIZE", default_value = "10", value_parser = values::size)]
    pub(crate) size: usize,
    /// Messages without a result at a time
    #[arg(long, value_name = "MESSAGES", default_value = "200", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    /// Messages in all
    #[arg(long, value_name = "NUMBER", default_value = "100000", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Time after which a message counts as lost
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration_above_zero)]
    pub(crate) timeout: Duration,
    /// Print the figures as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measures.
///
/// # Errors
/// If the master cannot be reached.
pub(crate) fn run(_global: &Global, _args: Args) -> anyhow::Result<Outcome> {
    todo!()
}
