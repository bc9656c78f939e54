//! Runs on a node what a registry wants of it (`docs/registry.md`, section 5).
//!
//! [`run`] asks the registry again and again what is wanted, makes it so, and says what is. What becomes of each process is decided by
//! a supervisor without IO; what it prints goes into a spool on the disk, and from there to the registry.
//!
//! The program that calls it must call [`watch`](crate::process::watch) first of all if
//! [`watched`](crate::process::watched) says so.

mod child;
mod fleet;
mod lines;
mod output;
mod over;
mod python;
mod ready;
mod sender;
mod spool;
mod stopping;
mod supervisor;
mod told;
mod usage;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use output::Shown;
pub use spool::SPOOL_MIN;

use crate::client::{Client, ClientError};
use crate::plan::NodeOffer;
use crate::process::Lifeline;
use crate::wire::Process;
use child::Surroundings;
use fleet::Fleet;
use output::Output;
use over::Over;
use sender::Dialect;
use spool::Spool;
use told::Sockets;

/// How long what was printed last may take to arrive once nothing runs any more.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a runner is told.
#[derive(Debug)]
pub struct Config {
    /// The registry, with the cluster's key.
    pub client: Client,
    /// The node.
    pub node: NodeOffer,
    /// The folder of lines that are not sent yet.
    pub spool: PathBuf,
    /// How much may be there, in bytes.
    pub spool_max: u64,
    /// A folder that is looked in for programs before those of `PATH`.
    pub programs: Option<PathBuf>,
    /// Who is shown what processes print.
    pub view: Option<mpsc::Sender<Shown>>,
    /// Who is shown what they do.
    pub standing: Option<watch::Sender<Standing>>,
    /// Whether what is done is not done again when a runner with the same spool is started anew.
    pub remembers: bool,
    /// A folder that goes if the runner is killed.
    pub temporary: Option<PathBuf>,
    /// Variables of the runner's environment that its processes do not get, as they are secrets.
    pub withheld: Vec<&'static str>,
}

/// What all processes of a node do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Each of them, in the order in which they are started.
    pub processes: Vec<Process>,
    /// Whether there are any, none runs, and none is going to by itself.
    pub is_over: bool,
}

/// What a runner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What the registry says.
    Run,
    /// End all processes, those first that others are not connected to, and then itself.
    Stop,
    /// End all at once.
    Kill,
}

/// Why a runner ends that was not told to.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunnerError {
    /// The spool cannot be used.
    Spool(PathBuf, std::io::Error),
    /// The process cannot be started that ends what a killed runner leaves behind.
    Lifeline(std::io::Error),
    /// The registry does not want it.
    Refused(ClientError),
    /// Python's registry, which is asked once, has nothing for it.
    Nothing,
}

impl fmt::Display for RunnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(folder, error) => write!(f, "the spool {} cannot be used: {error}", folder.display()),
            Self::Lifeline(error) => write!(f, "the process cannot be started that watches this one: {error}"),
            Self::Refused(error) => error.fmt(f),
            Self::Nothing => f.write_str(
                "the registry, which is Python's, has nothing for this node: all is handed out, or the node has more processors \
                 than there is work for",
            ),
        }
    }
}

// What each says has its cause in it, which whoever prints the whole chain would print again.
impl std::error::Error for RunnerError {}

/// Runs what the registry wants until it is told to stop, the registry sends it away, or, with Python's registry, all has ended.
///
/// # Errors
/// If it cannot begin, or was sent away. Nothing that it started is left.
pub async fn run(config: Config, orders: watch::Receiver<Order>) -> Result<(), RunnerError> {
    let Config { client, node, spool, spool_max, programs, view, standing, remembers, temporary, withheld } = config;
    let opened = Spool::open(&spool, spool_max).map_err(|error| RunnerError::Spool(spool.clone(), error))?;
    let output = Arc::new(Output::new(opened, view));
    let lifeline = Lifeline::start().map_err(RunnerError::Lifeline)?;
    temporary.iter().for_each(|folder| lifeline.remove(folder));
    let sockets = Sockets::open(&lifeline);
    let sockets = sockets.inspect_err(|error| tracing::warn!("processes cannot tell of themselves: {error}")).ok();
    let path = programs.and_then(path_with);
    // Once it is dropped, the folders that it was told of may go, of which the spool's may be one.
    let until_sent = lifeline.clone();
    let around = Arc::new(Surroundings { lifeline, output: output.clone(), path, withheld, sockets });
    let (dialect, told) = watch::channel(Dialect::Unknown);
    let (name, called) = watch::channel(node.name.clone());
    let sending = tokio::spawn(sender::send(client.clone(), called, output.clone(), told));

    let over = if remembers { Over::read(&spool) } else { Over::default() };
    let ended = Fleet::new(client, (node, name), around, dialect, standing, over).run(orders).await;

    let arrived = async {
        while !output.spool().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if !sending.is_finished() && tokio::time::timeout(FAREWELL, arrived).await.is_err() {
        tracing::warn!("some of what was printed is not sent yet; it is kept in {}", spool.display());
    }
    sending.abort();
    let _ = sending.await;
    drop(until_sent);
    ended
}

/// The variable `PATH` with a folder before all others.
fn path_with(folder: PathBuf) -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).ok()
}
