//! The interface of Python's clients, which a cluster's owner can turn off.

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::http::error::Refused;
use crate::store::Store;

#[derive(Deserialize)]
struct Asked {
    cluster: Option<String>,
    key: Option<String>,
}

/// Answers 403 about a cluster whose owner wants it so.
pub(in crate::http) async fn answers_python(State(store): State<Store>, request: Request, next: Next) -> Response {
    // What cannot be read is not answered either.
    if let Ok(Query(asked)) = Query::<Asked>::try_from_uri(request.uri()) {
        for key in [asked.cluster, asked.key].into_iter().flatten() {
            match store.answers_python(&key).await {
                Ok(true) => {}
                Ok(false) => {
                    let reason = "the cluster's owner has turned this interface off".to_owned();
                    return Refused(StatusCode::FORBIDDEN, reason).into_response();
                }
                Err(error) => return Refused::from(error).into_response(),
            }
        }
    }
    next.run(request).await
}
