//! How an endpoint behaves, and what it has done.

use core::time::Duration;

use crate::cache::CacheLimits;
use crate::master::MasterConfig;

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The master's behaviour.
    pub master: MasterConfig,
    /// Bounds of the cache, which are beside the master's memory.
    pub cache: CacheLimits,
    /// Connections at most; `None`: as many as the table has room for. Where the table has room for more, a connection that gives way
    /// to another need not be closed before that is accepted.
    pub connections: Option<usize>,
    /// Longest message, in bytes. At most a quarter of the master's memory is ever used.
    pub max_message: usize,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Silence after which a peer that speaks ZMTP 3.1 is sent a PING; after twice as much more it is gone, unless it takes
    /// what it is sent. Subscribers are not asked: one that is slow does not read, and only TCP can tell whether it lives.
    pub heartbeat: Duration,
    /// Time in which a message that has come in part must go on.
    pub partial_timeout: Duration,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            master: MasterConfig::default(),
            cache: CacheLimits::default(),
            connections: None,
            max_message: 64 << 20,
            handshake_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(5),
            partial_timeout: Duration::from_secs(30),
        }
    }
}

/// What an endpoint has done; each only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused, as there were too many.
    pub refused: u64,
    /// Connections closed to make room for others, having been of no use.
    pub gave_way: u64,
    /// Subscriptions that were one too many.
    pub subscriptions_refused: u64,
    /// Connections closed for breaking the protocol or a limit.
    pub protocol_errors: u64,
    /// Handshakes that were not over in time.
    pub handshake_timeouts: u64,
    /// Peers that fell silent.
    pub silent: u64,
    /// Messages of several frames, where one is due, thrown away.
    pub multipart: u64,
    /// Requests to the cache.
    pub cache_requests: u64,
    /// Requests that no sound peer makes.
    pub cache_faults: u64,
    /// Native peers that were refused, or broke the protocol.
    pub native_refused: u64,
    /// Tasks that native clients submitted again after a reconnect, and that were here.
    pub submitted_again: u64,
    /// Tasks of native clients that there was no room for, which they submit again; not those that were dropped behind them.
    pub turned_away: u64,
    /// Answers of native workers to tasks that nobody wants any more, or not yet; and results for native clients that are of none of
    /// their tasks.
    pub unwanted: u64,
    /// Results, as bytes, that were dropped with native clients that stayed away.
    pub forgotten: u64,
}
