//! What Python's `pylm.registry` clients and `pylm-runner` ask for (`docs/registry.md`, section 3).

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{Peer, record_of};
use super::api::account::check_label;
use super::api::clusters::CLUSTERS_MAX;
use super::error::{BUSY, Refused};
use super::{connections, python_logs, time};
use crate::cluster::{Cluster, FileError};
use crate::names;
use crate::plan::{NODES_MAX, NodeOffer, Plan};
use crate::store::{Changed, ClusterRow, Presented, Saved, Store, User, now, secret};

/// Longest key that a user may choose, in bytes.
const KEY_MAX: usize = 256;

pub(super) fn router() -> Router<Store> {
    Router::new().route("/cluster", get(cluster)).merge(python_logs::router())
}

/// Remarks about a file that are logged at most.
const REMARKS: usize = 10;

#[derive(Debug, Deserialize)]
struct Asked {
    method: Option<String>,
    cluster: Option<String>,
    description: Option<String>,
    key: Option<String>,
    alias: Option<String>,
    node: Option<String>,
}

async fn cluster(
    State(store): State<Store>,
    peer: Peer,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<String, Refused> {
    match asked.method.as_deref() {
        Some("new_cluster") => new_cluster(&store, &user(&store, &headers).await?, peer, asked).await,
        Some("clusters_list") => clusters_list(&store, &user(&store, &headers).await?).await,
        Some("node_config") => node_config(&store, asked).await,
        Some("cluster_status") => {
            let row = owned(&store, &user(&store, &headers).await?, asked).await?;
            Ok(store.work.run(&row.key, move || status(&row.plan)).await?)
        }
        Some("cluster_reset") => {
            let user = user(&store, &headers).await?;
            let row = owned(&store, &user, asked).await?;
            let secret = change(&store, &row.key, move |row| {
                row.plan_mut().reset();
                Ok(row.secret.clone())
            })
            .await?;
            record_of(&store, &user, peer, "reset", &row.id, "").await?;
            Ok(secret)
        }
        Some("cluster_delete") => {
            let user = user(&store, &headers).await?;
            let row = owned(&store, &user, asked).await?;
            store.delete_cluster(&row.key).await?;
            record_of(&store, &user, peer, "cluster deleted", &row.id, row.alias.as_deref().unwrap_or_default())
                .await?;
            Ok(row.secret)
        }
        _ => Err(Refused::bad("Bad method or method not present")),
    }
}

/// Who asks.
async fn user(store: &Store, headers: &HeaderMap) -> Result<User, Refused> {
    let key = headers.get("Key").and_then(|key| key.to_str().ok());
    let key = key.ok_or_else(|| Refused::bad("User key not present"))?;
    let user = store.user_of_token(key).await?.ok_or_else(|| Refused::bad("User key not valid"))?;
    connections::known(&format!("user {}", user.id));
    Ok(user)
}

/// The cluster that is asked for, if it belongs to who asks.
async fn owned(store: &Store, user: &User, asked: Asked) -> Result<ClusterRow, Refused> {
    let key = asked.cluster.ok_or_else(|| Refused::bad("expected cluster=KEY"))?;
    let found = store.cluster_with_key(&key).await?.filter(|row| row.owner == user.id || user.is_admin);
    found.ok_or_else(|| Refused::bad("User does not own the cluster"))
}

async fn new_cluster(store: &Store, user: &User, peer: Peer, asked: Asked) -> Result<String, Refused> {
    let description = asked.description.ok_or_else(|| Refused::bad("expected description=FILE"))?;
    asked.alias.as_deref().map_or(Ok(()), check_label)?;
    let wrong_key = asked.key.as_deref().filter(|key| key.len() > KEY_MAX || names::wrong(key).is_some());
    if wrong_key.is_some() {
        let reason = format!("expected a key of at most {KEY_MAX} bytes, without control characters");
        return Err(Refused::bad(reason));
    }
    let reading = move || {
        let cluster = Cluster::from_text(&description)?;
        let remarks: Vec<_> = Cluster::remarks(&description).into_iter().take(REMARKS).collect();
        Ok((description, cluster, remarks))
    };
    let read: Result<_, FileError> = store.work.run(&format!("user {}", user.id), reading).await?;
    let (description, cluster, remarks) = read.map_err(|error| Refused::bad(error.to_string()))?;
    // Its clients have no place for it.
    for remark in remarks {
        tracing::warn!("a cluster file of {}: {remark}", user.name);
    }
    let key = asked.key.filter(|key| !key.is_empty()).unwrap_or_else(secret::key);
    let is_new = !matches!(store.presented(&key).await?, Presented::Current(_));
    if is_new && store.count_clusters(user.id).await? >= CLUSTERS_MAX {
        return Err(Refused::bad(format!("you have {CLUSTERS_MAX} clusters: delete one before you make another")));
    }
    let row = ClusterRow::new(key.clone(), user, asked.alias.clone(), description.clone(), cluster.clone());
    if store.add_cluster(&row).await? == Saved::Yes {
        record_of(store, user, peer, "cluster made", &row.id, row.alias.as_deref().unwrap_or_default()).await?;
        return Ok(key);
    }
    let Some(there) = store.cluster_with_key(&key).await? else {
        return Err(Refused::bad("this key was another cluster's: choose another, or none"));
    };
    let author = user.clone();
    let secret = change(store, &there.key, move |row| {
        if row.owner != author.id && !author.is_admin {
            return Err(Refused::bad("User does not own the cluster"));
        }
        row.set_file(&author, description.clone(), cluster.clone());
        row.alias = asked.alias.clone().or(row.alias.take());
        Ok(row.secret.clone())
    })
    .await?;
    record_of(store, user, peer, "file set", &there.id, "").await?;
    Ok(secret)
}

async fn clusters_list(store: &Store, user: &User) -> Result<String, Refused> {
    let rows = store.clusters_of(user).await?;
    Ok(store.work.run(&format!("user {}", user.id), move || list(rows)).await?)
}

fn list(rows: Vec<ClusterRow>) -> String {
    let mut list = Map::new();
    for row in rows {
        let entry = json!({
            "key": row.secret,
            "when": time::iso(row.changed),
            "description": row.description,
            "alias": row.alias,
            "status": parts(&row.plan).map_or_else(|| Value::from(""), |parts| Value::from(parts.to_vec())),
        });
        list.insert(row.secret, entry);
    }
    Value::Object(list).to_string()
}

/// A node asks what it is to run. It has no key but the cluster's.
async fn node_config(store: &Store, asked: Asked) -> Result<String, Refused> {
    let key = asked.cluster.ok_or_else(|| Refused::bad("expected cluster=KEY"))?;
    let node = asked.node.ok_or_else(|| Refused::bad("expected node=FILE"))?;
    let offer = NodeOffer::from_ini(&node).map_err(|error| Refused::bad(format!("the node's file, {error}")))?;
    let key = known(store, &key).await?;
    let heard = store.nodes(&key).await?;
    let at = now();
    change(store, &key, move |row| {
        let offer = row.plan.told_apart(offer.clone());
        // It has a runner that says so each second, and this is another.
        if heard.get(&offer.name).is_some_and(|node| !node.is_silent(at)) {
            let reason =
                format!("a runner speaks for the node {}: name this one differently, or end that one", offer.name);
            return Err(Refused(StatusCode::CONFLICT, reason));
        }
        if !row.plan.has_room_for(&offer.name) {
            return Err(Refused::bad(format!("the cluster has {NODES_MAX} nodes: remove one before another comes")));
        }
        if row.plan.node(&offer.name).is_some_and(|node| !node.instances.is_empty()) {
            // It may have been started anew; a runner of Python's says nothing by which it could be told from another.
            let (node, ip) = (&offer.name, &offer.ip);
            tracing::warn!(
                node,
                ip,
                "a node asks again, and is told its commands again: a second runner needs another name or Ip"
            );
        }
        row.plan_mut().offer(offer.clone());
        let lines: Vec<_> = row.plan.commands(&offer.name).map(|command| command.parts().join(" ")).collect();
        Ok(json!(lines).to_string())
    })
    .await
}

/// By what the store knows the cluster with this key.
pub(super) async fn known(store: &Store, key: &str) -> Result<String, Refused> {
    match store.presented(key).await? {
        Presented::Current(key) => {
            connections::known(&format!("nodes of {key}"));
            Ok(key)
        }
        Presented::Replaced | Presented::Deleted | Presented::Unknown => Err(gone()),
    }
}

pub(super) fn gone() -> Refused {
    Refused(StatusCode::NOT_FOUND, "there is no such cluster".to_owned())
}

/// Changes a cluster, again if somebody else has done so meanwhile.
async fn change<T: Send + 'static>(
    store: &Store,
    key: &str,
    change: impl FnMut(&mut ClusterRow) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    match store.change_cluster(key, change).await? {
        Changed::Yes(result) => Ok(result),
        Changed::Gone => Err(gone()),
        Changed::Busy => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, BUSY.to_owned())),
    }
}

/// What is where, as Python's clients know it; nothing if there is nothing.
fn status(plan: &Plan) -> String {
    let Some(parts) = parts(plan) else { return String::new() };
    let names = ["socket mapping", "configured resources", "highest port used", "ready"];
    let status: Map<_, _> = names.map(str::to_owned).into_iter().zip(parts).collect();
    Value::Object(status).to_string()
}

/// The addresses of sockets, the commands of each copy, the next port of each Ip, and whether nothing is missing.
fn parts(plan: &Plan) -> Option<[Value; 4]> {
    if plan.nodes().is_empty() {
        return None;
    }
    let mapping: Map<_, _> =
        plan.sockets().keys().filter_map(|name| Some((format!("_{name}"), Value::from(plan.address(name)?)))).collect();
    let (mut resources, mut ports, mut last) = (Map::new(), Map::new(), HashMap::new());
    for socket in plan.sockets().values() {
        let last: &mut u32 = last.entry(socket.node.as_deref()).or_default();
        *last = u32::from(socket.port).max(*last);
    }
    for node in plan.nodes() {
        let offer = &node.offer;
        let next = last.get(&Some(offer.name.as_str())).map_or(offer.ports_from.into(), |last| last + 1);
        let known = ports.get(&offer.ip).and_then(Value::as_u64).unwrap_or(0);
        ports.insert(offer.ip.clone(), Value::from(u64::from(next).max(known)));
        for command in plan.commands(&offer.name) {
            let component = command.component;
            let mut resource = json!({ "commands": command.parts(), "node": offer.ip });
            if command.instance.copy + 1 == component.copies() {
                resource["ready"] = Value::Bool(true);
            }
            let name = match component.replicas {
                0 => component.name.clone(),
                _ => format!("{} {}", component.name, command.instance.copy + 1),
            };
            resources.insert(name, resource);
        }
    }
    Some([Value::Object(mapping), Value::Object(resources), Value::Object(ports), Value::Bool(plan.is_ready())])
}
