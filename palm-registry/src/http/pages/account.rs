//! Logging in and out, the first admin, and one's own password.

use askama::Template;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;

use super::frame::{Done, Frame, page, page_with};
use crate::http::access::permission::General;
use crate::http::access::{self, Caller, Peer, SignedForm};
use crate::http::app::App;
use crate::http::bounds::PUBLIC;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    // Who sends these is not known before they are read.
    let public = Router::new()
        .route("/login", get(log_in_page).post(log_in))
        .route("/setup", get(set_up_page).post(set_up))
        .layer(DefaultBodyLimit::max(PUBLIC));
    // By an address alone nobody is logged out; the button is on each page.
    let log_out = post(log_out).get(async || Redirect::to("/account"));
    public.route("/logout", log_out).route("/account", get(account_page).post(change_password))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LogInPage {
    frame: Frame,
    name: String,
    next: String,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetUpPage {
    frame: Frame,
    name: String,
    code: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

async fn log_in_page(caller: Option<Caller>, Query(Next { next }): Query<Next>, Query(done): Query<Done>) -> Response {
    if caller.is_some() {
        return Redirect::to(inside(&next)).into_response();
    }
    page(&LogInPage { frame: Frame::of_nobody("Log in").after(&done), name: String::new(), next })
}

/// Where to go on, if that is a page of the registry; else to the first one.
fn inside(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.get(1..2).is_some_and(|second| second == "/" || second == "\\");
    if is_path && next.bytes().all(|byte| byte.is_ascii_graphic()) { next } else { "/" }
}

#[derive(Deserialize)]
struct LogIn {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

// A form of another site cannot get here, as its origin is looked at before.
async fn log_in(State(app): State<App>, peer: Peer, Form(form): Form<LogIn>) -> Response {
    match access::log_in(&app, peer, form.name.trim(), &form.password).await {
        Ok((_, cookie)) => entered(&app, &cookie, inside(&form.next)),
        Err(problem) => {
            let frame = Frame::of_nobody("Log in").troubled(&problem);
            page_with(problem.status, &LogInPage { frame, name: form.name, next: form.next })
        }
    }
}

fn entered(app: &App, cookie: &str, to: &str) -> Response {
    with_cookie(access::session_cookie(&app.settings, cookie), to)
}

fn with_cookie(cookie: HeaderValue, to: &str) -> Response {
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(to)).into_response()
}

#[derive(Deserialize)]
struct Nothing {}

async fn log_out(State(app): State<App>, SignedForm { caller, .. }: SignedForm<Nothing>) -> Result<Response, Problem> {
    access::log_out(&app, &caller).await?;
    Ok(with_cookie(access::expired_cookie(&app.settings), "/login?done=logged-out"))
}

#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    code: String,
}

async fn set_up_page(State(app): State<App>, Query(Code { code }): Query<Code>) -> Result<Response, Problem> {
    if !app.store.has_no_users().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    Ok(page(&SetUpPage { frame: Frame::of_nobody("The first admin"), name: String::new(), code }))
}

#[derive(Deserialize)]
struct SetUp {
    code: String,
    name: String,
    password: String,
    again: String,
}

async fn set_up(State(app): State<App>, peer: Peer, Form(form): Form<SetUp>) -> Response {
    let made = match same(&form.password, &form.again) {
        Ok(()) => access::first_admin(&app, peer, &form.code, form.name.trim(), &form.password).await,
        Err(problem) => Err(problem),
    };
    match made {
        Ok((_, cookie)) => entered(&app, &cookie, "/?done=welcome"),
        Err(problem) => {
            let frame = Frame::of_nobody("The first admin").troubled(&problem);
            page_with(problem.status, &SetUpPage { frame, name: form.name, code: form.code })
        }
    }
}

fn same(password: &str, again: &str) -> Result<(), Problem> {
    if password == again {
        return Ok(());
    }
    Err(Problem::invalid("the two passwords are not the same: type it again"))
}

async fn account_page(caller: Caller) -> Response {
    page(&AccountPage { frame: Frame::new(&caller, "account", "Account") })
}

#[derive(Deserialize)]
struct ChangePassword {
    #[serde(default)]
    old: String,
    new: String,
    again: String,
}

async fn change_password(
    State(app): State<App>,
    SignedForm { caller, form }: SignedForm<ChangePassword>,
) -> Result<Response, Problem> {
    caller.check(General::Account)?;
    let changed = match same(&form.new, &form.again) {
        Ok(()) => access::change_password(&app, &caller, &form.old, &form.new).await,
        Err(problem) => Err(problem),
    };
    Ok(match changed {
        // All sessions have ended, this one as well.
        Ok(()) => with_cookie(access::expired_cookie(&app.settings), "/login?done=password"),
        Err(problem) => {
            let frame = Frame::new(&caller, "account", "Account").troubled(&problem);
            page_with(problem.status, &AccountPage { frame })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn nobody_is_led_elsewhere() {
        for path in ["/", "/nodes", "/clusters/a?b=c"] {
            assert_eq!(inside(path), path);
        }
        for path in ["", "nodes", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb"] {
            assert_eq!(inside(path), "/", "{path}");
        }
    }
}
