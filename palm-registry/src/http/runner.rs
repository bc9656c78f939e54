//! What our runner asks for: what is wanted of its node, and where to put what its processes print (`docs/registry.md`, section 5).

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::error::BUSY;
use crate::cluster::Readiness;
use crate::plan::{Command, Instance, Plan};
use crate::store::{Changed, ClusterRow, Hearing, NodeRow, ProcessRow, Store, StoreError, now};
use crate::wire::{Kept, LINES_MAX, LOGS_PATH, Lines, SYNC_PATH, Sync, TEXT_MAX, Wanted, WantedProcess};

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 8 << 20;
/// Longest name of a node or component, in bytes.
const NAME_MAX: usize = 256;
/// Processes that a node may have.
const PROCESSES_MAX: usize = 10_000;
/// After how long a runner is to ask again, in milliseconds.
const INTERVAL_MS: u64 = 1000;
/// How long a process may take to end if its file does not say, in seconds.
const GRACE_SECONDS: u64 = 10;
pub(super) fn router() -> Router<Store> {
    Router::new().route(SYNC_PATH, post(sync)).route(LOGS_PATH, post(logs)).layer(DefaultBodyLimit::max(BODY_MAX))
}

/// A status, and a JSON object with the reason.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let super::error::Refused(status, reason) = error.into();
        Self(status, reason)
    }
}

fn bad(reason: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, reason.into())
}

async fn sync(
    State(store): State<Store>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Wanted>, Refused> {
    let key = cluster_key(&headers)?;
    let said: Sync =
        read(body, "{\"node\": {\"name\", \"ip\", \"processors\", \"ports_from\"}, \"run\", \"processes\": []}")?;
    check_sync(&said)?;
    cluster(&store, key).await?;
    if store.hear(key, &said).await? == Hearing::Another {
        let name = &said.node.name;
        let reason = format!("another runner speaks for the node {name}: name this one differently, or end that one");
        return Err(Refused(StatusCode::CONFLICT, reason));
    }
    let plan = if said.leaving { cluster(&store, key).await?.plan } else { offered(&store, key, &said).await? };
    let heard = Heard { now: now(), nodes: store.nodes(key).await?, processes: store.processes(key).await? };
    let wanted = plan.commands(&said.node.name).map(|command| wanted(&plan, &command, &heard)).collect();
    Ok(Json(Wanted { interval_ms: INTERVAL_MS, wanted }))
}

async fn logs(
    State(store): State<Store>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Kept>, Refused> {
    let key = cluster_key(&headers)?;
    let mut sent: Lines = read(
        body,
        "{\"node\", \"spool\", \"lines\": [{\"seq\", \"component\", \"copy\", \"stream\", \"at\", \"text\"}]}",
    )?;
    check_lines(&sent)?;
    for line in sent.lines.iter_mut().filter(|line| line.text.contains('\0')) {
        // PostgreSQL has no place for it.
        line.text = line.text.replace('\0', "\u{fffd}");
    }
    cluster(&store, key).await?;
    Ok(Json(Kept { seq: store.add_lines(key, &sent).await? }))
}

/// The key of the cluster that is spoken of.
fn cluster_key(headers: &HeaderMap) -> Result<&str, Refused> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim).filter(|key| !key.is_empty());
    key.ok_or_else(|| {
        let reason = "expected the header `Authorization: Bearer KEY` with the cluster's key";
        Refused(StatusCode::UNAUTHORIZED, reason.to_owned())
    })
}

/// The cluster; that there is none with this key is not told by 404, which says that there is no such interface.
async fn cluster(store: &Store, key: &str) -> Result<ClusterRow, Refused> {
    store.cluster(key).await?.ok_or_else(no_cluster)
}

fn no_cluster() -> Refused {
    Refused(StatusCode::UNAUTHORIZED, "there is no cluster with this key".to_owned())
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, expected: &str) -> Result<T, Refused> {
    let body =
        body.map_err(|rejection| Refused(rejection.status(), format!("{rejection}: at most {BODY_MAX} bytes")))?;
    serde_json::from_slice(&body).map_err(|error| bad(format!("{error}; expected {expected}")))
}

fn check_name(what: &str, name: &str) -> Result<(), Refused> {
    if name.trim().is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(bad(format!("{what}: expected a name of 1 to {NAME_MAX} bytes without control characters")));
    }
    Ok(())
}

fn check_sync(said: &Sync) -> Result<(), Refused> {
    check_name("node.name", &said.node.name)?;
    check_name("node.ip", &said.node.ip)?;
    if said.node.processors > 65_535 || said.node.ports_from == 0 {
        return Err(bad("node: expected processors from 0 to 65535 and ports_from from 1 to 65535"));
    }
    if said.processes.len() > PROCESSES_MAX {
        return Err(bad(format!("processes: expected {PROCESSES_MAX} at most, found {}", said.processes.len())));
    }
    let mut seen = std::collections::BTreeSet::new();
    for process in &said.processes {
        check_name("processes: component", &process.component)?;
        if process.rate.is_some_and(|rate| rate < 0.0) {
            return Err(bad(format!("processes: {}: rate: expected 0 or more", process.component)));
        }
        if !seen.insert((&process.component, process.copy)) {
            return Err(bad(format!("processes: {} (copy {}) comes twice", process.component, process.copy)));
        }
    }
    Ok(())
}

fn check_lines(sent: &Lines) -> Result<(), Refused> {
    check_name("node", &sent.node)?;
    if sent.lines.len() > LINES_MAX {
        return Err(bad(format!("lines: expected {LINES_MAX} at most, found {}", sent.lines.len())));
    }
    let mut last = 0;
    for line in &sent.lines {
        check_name("lines: component", &line.component)?;
        if line.seq <= last || i64::try_from(line.seq).is_err() {
            return Err(bad(format!("lines: expected a seq greater than {last}, found {}", line.seq)));
        }
        if line.text.len() > TEXT_MAX {
            return Err(bad(format!("lines: expected a text of {TEXT_MAX} bytes at most, found {}", line.text.len())));
        }
        last = line.seq;
    }
    Ok(())
}

/// The plan after the node has asked; written only if that changes it.
async fn offered(store: &Store, key: &str, said: &Sync) -> Result<Plan, Refused> {
    let mut row = cluster(store, key).await?;
    let before = row.plan.clone();
    row.plan.offer(said.node.clone());
    if row.plan == before {
        return Ok(before);
    }
    let offer = |row: &mut ClusterRow| {
        row.plan.offer(said.node.clone());
        Ok::<_, Refused>(row.plan.clone())
    };
    match store.change_cluster(key, offer).await? {
        Changed::Yes(plan) => Ok(plan),
        Changed::Gone => Err(no_cluster()),
        Changed::Busy => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, BUSY.to_owned())),
    }
}

/// What the nodes of a cluster have said.
struct Heard {
    now: i64,
    nodes: Vec<NodeRow>,
    processes: Vec<ProcessRow>,
}

impl Heard {
    fn speaks(&self, node: &str) -> bool {
        self.nodes.iter().any(|row| row.offer.name == node && !row.is_silent(self.now))
    }
}

fn wanted(plan: &Plan, command: &Command<'_>, heard: &Heard) -> WantedProcess {
    let (component, wanted) = (command.component, plan.wanted(&command.component.name));
    let extras = &component.extras;
    WantedProcess {
        component: component.name.clone(),
        copy: command.instance.copy,
        command: command.line.clone(),
        environment: extras.environment.clone(),
        directory: extras.directory.clone(),
        restart: extras.restart,
        grace_seconds: extras.grace.map_or(GRACE_SECONDS, |grace| grace.as_secs()),
        ready: extras.ready.as_ref().map(|ready| resolved(plan, ready)),
        run: !wanted.stopped,
        hold: component.connected.iter().any(|name| is_awaited(plan, name, heard)),
        generation: wanted.generation,
    }
}

/// Whether what is connected to a component is to wait: a copy of it that is not stopped on purpose is not up yet, as its node says. Of
/// copies on nodes that say nothing nobody knows.
fn is_awaited(plan: &Plan, name: &str, heard: &Heard) -> bool {
    let Some(component) = plan.cluster().component(name) else { return false };
    let is_down = |copy: u32| {
        let place = plan.place(&Instance { component: name.to_owned(), copy });
        let Some(node) = place.map(|node| &node.offer.name).filter(|node| heard.speaks(node)) else { return false };
        let of_it = |row: &&ProcessRow| row.node == *node && row.process.component == name && row.process.copy == copy;
        !heard.processes.iter().find(of_it).is_some_and(|row| row.process.state.lets_others_start())
    };
    !plan.wanted(name).stopped && (0..component.copies()).any(is_down)
}

/// A check with the address in place of the socket.
fn resolved(plan: &Plan, ready: &Readiness) -> Readiness {
    let address = |text: &String| {
        let socket = text.strip_prefix('_').and_then(|socket| plan.address(socket));
        socket.unwrap_or_else(|| text.clone())
    };
    match ready {
        Readiness::Cache(text) => Readiness::Cache(address(text)),
        Readiness::Tcp(text) => Readiness::Tcp(address(text)),
        Readiness::Command(_) | Readiness::Line(_) => ready.clone(),
    }
}
