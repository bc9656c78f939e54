//! PALM's registry: what a cluster consists of, and what of it runs where.
//!
//! - [`cluster`]: a cluster file, as INI or TOML, and its components.
//! - [`plan`]: which component is on which node, with which addresses. It does no IO.
//! - [`store`]: what is kept.
//! - [`http`]: what is answered.
//! - [`api`]: what people and their programs ask and are told.
//! - [`client`]: asks a registry.
//! - [`runner`]: runs what a registry wants of a node.
//! - [`private`]: files and folders that are for their user alone.
//! - [`process`]: process groups that do not outlive who started them.
//! - [`wire`]: what a runner and the registry tell each other.
//! - [`words`]: command lines and their words.

#![forbid(unsafe_code)]

pub mod api;
pub mod client;
pub mod cluster;
pub mod http;
mod locked;
pub mod names;
pub mod plan;
pub mod private;
pub mod process;
pub mod runner;
pub mod store;
pub mod wire;
pub mod words;
mod work;
