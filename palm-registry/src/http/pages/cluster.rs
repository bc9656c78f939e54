//! A cluster: its picture, what of it runs where, and what is missing.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;

use super::clusters::name;
use super::frame::{Done, Frame, page};
use super::picture;
use super::view::{Card, Copy, View};
use crate::http::access::permission::{Action, Verdict};
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::api::status;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::Found;

/// Copies of a component that its table lists.
const COPIES: usize = 200;

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}", get(see)).route("/clusters/{id}/state", get(part))
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
}

#[derive(Template)]
#[template(path = "state.html")]
struct StatePart<'a> {
    head: &'a Head,
    csrf: &'a str,
    view: View,
    picture: String,
}

impl StatePart<'_> {
    /// The copies that the table lists.
    fn listed<'a>(&self, card: &'a Card) -> &'a [Copy] {
        card.copies.get(..COPIES).unwrap_or(&card.copies)
    }
}

async fn see(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let head = Head::new(&caller, &found, "state");
    let state = state(&app, &caller, &found).await?;
    Ok(page(&Page { frame: head.frame(&caller, "").after(&done), head, state }))
}

/// The part of the page that changes by itself.
async fn state(app: &App, caller: &Caller, found: &Found) -> Result<String, Problem> {
    let head = Head::new(caller, found, "state");
    let status = status::of(&app.store, &found.row).await?;
    let view = View::new(found.row.plan.cluster(), &status);
    let picture = picture::draw(&view, &picture::arrange(&view));
    let csrf = caller.csrf().unwrap_or_default();
    let part = StatePart { head: &head, csrf: &csrf, view, picture };
    Ok(part.render().unwrap_or_default())
}

/// That part alone: what a script asks for when it hears that something is another.
async fn part(State(app): State<App>, ClusterFor { caller, found }: ClusterFor<SEE>) -> Result<Response, Problem> {
    Ok(Html(state(&app, &caller, &found).await?).into_response())
}
