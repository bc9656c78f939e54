//! Users, their tokens, and what was done: for admins.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};

use super::extract::{Body, Path, Query};
use super::{Operation, operation};
use crate::api::account::TokenEntry;
use crate::api::audit::{Before, Deed};
use crate::api::users::{AddUser, ChangeUser, Entry};
use crate::http::access::permission::General;
use crate::http::access::{self, Caller, record};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::{User, UserChange};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/users", users).says("All users").answers::<Vec<Entry>>(),
        operation(Method::POST, "/api/v1/users", add_user)
            .says("Add a user; without a password it can do nothing until it is given one")
            .body::<AddUser>()
            .creates::<Entry>(),
        operation(Method::PUT, "/api/v1/users/{name}", change_user)
            .says("Make an admin of a user or the other way round, or set its password: its sessions end")
            .body::<ChangeUser>(),
        operation(Method::DELETE, "/api/v1/users/{name}", delete_user)
            .says("Delete a user with its clusters, tokens and sessions"),
        operation(Method::GET, "/api/v1/users/{name}/tokens", tokens_of)
            .says("A user's tokens")
            .answers::<Vec<TokenEntry>>(),
        operation(Method::DELETE, "/api/v1/users/{name}/tokens/{token}", revoke_token).says("Revoke a user's token"),
        operation(Method::GET, "/api/v1/audit", audit)
            .says("What was done, the newest first")
            .query::<Before>()
            .answers::<Vec<Deed>>(),
    ]
}

pub(crate) async fn users(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Entry>>, Problem> {
    caller.check(General::Administer)?;
    let users = app.store.users().await?.into_iter().map(|entry| Entry {
        name: entry.user.name,
        admin: entry.user.is_admin,
        has_password: entry.has_password,
        created: entry.created,
    });
    Ok(Json(users.collect()))
}

pub(crate) async fn add_user(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<AddUser>,
) -> Result<(StatusCode, Json<Entry>), Problem> {
    caller.check(General::Administer)?;
    access::check_name(&body.name)?;
    body.password.as_deref().map_or(Ok(()), access::check_password)?;
    let added = app.store.add_user(&body.name, body.admin).await?;
    let user = added.ok_or_else(|| Problem::conflict("there is a user of this name already: choose another"))?;
    record(&app.store, &caller, "user added", None, format!("{}{}", user.name, admin_mark(user.is_admin))).await?;
    if let Some(password) = &body.password {
        access::set_password(&app, &caller, &user, password).await?;
    }
    let has_password = body.password.is_some();
    let entry = Entry { name: user.name, admin: user.is_admin, has_password, created: crate::store::now() };
    Ok((StatusCode::CREATED, Json(entry)))
}

pub(crate) async fn change_user(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<ChangeUser>,
) -> Result<StatusCode, Problem> {
    let user = user(&app, &caller, &name).await?;
    body.password.as_deref().map_or(Ok(()), access::check_password)?;
    if let Some(is_admin) = body.admin {
        done(app.store.set_admin(&user, is_admin).await?)?;
        record(&app.store, &caller, "user changed", None, format!("{name}{}", admin_mark(is_admin))).await?;
    }
    if let Some(password) = &body.password {
        access::set_password(&app, &caller, &user, password).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn delete_user(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let user = user(&app, &caller, &name).await?;
    done(app.store.delete_user(&user).await?)?;
    record(&app.store, &caller, "user deleted", None, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn tokens_of(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Vec<TokenEntry>>, Problem> {
    let user = user(&app, &caller, &name).await?;
    Ok(Json(app.store.tokens_of(user.id).await?.into_iter().map(TokenEntry::from).collect()))
}

pub(crate) async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    Path((name, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let user = user(&app, &caller, &name).await?;
    if !app.store.revoke_token(user.id, &token).await? {
        return Err(Problem::not_found("token"));
    }
    record(&app.store, &caller, "token revoked", None, format!("{token} of {name}")).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Before {
    pub(crate) fn bounds(&self) -> (i64, i64) {
        (self.before.unwrap_or(i64::MAX), self.limit.unwrap_or(100).clamp(1, 1000))
    }
}

pub(crate) async fn audit(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<Before>,
) -> Result<Json<Vec<Deed>>, Problem> {
    caller.check(General::Administer)?;
    let (before, limit) = query.bounds();
    Ok(Json(app.store.deeds(None, before, limit).await?))
}

/// A user, if the caller may know.
pub(crate) async fn user(app: &App, caller: &Caller, name: &str) -> Result<User, Problem> {
    caller.check(General::Administer)?;
    app.store.user(name).await?.ok_or_else(|| Problem::not_found("user"))
}

fn done(change: UserChange) -> Result<(), Problem> {
    match change {
        UserChange::Done => Ok(()),
        UserChange::LastAdmin => {
            Err(Problem::conflict("there would be no admin left: make somebody else an admin before"))
        }
    }
}

fn admin_mark(is_admin: bool) -> &'static str {
    if is_admin { ", admin" } else { ", no admin" }
}
