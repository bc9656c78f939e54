//! Users.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::frame::{Done, Frame, page, page_with};
use super::show;
use crate::api::users::{AddUser, ChangeUser, Entry};
use crate::http::access::{Caller, SignedForm};
use crate::http::api::extract::{Body, Path};
use crate::http::api::users;
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/users", get(list).post(change))
}

#[derive(Template)]
#[template(path = "users.html")]
struct Page {
    frame: Frame,
    users: Vec<Entry>,
    me: String,
}

impl Page {
    fn machine(&self, entry: &Entry) -> String {
        show::machine(entry.created)
    }
    fn instant(&self, entry: &Entry) -> String {
        show::instant(entry.created)
    }
}

async fn list(State(app): State<App>, caller: Caller, Query(done): Query<Done>) -> Result<Response, Problem> {
    let (frame, me) = (Frame::new(&caller, "users", "Users").after(&done), caller.user.name.clone());
    let users = users::users(State(app), caller).await?.0;
    Ok(page(&Page { frame, users, me }))
}

#[derive(Deserialize)]
struct Change {
    /// `add`, `admin`, `no-admin`, `password` or `delete`.
    what: String,
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    admin: String,
    /// Of a deletion: the name again.
    #[serde(default)]
    sure: String,
}

async fn change(State(app): State<App>, SignedForm { caller, form }: SignedForm<Change>) -> Result<Response, Problem> {
    let (frame, me) = (Frame::new(&caller, "users", "Users"), caller.user.name.clone());
    match changed(&app, caller.clone(), form).await {
        Ok(done) => Ok(Redirect::to(&format!("/users?done={done}")).into_response()),
        Err(problem) => {
            let users = users::users(State(app), caller).await?.0;
            Ok(page_with(problem.status, &Page { frame: frame.troubled(&problem), users, me }))
        }
    }
}

async fn changed(app: &App, caller: Caller, form: Change) -> Result<&'static str, Problem> {
    let app = State(app.clone());
    let (name, password) = (form.name.trim().to_owned(), Some(form.password).filter(|password| !password.is_empty()));
    let path = Path(name.clone());
    match form.what.as_str() {
        "add" => {
            let body = AddUser { name, admin: form.admin == "yes", password };
            let _ = users::add_user(app, caller, Body(body)).await?;
            Ok("user-added")
        }
        "admin" | "no-admin" => {
            let body = ChangeUser { admin: Some(form.what == "admin"), password: None };
            users::change_user(app, caller, path, Body(body)).await?;
            Ok("user-changed")
        }
        "password" => {
            let password = Some(password.unwrap_or_default());
            users::change_user(app, caller, path, Body(ChangeUser { admin: None, password })).await?;
            Ok("user-changed")
        }
        "delete" if form.sure != name => Err(Problem::invalid(format!(
            "nothing was deleted: to delete {name}, type the name {name} beside the button"
        ))),
        "delete" => {
            users::delete_user(app, caller, path).await?;
            Ok("user-deleted")
        }
        _ => Err(Problem::not_found("action")),
    }
}
