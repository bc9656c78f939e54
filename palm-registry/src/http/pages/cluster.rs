//! A cluster: its picture, what of it runs where, and what is missing.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;

use super::clusters::name;
use super::frame::{Done, Frame, page};
use super::picture;
use super::view::View;
use crate::http::access::permission::{Action, Verdict};
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::api::status;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::Found;

/// Copies of a component that its table lists.
const COPIES: usize = 200;
/// Between two looks at how a cluster is.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}", get(see)).route("/clusters/{id}/live", get(live))
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
    copies: usize,
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
    let part = StatePart { head: &head, csrf: &csrf, view, picture, copies: COPIES };
    Ok(part.render().unwrap_or_default())
}

/// That part, again whenever it is another, for as long as the caller may see it.
async fn live(State(app): State<App>, ClusterFor { caller, found }: ClusterFor<SEE>) -> Response {
    let begin = (app, caller, found.row.id, String::new());
    let events = stream::unfold(begin, |(app, caller, id, mut last)| async move {
        loop {
            let caller_now = caller.again(&app.store).await.ok()??;
            let found = caller_now.cluster(&app.store, &id, Action::See).await.ok()?;
            let now = state(&app, &caller_now, &found).await.ok()?;
            if now != last {
                last.clone_from(&now);
                let event = Event::default().event("state").data(now);
                return Some((Ok::<_, Infallible>(event), (app, caller_now, id, last)));
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
