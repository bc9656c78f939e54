//! Zero bytes, for which PostgreSQL has no place: nothing that is kept has one, and so nothing is asked for by one.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;
use crate::store::StoreError;

/// Refuses addresses that have one. Those in bodies are found by whoever reads them, at last by [`problem`].
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    let address = request.uri().path_and_query().map_or("", |address| address.as_str());
    if address.contains("%00") { problem().into_response() } else { next.run(request).await }
}

/// What is said of it.
pub(super) fn problem() -> Problem {
    Problem::invalid("expected text without a zero byte")
}

/// Whether it is why the store did not do something.
pub(super) fn is_cause(error: &StoreError) -> bool {
    // PostgreSQL's `character_not_in_repertoire`.
    matches!(error, StoreError::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021"))
}
