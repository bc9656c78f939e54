//! A cluster's file, in an editor.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::cluster::Head;
use super::clusters::{Checked, checked, unix};
use super::frame::{Done, Frame, page, page_with};
use crate::api::clusters::File;
use crate::http::access::permission::Action;
use crate::http::access::{ClusterFor, SEE, SignedForm};
use crate::http::api::clusters::set_file;
use crate::http::api::extract::{Body, Path};
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}/file", get(see).post(save))
}

#[derive(Template)]
#[template(path = "file.html")]
struct Page {
    frame: Frame,
    head: Head,
    checked: Checked,
    /// The version that it was when somebody began to change it.
    version: i64,
}

async fn newest(app: &App, key: &str) -> Result<i64, Problem> {
    Ok(app.store.versions(key).await?.first().map_or(0, |version| version.number))
}

async fn see(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let head = Head::new(&caller, &found, "file");
    let version = newest(&app, &found.row.key).await?;
    let checked = Checked { text: found.row.description.to_string(), ..Checked::default() };
    Ok(page(&Page { frame: head.frame(&caller, "File").after(&done), head, checked, version }))
}

#[derive(Deserialize)]
struct Edited {
    file: String,
    #[serde(default)]
    version: i64,
    /// `check` or `save`.
    #[serde(default)]
    what: String,
}

async fn save(
    State(app): State<App>,
    Path(id): Path<String>,
    SignedForm { caller, form }: SignedForm<Edited>,
) -> Result<Response, Problem> {
    let found = caller.cluster(&app.store, &id, Action::Manage).await?;
    let head = Head::new(&caller, &found, "file");
    let frame = head.frame(&caller, "File");
    let (checked, version) = (checked(&app, &caller, unix(&form.file)).await?, form.version);
    if checked.error.is_some() || form.what == "check" {
        let status = if checked.error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        return Ok(page_with(status, &Page { frame, head, checked, version }));
    }
    let now = newest(&app, &found.row.key).await?;
    if now != version {
        let message = format!(
            "somebody has saved version {now} since you began with version {version}; see what it changed among the versions, and save \
             again to put yours over it"
        );
        let frame = frame.troubled(&Problem::conflict(message));
        return Ok(page_with(StatusCode::CONFLICT, &Page { frame, head, checked, version: now }));
    }
    let body = Body(File { file: checked.text.clone() });
    match set_file(State(app), ClusterFor { caller, found }, body).await {
        Ok(_) => Ok(Redirect::to(&format!("/clusters/{id}/file?done=saved")).into_response()),
        Err(problem) => {
            Ok(page_with(problem.status, &Page { frame: frame.troubled(&problem), head, checked, version }))
        }
    }
}
