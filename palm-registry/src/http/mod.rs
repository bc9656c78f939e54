//! The registry over HTTP.

mod compat;
mod error;
mod runner;
mod serve;
mod time;

pub(crate) use compat::LogMessages;
pub use serve::serve;

use axum::Router;
use axum::extract::DefaultBodyLimit;

use crate::store::Store;

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 16 << 20;

/// All that the registry answers.
pub fn router(store: Store) -> Router {
    Router::new()
        .merge(compat::router())
        .merge(runner::router())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(store)
}
