//! Writing down who has done what.

use super::{Caller, Peer};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::{Deed, Store, User};

/// Writes down what a caller has done, to which cluster.
///
/// # Errors
/// If the store fails.
pub async fn record(
    store: &Store,
    caller: &Caller,
    what: &str,
    cluster: Option<&str>,
    detail: impl Into<String>,
) -> Result<(), Problem> {
    write(store, &caller.user.name, caller.peer, what, cluster, detail.into()).await
}

/// Writes down what a user has done by the interface of Python's clients.
///
/// # Errors
/// If the store fails.
pub(in crate::http) async fn record_of(
    store: &Store,
    user: &User,
    peer: Peer,
    what: &str,
    cluster: &str,
    detail: &str,
) -> Result<(), Problem> {
    write(store, &user.name, peer, what, Some(cluster), detail.to_owned()).await
}

/// Writes down what somebody has done who is no caller yet.
pub(super) async fn record_as(app: &App, who: &str, peer: Peer, what: &str, detail: &str) -> Result<(), Problem> {
    write(&app.store, who, peer, what, None, detail.to_owned()).await
}

async fn write(
    store: &Store,
    who: &str,
    peer: Peer,
    what: &str,
    cluster: Option<&str>,
    detail: String,
) -> Result<(), Problem> {
    let deed = Deed {
        id: 0,
        at: 0,
        who: who.to_owned(),
        address: peer.0.to_canonical().to_string(),
        what: what.to_owned(),
        cluster: cluster.map(str::to_owned),
        // A database has no place for it.
        detail: detail.replace('\0', "\u{fffd}"),
    };
    Ok(store.add_deed(&deed).await?)
}
