//! What a cluster's state is: what is placed where, what runs, and what is missing.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};

use super::clusters::visible;
use super::{Operation, operation, status_json};
use crate::api::status::{ClusterNode, ComponentStatus, Lack, NodeStatus, ProcessStatus, SocketStatus, Status};
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::plan::{Instance, Plan};
use crate::store::{ClusterRow, Nodes, Store, now};
use crate::wire::{Exit, Process};

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

pub(crate) async fn status(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<SEE>,
) -> Result<Response, Problem> {
    let text = status_json(&app.store, &found.row).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

pub(crate) async fn nodes(State(app): State<App>, caller: Caller) -> Result<Json<Vec<ClusterNode>>, Problem> {
    let (mut known, whose) = (Vec::new(), caller.whose());
    for found in visible(&app, &caller).await? {
        let heard = app.store.nodes(&found.row.key).await?;
        known.push((found.row, heard));
    }
    let list = move || {
        let nodes = known.into_iter().flat_map(|(row, heard)| {
            let nodes = node_statuses(&row.plan, &heard, now()).into_iter();
            nodes.map(move |node| ClusterNode { cluster: row.id.clone(), alias: row.alias.clone(), node })
        });
        nodes.collect()
    };
    Ok(Json(app.store.work.run(&whose, list).await?))
}

/// Something that is made of the state of a cluster, where work is done that takes long.
pub(crate) async fn with<T: Send + 'static>(
    store: &Store,
    row: &ClusterRow,
    make: impl FnOnce(Status) -> T + Send + 'static,
) -> Result<T, Problem> {
    let heard = store.nodes(&row.key).await?;
    let plan = row.plan.clone();
    Ok(store.work.run(&row.key, move || make(work_out(&plan, &heard))).await?)
}

fn work_out(plan: &Plan, heard: &Nodes) -> Status {
    let reported = Reported::new(heard);
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
            processes: (0..component.copies()).map(|copy| process(plan, &instance(copy), &reported)).collect(),
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
    Status {
        ready: plan.is_ready(),
        components: components.collect(),
        sockets: plan.sockets().iter().map(socket).collect(),
        nodes: node_statuses(plan, heard, now()),
        missing: plan.missing().into_iter().map(lack).collect(),
    }
}

/// What nodes have reported, by component and copy.
struct Reported<'a> {
    heard: &'a Nodes,
    /// Of copies that two nodes report, the one whose node's name comes first.
    by_copy: HashMap<(&'a str, u32), &'a Process>,
}

impl<'a> Reported<'a> {
    fn new(heard: &'a Nodes) -> Self {
        let all = heard.values().rev().flat_map(|node| &node.processes);
        let by_copy = all.map(|process| ((process.component.as_str(), process.copy), process)).collect();
        Self { heard, by_copy }
    }

    /// What was reported of a copy by the node that it is placed on, or by any if it is on none.
    fn process(&self, node: Option<&str>, instance: &Instance) -> Option<&'a Process> {
        match node {
            Some(node) => self.heard.get(node)?.process(&instance.component, instance.copy),
            None => self.by_copy.get(&(instance.component.as_str(), instance.copy)).copied(),
        }
    }
}

fn process(plan: &Plan, instance: &Instance, reported: &Reported<'_>) -> ProcessStatus {
    let node = plan.place(instance).map(|node| node.offer.name.clone());
    let process = reported.process(node.as_deref(), instance);
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

fn node_statuses(plan: &Plan, heard: &Nodes, now: i64) -> Vec<NodeStatus> {
    let statuses = plan.nodes().iter().map(|node| {
        let row = heard.get(&node.offer.name);
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
