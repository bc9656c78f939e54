//! Logging in and out, and passwords that are changed.

use axum::http::StatusCode;

use super::audit::record_as;
use super::{Caller, Credential, Peer, password};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::{User, now, secret};

/// Log-ins that may fail for one name from one address in `WINDOW`.
const NAME_MAX: i64 = 10;
/// Log-ins that may fail from one address in `WINDOW`.
const ADDRESS_MAX: i64 = 50;
/// Log-ins that may fail for one name from all addresses in `WINDOW`: many, as whoever can reach this can keep somebody out.
const EVERYWHERE_MAX: i64 = 200;
/// How long a log-in that has failed counts, in microseconds.
const WINDOW: i64 = 10 * 60 * 1_000_000;

/// Begins a session: who it is, and its cookie.
///
/// # Errors
/// 401 if name and password do not belong together, whichever is wrong; 429 if that was so too often.
pub async fn log_in(app: &App, peer: Peer, name: &str, password: &str) -> Result<(User, String), Problem> {
    // What is typed where a name belongs may be a password, and so is kept nowhere.
    let (name_hash, network) = (secret::hash(name), peer.network());
    let subjects = [
        (format!("name {name_hash} from {network}"), NAME_MAX),
        (format!("address {network}"), ADDRESS_MAX),
        (format!("name {name_hash}"), EVERYWHERE_MAX),
    ];
    // Whoever has logged in from here is not kept out by what others try from elsewhere.
    let is_expected = app.logged_in.has(&subjects[0].0);
    let subjects = if is_expected { &subjects[..2] } else { &subjects[..] };
    count(app, subjects).await?;
    let known = app.store.password_of(name).await?;
    let (user, hash) = known.map_or((None, None), |(user, hash)| (Some(user), hash));
    let is_right = match password::is_right(app, password, hash).await {
        Ok(is_right) => is_right,
        // It was not tried, as too many were at the same time.
        Err(problem) => {
            for (subject, _) in subjects {
                app.store.take_attempt_back(subject).await?;
            }
            return Err(problem);
        }
    };
    let Some(user) = user.as_ref().filter(|_| is_right) else {
        let who = user.map(|user| user.name).unwrap_or_default();
        record_as(app, &who, peer, "log-in failed", "").await?;
        let message = "this name and this password do not belong together";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-password", message));
    };
    app.store.forget_attempts(&subjects[0].0).await?;
    for (subject, _) in &subjects[1..] {
        app.store.take_attempt_back(subject).await?;
    }
    app.logged_in.see(&subjects[0].0);
    let cookie = begin(app, user).await?;
    record_as(app, &user.name, peer, "log-in", "").await?;
    Ok((user.clone(), cookie))
}

/// Counts an attempt before it is made, so that many at once are no way around.
async fn count(app: &App, subjects: &[(String, i64)]) -> Result<(), Problem> {
    let since = now() - WINDOW;
    for (index, (subject, most)) in subjects.iter().enumerate() {
        let (tried, first) = app.store.add_attempt(subject, since).await?;
        if tried <= *most {
            continue;
        }
        // One that was not made does not count, or who tries on would keep everybody out for ever.
        for (subject, _) in &subjects[..=index] {
            app.store.take_attempt_back(subject).await?;
        }
        let seconds = u64::try_from((first - since) / 1_000_000).unwrap_or(0) + 1;
        let message = format!("too many log-ins have failed: try again in {} min", seconds.div_ceil(60));
        return Err(Problem::too_many(message, seconds));
    }
    Ok(())
}

/// Begins a session of who is known.
pub(super) async fn begin(app: &App, user: &User) -> Result<String, Problem> {
    Ok(app.store.begin_session(user, now() + app.settings.session).await?)
}

/// Ends the caller's session; of a token nothing.
///
/// # Errors
/// If the store fails.
pub async fn log_out(app: &App, caller: &Caller) -> Result<(), Problem> {
    if let Credential::Session(cookie) = &caller.credential {
        app.store.end_session(cookie).await?;
        record_as(app, &caller.user.name, caller.peer, "log-out", "").await?;
    }
    Ok(())
}

/// Sets the caller's own password, and ends all of its sessions, this one included: it has to log in again.
///
/// # Errors
/// 401 if the old one is not right, 429 if it was wrong too often.
pub async fn change_password(app: &App, caller: &Caller, old: &str, new: &str) -> Result<(), Problem> {
    password::check_password(new)?;
    // Who is logged in is not kept from it by those who try to be.
    let subject = [(format!("password of {}", caller.user.id), NAME_MAX)];
    count(app, &subject).await?;
    let known = app.store.password_of(&caller.user.name).await?.and_then(|(_, hash)| hash);
    // Who has none yet came by a token, which is enough.
    if known.is_some() && !password::is_right(app, old, known).await? {
        let message = "the old password is not right";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-password", message));
    }
    app.store.forget_attempts(&subject[0].0).await?;
    set_password(app, caller, &caller.user, new).await
}

/// Sets a user's password, and ends its sessions.
///
/// # Errors
/// If it cannot be one.
pub async fn set_password(app: &App, caller: &Caller, user: &User, new: &str) -> Result<(), Problem> {
    let hash = password::hashed(app, new).await?;
    app.store.set_password(user.id, &hash).await?;
    record_as(app, &caller.user.name, caller.peer, "password set", &user.name).await
}
