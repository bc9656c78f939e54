//! For which cluster a node speaks: by the cluster's key, or by a token of who may be one of its nodes.

use axum::http::{HeaderMap, StatusCode};

use super::caller::{bearer, relation, unknown_token};
use super::permission::{self, Action, Relation, Standing, Verdict};
use crate::http::connections::known;
use crate::http::problem::Problem;
use crate::store::{ClusterRow, Presented, Store};

/// The cluster of a node: the one that the token's user may run and whose id is asked for; or, if none is, the one
/// with the key that stands in the token's place.
///
/// # Errors
/// 401 if nobody is known by what the request has, 410 if the cluster was deleted. By a token also 404 if it is not there or not for who asks,
/// and 403 if it may be seen, but not run.
pub(in crate::http) async fn cluster_of(
    store: &Store,
    headers: &HeaderMap,
    id: Option<&str>,
) -> Result<ClusterRow, Problem> {
    let bearer = bearer(headers).filter(|bearer| !bearer.is_empty()).ok_or_else(|| {
        let message =
            "expected the header `Authorization: Bearer KEY` with the cluster's key, or a token and `?cluster=ID`";
        Problem::new(StatusCode::UNAUTHORIZED, "not-logged-in", message)
    })?;
    let row = match id {
        None => by_key(store, bearer).await,
        Some(id) => by_token(store, bearer, id).await,
    }?;
    known(&format!("cluster {}", row.id));
    Ok(row)
}

/// That there is no cluster with a key is not told by 404, which says that there is no such interface.
async fn by_key(store: &Store, key: &str) -> Result<ClusterRow, Problem> {
    if let Some(row) = store.cluster_with_key(key).await? {
        return Ok(row);
    }
    let (code, message) = match store.presented(key).await? {
        Presented::Deleted => return Err(deleted()),
        Presented::Replaced => ("old-key", "the cluster has another key now: start the runner with that"),
        // One that has come to be this moment is asked for again.
        Presented::Unknown | Presented::Current(_) => ("bad-key", "there is no cluster with this key"),
    };
    let message = format!("{message}; who manages it is told its key by `palm cluster key NAME`");
    Err(Problem::new(StatusCode::UNAUTHORIZED, code, message))
}

async fn by_token(store: &Store, token: &str, id: &str) -> Result<ClusterRow, Problem> {
    let (user, scope) = store.token(token).await?.ok_or_else(unknown_token)?;
    let standing = Standing { is_admin: user.is_admin, scope };
    let Some(found) = store.find_cluster(id, user.id).await? else {
        // Whom it was shared with nobody knows any more; but no node has anything left to do for it.
        let may_run = permission::on_cluster(standing, Relation::Own, Action::Run) == Verdict::Allowed;
        let was_deleted = may_run && store.was_deleted(id).await?;
        return Err(if was_deleted { deleted() } else { Problem::not_found("cluster") });
    };
    match permission::on_cluster(standing, relation(&user, &found), Action::Run) {
        Verdict::Allowed => Ok(found.row),
        Verdict::Hidden => Err(Problem::not_found("cluster")),
        Verdict::Forbidden => Err(Problem::forbidden("you may see this cluster, but not be one of its nodes")),
    }
}

fn deleted() -> Problem {
    Problem::new(StatusCode::GONE, "deleted", "the cluster was deleted: its nodes are to end what they run")
}
