//! All that is tested over HTTP, with the store on PostgreSQL.

#![expect(clippy::duplicate_mod, reason = "each of these has what tests have in common")]

#[path = "access.rs"]
mod access;
#[path = "api.rs"]
mod api;
#[path = "python_api.rs"]
mod python_api;
#[path = "runner_api.rs"]
mod runner_api;
