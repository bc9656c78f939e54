//! What a master's handles share with its thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use mio::Waker;
use palm_proto::endpoint::EndpointCounters;
use palm_proto::master::{Counters as MasterCounters, Gauges};

use super::turn::MasterEndpoint;

/// What a master has done, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages and results.
    pub messages: MasterCounters,
    /// Connections and the cache.
    pub peers: EndpointCounters,
    /// What is held now.
    pub now: Gauges,
    /// Connections open now.
    pub connections: usize,
}

pub(super) fn counters(endpoint: &MasterEndpoint) -> Counters {
    Counters {
        messages: *endpoint.master().counters(),
        peers: *endpoint.counters(),
        now: endpoint.master().gauges(),
        connections: endpoint.connections(),
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    waker: Waker,
    stopping: AtomicBool,
    /// As of the last turn of the loop: nothing changes in between.
    counters: Mutex<Counters>,
}

impl Shared {
    pub(super) fn new(waker: Waker) -> Self {
        Self { waker, stopping: AtomicBool::new(false), counters: Mutex::default() }
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            tracing::warn!("cannot wake the master: {error}");
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn publish(&self, counters: Counters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    pub(super) fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
