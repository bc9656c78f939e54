//! What a runner and the registry tell each other, as JSON (`docs/registry.md`, section 5).
//!
//! The registry says what is *wanted* of a node; the runner makes it so, and reports what *is*. One request does both, and can be
//! repeated at will.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cluster::{Readiness, Restart};
use crate::plan::NodeOffer;

/// Where a runner asks what it is to run.
pub const SYNC_PATH: &str = "/api/v1/runner/sync";
/// Where it sends what its processes print.
pub const LOGS_PATH: &str = "/api/v1/runner/logs";
/// A node is silent when it has given no sign of life for so long, in microseconds.
pub const SILENT_AFTER: i64 = 3_000_000;
/// Lines that a request may have.
pub const LINES_MAX: usize = 5000;
/// Longest name of a node or component, in bytes.
pub const NAME_MAX: usize = 256;
/// Longest text of a line, in bytes; longer ones come in pieces.
pub const TEXT_MAX: usize = 64 << 10;

/// What a runner says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sync {
    /// The node.
    pub node: NodeOffer,
    /// This start of the runner.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub run: Uuid,
    /// All that it has.
    pub processes: Vec<Process>,
    /// It says so for the last time.
    #[serde(default)]
    pub leaving: bool,
}

/// A process as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Its component.
    pub component: String,
    /// Which of the component's copies, from 0.
    pub copy: u32,
    /// What it does.
    pub state: State,
    /// Its number on the node, while there is a process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Since when it is in its state, in microseconds since 1970.
    pub since: i64,
    /// How often it was started again by itself.
    #[serde(default)]
    pub restarts: u64,
    /// How it ended last.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Processor time of its process group.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Resident memory of its process group.
    #[serde(default)]
    pub memory_bytes: u64,
    /// The generation that it was started as.
    #[serde(default)]
    pub generation: u64,
    /// Messages that it has handled since its start, if it tells.
    #[serde(default)]
    pub messages: Option<u64>,
    /// Messages a second, while it tells.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is to be started: later, or once what it is connected to is ready.
    Waiting,
    /// It runs, and is not ready yet.
    Starting,
    /// It runs, and its check says that it is ready.
    Ready,
    /// It runs, and has no check.
    Running,
    /// It was asked to end.
    Stopping,
    /// It has ended, and is not started again by itself.
    Exited,
    /// It ends soon after each start, and is tried now and then.
    CrashLoop,
    /// It cannot be started, or has ended in failure and is not started again by itself.
    Failed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Starting,
        Self::Ready,
        Self::Running,
        Self::Stopping,
        Self::Exited,
        Self::CrashLoop,
        Self::Failed,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
            Self::CrashLoop => "crash-loop",
            Self::Failed => "failed",
        }
    }

    /// Whether what is connected to it may be started.
    pub const fn lets_others_start(self) -> bool {
        matches!(self, Self::Ready | Self::Running | Self::Exited)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What the registry wants of the node. What is not in it is to be stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wanted {
    /// After how long it wants to be told again, in milliseconds.
    pub interval_ms: u64,
    /// The cluster's id, by which it is told from another that had the same key before.
    #[serde(default)]
    pub cluster: Option<String>,
    /// What the node is called here: its name, or, if another node has that at another Ip, its name and its Ip. It calls itself so from
    /// then on.
    #[serde(default)]
    pub node: Option<String>,
    /// In the order in which it is to be started.
    pub wanted: Vec<WantedProcess>,
}

/// A process as it is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WantedProcess {
    /// Its component.
    pub component: String,
    /// Which of the component's copies, from 0.
    pub copy: u32,
    /// Its command line; no shell reads it, but it is split into words as a shell would.
    pub command: String,
    /// Variables of its environment, beside those of the runner.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Its working directory; `None`: the runner's.
    #[serde(default)]
    pub directory: Option<String>,
    /// When it is started again after it has ended.
    #[serde(default)]
    pub restart: Restart,
    /// How long it may take to end when asked to.
    pub grace_seconds: u64,
    /// How it is known to be ready, with addresses in place of sockets.
    #[serde(default)]
    pub ready: Option<Readiness>,
    /// Whether it is to run.
    pub run: bool,
    /// Whether it is not to be started now, because what it is connected to is not ready; if it runs, it goes on.
    #[serde(default)]
    pub hold: bool,
    /// A process of an earlier generation is to be replaced.
    #[serde(default)]
    pub generation: u64,
    /// How many components stand before its own, each connected to the next: to stop all, those of the greatest level end first, side by
    /// side. `None`: nobody says, and each component ends after those that were started later.
    #[serde(default)]
    pub level: Option<u32>,
}

/// Lines of a node's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lines {
    /// The node's name.
    pub node: String,
    /// Where they were kept until now: their numbers count there.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub spool: Uuid,
    /// In order.
    pub lines: Vec<Line>,
}

/// A line that a process has printed, or a piece of one that was too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its number in its spool, from 1; greater than that of the line before, by more than 1 if some were thrown away.
    pub seq: u64,
    /// The component.
    pub component: String,
    /// Which of the component's copies.
    pub copy: u32,
    /// Where it was printed.
    pub stream: Stream,
    /// When the runner read it, in microseconds since 1970.
    pub at: i64,
    /// Without its end.
    pub text: String,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// The runner itself: what became of the process.
    Runner,
}

impl Stream {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Runner => "runner",
        }
    }

    /// What was written.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Out, Self::Err, Self::Runner].into_iter().find(|stream| stream.name() == name)
    }
}

/// What the registry has kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The number of the last line of the spool that it has.
    pub seq: u64,
}

/// Lines as a runner of Python's sends them, as protobuf.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogMessages {
    /// In order.
    #[prost(string, repeated, tag = "1")]
    pub messages: Vec<String>,
}
