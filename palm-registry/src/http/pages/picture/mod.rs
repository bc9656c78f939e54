//! A cluster as a picture: components in layers, who binds a socket left of who connects to it, and in each the nodes that have copies of it.
//!
//! [`arrange`] says where everything is, [`draw`] makes SVG of it. Both are pure.

mod draw;
mod layout;
#[cfg(test)]
mod tests;

pub(super) use draw::draw;
pub(super) use layout::{arrange, can_draw};
