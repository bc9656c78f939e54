//! A cluster: its picture, what of it runs where, and what is missing.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;

use super::clusters::name;
use super::explain::encoded;
use super::frame::{Done, Frame, page};
use super::picture;
use super::view::View;
use crate::api::status::Status;
use crate::http::access::permission::{Action, Verdict};
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::api::{status, streams};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::Found;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/clusters/{id}", get(see))
        .route("/clusters/{id}/state", get(part))
        .route("/clusters/{id}/changes", get(streams::changes))
}

/// What all pages of a cluster have in common.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) may_operate: bool,
    pub(super) may_manage: bool,
    /// Which of its pages this is.
    pub(super) tab: &'static str,
}

impl Head {
    pub(super) fn new(caller: &Caller, found: &Found, tab: &'static str) -> Self {
        let may = |action| caller.may(found, action) == Verdict::Allowed;
        Self {
            id: found.row.id.clone(),
            name: name(found),
            owner: found.owner.clone(),
            may_operate: may(Action::Operate),
            may_manage: may(Action::Manage),
            tab,
        }
    }
    /// What surrounds the page.
    pub(super) fn frame(&self, caller: &Caller, what: &str) -> Frame {
        let title = if what.is_empty() { self.name.clone() } else { format!("{what} · {}", self.name) };
        Frame::new(caller, "clusters", title)
    }
}

#[derive(Template)]
#[template(path = "cluster.html")]
struct Page {
    frame: Frame,
    head: Head,
    state: String,
    query: String,
}

#[derive(Template)]
#[template(path = "state.html")]
struct StatePart<'a> {
    head: &'a Head,
    csrf: &'a str,
    view: View,
    picture: String,
}

/// Which pages of its tables are asked for.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    components: String,
    #[serde(default)]
    nodes: String,
}

async fn see(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(done): Query<Done>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let head = Head::new(&caller, &found, "state");
    let state = state(&app, &caller, &found, &asked).await?;
    let query = format!("components={}&nodes={}", encoded(&asked.components), encoded(&asked.nodes));
    Ok(page(&Page { frame: head.frame(&caller, "").after(&done), head, state, query }))
}

/// The part of the page that changes by itself.
async fn state(app: &App, caller: &Caller, found: &Found, asked: &Asked) -> Result<String, Problem> {
    let head = Head::new(caller, found, "state");
    let (plan, csrf) = (found.row.plan.clone(), caller.csrf().unwrap_or_default());
    let (components, nodes) = (asked.components.clone(), asked.nodes.clone());
    let draw = move |status: Status| {
        let view = View::new(plan.cluster(), &status, &components, &nodes);
        let can_draw = picture::can_draw(status.components.len());
        let picture = if can_draw { picture::draw(&view, &picture::arrange(&view)) } else { String::new() };
        StatePart { head: &head, csrf: &csrf, view, picture }.render().unwrap_or_default()
    };
    status::with(&app.store, &found.row, draw).await
}

/// That part alone: what a script asks for when it hears that something is another.
async fn part(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    Ok(Html(state(&app, &caller, &found, &asked).await?).into_response())
}
