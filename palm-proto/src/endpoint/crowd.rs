//! Who makes room for whom when all places for connections are taken.
//!
//! A connection that has done nothing yet gives way to a newcomer: first those whose handshake is not over, as long as they have
//! more than an eighth of the places, then those that have waited longest since; a worker's connection for answers comes after all of
//! these, the newest first. Nobody gives way to a newcomer of a source that has more
//! connections than its own. What has been of use (a message, a task or a result has gone over it) keeps its place, but to a
//! source that has less than half as many connections as its own, and then only while it holds nothing.

use core::net::IpAddr;

use crate::collections::{Index, List, NONE, Place, Slab, Slot, Table};
use crate::hash::KeyedHash;
use crate::time::Instant;

use super::event::{EndpointEvent, Fault};
use super::machine::Endpoint;
use super::peer::{ConnectionId, InIdle, Peer, Role, Service};
use super::storage::EndpointStorage;

/// One in so many connections is kept for workers: those of clients that wait to be read, also of such as are gone, would
/// else keep those out that could make room.
const KEPT_FOR_WORKERS: usize = 8;
/// One part in so many is what those have whose handshake is not over, when places are short.
const SHARE_OF_STRANGERS: usize = 8;
/// Connections that are looked at for one that gives way.
const LOOKED_AT: usize = 64;

/// Where a connection comes from, as far as its driver tells: when places are short, connections of one source give way to those of
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(pub u64);

impl Source {
    /// This host: loopback, a Unix socket or a serial line. A whole cluster may be there, so what has been of use keeps its place.
    pub const LOCAL: Self = Self(0);
}

impl From<IpAddr> for Source {
    /// A host; of IPv6 a network of 64 bits, all of whose addresses one host may have.
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::LOCAL,
            IpAddr::V4(address) => Self(1 << 32 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self(((address.to_bits() >> 64) as u64).max(1)),
        }
    }
}

/// A source, and how many connections it has; named only by storage types.
#[derive(Debug)]
pub struct Crowd {
    source: Source,
    held: u32,
}

/// All sources, and the connections that may have to give way.
#[derive(Debug)]
pub(super) struct Crowds<T, P> {
    sources: Slab<Crowd, T>,
    by_source: Index<P>,
    hash: KeyedHash,
    /// Connections at most; the table has room for some that are on their way out as well.
    limit: u32,
    /// Connections whose handshake is over, that have not been of use.
    pub(super) idle: List<InIdle, ()>,
    /// The same of workers' connections for answers, which are silent for as long as a worker is at its first message.
    answerers: List<InIdle, ()>,
    /// Those that have been of use.
    pub(super) known: List<InIdle, ()>,
    /// Connections that give way and are not closed yet.
    giving_way: u32,
}

impl<T: Table<Slot<Crowd>>, P: Table<Place>> Crowds<T, P> {
    pub(super) fn new(sources: T, places: P, hash: KeyedHash, limit: usize) -> Self {
        let (sources, by_source) = (Slab::new(sources), Index::new(places));
        Self {
            sources,
            by_source,
            hash,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            idle: List::new(),
            answerers: List::new(),
            known: List::new(),
            giving_way: 0,
        }
    }

    fn find(&self, source: Source) -> Option<u32> {
        let hash = self.hash.hash(&source.0.to_le_bytes());
        self.by_source.candidates(hash).find(|&index| self.sources[index].source == source)
    }

    /// Connections at most.
    fn limit(&self) -> usize {
        self.limit as usize
    }

    /// One more connection of a source; `NONE` if there is no room to count it.
    fn enter(&mut self, source: Source) -> u32 {
        if let Some(known) = self.find(source) {
            self.sources[known].held += 1;
            return known;
        }
        let Ok(index) = self.sources.insert(Crowd { source, held: 1 }) else { return NONE };
        if !self.by_source.insert(self.hash.hash(&source.0.to_le_bytes()), index) {
            self.sources.remove(index);
            return NONE;
        }
        index
    }

    fn leave(&mut self, index: u32) {
        let Some(crowd) = self.sources.get_mut(index) else { return };
        crowd.held -= 1;
        if crowd.held == 0 {
            let hash = self.hash.hash(&crowd.source.0.to_le_bytes());
            self.by_source.remove(hash, index);
            self.sources.remove(index);
        }
    }

    /// The list for a connection whose handshake is over.
    fn list_of<Z>(&mut self, peer: &Peer<Z>) -> &mut List<InIdle, ()> {
        match peer.role {
            _ if peer.known => &mut self.known,
            Role::Answerer => &mut self.answerers,
            _ => &mut self.idle,
        }
    }

    /// Connections of a source that was entered.
    fn held(&self, index: u32) -> u32 {
        self.sources.get(index).map_or(u32::MAX, |crowd| crowd.held)
    }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// A connection to `service` is established, of this host. See [`handle_accept_from`](Self::handle_accept_from).
    pub fn handle_accept(&mut self, now: Instant, service: Service) -> Option<ConnectionId> {
        self.handle_accept_from(now, service, Source::LOCAL)
    }

    /// A connection to `service` is established. `None` if there are too many: close it. One in eight is kept for workers. Where all
    /// are taken, one that has not been of use may have to give way: [`poll_ready`](Self::poll_ready) names it. Close it, and offer what
    /// this connection has said, before the next is taken: else newcomers are turned away for want of places, or give way themselves.
    pub fn handle_accept_from(&mut self, now: Instant, service: Service, source: Source) -> Option<ConnectionId> {
        let kept = match service {
            Service::WorkerPush | Service::WorkerPull => 0,
            Service::Pull | Service::Publish | Service::Cache | Service::Native => {
                self.crowds.limit() / KEPT_FOR_WORKERS
            }
        };
        let source = self.crowds.enter(source);
        let in_use = self.peers.len() - self.crowds.giving_way as usize;
        let has_place = in_use < self.crowds.limit() - kept || self.push_one_out(now, source);
        // Where there are places for those that give way, no more are in use than there were before.
        let has_spare = self.peers.capacity() > self.crowds.limit();
        let is_within = has_spare || self.peers.len() < self.peers.capacity() - kept;
        let inserted = if has_place && is_within { self.add_peer(now, service, source) } else { None };
        let Some(index) = inserted else {
            self.crowds.leave(source);
            self.counters.refused += 1;
            self.report(EndpointEvent::TurnedAway { service });
            return None;
        };
        self.counters.accepted += 1;
        self.start_handshake(now, index);
        let generation = self.peers.generation(index)?;
        Some(ConnectionId { index, generation })
    }

    /// A connection's handshake is over: one that is `trusted` has shown who it is, and all others have to be of use.
    pub(super) fn on_greeted(&mut self, index: u32, trusted: bool) {
        let peer = &mut self.peers[index];
        (peer.trusted, peer.known) = (trusted, trusted);
        self.crowds.list_of(peer).push_back(&mut self.peers, index);
    }

    /// A message, a task or a result has gone over a connection.
    #[inline]
    pub(super) fn on_use(&mut self, index: u32) {
        if !self.peers[index].known {
            self.make_known(index);
        }
    }

    #[cold]
    fn make_known(&mut self, index: u32) {
        if self.peers[index].is_idle_listed() {
            self.unlist_idle(index);
            self.peers[index].known = true;
            self.crowds.known.push_back(&mut self.peers, index);
        }
    }

    /// Where a connection comes from; this host if there was no room to note it.
    pub(super) fn source_of(&self, index: u32) -> Source {
        self.crowds.sources.get(self.peers[index].source).map_or(Source::LOCAL, |crowd| crowd.source)
    }

    /// A connection is gone.
    pub(super) fn leave_crowd(&mut self, index: u32) {
        self.unlist_idle(index);
        let peer = &self.peers[index];
        self.crowds.giving_way -= u32::from(peer.gives_way);
        self.crowds.leave(peer.source);
    }

    fn unlist_idle(&mut self, index: u32) {
        if self.peers[index].is_idle_listed() {
            self.crowds.list_of(&self.peers[index]).remove(&mut self.peers, index);
        }
    }

    /// Has a connection give way to a newcomer of a source. Whether there was one. Looks at five times 64 at most.
    fn push_one_out(&mut self, now: Instant, source: u32) -> bool {
        let on_their_way = self.crowds.giving_way as usize;
        if on_their_way >= (self.peers.capacity() - self.crowds.limit()).max(1) {
            // The driver has still to close some.
            return false;
        }
        let strangers = self.timers.strangers();
        let many = strangers > self.crowds.limit() / SHARE_OF_STRANGERS;
        let first = if many { self.oldest_stranger(source) } else { None };
        let found = first.or_else(|| self.oldest_idle(source)).or_else(|| self.oldest_stranger(source));
        let found = found.or_else(|| self.newest_answerer(source));
        let Some(index) = found.or_else(|| self.one_of_a_crowd(now, source)) else { return false };
        self.counters.gave_way += 1;
        self.unlist_idle(index);
        self.close_for(index, Fault::GaveWay);
        self.peers[index].gives_way = true;
        self.crowds.giving_way += 1;
        true
    }

    /// Whether a connection may have to give way to a newcomer of `source`: one of another that has as many or more, or of the same if
    /// that has as many as others on average, or more.
    fn may_give_way(&self, index: u32, source: u32) -> bool {
        let (own, held) = (self.peers[index].source, self.crowds.held(source));
        if own == source {
            return held as usize >= self.peers.len() / self.crowds.sources.len().max(1);
        }
        self.crowds.held(own) >= held
    }

    /// The connection whose handshake has taken longest of those that may have to give way.
    fn oldest_stranger(&self, source: u32) -> Option<u32> {
        let may = |&index: &u32| self.may_give_way(index, source);
        self.timers.oldest_strangers(&self.peers).take(LOOKED_AT).find(may)
    }

    /// The connection that has been waiting longest to be of use, of those that may have to give way. Others have their turn later.
    fn oldest_idle(&mut self, source: u32) -> Option<u32> {
        for _ in 0..LOOKED_AT {
            let index = self.crowds.idle.front()?;
            if self.may_give_way(index, source) && !self.holds_anything(index) {
                return Some(index);
            }
            self.crowds.idle.move_to_back(&mut self.peers, index);
        }
        None
    }

    /// The newest connection for answers that has had none, of those that may have to give way. A worker that is at its first
    /// message has an older one than whoever comes to take places.
    fn newest_answerer(&mut self, source: u32) -> Option<u32> {
        for _ in 0..LOOKED_AT {
            let index = self.crowds.answerers.back()?;
            if self.may_give_way(index, source) && !self.holds_anything(index) {
                return Some(index);
            }
            self.crowds.answerers.remove(&mut self.peers, index);
            self.crowds.answerers.push_front(&mut self.peers, index);
        }
        None
    }

    /// A connection that has been of use, and holds nothing, of another host that has more than twice as many as this source.
    fn one_of_a_crowd(&mut self, now: Instant, source: u32) -> Option<u32> {
        let held = self.crowds.held(source);
        for _ in 0..LOOKED_AT {
            let index = self.crowds.known.front()?;
            let peer = &self.peers[index];
            let crowd = self.crowds.sources.get(peer.source);
            let is_crowd = crowd.is_some_and(|crowd| crowd.source != Source::LOCAL && crowd.held / 2 > held);
            let is_quiet = now - peer.heard >= self.heartbeat && !peer.trusted;
            if is_crowd && is_quiet && !self.holds_anything(index) {
                return Some(index);
            }
            self.crowds.known.move_to_back(&mut self.peers, index);
        }
        None
    }

    /// Whether anything is under way over a connection, or waits for it.
    fn holds_anything(&self, index: u32) -> bool {
        let peer = &self.peers[index];
        let waits = match peer.role {
            Role::Worker(worker) | Role::NativeWorker(worker) => {
                self.master.load(worker).is_some_and(|load| load.0 > 0)
            }
            Role::Subscriber(subscriber) => self.master.has_result(subscriber),
            Role::NativeClient { subscriber, session, .. } => {
                self.master.has_result(subscriber) || self.native.holds_for(session)
            }
            Role::Stranger | Role::Sender(_) | Role::Answerer | Role::CacheClient => false,
        };
        waits || peer.outgoing > 0 || peer.reserved > 0 || peer.is_blocked() || peer.reply().is_some()
    }
}
