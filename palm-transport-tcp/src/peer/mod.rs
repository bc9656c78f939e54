//! What workers and clients have in common: one connection to a master, made anew whenever it breaks.

mod cache;
mod keeper;
mod link;
mod machine;
mod options;
mod out;
mod receive;

pub use cache::{Cache, CacheError, Condition, Value};
pub(crate) use cache::{CacheBook, CacheDoor, CacheRequest};
pub(crate) use keeper::Keeper;
pub(crate) use link::Link;
pub use machine::NO_TOKEN;
pub(crate) use machine::{Machine, Verdict};
pub use options::{BuildError, PeerOptions};
pub(crate) use out::Out;
