//! The nodes of all clusters.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;

use super::clusters::Asked;
use super::explain::encoded;
use super::frame::{Frame, page};
use super::paging::Pages;
use super::view::NodeView;
use crate::api::status::ClusterNode;
use crate::http::access::Caller;
use crate::http::api::status;
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/nodes", get(see)).route("/nodes/list", get(part))
}

#[derive(Template)]
#[template(path = "nodes.html")]
struct Page {
    frame: Frame,
    list: String,
    asked: String,
}

#[derive(Template)]
#[template(path = "node_list.html")]
struct List {
    nodes: Vec<Entry>,
    pages: Pages,
    silent: usize,
}

struct Entry {
    cluster: String,
    name: String,
    node: NodeView,
}

async fn see(State(app): State<App>, caller: Caller, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let (frame, page_asked) = (Frame::new(&caller, "nodes", "Nodes"), encoded(&asked.page));
    Ok(page(&Page { frame, list: list(app, caller, &asked).await?, asked: page_asked }))
}

/// The part of the page that changes by itself.
async fn part(State(app): State<App>, caller: Caller, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    Ok(Html(list(app, caller, &asked).await?).into_response())
}

async fn list(app: App, caller: Caller, asked: &Asked) -> Result<String, Problem> {
    let mut found = status::nodes(State(app), caller).await?.0;
    let is_silent = |entry: &ClusterNode| entry.node.silent && entry.node.seen.is_some();
    found.sort_by_key(|entry| !is_silent(entry));
    let silent = found.iter().filter(|entry| is_silent(entry)).count();
    let pages = Pages::new(&asked.page, found.len(), "?page=".to_owned());
    let entry = |entry: ClusterNode| Entry {
        name: entry.alias.unwrap_or_else(|| entry.cluster.clone()),
        cluster: entry.cluster,
        node: NodeView::new(&entry.node),
    };
    let nodes = found.into_iter().skip(pages.range().start).take(pages.range().len()).map(entry).collect();
    Ok(List { nodes, pages, silent }.render().unwrap_or_default())
}
