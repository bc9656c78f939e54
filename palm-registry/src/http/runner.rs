//! What our runner asks for: what is wanted of its node, and where to put what its processes print (`docs/registry.md`, section 5).

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{Method, StatusCode};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::access::cluster_of;
use super::api::extract::Query;
use super::api::{Operation, operation, routes};
use super::app::App;
use super::error::BUSY;
use super::problem::Problem;
use super::wanted;
use crate::cluster::wrong_name;
use crate::plan::{HOST, NODES_MAX, NodeOffer, Plan, is_host};
use crate::store::{Changed, ClusterRow, Hearing, Nodes, Store, now};
use crate::wire::{Kept, LINES_MAX, LOGS_PATH, Lines, NAME_MAX, SYNC_PATH, Sync, TEXT_MAX, Wanted};

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 8 << 20;
/// Processes that a node may have.
const PROCESSES_MAX: usize = 10_000;
/// After how long a runner is to ask again, in milliseconds.
const INTERVAL_MS: u64 = 1000;

pub(super) fn router() -> Router<App> {
    routes(Router::new(), operations()).layer(DefaultBodyLimit::max(BODY_MAX))
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::POST, SYNC_PATH, sync)
            .says("Say how a node is, and learn how it is to be; known by the cluster's key, or by a token and the cluster's id")
            .query::<Asked>()
            .body::<Sync>()
            .answers::<Wanted>(),
        operation(Method::POST, LOGS_PATH, logs)
            .says("Send what a node's processes print: lines that come again are kept once")
            .query::<Asked>()
            .body::<Lines>()
            .answers::<Kept>(),
    ]
}

/// Which cluster, for who is known by a token.
#[derive(Deserialize, JsonSchema)]
struct Asked {
    /// Its id; left out: the cluster whose key stands in the place of a token.
    cluster: Option<String>,
}

async fn sync(
    State(store): State<Store>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Result<Json<Wanted>, Problem> {
    let row = cluster_of(&store, request.headers(), asked.cluster.as_deref()).await?;
    let expected = "{\"node\": {\"name\", \"ip\", \"processors\", \"ports_from\"}, \"run\", \"processes\": []}";
    let mut said: Sync = read(request, expected).await?;
    check_sync(&said)?;
    let (key, id) = (row.key.clone(), row.id.clone());
    let given = said.node.clone();
    said.node = known_as(&row.plan, &*store.nodes(&key).await?, given.clone(), said.run);
    let mut hearing = hear(&store, &row, &said).await?;
    if hearing == Hearing::Another {
        // Two that are new came at the same time.
        said.node = known_as(&row.plan, &*store.nodes(&key).await?, given, said.run);
        hearing = hear(&store, &row, &said).await?;
    }
    if hearing == Hearing::Another {
        let NodeOffer { name, ip, .. } = &said.node;
        let reason = format!(
            "another runner speaks for the node {name} at {ip}: give this one another Name or Ip, or end that one"
        );
        return Err(Problem::conflict(reason));
    }
    let offered = if said.leaving { Changed::Yes(row.plan) } else { store.offer(row, &said.node).await? };
    let plan = match offered {
        Changed::Yes(plan) => plan,
        // It was there a moment ago.
        Changed::Gone | Changed::Busy => return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", BUSY)),
    };
    let nodes = store.nodes(&key).await?;
    let asked = said.node.name.clone();
    let is_long = wanted::is_long(&plan, &asked);
    let work_out = move || wanted::of(&plan, &asked, &nodes, now());
    // Of a node that has little it is worked out at once, as thousands of them ask each second.
    let wanted = if is_long { store.work.run(&key, work_out).await? } else { work_out() };
    Ok(Json(Wanted { interval_ms: INTERVAL_MS, cluster: Some(id), node: Some(said.node.name), wanted }))
}

/// The offer of a runner, by the name under which its node is known here. Nodes of one name at several Ips are several, as over
/// Python's interface; but a node that has moved, whose runner at the other Ip is gone, keeps its name.
fn known_as(plan: &Plan, heard: &Nodes, offer: NodeOffer, run: Uuid) -> NodeOffer {
    let is_taken = match heard.get(&offer.name) {
        Some(node) => node.offer.ip != offer.ip && node.run != run.to_string() && !node.is_silent(now()),
        // A node that is placed and was never heard has Python's runner, which goes on with what it has.
        None => plan.node(&offer.name).is_some_and(|node| node.offer.ip != offer.ip),
    };
    plan.called(offer, is_taken)
}

async fn hear(store: &Store, row: &ClusterRow, said: &Sync) -> Result<Hearing, Problem> {
    check_name("node.name, with its Ip", &said.node.name)?;
    if !row.plan.has_room_for(&said.node.name) {
        return Err(Problem::conflict(format!("the cluster has {NODES_MAX} nodes: remove one before another comes")));
    }
    Ok(store.hear(&row.key, said).await?)
}

async fn logs(State(store): State<Store>, Query(asked): Query<Asked>, request: Request) -> Result<Json<Kept>, Problem> {
    let row = cluster_of(&store, request.headers(), asked.cluster.as_deref()).await?;
    let expected =
        "{\"node\", \"spool\", \"lines\": [{\"seq\", \"component\", \"copy\", \"stream\", \"at\", \"text\"}]}";
    let mut sent: Lines = read(request, expected).await?;
    check_lines(&sent)?;
    for line in sent.lines.iter_mut().filter(|line| line.text.contains('\0')) {
        // PostgreSQL has no place for it.
        line.text = line.text.replace('\0', "\u{fffd}");
    }
    Ok(Json(Kept { seq: store.add_lines(&row.key, sent).await? }))
}

/// Reads a body, of a node that is known by now.
async fn read<T: DeserializeOwned>(request: Request, expected: &str) -> Result<T, Problem> {
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| {
        Problem::new(rejection.status(), "invalid", format!("{rejection}: at most {BODY_MAX} bytes"))
    })?;
    serde_json::from_slice(&body).map_err(|error| Problem::invalid(format!("{error}; expected {expected}")))
}

fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    if name.trim().is_empty() {
        return Err(Problem::invalid(format!("{what}: expected a name of 1 to {NAME_MAX} bytes, found nothing")));
    }
    wrong_name(name).map_or(Ok(()), |reason| Err(Problem::invalid(format!("{what}: {reason}"))))
}

fn check_sync(said: &Sync) -> Result<(), Problem> {
    check_name("node.name", &said.node.name)?;
    check_name("node.ip", &said.node.ip)?;
    if !is_host(&said.node.ip) {
        return Err(Problem::invalid(format!("node.ip: expected {HOST}, found `{}`", said.node.ip)));
    }
    if said.node.processors > 65_535 || said.node.ports_from == 0 {
        return Err(Problem::invalid("node: expected processors from 0 to 65535 and ports_from from 1 to 65535"));
    }
    if said.processes.len() > PROCESSES_MAX {
        return Err(Problem::invalid(format!(
            "processes: expected {PROCESSES_MAX} at most, found {}",
            said.processes.len()
        )));
    }
    let mut seen = std::collections::BTreeSet::new();
    for process in &said.processes {
        check_name("processes: component", &process.component)?;
        if process.rate.is_some_and(|rate| rate < 0.0) {
            return Err(Problem::invalid(format!("processes: {}: rate: expected 0 or more", process.component)));
        }
        if !seen.insert((&process.component, process.copy)) {
            return Err(Problem::invalid(format!(
                "processes: {} (copy {}) comes twice",
                process.component, process.copy
            )));
        }
    }
    Ok(())
}

fn check_lines(sent: &Lines) -> Result<(), Problem> {
    check_name("node", &sent.node)?;
    if sent.lines.len() > LINES_MAX {
        return Err(Problem::invalid(format!("lines: expected {LINES_MAX} at most, found {}", sent.lines.len())));
    }
    let mut last = 0;
    for line in &sent.lines {
        check_name("lines: component", &line.component)?;
        if line.seq <= last || i64::try_from(line.seq).is_err() {
            return Err(Problem::invalid(format!("lines: expected a seq greater than {last}, found {}", line.seq)));
        }
        if line.text.len() > TEXT_MAX {
            return Err(Problem::invalid(format!(
                "lines: expected a text of {TEXT_MAX} bytes at most, found {}",
                line.text.len()
            )));
        }
        last = line.seq;
    }
    Ok(())
}
