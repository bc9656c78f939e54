//! What was done: in all, and to one cluster.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::cluster::Head;
use super::frame::{Frame, page};
use super::show;
use crate::api::audit::{Before, Deed};
use crate::http::access::{Caller, ClusterFor, MANAGE};
use crate::http::api::extract::Query;
use crate::http::api::{clusters, users};
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/audit", get(all)).route("/clusters/{id}/audit", get(of_cluster))
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    head: Option<Head>,
    deeds: Vec<Deed>,
    /// Where those before these are.
    older: Option<i64>,
}

impl Page {
    fn new(frame: Frame, head: Option<Head>, deeds: Vec<Deed>, limit: i64) -> Self {
        let is_full = i64::try_from(deeds.len()).unwrap_or(0) >= limit;
        let older = deeds.last().map(|deed| deed.id).filter(|_| is_full);
        Self { frame, head, deeds, older }
    }
    fn machine(&self, deed: &Deed) -> String {
        show::machine(deed.at)
    }
    fn instant(&self, deed: &Deed) -> String {
        show::instant(deed.at)
    }
}

async fn all(State(app): State<App>, caller: Caller, query: Query<Before>) -> Result<Response, Problem> {
    let (frame, (_, limit)) = (Frame::new(&caller, "audit", "Audit log"), query.0.bounds());
    let deeds = users::audit(State(app), caller, query).await?;
    Ok(page(&Page::new(frame, None, deeds.0, limit)))
}

async fn of_cluster(
    State(app): State<App>,
    cluster: ClusterFor<MANAGE>,
    query: Query<Before>,
) -> Result<Response, Problem> {
    let head = Head::new(&cluster.caller, &cluster.found, "audit");
    let (frame, (_, limit)) = (head.frame(&cluster.caller, "Audit log"), query.0.bounds());
    let deeds = clusters::audit(State(app), cluster, query).await?;
    Ok(page(&Page::new(frame, Some(head), deeds.0, limit)))
}
