//! One's own tokens.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::frame::{Done, Frame, page, page_with};
use super::show;
use crate::api::account::{AddToken, TokenEntry};
use crate::http::access::{Caller, SignedForm};
use crate::http::api::account;
use crate::http::api::extract::{Body, Path};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::{Scope, now};

/// Microseconds of a day.
const DAY: i64 = 24 * 3600 * 1_000_000;

pub(super) fn router() -> Router<App> {
    Router::new().route("/tokens", get(list).post(add)).route("/tokens/revoke", post(revoke))
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Page {
    frame: Frame,
    tokens: Vec<TokenEntry>,
    /// One that is new, and shown this once.
    new: String,
    now: i64,
}

impl Page {
    async fn of(app: App, caller: Caller, frame: Frame) -> Result<Self, Problem> {
        let tokens = account::tokens(State(app), caller).await?.0;
        Ok(Self { frame, tokens, new: String::new(), now: now() })
    }
    fn is_over(&self, token: &TokenEntry) -> bool {
        token.expires.is_some_and(|expires| expires <= self.now)
    }
    fn machine(&self, at: &i64) -> String {
        show::machine(*at)
    }
    fn instant(&self, at: &i64) -> String {
        show::instant(*at)
    }
}

async fn list(State(app): State<App>, caller: Caller, Query(done): Query<Done>) -> Result<Response, Problem> {
    let frame = Frame::new(&caller, "tokens", "Tokens").after(&done);
    Ok(page(&Page::of(app, caller, frame).await?))
}

#[derive(Deserialize)]
struct Add {
    name: String,
    scope: String,
    /// Days; empty: for ever.
    #[serde(default)]
    days: String,
}

async fn add(State(app): State<App>, SignedForm { caller, form }: SignedForm<Add>) -> Result<Response, Problem> {
    let frame = Frame::new(&caller, "tokens", "Tokens");
    let made = match wanted(&form) {
        Ok(body) => account::add_token(State(app.clone()), caller.clone(), Body(body)).await,
        Err(problem) => Err(problem),
    };
    Ok(match made {
        Ok((status, made)) => {
            let page = Page::of(app, caller, frame).await?;
            // Not after a redirect: it is in this answer, and nowhere else.
            page_with(status, &Page { new: made.0.token, ..page })
        }
        Err(problem) => page_with(problem.status, &Page::of(app, caller, frame.troubled(&problem)).await?),
    })
}

fn wanted(form: &Add) -> Result<AddToken, Problem> {
    let scope = Scope::from_name(&form.scope).ok_or_else(|| Problem::invalid("expected one of the scopes"))?;
    let expires = match form.days.trim() {
        "" => None,
        days => {
            let days = days.parse::<i64>().ok().filter(|days| (1..=36_500).contains(days));
            Some(now() + DAY * days.ok_or_else(|| Problem::invalid("expected a number of days from 1 to 36500"))?)
        }
    };
    Ok(AddToken { name: form.name.trim().to_owned(), scope, expires })
}

#[derive(Deserialize)]
struct Revoke {
    token: String,
}

async fn revoke(State(app): State<App>, SignedForm { caller, form }: SignedForm<Revoke>) -> Result<Response, Problem> {
    account::revoke_token(State(app), caller, Path(form.token)).await?;
    Ok(Redirect::to("/tokens?done=revoked").into_response())
}
