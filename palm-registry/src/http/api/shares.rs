//! With whom a cluster is shared.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};

use super::extract::{Body, Path};
use super::{Operation, operation};
use crate::api::shares::{Entry, Level};
use crate::http::access::{ClusterFor, MANAGE, record};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::User;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters/{id}/shares", list)
            .says("With whom a cluster is shared")
            .answers::<Vec<Entry>>(),
        operation(Method::PUT, "/api/v1/clusters/{id}/shares/{user}", share)
            .says("Share a cluster with a user, or change what is shared")
            .body::<Level>(),
        operation(Method::DELETE, "/api/v1/clusters/{id}/shares/{user}", unshare)
            .says("Share a cluster with a user no more"),
    ]
}

pub(crate) async fn list(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<MANAGE>,
) -> Result<Json<Vec<Entry>>, Problem> {
    let shares = app.store.shares(&found.row.key).await?;
    Ok(Json(shares.into_iter().map(|(user, share)| Entry { user, share }).collect()))
}

pub(crate) async fn share(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
    Path((_, name)): Path<(String, String)>,
    Body(body): Body<Level>,
) -> Result<StatusCode, Problem> {
    let user = user(&app, &name).await?;
    if user.id == found.row.owner {
        return Err(Problem::conflict("the cluster is this user's already"));
    }
    app.store.share(&found.row.key, &user, body.share).await?;
    let detail = format!("{name}, {}", body.share.name());
    record(&app.store, &caller, "shared", Some(&found.row.id), detail).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn unshare(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<MANAGE>,
    Path((_, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let user = user(&app, &name).await?;
    if !app.store.unshare(&found.row.key, &user).await? {
        return Err(Problem::not_found("share"));
    }
    record(&app.store, &caller, "shared no more", Some(&found.row.id), name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn user(app: &App, name: &str) -> Result<User, Problem> {
    app.store.user(name).await?.ok_or_else(|| Problem::not_found("user"))
}
