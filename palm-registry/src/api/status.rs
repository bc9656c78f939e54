//! What a cluster's state is: what is placed where, what runs, and what is missing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether everything is placed.
    pub ready: bool,
    /// Its components, in the order of its file.
    pub components: Vec<ComponentStatus>,
    /// Its sockets, by name.
    pub sockets: Vec<SocketStatus>,
    /// Its nodes, in the order in which they came.
    pub nodes: Vec<NodeStatus>,
    /// All that does not run because it cannot be placed, and why.
    pub missing: Vec<Lack>,
}

/// A component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub role: Option<String>,
    /// Components that are placed before it.
    pub connected: Vec<String>,
    /// Names of the sockets that it needs.
    pub sockets: Vec<String>,
    /// Copies beside the first.
    pub replicas: u32,
    /// It was stopped, and is not to run until it is started.
    pub stopped: bool,
    /// Counts the times that it was to be restarted.
    pub generation: u64,
    /// Its processes, by copy.
    pub processes: Vec<ProcessStatus>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessStatus {
    /// Which of the component's copies, from 0.
    pub copy: u32,
    /// The node that it is placed on; null: none.
    pub node: Option<String>,
    /// What its node reported last: waiting, starting, ready, running, stopping, exited, crash-loop or failed; null: nothing.
    pub state: Option<String>,
    /// Since when it is in that state, in microseconds since 1970.
    pub since: Option<i64>,
    /// Its number on the node, while there is a process.
    pub pid: Option<u32>,
    /// How often it was started again by itself.
    pub restarts: u64,
    /// The code with which it exited last.
    pub exit_code: Option<i32>,
    /// The signal that ended it last.
    pub exit_signal: Option<i32>,
    /// Processor time that it has used.
    pub cpu_seconds: f64,
    /// Memory that it has.
    pub memory_bytes: u64,
    /// Messages that it has handled since its start; null: it does not tell.
    #[serde(default)]
    pub messages: Option<u64>,
    /// Messages that it handles a second; null: it does not tell, or has not for a while.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SocketStatus {
    /// Its name.
    pub name: String,
    /// Null: its component waits for a place.
    pub address: Option<String>,
    /// The component that binds it.
    pub owner: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// Slots that it offers.
    pub processors: u32,
    /// Processes that are placed on it.
    pub placed: usize,
    /// When its runner gave a sign of life last, in microseconds since 1970; null: it is one of Python's, which give none, or it has left.
    pub seen: Option<i64>,
    /// Whether its runner should have given a sign of life and has not.
    pub silent: bool,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lack {
    /// The component.
    pub component: String,
    /// Which of its copies, from 0.
    pub copy: u32,
    /// Why, as a sentence.
    pub reason: String,
}

/// A node of some cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterNode {
    /// The cluster's id.
    pub cluster: String,
    /// The cluster's name for people.
    pub alias: Option<String>,
    /// Itself.
    #[serde(flatten)]
    pub node: NodeStatus,
}
