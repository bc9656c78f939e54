//! The first admin: by a link that works once.

use axum::http::StatusCode;

use super::audit::record_as;
use super::{Peer, login, password};
use crate::http::app::{App, Settings};
use crate::http::problem::Problem;
use crate::store::{Store, StoreError, User, now};

/// How long the link works, in microseconds.
const LASTS: i64 = 24 * 3600 * 1_000_000;

/// A link by which the first admin is made, if there is no user yet.
///
/// # Errors
/// If the store fails.
pub async fn setup_link(store: &Store, settings: &Settings) -> Result<Option<String>, StoreError> {
    if !store.has_no_users().await? {
        return Ok(None);
    }
    let code = store.add_setup_code(now() + LASTS).await?;
    let scheme = if settings.tls { "https" } else { "http" };
    let host = match settings.hosts.first() {
        Some(name) => format!("{name}:{}", settings.listen.port()),
        None => settings.listen.to_string(),
    };
    Ok(Some(format!("{scheme}://{host}/setup?code={code}")))
}

/// Makes the first admin, and begins its session: who it is, and its cookie.
///
/// # Errors
/// 403 if the code is not valid; 400 if the name or the password cannot be one.
pub async fn first_admin(
    app: &App,
    peer: Peer,
    code: &str,
    name: &str,
    password: &str,
) -> Result<(User, String), Problem> {
    let refused = || {
        let message =
            "the link is not valid any more: start the registry again for another, or use `palm registry add-user`";
        Problem::new(StatusCode::FORBIDDEN, "bad-code", message)
    };
    // Before the password is hashed, which takes long.
    if !app.store.is_setup_code(code).await? {
        return Err(refused());
    }
    password::check_name(name)?;
    let hash = password::hashed(app, password).await?;
    let user = app.store.use_setup_code(code, name, &hash).await?.ok_or_else(refused)?;
    let cookie = login::begin(app, &user).await?;
    record_as(app, &user.name, peer, "first admin", "").await?;
    Ok((user, cookie))
}
