//! What people do with what runs; what cannot be undone is asked about first.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::cluster::Head;
use super::frame::{Frame, page};
use crate::api::actions::{Scale, Which};
use crate::http::access::permission::Action;
use crate::http::access::{Caller, ClusterFor, SEE, SignedForm};
use crate::http::api::extract::{Body, Path};
use crate::http::api::{actions, clusters};
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}/confirm", get(confirm)).route("/clusters/{id}/do", post(act))
}

#[derive(Deserialize)]
struct Wanted {
    what: String,
    #[serde(default)]
    component: String,
    #[serde(default)]
    node: String,
    /// Copies in all.
    #[serde(default)]
    copies: String,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    frame: Frame,
    head: Head,
    wanted: Wanted,
    question: String,
    effect: &'static str,
    answer: &'static str,
}

async fn confirm(
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let head = Head::new(&caller, &found, "state");
    let (name, node) = (&head.name, &wanted.node);
    let (question, effect, answer) = match wanted.what.as_str() {
        "reset" => (
            format!("Reset {name}?"),
            "All places and nodes are forgotten. Nodes that ask again are given theirs anew; what runs may move, and is then restarted.",
            "Reset it",
        ),
        "delete" => (
            format!("Delete {name}?"),
            "Its file, all its versions and its logs are gone for good. Its nodes stop what they run.",
            "Delete it",
        ),
        "new-key" => (
            format!("Give {name} another key?"),
            "Nobody is known by its key of now any more. Runners that have it keep what they run as it is, and have to be started again with the \
             other; Python's know nothing of that.",
            "Change the key",
        ),
        "remove-node" => (
            format!("Remove the node {node} from {name}?"),
            "What it ran waits for a place on another node. A runner that is still there is given what is free then.",
            "Remove it",
        ),
        "stop" => (format!("Stop all of {name}?"), "Every process is asked to end. Each keeps its place.", "Stop all"),
        "restart" => (format!("Restart all of {name}?"), "Every process is replaced by a new one.", "Restart all"),
        _ => return Err(Problem::not_found("action")),
    };
    Ok(page(&ConfirmPage { frame: head.frame(&caller, "Sure?"), head, wanted, question, effect, answer }))
}

async fn act(
    State(app): State<App>,
    Path(id): Path<String>,
    SignedForm { caller, form }: SignedForm<Wanted>,
) -> Result<Response, Problem> {
    let what = form.what.clone();
    done(app, caller, &id, form).await?;
    let to = match what.as_str() {
        "delete" => "/?done=deleted".to_owned(),
        "new-key" => format!("/clusters/{id}/settings?done=new-key"),
        what => format!("/clusters/{id}?done={what}"),
    };
    Ok(Redirect::to(&to).into_response())
}

async fn done(app: App, caller: Caller, id: &str, form: Wanted) -> Result<(), Problem> {
    if matches!(form.what.as_str(), "delete" | "new-key") {
        let found = caller.cluster(&app.store, id, Action::Manage).await?;
        let cluster = ClusterFor { caller, found };
        if form.what == "delete" {
            clusters::delete(State(app), cluster).await?;
        } else {
            let _ = clusters::change_key(State(app), cluster).await?;
        }
        return Ok(());
    }
    let found = caller.cluster(&app.store, id, Action::Operate).await?;
    let cluster = ClusterFor { caller, found };
    let component = Some(form.component.clone()).filter(|component| !component.is_empty());
    let which = Body(Which { component });
    match form.what.as_str() {
        "start" => drop(actions::start(State(app), cluster, which).await?),
        "stop" => drop(actions::stop(State(app), cluster, which).await?),
        "restart" => drop(actions::restart(State(app), cluster, which).await?),
        "scale" => {
            let copies = form.copies.trim().parse::<u32>().ok().filter(|copies| *copies > 0);
            let copies = copies.ok_or_else(|| Problem::invalid("expected a number of copies, 1 or more"))?;
            let body = Scale { component: form.component, replicas: copies - 1 };
            actions::scale(State(app), cluster, Body(body)).await?;
        }
        "reset" => drop(actions::reset(State(app), cluster).await?),
        "remove-node" => drop(actions::remove_node(State(app), cluster, Path((id.to_owned(), form.node))).await?),
        _ => return Err(Problem::not_found("action")),
    }
    Ok(())
}
