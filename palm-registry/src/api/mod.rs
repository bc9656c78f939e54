//! What `/api/v1` is asked and answers, as JSON (`docs/registry.md`, section 8).
//!
//! The registry's document is made of these, its pages show them, and [`client`](crate::client) reads and writes them. Instants are
//! microseconds since 1970, in UTC. Of an answer that knows more, what is not known here is passed over.
//! What holds a secret has no `Debug`, so that none gets into a log by mistake.
//!
//! - [`account`]: who asks, its password and its tokens.
//! - [`users`]: all who may ask; for admins.
//! - [`audit`]: what was done.
//! - [`clusters`]: clusters, their files and settings.
//! - [`versions`]: what a file was before.
//! - [`shares`]: with whom a cluster is shared.
//! - [`status`]: what is placed, what runs, and what is missing.
//! - [`actions`]: what is done with what runs.
//! - [`logs`]: what components have printed.
//! - [`refusal`]: what is answered instead.

pub mod account;
pub mod actions;
pub mod audit;
pub mod clusters;
pub mod logs;
pub mod refusal;
pub mod shares;
pub mod status;
pub mod users;
pub mod versions;
