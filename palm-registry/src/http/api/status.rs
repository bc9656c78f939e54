//! What a cluster's state is: what is placed where, what runs, and what is missing.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::clusters::visible;
use super::{Operation, operation};
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::plan::{Instance, Plan};
use crate::store::{ClusterRow, NodeRow, ProcessRow, Store, now};
use crate::wire::Exit;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters/{id}/status", status)
            .says("A cluster's state: components and their processes, sockets, nodes, and all that is missing")
            .answers::<Status>(),
        operation(Method::GET, "/api/v1/nodes", nodes)
            .says("The nodes of all clusters that the caller sees")
            .answers::<Vec<ClusterNode>>(),
    ]
}

/// A cluster's state.
#[derive(Serialize, JsonSchema, PartialEq)]
pub(crate) struct Status {
    /// Whether everything is placed.
    pub(crate) ready: bool,
    /// Its components, in the order of its file.
    pub(crate) components: Vec<ComponentStatus>,
    /// Its sockets, by name.
    pub(crate) sockets: Vec<SocketStatus>,
    /// Its nodes, in the order in which they came.
    pub(crate) nodes: Vec<NodeStatus>,
    /// All that does not run because it cannot be placed, and why.
    pub(crate) missing: Vec<Lack>,
}

/// A component.
#[derive(Serialize, JsonSchema, PartialEq)]
pub(crate) struct ComponentStatus {
    pub(crate) name: String,
    /// What it is, for people.
    pub(crate) role: Option<String>,
    /// Components that are placed before it.
    pub(crate) connected: Vec<String>,
    /// Names of the sockets that it needs.
    pub(crate) sockets: Vec<String>,
    /// Copies beside the first.
    pub(crate) replicas: u32,
    /// It was stopped, and is not to run until it is started.
    pub(crate) stopped: bool,
    /// Counts the times that it was to be restarted.
    pub(crate) generation: u64,
    /// Its processes, by copy.
    pub(crate) processes: Vec<ProcessStatus>,
}

/// A process.
#[derive(Serialize, JsonSchema, PartialEq)]
pub(crate) struct ProcessStatus {
    /// Which of the component's copies, from 0.
    pub(crate) copy: u32,
    /// The node that it is placed on; null: none.
    pub(crate) node: Option<String>,
    /// What its node reported last: waiting, starting, ready, running, stopping, exited, crash-loop or failed; null: nothing.
    pub(crate) state: Option<String>,
    /// Since when it is in that state, in microseconds since 1970.
    pub(crate) since: Option<i64>,
    pub(crate) pid: Option<u32>,
    /// How often it was started again by itself.
    pub(crate) restarts: u64,
    /// The code with which it exited last.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it last.
    pub(crate) exit_signal: Option<i32>,
    /// Processor time that it has used.
    pub(crate) cpu_seconds: f64,
    /// Memory that it has.
    pub(crate) memory_bytes: u64,
    /// Messages that it has handled since its start; null: it does not tell.
    pub(crate) messages: Option<u64>,
    /// Messages that it handles a second; null: it does not tell, or has not for a while.
    pub(crate) rate: Option<f64>,
}

/// A socket.
#[derive(Serialize, JsonSchema, PartialEq)]
pub(crate) struct SocketStatus {
    pub(crate) name: String,
    /// Null: its component waits for a place.
    pub(crate) address: Option<String>,
    /// The component that binds it.
    pub(crate) owner: String,
}

/// A node.
#[derive(Serialize, JsonSchema, PartialEq)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) ip: String,
    /// Slots that it offers.
    pub(crate) processors: u32,
    /// Processes that are placed on it.
    pub(crate) placed: usize,
    /// When its runner gave a sign of life last, in microseconds since 1970; null: it is one of Python's, which give none, or it has left.
    pub(crate) seen: Option<i64>,
    /// Whether its runner should have given a sign of life and has not.
    pub(crate) silent: bool,
}

/// What is missing.
#[derive(Serialize, JsonSchema, PartialEq)]
pub(crate) struct Lack {
    pub(crate) component: String,
    pub(crate) copy: u32,
    /// Why, as a sentence.
    pub(crate) reason: String,
}

/// A node of some cluster.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ClusterNode {
    /// The cluster's id.
    pub(crate) cluster: String,
    /// The cluster's name for people.
    pub(crate) alias: Option<String>,
    #[serde(flatten)]
    pub(crate) node: NodeStatus,
}

pub(crate) async fn status(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<SEE>,
) -> Result<Json<Status>, Problem> {
    Ok(Json(of(&app.store, &found.row).await?))
}

pub(crate) async fn nodes(State(app): State<App>, caller: Caller) -> Result<Json<Vec<ClusterNode>>, Problem> {
    let mut list = Vec::new();
    for found in visible(&app, &caller).await? {
        let heard = app.store.nodes(&found.row.key).await?;
        let (cluster, alias) = (found.row.id, found.row.alias);
        let nodes = node_statuses(&found.row.plan, &heard, now()).into_iter();
        list.extend(nodes.map(|node| ClusterNode { cluster: cluster.clone(), alias: alias.clone(), node }));
    }
    Ok(Json(list))
}

/// What the state of a cluster is now.
pub(crate) async fn of(store: &Store, row: &ClusterRow) -> Result<Status, Problem> {
    let (nodes, processes) = (store.nodes(&row.key).await?, store.processes(&row.key).await?);
    let plan = &row.plan;
    let components = plan.cluster().components.iter().map(|component| {
        let wanted = plan.wanted(&component.name);
        let instance = |copy| Instance { component: component.name.clone(), copy };
        ComponentStatus {
            name: component.name.clone(),
            role: component.role.clone(),
            connected: component.connected.clone(),
            sockets: component.sockets().map(str::to_owned).collect(),
            replicas: component.replicas,
            stopped: wanted.stopped,
            generation: wanted.generation,
            processes: (0..component.copies()).map(|copy| process(plan, &instance(copy), &processes)).collect(),
        }
    });
    let socket = |(name, socket): (&String, &crate::plan::Socket)| SocketStatus {
        name: name.clone(),
        address: plan.address(name),
        owner: socket.owner.clone(),
    };
    let lack = |missing: crate::plan::Missing| Lack {
        reason: missing.to_string(),
        component: missing.instance.component,
        copy: missing.instance.copy,
    };
    Ok(Status {
        ready: plan.is_ready(),
        components: components.collect(),
        sockets: plan.sockets().iter().map(socket).collect(),
        nodes: node_statuses(plan, &nodes, now()),
        missing: plan.missing().into_iter().map(lack).collect(),
    })
}

fn process(plan: &Plan, instance: &Instance, reported: &[ProcessRow]) -> ProcessStatus {
    let node = plan.place(instance).map(|node| node.offer.name.clone());
    // Sorted by component, copy and node: of those that two nodes have, what the plan's node says counts.
    let is_it = |row: &&ProcessRow| {
        row.process.copy == instance.copy
            && row.process.component == instance.component
            && node.as_ref().is_none_or(|node| *node == row.node)
    };
    let begin = reported.partition_point(|row| {
        (row.process.component.as_str(), row.process.copy) < (instance.component.as_str(), instance.copy)
    });
    let found = reported.get(begin..).and_then(|rows| {
        let same = rows
            .iter()
            .take_while(|row| row.process.component == instance.component && row.process.copy == instance.copy);
        same.into_iter().find(is_it)
    });
    let process = found.map(|row| &row.process);
    let (exit_code, exit_signal) = match process.and_then(|process| process.exit) {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    ProcessStatus {
        copy: instance.copy,
        node,
        state: process.map(|process| process.state.name().to_owned()),
        since: process.map(|process| process.since),
        pid: process.and_then(|process| process.pid),
        restarts: process.map_or(0, |process| process.restarts),
        exit_code,
        exit_signal,
        cpu_seconds: process.map_or(0.0, |process| process.cpu_seconds),
        memory_bytes: process.map_or(0, |process| process.memory_bytes),
        messages: process.and_then(|process| process.messages),
        rate: process.and_then(|process| process.rate),
    }
}

fn node_statuses(plan: &Plan, heard: &[NodeRow], now: i64) -> Vec<NodeStatus> {
    let statuses = plan.nodes().iter().map(|node| {
        let row = heard.iter().find(|row| row.offer.name == node.offer.name);
        NodeStatus {
            name: node.offer.name.clone(),
            ip: node.offer.ip.clone(),
            processors: node.offer.processors,
            placed: node.instances.len(),
            seen: row.map(|row| row.seen).filter(|seen| *seen != 0),
            silent: row.is_some_and(|row| row.is_silent(now)),
        }
    });
    statuses.collect()
}
