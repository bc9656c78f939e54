//! The commands, one a file: the flags, and what becomes of them.

pub(crate) mod audit;
pub(crate) mod bench;
mod bench_native;
mod bench_registry;
pub(crate) mod cache;
pub(crate) mod cluster;
mod cluster_file;
mod cluster_logs;
mod cluster_set;
mod cluster_view;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod down;
pub(crate) mod launch;
pub(crate) mod man;
pub(crate) mod master;
mod master_lines;
mod master_sockets;
pub(crate) mod nodes;
pub(crate) mod registry;
pub(crate) mod runner;
pub(crate) mod tokens;
pub(crate) mod up;
mod up_detached;
pub(crate) mod users;
pub(crate) mod worker;

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use palm_transport_zmq::{CacheClient, CacheError, ConnectError, DiscoveryError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::args::{Cli, Command, Global};
use crate::logging::{self, Filter, Target};
use crate::{Outcome, wrong_use};

/// Does what the command line asks for.
///
/// # Errors
/// What kept it from being done.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let global = cli.global;
    match cli.command {
        Command::Master(args) => master::run(&global, args),
        Command::Worker(args) => worker::run(&global, args),
        Command::Launch(args) => launch::run(&global, args),
        Command::Cache(args) => cache::run(&global, args),
        Command::Registry(args) => registry::run(&global, args),
        Command::Runner(args) => runner::run(&global, args),
        Command::Up(args) => up::run(&global, args),
        Command::Down(args) => down::run(&global, &args),
        Command::Cluster(args) => cluster::run(&global, args),
        Command::Nodes(args) => nodes::run(&global, args),
        Command::Users(args) => users::run(&global, args),
        Command::Tokens(args) => tokens::run(&global, args),
        Command::Audit(args) => audit::run(&global, args),
        Command::Demo(args) => demo::run(&global, args),
        Command::Bench(args) => bench::run(&global, args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

impl Global {
    /// Starts the log of a component, which a runner reads from standard output.
    fn log_component(&self, name: &str) -> anyhow::Result<()> {
        let filter = self.log_level.clone().unwrap_or_else(|| Filter::at(LevelFilter::INFO));
        logging::start(self.log_format, &filter, name, Target::Stdout).context("cannot start the log")
    }

    /// Starts the log of a launcher as Python has it: lines without a name on standard output, of what has this target.
    fn log_launcher(&self, target: &'static str) -> anyhow::Result<()> {
        let filter = self.log_level.clone().unwrap_or_else(|| Filter::warnings_and(target));
        logging::start(self.log_format, &filter, "", Target::Stdout).context("cannot start the log")
    }

    /// Starts the log of a command whose standard output is for data.
    fn log_aside(&self, name: &str) -> anyhow::Result<()> {
        self.log_aside_at(name, LevelFilter::WARN)
    }

    /// As [`Self::log_aside`], from `least` on unless something else is said.
    fn log_aside_at(&self, name: &str, least: LevelFilter) -> anyhow::Result<()> {
        let filter = self.log_level.clone().unwrap_or_else(|| Filter::at(least));
        logging::start(self.log_format, &filter, name, Target::Stderr).context("cannot start the log")
    }
}

/// Runs `work` on a runtime of one thread, which is the fastest for sockets (one loop, no hand-over between threads).
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the async runtime")?;
    let result = runtime.block_on(work);
    // A thread that waits for standard input, or for a pipe nobody reads, is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Where a master's cache answers unless something else is said.
pub(crate) const DEFAULT_DB: &str = "tcp://127.0.0.1:5559";

/// Says what a person can do about a server that was not reached.
pub(crate) fn unreachable(error: ConnectError, server: &str, db: &str, patience: Duration) -> anyhow::Error {
    match error {
        ConnectError::Discovery(DiscoveryError::WrongServer { found, .. }) => wrong_server(db, &found, server),
        ConnectError::TimedOut { cause, .. } => anyhow::anyhow!(
            "the server {server} could not be reached within {patience:?} through its cache at {db}{}: is the master running? \
             Use --db if its cache is elsewhere",
            cause.map_or_else(String::new, |cause| format!(" ({cause})"))
        ),
        error => anyhow::Error::new(error),
    }
}

/// Characters of another server's name that are shown; anybody may have given it, over ZeroMQ.
const SHOWN_OF_A_NAME: usize = 255;

/// Says what a person can do about a server of another name.
pub(crate) fn wrong_server(address: &str, found: &str, wanted: &str) -> anyhow::Error {
    let found: String = found.chars().take(SHOWN_OF_A_NAME).collect();
    let found = crate::output::harmless(&found, false);
    wrong_use(format!(
        "the server at {address} is named {found}, not {wanted}: use --server {found}, or the address of another"
    ))
}

/// The name that the server itself keeps in its cache.
async fn server_name(db: &str, patience: Duration) -> anyhow::Result<String> {
    let name = CacheClient::new(db, patience).get("name").await.map_err(no_answer)?;
    String::from_utf8(name.into()).context("the server's name is not UTF-8")
}

/// Says what a person can do about a cache that does not answer.
pub(crate) fn no_answer(error: CacheError) -> anyhow::Error {
    match error {
        CacheError::TimedOut { address, after, cause } => anyhow::anyhow!(
            "the cache at {address} does not answer within {after:?}{}: is the master running? Use --db if its cache is elsewhere",
            cause.map_or_else(String::new, |cause| format!(" ({cause})"))
        ),
        CacheError::Connection { address, source } => anyhow::anyhow!(
            "cannot reach the cache at {address} ({source}): is the master running? Use --db if its cache is elsewhere"
        ),
        error => anyhow::Error::new(error),
    }
}

/// The signals that ask a component to stop.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// A terminal that is closed tells so several times, and after another signal that is no news: it counts once, and only as the first.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// From now on, the signals no longer end the process by themselves.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let hangup = can_be_hung_up().then(|| listen(SignalKind::hangup())).transpose()?;
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())?, hangup })
    }

    /// Waits for the next one and says which it was.
    pub(crate) async fn next(&mut self) -> &'static str {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = hung_up => HANGUP,
        };
        self.hangup = None;
        name
    }
}

/// What [`StopSignals::next`] says when the terminal was closed.
pub(crate) const HANGUP: &str = "SIGHUP";

/// Whether the end of its terminal means anything to this process: not if it was started with that signal ignored, as `nohup` does it, and
/// not where the system does not tell.
pub(crate) fn can_be_hung_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|ignored| ignored & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_another_server_is_one_line_of_what_is_said() {
        let forged = format!("x\n1 message sent\u{202e}{}", "y".repeat(1000));
        let text = wrong_server("tcp://127.0.0.1:5559", &forged, "shout").to_string();
        assert!(text.contains("named x^J1 message sent") && text.ends_with("another"), "{text}");
        assert!(!text.contains(['\n', '\u{202e}']) && text.len() < 1000, "{text}");
    }
}
