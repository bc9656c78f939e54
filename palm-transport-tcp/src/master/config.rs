//! What a master is told.

use std::time::Duration;

use palm_proto::CacheLimits;
use palm_proto::endpoint::EndpointConfig;
use palm_proto::master::{MasterConfig as CoreConfig, TableSizes};

/// How a [`Master`](super::Master) behaves, and where it listens.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterConfig {
    /// The name that peers are told.
    pub name: String,
    /// Where peers connect, each an [`Address`](crate::Address): ports, whose host may be `*` for all interfaces and whose
    /// number may be `0` or `*` for a free one, Unix sockets, and serial lines.
    pub listen: Vec<String>,
    /// What peers have to show, at most 255 bytes; empty: nothing.
    pub token: String,
    /// Most bytes of messages held at a time.
    pub memory: usize,
    /// Most messages held at a time; up to twice as many results.
    pub queue: usize,
    /// Time after which a worker that has answered nothing is taken to hang; `None`: never.
    pub lease: Option<Duration>,
    /// How many workers may be lost with a message before it is given up.
    pub attempts: u32,
    /// The highest priority that counts across clients: their messages of a higher one take turns with those of this one. With 0 a
    /// client's priorities rank its own messages only; 3 is the highest there is.
    pub priority_across: u8,
    /// How long a result waits for a client that is not connected, or takes nothing.
    pub keep: Duration,
    /// Longest message, in bytes; at most a quarter of `memory`.
    pub max_message: usize,
    /// Most connections.
    pub connections: usize,
    /// Silence after which a peer is asked whether it lives; after twice as much it is gone.
    pub heartbeat: Duration,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Time to finish what is out when the master stops.
    pub grace: Duration,
    /// Bounds of the cache, which are beside `memory`.
    pub cache_limits: CacheLimits,
}

impl MasterConfig {
    /// A master with this name at port 5560 of loopback.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: vec!["tcp://127.0.0.1:5560".into()],
            token: String::new(),
            memory: 1 << 30,
            queue: 100_000,
            lease: None,
            attempts: 3,
            priority_across: 0,
            keep: Duration::from_secs(60),
            max_message: 64 << 20,
            connections: 4_096,
            heartbeat: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            cache_limits: CacheLimits::default(),
        }
    }

    /// The same master on a free port of loopback: for tests and demonstrations.
    pub fn on_free_port(name: impl Into<String>) -> Self {
        Self { listen: vec!["tcp://127.0.0.1:0".into()], ..Self::new(name) }
    }

    pub(super) fn endpoint(&self) -> EndpointConfig {
        EndpointConfig {
            master: CoreConfig {
                memory: self.memory as u64,
                lease: self.lease,
                attempts: self.attempts,
                priority_across: self.priority_across,
                keep: self.keep,
                ..CoreConfig::default()
            },
            cache: self.cache_limits,
            connections: Some(self.places()),
            max_message: self.max_message,
            handshake_timeout: self.handshake_timeout,
            heartbeat: self.heartbeat,
            ..EndpointConfig::default()
        }
    }

    fn places(&self) -> usize {
        self.connections.max(2)
    }

    pub(super) fn sizes(&self) -> TableSizes {
        TableSizes::for_connections(self.queue.max(1), self.places())
    }
}

impl std::fmt::Debug for MasterConfig {
    /// Keeps the token to itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterConfig").field("name", &self.name).field("listen", &self.listen).finish_non_exhaustive()
    }
}
