//! `palm cache`: the key-value store of a server.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use clap::Subcommand;
use palm_transport_tcp::{CacheError, Client, Condition, ConnectError};
use palm_transport_zmq::CacheClient;

use super::{block_on, no_answer};
use crate::args::Global;
use crate::native::{Flags, Peer, Transport, Wish, out_of_reach};
use crate::{Outcome, given_file, output, values, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm cache set model-version 7
  palm cache get model-version
  palm cache set model --file model.bin
  train | palm cache set model -
  palm cache get model > model.bin
  palm cache delete model
  palm cache get name                  the server's own name

Over the native protocol, which is spoken if it is needed:
  palm cache set --ttl 30s leader node-1
  palm cache set --if-absent leader node-1
  palm cache get --version leader      {\"key\":\"leader\",\"version\":7,\"value\":\"node-1\"}
  palm cache set --if-version 7 leader node-2

Exit status: 0 done; 1 there is no such key, a condition is not met, or no answer;
2 wrong use.";

const GET_EXAMPLES: &str = "\
Examples:
  palm cache get model > model.bin
  palm cache get name                  the server's own name
  palm cache get --version leader      {\"key\":\"leader\",\"version\":7,\"value\":\"node-1\"}";

const SET_EXAMPLES: &str = "\
Examples:
  palm cache set model-version 7
  palm cache set model --file model.bin
  train | palm cache set model -
  palm cache set --ttl 30s --if-absent leader node-1
  palm cache set --if-version 7 leader node-2";

const DELETE_EXAMPLES: &str = "\
Examples:
  palm cache delete model
  palm cache delete --if-version 7 leader";

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
    #[command(flatten)]
    pub(crate) native: Flags,
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Write a value to standard output, byte for byte
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// The key
        key: String,
        /// Print the value and its version as a JSON object
        #[arg(long)]
        version: bool,
    },
    /// Store a value
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// The key; prints it if it is empty, since the store then makes one
        key: String,
        /// The value; - reads it from standard input
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// Store what is in this file
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
        /// Have the value go after this time [default: it stays]
        #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero)]
        ttl: Option<Duration>,
        /// Only if the key has no value
        #[arg(long, conflicts_with = "if_version")]
        if_absent: bool,
        /// Only if the key's value has this version
        #[arg(long, value_name = "NUMBER")]
        if_version: Option<u64>,
        /// Print the version that the value has now, as a JSON object
        #[arg(long)]
        version: bool,
    },
    /// Remove a value; it is no error if there is none
    #[command(after_help = DELETE_EXAMPLES)]
    Delete {
        /// The key
        key: String,
        /// Only if the key's value has this version
        #[arg(long, value_name = "NUMBER")]
        if_version: Option<u64>,
    },
}

impl Action {
    /// A flag that was given and asks for what only the native protocol has.
    const fn native_only(&self) -> Option<&'static str> {
        match self {
            Self::Get { version: true, .. } | Self::Set { version: true, .. } => Some("--version"),
            Self::Set { ttl: Some(_), .. } => Some("--ttl"),
            Self::Set { if_absent: true, .. } => Some("--if-absent"),
            Self::Set { if_version: Some(_), .. } | Self::Delete { if_version: Some(_), .. } => Some("--if-version"),
            Self::Get { .. } | Self::Set { .. } | Self::Delete { .. } => None,
        }
    }
}

/// Keys that a server sets itself, and needs to be found.
const PRESETS: [&str; 9] = [
    "name",
    "db_address",
    "pull_address",
    "pub_address",
    "worker_pull_address",
    "worker_push_address",
    "palm_extensions",
    "palm_max_message",
    "palm_native_address",
];

/// Room for what a request has besides key and value: the function, and what goes before each field.
const ENVELOPE: usize = 64;

/// Asks the store.
///
/// # Errors
/// If it does not answer.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("cache")?;
    check_preset(&args.action)?;
    if let Some(peer) = block_on(peer(&args))? {
        return native(&peer, args);
    }
    let cache = CacheClient::new(args.db, args.timeout);
    block_on(async {
        match args.action {
            Action::Get { key, .. } => {
                let value = cache.get(&key).await.map_err(no_answer)?;
                if value.is_empty() {
                    return none(cache.address(), &key);
                }
                print(&value)?;
            }
            Action::Set { key, value, file, .. } => {
                let value = read_value(value, file.as_deref())?;
                check_length(&cache, key.len() + value.len()).await?;
                let kept_under = cache.set(&key, &value).await.map_err(no_answer)?;
                if key.is_empty() {
                    output::text(format!("{kept_under}\n").as_bytes())?;
                }
            }
            Action::Delete { key, .. } => {
                // A Python server's cache dies of a key that it does not have, so it is not asked to delete one.
                let ours = cache.extensions().await.map_err(no_answer)?;
                if !ours && cache.get(&key).await.map_err(no_answer)?.is_empty() {
                    return Ok(Outcome::Done);
                }
                cache.delete(&key).await.map_err(no_answer)?;
            }
        }
        Ok(Outcome::Done)
    })
}

/// Refuses what the server would not read: it closes the connection upon a message that is too long, which tells nobody why.
async fn check_length(cache: &CacheClient, length: usize) -> anyhow::Result<()> {
    // A Python server has no bound.
    let most = cache.max_message().await.map_err(no_answer)?.unwrap_or(usize::MAX);
    if length.saturating_add(ENVELOPE) > most {
        anyhow::bail!(
            "the value is too long: key and value have {length} bytes, and the server takes messages of {most} at most, with \
             {ENVELOPE} for what goes round them (its --max-message)"
        );
    }
    Ok(())
}

/// Refuses to write what servers write themselves.
fn check_preset(action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Set { key, .. } if PRESETS.contains(&key.as_str()) => {
            Err(wrong_use(format!("{key:?} is a key that servers set themselves; choose another")))
        }
        Action::Delete { key, .. } if PRESETS.contains(&key.as_str()) => {
            Err(wrong_use(format!("{key:?} is a key that servers need to be found")))
        }
        Action::Get { .. } | Action::Set { .. } | Action::Delete { .. } => Ok(()),
    }
}

/// The master, if it is spoken to natively: for what ZeroMQ does as well, nobody has to be asked first.
async fn peer(args: &Args) -> anyhow::Result<Option<Peer>> {
    let needed = args.action.native_only();
    let wish = match (args.native.wish(&[])?, needed) {
        (Wish::Zmq, Some(flag)) if args.native.transport == Transport::Zmq => {
            return Err(wrong_use(format!("{flag} needs the native protocol, and --transport zmq rules that out")));
        }
        (Wish::Zmq, Some(flag)) => {
            return Err(wrong_use(format!("{flag} needs the native protocol, and a token needs --connect")));
        }
        (Wish::Ask { insists: None, .. }, None) => return Ok(None),
        (Wish::Ask { .. }, Some(flag)) => Wish::Ask { insists: Some(flag) },
        (wish, _) => wish,
    };
    let peer = wish.peer(&args.db, Some(args.timeout)).await;
    match needed {
        Some(flag) => peer.with_context(|| format!("{flag} needs the native protocol")),
        None => peer,
    }
}

/// Asks over the native protocol.
fn native(peer: &Peer, args: Args) -> anyhow::Result<Outcome> {
    let client = Client::builder(&peer.address).token(&peer.token).timeout(args.timeout).patience(args.timeout);
    let client = client.connect().map_err(|error| match error {
        ConnectError::TimedOut { .. } => {
            let why = block_on(async { Ok(out_of_reach(&peer.address, args.timeout).await) });
            why.unwrap_or_else(|error| error)
        }
        ConnectError::Refused { why } => anyhow::anyhow!("no connection to {}: {}", peer.address, peer.refusal(&why)),
        error => anyhow::anyhow!("no connection to {}: {error}", peer.address),
    })?;
    let cache = client.cache();
    match args.action {
        Action::Get { key, version } => {
            let Some(found) = cache.get(&key)? else { return none(&peer.address, &key) };
            if !version {
                return print(&found.value).map(|()| Outcome::Done);
            }
            let mut object = serde_json::json!({"key": key, "version": found.version});
            let (name, text) = match std::str::from_utf8(&found.value) {
                Ok(text) => ("value", text.to_owned()),
                Err(_) => ("value_base64", base64::engine::general_purpose::STANDARD.encode(&found.value)),
            };
            object[name] = text.into();
            output::json(&object.to_string())?;
        }
        Action::Set { key, value, file, ttl, if_absent, if_version, version } => {
            if key.is_empty() {
                return Err(wrong_use("the native protocol has no keys that the store makes: name one"));
            }
            let condition = match if_version {
                Some(version) => Condition::Version(version),
                None if if_absent => Condition::Absent,
                None => Condition::Always,
            };
            match cache.set_with(&key, read_value(value, file.as_deref())?, ttl, condition) {
                Ok(now) if version => {
                    output::json(&serde_json::json!({"key": key, "version": now}).to_string())?;
                }
                Ok(_) => {}
                Err(error) => return not_done(&key, error),
            }
        }
        Action::Delete { key, if_version } => {
            let condition = if_version.map_or(Condition::Always, Condition::Version);
            match cache.delete_if(&key, condition) {
                Ok(false) if if_version.is_some() => return none(&peer.address, &key),
                Ok(_) => {}
                Err(error) => return not_done(&key, error),
            }
        }
    }
    Ok(Outcome::Done)
}

/// Says that there is no value.
fn none(address: &str, key: &str) -> anyhow::Result<Outcome> {
    output::error(&format_args!("the cache at {address} has no value under the key {key:?}"));
    Ok(Outcome::Failed)
}

/// Says why a value is as it was.
fn not_done(key: &str, error: CacheError) -> anyhow::Result<Outcome> {
    match error {
        CacheError::Conflict { version: Some(version) } => {
            output::error(&format_args!("nothing done: {key:?} has a value of version {version}"));
            Ok(Outcome::Failed)
        }
        CacheError::Conflict { version: None } => {
            output::error(&format_args!("nothing done: {key:?} has no value"));
            Ok(Outcome::Failed)
        }
        error => Err(error.into()),
    }
}

/// Writes a value to standard output.
fn print(value: &[u8]) -> anyhow::Result<()> {
    output::text(value)?;
    // A person's prompt gets a line of its own; a file or a pipe gets the value and nothing else.
    if std::io::stdout().is_terminal() && !value.ends_with(b"\n") {
        output::data(b"\n")?;
    }
    Ok(())
}

fn read_value(value: Option<String>, file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    match (file, value) {
        (Some(path), _) if path.as_os_str() != "-" => {
            let read = std::fs::File::open(path).and_then(|file| given_file::read_all(file, given_file::VALUE_MAX));
            read.map_err(|error| given_file::cannot_read(path, &error))
        }
        (None, Some(text)) if text != "-" => Ok(text.into_bytes()),
        _ => {
            let value = given_file::read_all(std::io::stdin().lock(), given_file::VALUE_MAX);
            value.context("cannot read standard input")
        }
    }
}
