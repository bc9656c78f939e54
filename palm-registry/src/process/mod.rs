//! Processes of other programs: each leads a group of its own, so that what it started goes with it; a [`Lifeline`] ends those groups
//! even if the program that started them is killed.
//!
//! A program that uses it calls [`watch`] first of all if [`watched`] says so.

mod group;
mod identity;
mod lifeline;

pub use group::Group;
pub(crate) use identity::is_proc_ours;
pub use identity::{signal, started};
pub use lifeline::{Lifeline, Mark, watch, watched};
