//! What a request of `/api/v1` is answered with that cannot be granted.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::refusal::{Reason, Refusal};
use crate::store::StoreError;
use crate::work::Undone;

/// Seconds after which it may be tried again when there was too much to do.
const BUSY_FOR: u64 = 5;

/// A status, a word for programs, and a sentence for people that says what to do.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Seconds to wait before it is tried again.
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem with a status of its own.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// The request says something that it cannot say.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// Nobody has said who asks.
    #[must_use]
    pub fn unknown_caller() -> Self {
        let message = "log in, or send a token as `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "not-logged-in", message)
    }

    /// Who asks may not do that.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// It is not there, or not for who asks.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("there is no such {what}"))
    }

    /// It would take away what somebody else has just done, or what is there.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// There is too much to do at the moment.
    pub fn busy(message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message);
        Self { retry_after: Some(BUSY_FOR), ..problem }
    }

    /// Too often.
    pub fn too_many(message: impl Into<String>, retry_after: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", message);
        Self { retry_after: Some(retry_after), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Refusal { error: Reason { code: self.code.to_owned(), message: self.message.clone() } };
        let mut response = (self.status, Json(body)).into_response();
        // For pages, which say it in their own way.
        response.extensions_mut().insert(self.clone());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Undone> for Problem {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Busy => Self::busy(undone.to_string()),
            Undone::Failed => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", undone.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    /// What is wrong with a database is for the log, not for whoever asks.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => return Undone::Busy.into(),
            StoreError::Failed => return Undone::Failed.into(),
            _ => {}
        }
        if super::zero::is_cause(&error) {
            return super::zero::problem();
        }
        tracing::error!("{error}");
        let message = "the registry cannot reach what it keeps; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", message)
    }
}
