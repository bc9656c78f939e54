//! Who asks: sessions, password and tokens.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::extract::{Body, Path};
use super::{Operation, operation};
use crate::api::account::{AddToken, ChangePassword, LogIn, Me, NewToken, SetUp, TokenEntry};
use crate::http::access::permission::General;
use crate::http::access::{self, Caller, Credential, Peer, record};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::names;
use crate::store::{Scope, Token, now};

/// Tokens that a user may have.
const TOKENS_MAX: usize = 100;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/me", me).says("Who asks, and what it may do").answers::<Me>(),
        operation(Method::POST, "/api/v1/session", log_in)
            .says("Log in: the answer sets a cookie")
            .public()
            .body::<LogIn>()
            .answers::<Me>(),
        operation(Method::DELETE, "/api/v1/session", log_out).says("Log out"),
        operation(Method::POST, "/api/v1/setup", set_up)
            .says("Make the first admin, with the code that `palm registry` prints: the answer sets a cookie")
            .public()
            .body::<SetUp>()
            .answers::<Me>(),
        operation(Method::PUT, "/api/v1/me/password", change_password)
            .says("Set one's own password: all one's sessions end")
            .body::<ChangePassword>(),
        operation(Method::GET, "/api/v1/tokens", tokens).says("One's own tokens").answers::<Vec<TokenEntry>>(),
        operation(Method::POST, "/api/v1/tokens", add_token)
            .says("Make a token: it is shown in this answer, and never again")
            .body::<AddToken>()
            .creates::<NewToken>(),
        operation(Method::DELETE, "/api/v1/tokens/{token}", revoke_token).says("Revoke one of one's own tokens"),
    ]
}

impl From<&Caller> for Me {
    fn from(caller: &Caller) -> Self {
        let user = caller.user.name.clone();
        Self { user, admin: caller.user.is_admin, scope: caller.scope, csrf: caller.csrf() }
    }
}

pub(crate) async fn me(caller: Caller) -> Json<Me> {
    Json(Me::from(&caller))
}

pub(crate) async fn log_in(State(app): State<App>, peer: Peer, Body(body): Body<LogIn>) -> Result<Response, Problem> {
    let (user, cookie) = access::log_in(&app, peer, &body.name, &body.password).await?;
    Ok(with_cookie(&app, Caller { user, scope: Scope::Admin, credential: Credential::Session(cookie), peer }))
}

pub(crate) async fn set_up(State(app): State<App>, peer: Peer, Body(body): Body<SetUp>) -> Result<Response, Problem> {
    let (user, cookie) = access::first_admin(&app, peer, &body.code, &body.name, &body.password).await?;
    Ok(with_cookie(&app, Caller { user, scope: Scope::Admin, credential: Credential::Session(cookie), peer }))
}

fn with_cookie(app: &App, caller: Caller) -> Response {
    let cookie = match &caller.credential {
        Credential::Session(cookie) => access::session_cookie(&app.settings, cookie),
        Credential::Token(_) => HeaderValue::from_static(""),
    };
    ([(header::SET_COOKIE, cookie)], Json(Me::from(&caller))).into_response()
}

pub(crate) async fn log_out(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    access::log_out(&app, &caller).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, access::expired_cookie(&app.settings))]).into_response())
}

pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<ChangePassword>,
) -> Result<StatusCode, Problem> {
    caller.check(General::Account)?;
    access::change_password(&app, &caller, &body.old, &body.new).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Token> for TokenEntry {
    fn from(token: Token) -> Self {
        let Token { id, name, scope, created, expires } = token;
        Self { id, name, scope, created, expires }
    }
}

pub(crate) async fn tokens(State(app): State<App>, caller: Caller) -> Result<Json<Vec<TokenEntry>>, Problem> {
    caller.check(General::Account)?;
    Ok(Json(app.store.tokens_of(caller.user.id).await?.into_iter().map(TokenEntry::from).collect()))
}

pub(crate) async fn add_token(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<AddToken>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    caller.check(General::Account)?;
    check_label(&body.name)?;
    if body.expires.is_some_and(|expires| expires <= now()) {
        return Err(Problem::invalid("`expires` is in the past: expected microseconds since 1970"));
    }
    if app.store.tokens_of(caller.user.id).await?.len() >= TOKENS_MAX {
        return Err(Problem::conflict(format!("you have {TOKENS_MAX} tokens: revoke one before you make another")));
    }
    let (token, entry) = app.store.add_token_with(&caller.user, &body.name, body.scope, body.expires).await?;
    record(&app.store, &caller, "token made", None, format!("{} {} {}", entry.id, entry.scope, entry.name)).await?;
    Ok((StatusCode::CREATED, Json(NewToken { token, entry: entry.into() })))
}

pub(crate) async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.check(General::Account)?;
    if !app.store.revoke_token(caller.user.id, &token).await? {
        return Err(Problem::not_found("token"));
    }
    record(&app.store, &caller, "token revoked", None, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether something can be called so: by people, on one line.
pub(crate) fn check_label(label: &str) -> Result<(), Problem> {
    if label.chars().count() > 100 {
        return Err(Problem::invalid("expected a name of at most 100 characters, on one line"));
    }
    names::wrong(label).map_or(Ok(()), |wrong| Err(Problem::invalid(format!("expected a name {wrong}"))))
}
