//! What a cluster's file was before, and what differs.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::cluster::Head;
use super::frame::{Frame, page};
use super::show;
use crate::api::versions::{Entry, To};
use crate::http::access::permission::Action;
use crate::http::access::{ClusterFor, SEE, SignedForm};
use crate::http::api::extract::{self, Path};
use crate::http::api::versions;
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}/versions", get(list)).route("/clusters/{id}/versions/restore", post(restore))
}

#[derive(Template)]
#[template(path = "versions.html")]
struct Page {
    frame: Frame,
    head: Head,
    versions: Vec<Entry>,
    newest: i64,
    from: i64,
    to: i64,
    diff: Vec<DiffLine>,
}

/// A line of a difference.
struct DiffLine {
    class: &'static str,
    mark: &'static str,
    text: String,
}

impl DiffLine {
    fn of(line: &str) -> Option<Self> {
        // Of which versions it is stands above.
        if line.starts_with("--- version") || line.starts_with("+++ version") {
            return None;
        }
        let (class, mark) = match line.chars().next() {
            Some('+') => ("added", "+"),
            Some('-') => ("removed", "-"),
            Some('@') => ("where", ""),
            _ => ("", " "),
        };
        let text = if class == "where" { line } else { line.get(1..).unwrap_or_default() };
        Some(Self { class, mark, text: text.to_owned() })
    }
}

impl Page {
    fn machine(&self, entry: &Entry) -> String {
        show::machine(entry.at)
    }
    fn instant(&self, entry: &Entry) -> String {
        show::instant(entry.at)
    }
}

#[derive(Deserialize)]
struct Compared {
    from: Option<i64>,
    to: Option<i64>,
}

async fn list(
    State(app): State<App>,
    cluster: ClusterFor<SEE>,
    Query(compared): Query<Compared>,
) -> Result<Response, Problem> {
    let head = Head::new(&cluster.caller, &cluster.found, "versions");
    let frame = head.frame(&cluster.caller, "Versions");
    let versions = versions::list(State(app.clone()), cluster.clone()).await?.0;
    let newest = versions.first().map_or(0, |version| version.number);
    let to = compared.to.unwrap_or(newest);
    let before = versions.iter().map(|version| version.number).find(|number| *number < to);
    let from = compared.from.or(before).unwrap_or(to);
    let path = Path((head.id.clone(), from));
    let text = versions::diff(State(app), cluster, path, extract::Query(To { to: Some(to) })).await?;
    let diff = text.lines().filter_map(DiffLine::of).collect();
    Ok(page(&Page { frame, head, versions, newest, from, to, diff }))
}

#[derive(Deserialize)]
struct Restore {
    number: i64,
}

async fn restore(
    State(app): State<App>,
    Path(id): Path<String>,
    SignedForm { caller, form }: SignedForm<Restore>,
) -> Result<Response, Problem> {
    let found = caller.cluster(&app.store, &id, Action::Manage).await?;
    versions::restore(State(app), ClusterFor { caller, found }, Path((id.clone(), form.number))).await?;
    Ok(Redirect::to(&format!("/clusters/{id}/file?done=restored")).into_response())
}
