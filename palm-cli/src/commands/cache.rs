//! `palm cache`: the key-value store of a server.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use palm_transport_zmq::CacheClient;

use super::{block_on, no_answer};
use crate::args::Global;
use crate::{Outcome, output, values, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm cache set model-version 7
  palm cache get model-version
  palm cache set model --file model.bin
  train | palm cache set model -
  palm cache get model > model.bin
  palm cache delete model
  palm cache get name                  the server's own name

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

/// Keys that a server sets itself, and needs to be found.
const PRESETS: [&str; 8] = [
    "name",
    "db_address",
    "pull_address",
    "pub_address",
    "worker_pull_address",
    "worker_push_address",
    "palm_extensions",
    "palm_max_message",
];

/// Asks the store.
///
/// # Errors
/// If it does not answer.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("cache")?;
    let cache = CacheClient::new(args.db, args.timeout);
    block_on(async {
        match args.action {
            Action::Get { key } => {
                let value = cache.get(&key).await.map_err(no_answer)?;
                if value.is_empty() {
                    output::error(&format_args!("the cache at {} has no value under the key {key:?}", cache.address()));
                    return Ok(Outcome::Failed);
                }
                output::data(&value)?;
                // A person's prompt gets a line of its own; a file or a pipe gets the value and nothing else.
                if std::io::stdout().is_terminal() && !value.ends_with(b"\n") {
                    output::data(b"\n")?;
                }
            }
            Action::Set { key, value, file } => {
                if PRESETS.contains(&key.as_str()) {
                    return Err(wrong_use(format!("{key:?} is a key that servers set themselves; choose another")));
                }
                let value = read_value(value, file.as_deref())?;
                let kept_under = cache.set(&key, &value).await.map_err(no_answer)?;
                if key.is_empty() {
                    output::data(format!("{kept_under}\n").as_bytes())?;
                }
            }
            Action::Delete { key } => {
                if PRESETS.contains(&key.as_str()) {
                    return Err(wrong_use(format!("{key:?} is a key that servers need to be found")));
                }
                // A Python server's cache dies of a key that it does not have, so it is not asked to delete one.
                let ours = cache.get("palm_extensions").await.map_err(no_answer)?.as_ref() == b"1";
                if !ours && cache.get(&key).await.map_err(no_answer)?.is_empty() {
                    return Ok(Outcome::Done);
                }
                cache.delete(&key).await.map_err(no_answer)?;
            }
        }
        Ok(Outcome::Done)
    })
}

fn read_value(value: Option<String>, file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    match (file, value) {
        (Some(path), _) if path.as_os_str() != "-" => {
            std::fs::read(path).map_err(|error| wrong_use(format!("cannot read {}: {error}", path.display())))
        }
        (None, Some(text)) if text != "-" => Ok(text.into_bytes()),
        _ => {
            let mut value = Vec::new();
            std::io::stdin().lock().read_to_end(&mut value).context("cannot read standard input")?;
            Ok(value)
        }
    }
}
