//! All that is tested over HTTP, with the store on PostgreSQL.

#[path = "access.rs"]
mod access;
#[path = "api.rs"]
mod api;
#[path = "runner_api.rs"]
mod runner_api;
