//! `/api/v1`: all that pages and programs do, as JSON (`docs/registry.md`, section 8).

pub(crate) mod account;
pub(crate) mod actions;
pub(crate) mod clusters;
pub(crate) mod extract;
pub(crate) mod logs;
pub(crate) mod operation;
pub(crate) mod shares;
pub(crate) mod status;
pub(crate) mod streams;
pub(crate) mod users;
pub(crate) mod versions;

use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::app::{App, Settings};
use super::problem::Problem;
use crate::store::{ClusterRow, Store};
pub(super) use operation::{Operation, operation};

/// Where the document is.
const DOCUMENT: &str = "/api/v1/openapi.json";

/// What the state of a cluster is now, as JSON.
pub(super) async fn status_json(store: &Store, row: &ClusterRow) -> Result<String, Problem> {
    status::with(store, row, |status| serde_json::to_string(&status).unwrap_or_default()).await
}

/// All that the API answers.
pub(super) fn router(settings: &Settings) -> Router<App> {
    let operations = operations();
    let document = operation::document(settings, operations.iter().chain(&super::runner::operations()));
    let router = Router::new().route(DOCUMENT, get(move || async move { Json(document) }));
    routes(router, operations).fallback(nothing)
}

/// The routes of a part of the table, beside others.
pub(super) fn routes(router: Router<App>, operations: Vec<Operation>) -> Router<App> {
    let router = operations.into_iter().fold(router, |router, operation| router.route(operation.path, operation.route));
    router.method_not_allowed_fallback(not_so)
}

fn operations() -> Vec<Operation> {
    let tables = [
        account::operations(),
        users::operations(),
        clusters::operations(),
        versions::operations(),
        shares::operations(),
        status::operations(),
        actions::operations(),
        logs::operations(),
        streams::operations(),
    ];
    tables.into_iter().flatten().collect()
}

async fn nothing() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        format!("there is nothing here; what programs may ask for is in {DOCUMENT}"),
    )
}

async fn not_so(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not do {method}: see {DOCUMENT}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", message).into_response()
}
