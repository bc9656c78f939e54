//! The registry over HTTP.

pub mod access;
mod api;
mod app;
mod bounds;
mod compat;
mod connections;
mod error;
mod forget;
mod health;
#[cfg(test)]
mod heavy;
mod hub;
mod level;
mod paged;
mod pages;
mod problem;
mod prune;
mod python_logs;
mod remembered;
mod runner;
mod seats;
mod serve;
mod shares;
mod time;
pub mod tls;
mod wanted;
mod zero;

pub use app::{App, Settings};
pub use bounds::Bounds;
pub use forget::forget_silent_nodes;
pub use problem::Problem;
pub use prune::{LogBounds, prune};
pub use serve::serve;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};

/// All that the registry answers.
///
/// Programs that know a cluster's key use one part; to the other, which browsers use as well, nobody comes by a name that is not the
/// registry's.
pub fn router(app: App) -> Router {
    let store = app.store.clone();
    let python = compat::router().layer(from_fn_with_state(store.clone(), access::answers_python));
    let programs =
        python.with_state(store).merge(runner::router().with_state(app.clone())).layer(from_fn(zero::refuse));
    let browsers = api::router(&app.settings).merge(health::router()).merge(pages::router());
    let browsers = browsers.layer(from_fn(zero::refuse)).layer(from_fn_with_state(app.clone(), access::guard));
    let browsers = browsers.layer(from_fn_with_state(app.clone(), pages::explain));
    let counted = from_fn_with_state(app.clone(), health::count);
    let bodies = from_fn_with_state(app.clone(), bounds::bodies);
    let all = Router::new().merge(programs).merge(browsers.with_state(app));
    all.layer(DefaultBodyLimit::max(bounds::BODY_MAX)).layer(bodies).layer(counted)
}
