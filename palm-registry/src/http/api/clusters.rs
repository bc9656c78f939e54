//! Clusters: the list of them, their files, their settings, and with whom they are shared.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};

use super::account::check_label;
use super::extract::{Body, Query};
use super::{Operation, operation};
use crate::api::audit::{Before, Deed};
use crate::api::clusters::{Change, Create, Entry, File, Key, May, Validation, Whole, check_text};
use crate::cluster::Cluster;
use crate::http::access::permission::{Action, General, Verdict};
use crate::http::access::{Caller, ClusterFor, MANAGE, SEE, record};
use crate::http::app::App;
use crate::http::error::BUSY;
use crate::http::problem::Problem;
use crate::store::{Changed, ClusterRow, Found, Saved, secret};

/// Clusters that a user may have.
pub(crate) const CLUSTERS_MAX: u64 = 1000;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters", list)
            .says("The clusters that the caller sees, the oldest first")
            .answers::<Vec<Entry>>(),
        operation(Method::POST, "/api/v1/clusters", create).says("Make a cluster").body::<Create>().creates::<Entry>(),
        operation(Method::POST, "/api/v1/validate", validate)
            .says("Check a file without keeping it")
            .body::<File>()
            .answers::<Validation>(),
        operation(Method::GET, "/api/v1/clusters/{id}", see).says("A cluster, and its file").answers::<Whole>(),
        operation(Method::PUT, "/api/v1/clusters/{id}", change_settings)
            .says("Change a cluster's name, or whether Python's clients are answered")
            .body::<Change>()
            .answers::<Entry>(),
        operation(Method::DELETE, "/api/v1/clusters/{id}", delete).says("Delete a cluster with all that is kept of it"),
        operation(Method::PUT, "/api/v1/clusters/{id}/file", set_file)
            .says("Set a cluster's file: what it still has stays where it is")
            .body::<File>()
            .answers::<Entry>(),
        operation(Method::GET, "/api/v1/clusters/{id}/key", key)
            .says("The cluster's key, which is what its nodes are known by: a secret")
            .answers::<Key>(),
        operation(Method::POST, "/api/v1/clusters/{id}/key", change_key)
            .says("Give the cluster another key; nobody is known by the one before any more")
            .answers::<Key>(),
        operation(Method::GET, "/api/v1/clusters/{id}/audit", audit)
            .says("What was done to a cluster, the newest first")
            .query::<Before>()
            .answers::<Vec<Deed>>(),
    ]
}

impl Entry {
    pub(crate) fn new(caller: &Caller, found: &Found) -> Self {
        let plan = &found.row.plan;
        let may = |action| caller.may(found, action) == Verdict::Allowed;
        Self {
            id: found.row.id.clone(),
            alias: found.row.alias.clone(),
            owner: found.owner.clone(),
            changed: found.row.changed,
            ready: plan.is_ready(),
            processes: plan.cluster().components.iter().map(|component| u64::from(component.copies())).sum(),
            placed: plan.nodes().iter().map(|node| node.instances.len() as u64).sum(),
            nodes: plan.nodes().iter().map(|node| node.offer.name.clone()).collect(),
            may: May { operate: may(Action::Operate), manage: may(Action::Manage) },
            python: found.python,
        }
    }
}

pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Entry>>, Problem> {
    let (clusters, whose) = (visible(&app, &caller).await?, caller.whose());
    let told = move || clusters.iter().map(|found| Entry::new(&caller, found)).collect();
    Ok(Json(app.store.work.run(&whose, told).await?))
}

/// All that the caller sees.
pub(crate) async fn visible(app: &App, caller: &Caller) -> Result<Vec<Found>, Problem> {
    let all = caller.check(General::Administer).is_ok();
    let mut clusters = app.store.find_clusters(caller.user.id, all).await?;
    clusters.retain(|found| caller.may(found, Action::See) == Verdict::Allowed);
    Ok(clusters)
}

pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<Create>,
) -> Result<(StatusCode, Json<Entry>), Problem> {
    caller.check(General::AddCluster)?;
    body.alias.as_deref().map_or(Ok(()), check_label)?;
    if app.store.count_clusters(caller.user.id).await? >= CLUSTERS_MAX {
        return Err(Problem::conflict(format!("you have {CLUSTERS_MAX} clusters: delete one before you make another")));
    }
    let (file, cluster) = read(&app, &caller, body.file).await?;
    let row = ClusterRow::new(secret::key(), &caller.user, body.alias, file, cluster);
    if app.store.add_cluster(&row).await? == Saved::Conflict {
        return Err(Problem::conflict("try again"));
    }
    record(&app.store, &caller, "cluster made", Some(&row.id), row.alias.clone().unwrap_or_default()).await?;
    let found = Found { owner: caller.user.name.clone(), share: None, python: true, row };
    Ok((StatusCode::CREATED, Json(entry(&app, &caller, found).await?)))
}

pub(crate) async fn validate(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<File>,
) -> Result<Json<Validation>, Problem> {
    check_text(&body.file).map_err(Problem::invalid)?;
    Ok(Json(app.store.work.run(&caller.whose(), move || Validation::of(&body.file)).await?))
}

/// Reads a file that somebody wants to set: the file, and what it says.
pub(crate) async fn read(app: &App, caller: &Caller, file: String) -> Result<(String, Cluster), Problem> {
    check_text(&file).map_err(Problem::invalid)?;
    let reading = move || Cluster::from_text(&file).map(|cluster| (file, cluster));
    let read = app.store.work.run(&caller.whose(), reading).await?;
    read.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-file", error.to_string()))
}

/// What a caller is told of a cluster.
async fn entry(app: &App, caller: &Caller, found: Found) -> Result<Entry, Problem> {
    let told = caller.clone();
    Ok(app.store.work.run(&caller.whose(), move || Entry::new(&told, &found)).await?)
}

pub(crate) async fn see(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
) -> Result<Json<Whole>, Problem> {
    let file = found.row.description.to_string();
    Ok(Json(Whole { entry: entry(&app, &caller, found).await?, file }))
}

pub(crate) async fn change_settings(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
    Body(body): Body<Change>,
) -> Result<Json<Entry>, Problem> {
    let (id, key) = (&found.row.id, &found.row.key);
    if let Some(alias) = &body.alias {
        check_label(alias)?;
        let new = Some(alias.clone()).filter(|alias| !alias.is_empty());
        change(&app, key, move |row| {
            row.alias.clone_from(&new);
            Ok(())
        })
        .await?;
        record(&app.store, &caller, "cluster named", Some(id), alias.as_str()).await?;
    }
    if let Some(python) = body.python {
        app.store.answer_python(key, python).await?;
        let what = if python { "Python's interface on" } else { "Python's interface off" };
        record(&app.store, &caller, what, Some(id), "").await?;
    }
    again(&app, &caller, id).await
}

pub(crate) async fn delete(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
) -> Result<StatusCode, Problem> {
    app.store.delete_cluster(&found.row.key).await?;
    record(&app.store, &caller, "cluster deleted", Some(&found.row.id), found.row.alias.unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn set_file(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
    Body(body): Body<File>,
) -> Result<Json<Entry>, Problem> {
    let (file, cluster) = read(&app, &caller, body.file).await?;
    let author = caller.user.clone();
    change(&app, &found.row.key, move |row| {
        row.set_file(&author, file.clone(), cluster.clone());
        Ok(())
    })
    .await?;
    record(&app.store, &caller, "file set", Some(&found.row.id), "").await?;
    again(&app, &caller, &found.row.id).await
}

/// The cluster as it is after a change.
pub(crate) async fn again(app: &App, caller: &Caller, id: &str) -> Result<Json<Entry>, Problem> {
    let found = caller.cluster(&app.store, id, Action::See).await?;
    Ok(Json(entry(app, caller, found).await?))
}

pub(crate) async fn key(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
) -> Result<Json<Key>, Problem> {
    record(&app.store, &caller, "key shown", Some(&found.row.id), "").await?;
    Ok(Json(Key { key: found.row.secret }))
}

pub(crate) async fn change_key(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
) -> Result<Json<Key>, Problem> {
    let changed = app.store.change_key(&found.row).await?;
    let key = changed
        .ok_or_else(|| Problem::conflict("somebody else has changed the key at the same time: look at it again"))?;
    record(&app.store, &caller, "key changed", Some(&found.row.id), "").await?;
    Ok(Json(Key { key }))
}

pub(crate) async fn audit(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<MANAGE>,
    Query(query): Query<Before>,
) -> Result<Json<Vec<Deed>>, Problem> {
    let (before, limit) = query.bounds();
    Ok(Json(app.store.deeds(Some(&found.row.id), before, limit).await?))
}

/// Changes a cluster, again if somebody else has done so meanwhile.
pub(crate) async fn change<T: Send + 'static>(
    app: &App,
    key: &str,
    change: impl FnMut(&mut ClusterRow) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match app.store.change_cluster(key, change).await? {
        Changed::Yes(result) => {
            app.hub.wake(key);
            Ok(result)
        }
        Changed::Gone => Err(Problem::not_found("cluster")),
        Changed::Busy => {
            let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", BUSY);
            Err(Problem { retry_after: Some(1), ..busy })
        }
    }
}
