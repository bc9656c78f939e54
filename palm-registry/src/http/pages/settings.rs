//! A cluster's settings: its name, its key, with whom it is shared, and its end.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::cluster::Head;
use super::frame::{Done, Frame, page, page_with};
use crate::api::clusters::Change;
use crate::api::shares::{Entry, Level, Share};
use crate::http::access::permission::Action;
use crate::http::access::{Caller, ClusterFor, MANAGE, SignedForm};
use crate::http::api::extract::{Body, Path};
use crate::http::api::{clusters, shares};
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/clusters/{id}/settings", get(see).post(set))
        .route("/clusters/{id}/key", post(key))
        .route("/clusters/{id}/shares", post(share))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    head: Head,
    alias: String,
    python: bool,
    shares: Vec<Entry>,
    /// The key, if it was asked for.
    key: String,
    registry: String,
}

impl Page {
    async fn of(app: &App, cluster: ClusterFor<MANAGE>) -> Result<Self, Problem> {
        let head = Head::new(&cluster.caller, &cluster.found, "settings");
        let scheme = if app.settings.tls { "https" } else { "http" };
        let host = match app.settings.hosts.first() {
            Some(name) => format!("{name}:{}", app.settings.listen.port()),
            None => app.settings.listen.to_string(),
        };
        Ok(Self {
            frame: head.frame(&cluster.caller, "Settings"),
            head,
            alias: cluster.found.row.alias.clone().unwrap_or_default(),
            python: cluster.found.python,
            shares: shares::list(State(app.clone()), cluster).await?.0,
            key: String::new(),
            registry: format!("{scheme}://{host}"),
        })
    }
    fn level(&self, entry: &Entry) -> &'static str {
        match entry.share {
            Share::Read => "may see it",
            Share::Operate => "may see and operate it",
        }
    }
}

async fn managed(app: &App, caller: Caller, id: &str) -> Result<ClusterFor<MANAGE>, Problem> {
    let found = caller.cluster(&app.store, id, Action::Manage).await?;
    Ok(ClusterFor { caller, found })
}

async fn see(
    State(app): State<App>,
    cluster: ClusterFor<MANAGE>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let page_of = Page::of(&app, cluster).await?;
    Ok(page(&Page { frame: page_of.frame.after(&done), ..page_of }))
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    alias: String,
    /// Present if it is ticked.
    #[serde(default)]
    python: String,
}

async fn set(
    State(app): State<App>,
    Path(id): Path<String>,
    SignedForm { caller, form }: SignedForm<Settings>,
) -> Result<Response, Problem> {
    let cluster = managed(&app, caller, &id).await?;
    let change = Change { alias: Some(form.alias.trim().to_owned()), python: Some(form.python == "yes") };
    done_or_told(&app, &cluster, "settings", async {
        clusters::change_settings(State(app.clone()), cluster.clone(), Body(change)).await.map(drop)
    })
    .await
}

/// Leads back to the page, which says what was done, or why not.
async fn done_or_told(
    app: &App,
    cluster: &ClusterFor<MANAGE>,
    done: &str,
    work: impl Future<Output = Result<(), Problem>>,
) -> Result<Response, Problem> {
    match work.await {
        Ok(()) => Ok(Redirect::to(&format!("/clusters/{}/settings?done={done}", cluster.found.row.id)).into_response()),
        Err(problem) => {
            let page = Page::of(app, cluster.clone()).await?;
            Ok(page_with(problem.status, &Page { frame: page.frame.troubled(&problem), ..page }))
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn key(
    State(app): State<App>,
    Path(id): Path<String>,
    SignedForm { caller, .. }: SignedForm<Nothing>,
) -> Result<Response, Problem> {
    let cluster = managed(&app, caller, &id).await?;
    let key = clusters::key(State(app.clone()), cluster.clone()).await?.0.key;
    Ok(page(&Page { key, ..Page::of(&app, cluster).await? }))
}

#[derive(Deserialize)]
struct Sharing {
    user: String,
    /// `read`, `operate`, or `none`.
    level: String,
}

async fn share(
    State(app): State<App>,
    Path(id): Path<String>,
    SignedForm { caller, form }: SignedForm<Sharing>,
) -> Result<Response, Problem> {
    let cluster = managed(&app, caller, &id).await?;
    let path = || Path((id.clone(), form.user.trim().to_owned()));
    let share = match form.level.as_str() {
        "none" => None,
        "operate" => Some(Share::Operate),
        _ => Some(Share::Read),
    };
    let done = if share.is_some() { "shared" } else { "unshared" };
    done_or_told(&app, &cluster, done, async {
        match share {
            Some(share) => {
                let body = Body(Level { share });
                shares::share(State(app.clone()), cluster.clone(), path(), body).await.map(drop)
            }
            None => shares::unshare(State(app.clone()), cluster.clone(), path()).await.map(drop),
        }
    })
    .await
}
