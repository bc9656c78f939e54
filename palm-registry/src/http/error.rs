//! What a request is answered with that cannot be granted.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::store::StoreError;
use crate::work::Undone;

/// Why a change of a cluster was not made.
pub(super) const BUSY: &str = "the cluster is being changed by many: try again";

/// A text with a status: what Python's clients show their users.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl Refused {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem.status, problem.message)
    }
}

impl From<Undone> for Refused {
    fn from(undone: Undone) -> Self {
        Problem::from(undone).into()
    }
}

impl From<StoreError> for Refused {
    /// What is wrong with a database is for the log, not for whoever asks.
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Busy | StoreError::Failed) {
            return Problem::from(error).into();
        }
        if super::zero::is_cause(&error) {
            return Self::bad(super::zero::problem().message);
        }
        tracing::error!("{error}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "the registry cannot reach what it keeps; its log says more".to_owned())
    }
}
