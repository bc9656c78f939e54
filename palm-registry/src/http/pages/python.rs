//! The addresses of the pages of `pylm-registry`, as people have kept them: each leads to the page of ours that shows the same.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::http::access::Caller;
use crate::http::access::permission::Action;
use crate::http::app::App;
use crate::http::problem::Problem;

/// What browsers ask for that look for no other icon.
static ICON: &[u8] = include_bytes!("../../../assets/favicon.ico");

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/dashboard", get(async || Redirect::permanent("/")))
        .route("/new_cluster", get(async || Redirect::permanent("/clusters/new")))
        .route("/new_user", get(async || Redirect::permanent("/users")))
        .route("/view_cluster", get(view_cluster))
        .route("/view_logs", get(view_logs))
        .route("/reset_cluster", get(reset_cluster))
        .route("/favicon.ico", get(icon))
}

/// Which cluster a page was about: by its key, which is in no address of ours.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    cluster: String,
}

async fn view_cluster(app: State<App>, caller: Caller, asked: Query<Asked>) -> Result<Redirect, Problem> {
    lead(app, caller, asked, "").await
}

async fn view_logs(app: State<App>, caller: Caller, asked: Query<Asked>) -> Result<Redirect, Problem> {
    lead(app, caller, asked, "/logs").await
}

/// There this was done at once; here it is asked about first.
async fn reset_cluster(app: State<App>, caller: Caller, asked: Query<Asked>) -> Result<Redirect, Problem> {
    lead(app, caller, asked, "/confirm?what=reset").await
}

async fn lead(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
    page: &str,
) -> Result<Redirect, Problem> {
    let row = app.store.cluster_with_key(&asked.cluster).await?.ok_or_else(|| Problem::not_found("cluster"))?;
    let found = caller.cluster(&app.store, &row.id, Action::See).await?;
    Ok(Redirect::to(&format!("/clusters/{}{page}", found.row.id)))
}

async fn icon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/x-icon"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, ICON).into_response()
}
