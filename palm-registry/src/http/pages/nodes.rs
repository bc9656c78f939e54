//! The nodes of all clusters.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::frame::{Frame, page};
use super::view::NodeView;
use crate::api::status::ClusterNode;
use crate::http::access::Caller;
use crate::http::api::status;
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/nodes", get(nodes))
}

#[derive(Template)]
#[template(path = "nodes.html")]
struct Page {
    frame: Frame,
    nodes: Vec<Entry>,
}

struct Entry {
    cluster: String,
    name: String,
    node: NodeView,
}

async fn nodes(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let frame = Frame::new(&caller, "nodes", "Nodes");
    let found = status::nodes(State(app), caller).await?;
    let entry = |entry: ClusterNode| Entry {
        name: entry.alias.unwrap_or_else(|| entry.cluster.clone()),
        cluster: entry.cluster,
        node: NodeView::new(&entry.node),
    };
    Ok(page(&Page { frame, nodes: found.0.into_iter().map(entry).collect() }))
}
