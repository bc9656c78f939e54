//! Which component is on which node, with which addresses (`docs/registry.md`, section 2).
//!
//! A [`Plan`] changes when a node asks what it is to run ([`Plan::offer`]), leaves ([`Plan::remove_node`]), the cluster is another
//! ([`Plan::scale`], [`Plan::replace`]), or a component is to stop, start or start anew ([`Plan::stop`]). It does no IO, and the same calls give the same plan.
//!
//! ```
//! use palm_registry::cluster::Cluster;
//! use palm_registry::plan::{NodeOffer, Plan};
//!
//! let cluster = Cluster::from_ini("[Master]\nScript = m\n--db = _1\n[Worker]\nScript = w\n--db = _1\nConnected = Master\n")?;
//! let mut plan = Plan::new(cluster);
//! assert!(!plan.is_ready());
//! plan.offer(NodeOffer::from_ini("[DEFAULT]\nName = here\nIp = 127.0.0.1\nProcessors = 2\nPorts_from = 5555\n")?);
//! let lines: Vec<_> = plan.commands("here").map(|command| command.line).collect();
//! assert_eq!(lines, ["m --db tcp://127.0.0.1:5555", "w --db tcp://127.0.0.1:5555"]);
//! assert!(plan.is_ready());
//! # Ok::<(), palm_registry::cluster::FileError>(())
//! ```

mod command;
mod components;
mod missing;
mod node;
mod nodes;
mod placing;
mod ports;
#[cfg(test)]
mod tests;
mod wanted;

pub use command::Command;
pub use missing::{Missing, Reason};
pub use node::{HOST, NodeOffer, is_host};
pub use nodes::{Instance, Node};
pub use placing::{NODES_MAX, Plan, Socket};
pub use wanted::Wanted;
