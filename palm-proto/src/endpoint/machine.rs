//! [`Endpoint`] itself: from bytes to the master and back.

use core::time::Duration;

use crate::buffer::Span;
use crate::cache::Cache;
use crate::collections::{List, Queue, Slab, Table as _};
use crate::hash::KeyedHash;
use crate::master::{Master, MasterStorage, NameTooLong, Tags};
use crate::random::Seed;
use crate::time::Instant;
use crate::zmtp::{Connection, Limits};

use super::config::{EndpointConfig, EndpointCounters};
use super::crowd::Crowds;
use super::event::{EndpointEvent, Fault};
use super::input::Next;
use super::native::Natives;
use super::part::Part;
use super::peer::{ConnectionId, Control, InBlocked, InReady, Peer, Role, Service, Speech, ZeroMq};
use super::storage::{EndpointStorage, EndpointTables};
use super::timers::{Class, Timers};

/// Time after which further blocked connections are looked at if nothing else happens.
const BLOCKED_TURN: Duration = Duration::from_millis(20);

pub(super) type BufferOf<S> = <<S as EndpointStorage>::Master as MasterStorage>::Buffer;

/// A master's five sockets (`docs/spec.md`, section 6).
#[derive(Debug)]
pub struct Endpoint<S: EndpointStorage> {
    pub(super) master: Master<S::Master>,
    pub(super) cache: Cache<BufferOf<S>, S::Entries, S::EntryPlaces>,
    pub(super) native: Natives<S::Native>,
    pub(super) peers: Slab<Peer<S::ZeroMq>, S::Peers>,
    pub(super) crowds: Crowds<S::Sources, S::SourcePlaces>,
    pub(super) limits: Limits,
    /// Connections to come back to.
    pub(super) ready: List<InReady>,
    /// Connections that wait to be allowed to send.
    pub(super) blocked: List<InBlocked>,
    pub(super) timers: Timers,
    /// None where nobody speaks ZeroMQ.
    pub(super) control: Option<S::Control>,
    /// What follows the message that is sent last.
    pub(super) tags: Tags,
    pub(super) events: S::Events,
    pub(super) counters: EndpointCounters,
    pub(super) heartbeat: Duration,
    pub(super) memory: u64,
    /// Bytes set aside for large messages that have come in part.
    pub(super) partial: u64,
    /// Nothing is taken from clients any more.
    pub(super) draining: bool,
    /// The last time that was told.
    pub(super) now: Instant,
}

impl<S: EndpointStorage> Endpoint<S> {
    /// An endpoint with its tables, all empty. `seed` must differ from run to run.
    ///
    /// # Errors
    /// If the name is longer than a message buffer.
    pub fn new(
        name: &str,
        config: &EndpointConfig,
        tables: EndpointTables<S>,
        seed: Seed,
    ) -> Result<Self, NameTooLong> {
        let places = tables.peers.capacity();
        let limit = config.connections.unwrap_or(places).min(places);
        let hash = KeyedHash::new(seed.derive("sources"));
        let quarter = usize::try_from(config.master.memory / 4).unwrap_or(usize::MAX);
        Ok(Self {
            master: Master::new(name, config.master, tables.master, seed)?,
            cache: Cache::with_tables(tables.entries, tables.entry_places, config.cache, seed),
            native: Natives::new(name, config, tables.native, seed).ok_or(NameTooLong)?,
            peers: Slab::new(tables.peers),
            crowds: Crowds::new(tables.sources, tables.source_places, hash, limit),
            limits: Limits { max_frame: config.max_message.min(quarter) as u64, ..Limits::default() },
            ready: List::new(),
            blocked: List::new(),
            timers: Timers::new(config.handshake_timeout, config.heartbeat, config.partial_timeout),
            control: S::Control::some(Control::new()),
            tags: Tags::new(),
            events: S::Events::default(),
            counters: EndpointCounters::default(),
            heartbeat: config.heartbeat,
            memory: config.master.memory,
            partial: 0,
            draining: false,
            now: Instant::ZERO,
        })
    }

    /// The cache, for its owner: to preset what discovery needs.
    pub fn cache(&mut self) -> &mut Cache<BufferOf<S>, S::Entries, S::EntryPlaces> {
        &mut self.cache
    }

    /// Has the handshakes that follow tell a property, if there is room for it: `false` if there is none. So a peer learns what the
    /// master can do without a request, which a master that is not ours would not know.
    pub fn tell(&mut self, name: &str, value: &[u8]) -> bool {
        self.control.as_mut().is_some_and(|control| control.part_mut().metadata.add(name, value))
    }

    /// The master.
    pub fn master(&self) -> &Master<S::Master> {
        &self.master
    }

    /// Who is told of all that happens to messages and results.
    pub fn journal(&mut self) -> &mut <S::Master as MasterStorage>::Journal {
        self.master.journal()
    }

    /// What it has done.
    pub fn counters(&self) -> &EndpointCounters {
        &self.counters
    }

    /// Messages that a connection has outstanding as a worker, and how many it may have; `None` if it is no worker's.
    pub fn load(&self, id: ConnectionId) -> Option<(usize, u32)> {
        match self.peers[self.find(id)?].role {
            Role::Worker(worker) => self.master.load(worker),
            Role::NativeWorker(worker) => self.master.load(worker),
            Role::Stranger
            | Role::Sender(_)
            | Role::Answerer
            | Role::Subscriber(_)
            | Role::CacheClient
            | Role::NativeClient { .. } => None,
        }
    }

    /// Connections open.
    pub fn connections(&self) -> usize {
        self.peers.len()
    }

    /// A connection that was accepted has so much time for its handshake.
    pub(super) fn start_handshake(&mut self, now: Instant, index: u32) {
        self.timers.start(&mut self.peers, now, index, Class::Handshake);
    }

    pub(super) fn add_peer(&mut self, now: Instant, service: Service, source: u32) -> Option<u32> {
        let Some(socket_type) = service.socket_type() else {
            let native = self.native.add_peer()?;
            let index = self.peers.insert(Peer::new(now, service, source, Speech::Native(native))).ok();
            self.native.bind_peer(native, index);
            return index;
        };
        let zeromq = S::ZeroMq::some(ZeroMq::new(Connection::new(socket_type, self.limits)))?;
        self.peers.insert(Peer::new(now, service, source, Speech::ZeroMq(zeromq))).ok()
    }

    /// A connection is gone. What it held as a worker is given to others, what it had not taken as a subscriber waits.
    /// O(messages that it held).
    pub fn handle_close(&mut self, now: Instant, id: ConnectionId) {
        let Some(index) = self.find(id) else { return };
        self.unreserve(index);
        match self.peers[index].role {
            Role::Sender(sender) => self.master.remove_sender(sender),
            Role::Worker(worker) => self.master.remove_worker(now, worker),
            Role::Subscriber(subscriber) => self.master.remove_subscriber(subscriber),
            Role::NativeWorker(worker) => self.lose_native_worker(now, index, worker),
            Role::NativeClient { sender, subscriber, .. } => {
                self.master.remove_sender(sender);
                self.master.remove_subscriber(subscriber);
            }
            Role::Stranger | Role::Answerer | Role::CacheClient => {}
        }
        if let Some(native) = self.peers[index].native() {
            self.close_native(now, index, native);
        }
        self.timers.stop(&mut self.peers, index);
        self.leave_crowd(index);
        if self.peers[index].is_ready_listed() {
            self.ready.remove(&mut self.peers, index);
        }
        if self.peers[index].is_blocked() {
            self.blocked.remove(&mut self.peers, index);
        }
        if let Some(peer) = self.peers.remove(index) {
            let reply = peer.reply().map_or(0, Span::len);
            self.master.release(None, peer.outgoing as usize + reply);
        }
        self.settle();
    }

    /// A connection for which there may be something to send, or to read again. Call until `None`.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        while let Some(token) = self.master.poll_wake() {
            self.mark_ready(token);
        }
        self.pass_on_revoked();
        let index = self.ready.pop_front(&mut self.peers)?;
        let generation = self.peers.generation(index)?;
        Some(ConnectionId { index, generation })
    }

    /// Something worth a line in a log. Call until `None`.
    pub fn poll_event(&mut self) -> Option<EndpointEvent> {
        self.events.pop().or_else(|| self.master.poll_event().map(EndpointEvent::Master))
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called; `None`: nothing is pending.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Of many that are blocked only some are looked at in a call: time brings the others their turn.
        let waits = !self.blocked.is_empty() || self.native.has_stalled();
        let blocked = waits.then(|| self.now + BLOCKED_TURN);
        let machines = [self.master.poll_timeout(), self.cache.poll_timeout(), self.native.session_timeout()];
        machines.into_iter().chain([self.timers.next(&self.peers), blocked]).flatten().min()
    }

    /// Does what is due: pings, closes, takes back, drops. Harmless when early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some((index, class)) = self.timers.expire(&mut self.peers, now) {
            match class {
                Class::Handshake => {
                    self.counters.handshake_timeouts += 1;
                    self.close_for(index, Fault::HandshakeTimeout);
                }
                Class::Quiet => {
                    let ttl = (self.heartbeat.as_millis() * 3 / 100).min(u128::from(u16::MAX)) as u16;
                    let asked = match &mut self.peers[index].speech {
                        Speech::ZeroMq(zeromq) => zeromq.part_mut().zmtp.queue_ping(ttl),
                        Speech::Native(native) => self.native.queue_ping(*native),
                    };
                    if asked {
                        self.timers.start(&mut self.peers, now, index, Class::Pinged);
                        self.mark_ready(index);
                    }
                }
                Class::Unread => {
                    if let (Some(native), true) = (self.peers[index].native(), self.peers[index].is_blocked()) {
                        self.native.queue_sign(native);
                        self.timers.start(&mut self.peers, now, index, Class::Unread);
                        self.mark_ready(index);
                    } else {
                        self.timers.start(&mut self.peers, now, index, Class::Quiet);
                    }
                }
                Class::Pinged if self.is_slow(now, index) => {
                    self.timers.start(&mut self.peers, now, index, Class::Pinged);
                }
                Class::Pinged | Class::Partial => {
                    self.counters.silent += 1;
                    self.close_for(index, Fault::Silent);
                }
            }
        }
        self.master.handle_timeout(now);
        self.cache.handle_timeout(now);
        self.expire_sessions(now);
        self.settle();
    }

    /// Takes nothing more from clients; what is queued and out is finished.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing is queued or with a worker.
    pub fn is_idle(&self) -> bool {
        self.master.is_idle()
    }

    /// Whether all results for connected subscribers have left.
    pub fn is_flushed(&self) -> bool {
        self.master.is_flushed()
            && self.peers.indices().all(|index| {
                let peer = &self.peers[index];
                peer.outgoing == 0 || !matches!(peer.role, Role::Subscriber(_) | Role::NativeClient { .. })
            })
    }

    /// See [`Master::abandon`].
    pub fn abandon(&mut self, now: Instant, count: usize) -> usize {
        self.master.abandon(now, count)
    }

    pub(super) fn find(&self, id: ConnectionId) -> Option<u32> {
        (self.peers.get(id.index).is_some() && self.peers.generation(id.index) == Some(id.generation))
            .then_some(id.index)
    }

    pub(super) fn mark_ready(&mut self, index: u32) {
        if self.peers.get(index).is_some_and(|peer| !peer.is_ready_listed()) {
            self.ready.push_back(&mut self.peers, index);
        }
    }

    pub(super) fn close_for(&mut self, index: u32, fault: Fault) -> Next {
        let generation = self.peers.generation(index).unwrap_or(0);
        let connection = ConnectionId { index, generation };
        if let Fault::Protocol(_) | Fault::NoEnvelope = fault {
            self.counters.protocol_errors += 1;
        }
        let service = self.peers[index].service;
        self.report(EndpointEvent::Fault { connection, service, fault });
        self.close(index);
        Next::Close
    }

    /// The connection is to be closed once what is pending has been sent.
    pub(super) fn close(&mut self, index: u32) {
        self.peers[index].closing = true;
        self.timers.stop(&mut self.peers, index);
        self.mark_ready(index);
    }

    /// Whether a connection is to be closed once what is pending has been sent.
    pub fn is_closing(&self, id: ConnectionId) -> bool {
        self.find(id).is_none_or(|index| self.peers[index].closing)
    }

    pub(super) fn report(&mut self, event: EndpointEvent) {
        // A full queue means a flood: counters tell the rest.
        let _ = self.events.push(event);
    }
}
