//! A whole cluster in one thread, under a virtual clock, from one seed.
//!
//! The master is the real [`Endpoint`](palm_proto::endpoint::Endpoint), driven as the transport drives it; its peers speak
//! ZMTP through [`zmtp::Connection`](palm_proto::zmtp::Connection) over connections that take their time, have bounded
//! buffers, and break at any byte. [`Scenario`] says who takes part and what goes wrong, [`World`] runs it, and the ledger
//! holds the master to what it promises:
//!
//! - a message that the master received whole comes to an end: with results of one attempt, or with a failure;
//! - nobody gets anything twice, or anything of another's; what was given to a connection that then broke is lost (a stock
//!   client has no way to tell what it has), and nothing else is;
//! - a worker has no more than its window, and the memory that the master counts stays below its bound, but for a message
//!   for each connection and what drivers hold to be sent;
//! - nothing waits to be sent on a connection that the endpoint has not named, and a cluster in which nothing goes wrong any
//!   more comes to an end; after that, nothing is held.
//!
//! The same seed gives the same run, which [`Summary::hash`] shows.

mod alarm;
mod chaos;
mod client;
mod context;
mod dice;
mod frames;
mod intruder;
mod ledger;
mod master;
mod native_client;
mod native_scenario;
mod native_worker;
mod network;
mod queue;
mod scenario;
mod socket;
mod trace;
mod witness;
mod worker;
mod world;

pub use client::ClientPlan;
pub use dice::Dice;
pub use native_client::NativeClientPlan;
pub use native_worker::NativeWorkerPlan;
pub use network::Line;
pub use scenario::{Faults, Scenario};
pub use trace::Listener;
pub use worker::WorkerPlan;
pub use world::{Summary, World};

/// What kind of cluster a seed makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All peers speak ZeroMQ.
    Zeromq,
    /// All peers speak the native protocol.
    Native,
    /// Peers of both protocols.
    Mixed,
    /// A master that starts anew, for peers of both.
    Restarts,
    /// Native peers of a master whose tables are small.
    Tight,
    /// Native workers that are at long tasks when their master starts anew.
    Claims,
    /// ZeroMQ clients, many of them late, while others have subscribed to all results.
    Overheard,
    /// ZeroMQ clients at full speed, workers that die, and a subscriber that comes late.
    FullSpeed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Zeromq,
        Self::Native,
        Self::Mixed,
        Self::Restarts,
        Self::Tight,
        Self::Claims,
        Self::Overheard,
        Self::FullSpeed,
    ];

    /// What it is called on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zeromq => "zeromq",
            Self::Native => "native",
            Self::Mixed => "mixed",
            Self::Restarts => "restarts",
            Self::Tight => "tight",
            Self::Claims => "claims",
            Self::Overheard => "overheard",
            Self::FullSpeed => "full-speed",
        }
    }

    /// Runs the cluster of a seed, in which clients send about `messages` messages.
    ///
    /// # Errors
    /// Tells what went wrong. Panics of the machines come through.
    pub fn run(self, seed: u64, messages: u32, listener: Option<Listener>) -> Result<Summary, String> {
        let draw = |dice: &mut Dice| match self {
            Self::Zeromq => Scenario::draw(dice, messages),
            Self::Native => Scenario::native(dice, messages),
            Self::Mixed => Scenario::mixed(dice, messages),
            Self::Restarts => Scenario::restarts(dice, messages),
            Self::Tight => Scenario::tight(dice, messages),
            Self::Claims => Scenario::claims(dice, messages),
            Self::Overheard => Scenario::overheard(dice, messages),
            Self::FullSpeed => Scenario::at_full_speed(dice, messages),
        };
        World::new(seed, draw, listener).run()
    }
}
