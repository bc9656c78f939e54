//! `palm cache`: the key-value store of a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::args::Global;
use crate::{Outcome, values};

const EXAMPLES: &str = "\
Examples:
  palm cache set model-version 7
  palm cache get model-version
  palm cache set model --file model.bin
  train | palm cache set model -
  palm cache get model > model.bin
  palm cache delete model
  palm cache get name                  the server's name, one of the keys that every server has

Exit status: 0 done, 1 there is no such key, or no answer; 2 wrong use.";

/// Flags of `palm cache`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Where the server's cache answers
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address, global = true)]
    pub(crate) db: String,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration_above_zero, global = true)]
    pub(crate) timeout: Duration,
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Write a value to standard output, byte for byte
    Get {
        /// The key
        key: String,
    },
    /// Store a value
    Set {
        /// The key; prints it if it is empty, since the store then makes one
        key: String,
        /// The value; - reads it from standard input
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// Store what is in this file
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
    },
    /// Remove a value; it is no error if there is none
    Delete {
        /// The key
        key: String,
    },
}

/// Asks the store.
///
/// # Errors
/// If it does not answer.
pub(crate) fn run(_global: &Global, _args: Args) -> anyhow::Result<Outcome> {
    todo!()
}
