//! The registry's pages (`docs/registry.md`, section 11): HTML that is made here, and works without scripts.
//!
//! - `frame`: what all pages have around them. `explain`: what a page says when something cannot be granted.
//! - `view`: a cluster's state for people, as `tone` has it; `picture`: the same as a picture. `paging`: tables that are long.
//! - The rest are the pages. They do what they do by the functions of [`api`](super::api).

mod account;
mod actions;
mod assets;
mod audit;
mod cluster;
mod clusters;
mod explain;
mod file;
mod frame;
mod logs;
mod nodes;
mod paging;
mod picture;
mod processes;
mod python;
mod settings;
mod show;
mod tokens;
mod tone;
mod users;
mod versions;
mod view;

pub(super) use explain::explain;

use axum::Router;

use super::app::App;

/// All pages.
pub(super) fn router() -> Router<App> {
    let parts = [
        assets::router(),
        account::router(),
        tokens::router(),
        clusters::router(),
        cluster::router(),
        processes::router(),
        actions::router(),
        file::router(),
        versions::router(),
        logs::router(),
        python::router(),
        settings::router(),
        nodes::router(),
        users::router(),
        audit::router(),
    ];
    parts.into_iter().fold(Router::new(), Router::merge)
}
