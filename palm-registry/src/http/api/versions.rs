//! What a cluster's file was before.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};

use super::clusters::{change, read};
use super::extract::{Path, Query};
use super::{Operation, operation};
use crate::api::versions::{Entry, To, Whole};
use crate::cluster::difference;
use crate::http::access::{ClusterFor, MANAGE, SEE, record};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::Version;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters/{id}/versions", list)
            .says("The versions of a cluster's file, the newest first")
            .answers::<Vec<Entry>>(),
        operation(Method::GET, "/api/v1/clusters/{id}/versions/{number}", see)
            .says("A version of a cluster's file")
            .answers::<Whole>(),
        operation(Method::GET, "/api/v1/clusters/{id}/versions/{number}/diff", diff)
            .says("What differs from one version to another, as unified text")
            .query::<To>()
            .text("text/plain"),
        operation(Method::POST, "/api/v1/clusters/{id}/versions/{number}/restore", restore)
            .says("Put a version back: it becomes the newest"),
    ]
}

impl From<Version> for Entry {
    fn from(Version { number, at, author }: Version) -> Self {
        Self { number, at, author }
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<SEE>,
) -> Result<Json<Vec<Entry>>, Problem> {
    Ok(Json(app.store.versions(&found.row.key).await?.into_iter().map(Entry::from).collect()))
}

pub(crate) type AtVersion = Path<(String, i64)>;

pub(crate) async fn see(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<SEE>,
    Path((_, number)): AtVersion,
) -> Result<Json<Whole>, Problem> {
    let (entry, file) = version(&app, &found.row.key, number).await?;
    Ok(Json(Whole { entry, file }))
}

pub(crate) async fn diff(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Path((_, number)): AtVersion,
    Query(query): Query<To>,
) -> Result<String, Problem> {
    let (from, old) = version(&app, &found.row.key, number).await?;
    let to = match query.to {
        Some(to) => to,
        None => app.store.versions(&found.row.key).await?.first().map_or(number, |newest| newest.number),
    };
    let (to, new) = version(&app, &found.row.key, to).await?;
    let names = (format!("version {}", from.number), format!("version {}", to.number));
    let compare = move || difference(&old, &new, (&names.0, &names.1));
    Ok(app.store.work.run(&caller.whose(), compare).await?)
}

pub(crate) async fn restore(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
    Path((_, number)): AtVersion,
) -> Result<StatusCode, Problem> {
    let (_, file) = version(&app, &found.row.key, number).await?;
    let (file, cluster) = read(&app, &caller, file).await?;
    let author = caller.user.clone();
    change(&app, &found.row.key, move |row| {
        row.set_file(&author, file.clone(), cluster.clone());
        Ok(())
    })
    .await?;
    record(&app.store, &caller, "file put back", Some(&found.row.id), format!("version {number}")).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn version(app: &App, key: &str, number: i64) -> Result<(Entry, String), Problem> {
    let found = app.store.version(key, number).await?.ok_or_else(|| Problem::not_found("version"))?;
    Ok((found.0.into(), found.1))
}
