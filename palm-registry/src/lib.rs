//! PALM's registry: what a cluster consists of, and what of it runs where.
//!
//! - [`cluster`]: a cluster file, as INI or TOML, and its components.
//! - [`plan`]: which component is on which node, with which addresses. It does no IO.
//! - [`store`]: what is kept.
//! - [`http`]: what is answered.
//! - [`wire`]: what a runner and the registry tell each other.

#![forbid(unsafe_code)]

pub mod cluster;
pub mod http;
pub mod plan;
pub mod store;
pub mod wire;
