//! [`Endpoint`] itself: from bytes to the master and back.

use core::fmt;
use core::time::Duration;

use crate::buffer::{Buffer, Span};
use crate::cache::{Cache, CacheLimits, CacheOutcome};
use crate::collections::{List, Slab};
use crate::master::{Event, Master, MasterConfig, MasterStorage, NameTooLong, NotTaken, Refusal};
use crate::random::Seed;
use crate::time::Instant;
use crate::zmtp::{CONTROL_MAX, Connection, Decoded, Limits, ProtocolError, frame_header};

use super::peer::{ConnectionId, InBlocked, InReady, Peer, Role, Service};
use super::reply::Part;
use super::storage::{EndpointStorage, EndpointTables};
use super::timers::{Class, Timers};
use super::transmit::{Body, Topic, Transmit};

/// Bytes that a driver may hold for one connection before it is given no more.
const OUTGOING_MAX: u32 = 256 << 10;
/// The same while memory is short.
const OUTGOING_SHORT: u32 = 16 << 10;
/// Blocked connections that are looked at after a call.
const UNBLOCKED_A_CALL: usize = 8;
/// Messages beyond this size are large: how many of them may have come in part is bounded.
const LARGE: usize = 64 << 10;

/// One in so many connections is kept for workers: those of clients that wait to be read, also of such as are gone, would
/// else keep those out that could make room.
const KEPT_FOR_WORKERS: usize = 8;

/// Time after which further ones are looked at if nothing else happens.
const BLOCKED_TURN: Duration = Duration::from_millis(20);

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The master's behaviour.
    pub master: MasterConfig,
    /// Bounds of the cache, which are beside the master's memory.
    pub cache: CacheLimits,
    /// Longest message, in bytes. At most a quarter of the master's memory is ever used.
    pub max_message: usize,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Silence after which a peer that speaks ZMTP 3.1 is sent a PING; after twice as much more it is gone, unless it takes
    /// what it is sent. A subscriber that has something to take has the time to keep.
    pub heartbeat: Duration,
    /// Time in which a message that has come in part must go on.
    pub partial_timeout: Duration,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            master: MasterConfig::default(),
            cache: CacheLimits::default(),
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
}

/// What a driver should do with a connection's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read more.
    Read {
        /// If not 0: what is at the front of the input is a message of so many bytes in all, for which room has been set aside.
        message: usize,
    },
    /// Read nothing before [`Endpoint::poll_ready`] names the connection; then offer what is left first.
    Wait,
    /// Send what [`Endpoint::poll_transmit`] still gives, and close.
    Close,
}

/// How far input was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes to take off the front of the input.
    pub used: usize,
    /// What to do next.
    pub next: Next,
}

/// Why a connection is closed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It broke ZMTP, or a limit.
    Protocol(ProtocolError),
    /// Its handshake was not over in time.
    HandshakeTimeout,
    /// It fell silent.
    Silent,
    /// There is no room for another peer of its role, or for another subscription.
    NoRoom,
    /// A cache request without an envelope.
    NoEnvelope,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "{error}"),
            Self::HandshakeTimeout => f.write_str("the handshake was not over in time"),
            Self::Silent => f.write_str("the peer fell silent"),
            Self::NoRoom => f.write_str("no room for another peer or subscription"),
            Self::NoEnvelope => f.write_str("a cache request without the envelope of a REQ socket"),
        }
    }
}

/// Something worth a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointEvent {
    /// The master's own. Workers in it are named by [`ConnectionId::index`].
    Master(Event),
    /// A connection's handshake is over.
    Joined {
        /// The connection.
        connection: ConnectionId,
        /// Which socket it is connected to.
        service: Service,
    },
    /// A connection is closed for a fault of its peer.
    Fault {
        /// The connection.
        connection: ConnectionId,
        /// Which socket it was connected to.
        service: Service,
        /// What was wrong.
        fault: Fault,
    },
    /// A request to the cache that no sound peer makes.
    CacheFault(CacheOutcome),
}

type BufferOf<S> = <<S as EndpointStorage>::Master as MasterStorage>::Buffer;

/// A master's five sockets (`docs/spec.md`, section 6).
#[derive(Debug)]
pub struct Endpoint<S: EndpointStorage> {
    pub(super) master: Master<S::Master>,
    cache: Cache<BufferOf<S>, S::Entries>,
    peers: Slab<Peer<BufferOf<S>>, S::Peers>,
    limits: Limits,
    /// Connections to come back to.
    ready: List<InReady>,
    /// Connections that wait to be allowed to send.
    blocked: List<InBlocked>,
    timers: Timers,
    control: [u8; CONTROL_MAX],
    events: heapless::Deque<EndpointEvent, 32>,
    counters: EndpointCounters,
    heartbeat: Duration,
    keep: Duration,
    memory: u64,
    /// Bytes set aside for large messages that have come in part.
    partial: u64,
    /// Nothing is taken from clients any more.
    draining: bool,
    /// The last time that was told.
    now: Instant,
}

/// What a frame came to.
enum Taken<B> {
    Yes,
    /// There is no room for it now; it comes back if it was handed over in a buffer.
    Blocked(Option<B>),
    Fault(Fault),
}

/// A received unit: among others in a driver's buffer, or in one of its own.
enum Input<'a, B> {
    Borrowed(&'a [u8]),
    Owned(B),
}

impl<B: Buffer> Input<'_, B> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(buffer) => buffer.as_ref(),
        }
    }

    fn span(self, range: core::ops::Range<usize>) -> Option<Span<B>> {
        match self {
            Self::Borrowed(bytes) => Span::copy_from(bytes.get(range)?),
            Self::Owned(buffer) => Span::part(buffer, range),
        }
    }
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
        let quarter = usize::try_from(config.master.memory / 4).unwrap_or(usize::MAX);
        Ok(Self {
            master: Master::new(name, config.master, tables.master, seed)?,
            cache: Cache::with_slots(tables.entries, config.cache, seed),
            peers: Slab::new(tables.peers, 0),
            limits: Limits { max_frame: config.max_message.min(quarter) as u64, ..Limits::default() },
            ready: List::new(),
            blocked: List::new(),
            timers: Timers::new(config.handshake_timeout, config.heartbeat, config.partial_timeout),
            control: [0; CONTROL_MAX],
            events: heapless::Deque::new(),
            counters: EndpointCounters::default(),
            heartbeat: config.heartbeat,
            keep: config.master.keep,
            memory: config.master.memory,
            partial: 0,
            draining: false,
            now: Instant::ZERO,
        })
    }

    /// The cache, for its owner: to preset what discovery needs.
    pub fn cache(&mut self) -> &mut Cache<BufferOf<S>, S::Entries> {
        &mut self.cache
    }

    /// The master.
    pub fn master(&self) -> &Master<S::Master> {
        &self.master
    }

    /// What it has done.
    pub fn counters(&self) -> &EndpointCounters {
        &self.counters
    }

    /// Messages that a connection has outstanding as a worker, and how many it may have; `None` if it is no worker's.
    pub fn load(&self, id: ConnectionId) -> Option<(usize, u32)> {
        match self.peers[self.find(id)?].role {
            Role::Worker(worker) => self.master.load(worker),
            Role::Stranger | Role::Sender(_) | Role::Answerer | Role::Subscriber(_) | Role::CacheClient => None,
        }
    }

    /// Connections open.
    pub fn connections(&self) -> usize {
        self.peers.len()
    }

    /// A connection to `service` is established. `None` if there are too many: close it. One in eight is kept for workers.
    pub fn handle_accept(&mut self, now: Instant, service: Service) -> Option<ConnectionId> {
        let zmtp = Connection::new(service.socket_type(), self.limits);
        let kept = match service {
            Service::WorkerPush | Service::WorkerPull => 0,
            Service::Pull | Service::Publish | Service::Cache => self.peers.capacity() / KEPT_FOR_WORKERS,
        };
        let refused = self.peers.capacity() - self.peers.len() <= kept;
        let inserted = if refused { None } else { self.peers.insert(Peer::new(now, service, zmtp)).ok() };
        let Some(index) = inserted else {
            self.counters.refused += 1;
            return None;
        };
        self.counters.accepted += 1;
        self.timers.start(&mut self.peers, now, index, Class::Handshake);
        let generation = self.peers.generation(index)?;
        Some(ConnectionId { index, generation })
    }

    /// A connection is gone. What it held as a worker is given to others, what it had not taken as a subscriber waits.
    /// O(messages that it held).
    pub fn handle_close(&mut self, now: Instant, id: ConnectionId) {
        let Some(index) = self.find(id) else { return };
        match self.peers[index].role {
            Role::Sender(sender) => self.master.remove_sender(sender),
            Role::Worker(worker) => self.master.remove_worker(now, worker),
            Role::Subscriber(subscriber) => self.master.remove_subscriber(subscriber),
            Role::Stranger | Role::Answerer | Role::CacheClient => {}
        }
        self.timers.stop(&mut self.peers, index);
        if self.peers[index].is_ready_listed() {
            self.ready.remove(&mut self.peers, index);
        }
        if self.peers[index].is_blocked() {
            self.blocked.remove(&mut self.peers, index);
        }
        if let Some(peer) = self.peers.remove(index) {
            let reply = peer.reply().map_or(0, Span::len);
            self.partial -= large(peer.reserved as usize);
            self.master.release(peer.sender(), peer.reserved as usize);
            self.master.release(None, peer.outgoing as usize + reply);
        }
        self.settle();
    }

    /// Takes as much of `input` as is whole and there is room for. O(length of the input).
    pub fn handle_input(&mut self, now: Instant, id: ConnectionId, input: &[u8]) -> Progress {
        let Some(index) = self.find(id) else { return Progress { used: 0, next: Next::Close } };
        let mut used = 0;
        let next = loop {
            let rest = input.get(used..).unwrap_or(&[]);
            let decoded = match self.peers[index].zmtp.handle_input(rest) {
                Ok(decoded) => decoded,
                Err(error) => break self.close_for(index, Fault::Protocol(error)),
            };
            match decoded {
                Decoded::Incomplete { total, message } => break self.on_incomplete(index, total, message),
                Decoded::Frame { used: len, body, more } => {
                    match self.on_frame(now, index, Input::Borrowed(rest), body, more) {
                        Taken::Yes => used += len,
                        Taken::Blocked(_) => break self.block(index, len),
                        Taken::Fault(fault) => break self.close_for(index, fault),
                    }
                }
                Decoded::Consumed { used: len } => {
                    used += len;
                    self.mark_ready(index);
                }
                Decoded::Ready { used: len, identity } => {
                    used += len;
                    let identity = rest.get(identity).unwrap_or(&[]);
                    if !self.on_ready(now, index, id, identity) {
                        break self.close_for(index, Fault::NoRoom);
                    }
                }
                Decoded::Subscribe { used: len, topic } => {
                    used += len;
                    if !self.on_subscription(now, index, rest.get(topic).unwrap_or(&[]), true) {
                        break self.close_for(index, Fault::NoRoom);
                    }
                }
                Decoded::Cancel { used: len, topic } => {
                    used += len;
                    self.on_subscription(now, index, rest.get(topic).unwrap_or(&[]), false);
                }
            }
        };
        self.heard(now, index);
        self.settle();
        Progress { used, next }
    }

    /// Takes one whole message that the driver has put into a buffer of its own: header and body, of the length that
    /// [`Next::Read`] told.
    ///
    /// # Errors
    /// Gives it back if there is no room for it now: offer it again when [`poll_ready`](Self::poll_ready) names the
    /// connection.
    pub fn handle_message(&mut self, now: Instant, id: ConnectionId, unit: BufferOf<S>) -> Result<Next, BufferOf<S>> {
        let Some(index) = self.find(id) else { return Ok(Next::Close) };
        let next = match self.peers[index].zmtp.handle_input(unit.as_ref()) {
            Err(error) => self.close_for(index, Fault::Protocol(error)),
            Ok(Decoded::Frame { body, more, used }) => {
                match self.on_frame(now, index, Input::Owned(unit), body, more) {
                    Taken::Yes => Next::Read { message: 0 },
                    Taken::Fault(fault) => self.close_for(index, fault),
                    Taken::Blocked(Some(unit)) => {
                        self.block(index, used);
                        return Err(unit);
                    }
                    Taken::Blocked(None) => self.block(index, used),
                }
            }
            Ok(_) => Next::Read { message: 0 },
        };
        self.heard(now, index);
        self.settle();
        Ok(next)
    }

    /// The next message or control bytes for a connection; `None` if there is nothing, or as much is on its way as may be.
    pub fn poll_transmit(&mut self, now: Instant, id: ConnectionId) -> Option<Transmit<'_, BufferOf<S>>> {
        let index = self.find(id)?;
        let cap = if self.master.memory() > self.memory - self.memory / 8 { OUTGOING_SHORT } else { OUTGOING_MAX };
        let peer = &mut self.peers[index];
        if peer.zmtp.has_transmit() {
            let len = peer.zmtp.poll_transmit(&mut self.control);
            peer.outgoing += len as u32;
            self.master.reserve(None, len);
            let lead = self.control.get(..len).unwrap_or(&[]);
            return Some(Transmit { lead, ..Transmit::EMPTY });
        }
        if peer.closing || peer.outgoing >= cap {
            return None;
        }
        match peer.role {
            Role::Worker(worker) => {
                if !self.master.has_task(worker) {
                    return None;
                }
                let (len, sent) = {
                    let assignment = self.master.poll_task(worker)?;
                    let tags = assignment.tags(now);
                    (assignment.message.len() + tags.len(), (tags, assignment.task))
                };
                let (tags, task) = sent;
                let header = frame_header(len, false);
                let total = len + header.as_ref().len();
                peer.outgoing += total as u32;
                self.master.reserve(None, total);
                let message = self.master.leased(task)?;
                Some(Transmit { header: Some(header), body: Body::Kept(message), tags, ..Transmit::EMPTY })
            }
            Role::Subscriber(subscriber) => {
                let outcome = self.master.poll_result(now, subscriber)?;
                let tags = outcome.tags();
                let header = frame_header(outcome.message.len() + tags.len(), false);
                let own = self.master.own_topic().map_or(0, <[u8]>::len);
                let topic_len = outcome.topic.as_ref().map_or(own, ExactSizeIterator::len);
                let topic_header = frame_header(topic_len, true);
                let total = topic_header.as_ref().len()
                    + topic_len
                    + header.as_ref().len()
                    + outcome.message.len()
                    + tags.len();
                peer.outgoing += total as u32;
                self.master.reserve(None, total);
                let topic = match outcome.topic {
                    Some(range) => Topic::InBody(range),
                    None => Topic::Own(self.master.own_topic().unwrap_or(&[])),
                };
                let (topic_header, header) = (Some(topic_header), Some(header));
                Some(Transmit {
                    topic_header,
                    topic,
                    header,
                    body: Body::Given(outcome.message),
                    tags,
                    ..Transmit::EMPTY
                })
            }
            Role::CacheClient if peer.request.is_whole() => {
                let reply = peer.request.reply.take()?;
                let header = frame_header(reply.len(), false);
                let total = peer.request.envelope.len() + header.as_ref().len() + reply.len();
                peer.outgoing += total as u32;
                self.master.release(None, reply.len());
                self.master.reserve(None, total);
                let lead = &self.peers[index].request.envelope;
                Some(Transmit { lead, header: Some(header), body: Body::Given(reply), ..Transmit::EMPTY })
            }
            Role::CacheClient | Role::Stranger | Role::Sender(_) | Role::Answerer => None,
        }
    }

    /// Bytes of what [`poll_transmit`](Self::poll_transmit) gave have left.
    pub fn handle_sent(&mut self, id: ConnectionId, bytes: usize) {
        let Some(index) = self.find(id) else { return };
        let peer = &mut self.peers[index];
        let bytes = bytes.min(peer.outgoing as usize);
        peer.outgoing -= bytes as u32;
        peer.takes |= bytes > CONTROL_MAX || peer.outgoing > 0;
        let was_cache = peer.role == Role::CacheClient && peer.outgoing == 0;
        self.master.release(None, bytes);
        if was_cache && self.peers[index].is_blocked() {
            // The next request waited for the reply to leave.
            self.unblock(index);
        }
        self.settle();
    }

    /// How many bytes a driver should read from a connection at a time, so that what all connections have in hand stays small
    /// beside what is free: 4 to 256 KiB.
    pub fn read_share(&self) -> usize {
        let free = self.memory.saturating_sub(self.master.memory());
        let share = free / (2 * self.peers.len() as u64 + 1);
        share.clamp(4 << 10, 256 << 10) as usize
    }

    /// A connection for which there may be something to send, or to read again. Call until `None`.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        while let Some(token) = self.master.poll_wake() {
            self.mark_ready(token);
        }
        let index = self.ready.pop_front(&mut self.peers)?;
        let generation = self.peers.generation(index)?;
        Some(ConnectionId { index, generation })
    }

    /// Something worth a line in a log. Call until `None`.
    pub fn poll_event(&mut self) -> Option<EndpointEvent> {
        self.events.pop_front().or_else(|| self.master.poll_event().map(EndpointEvent::Master))
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called; `None`: nothing is pending.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Of many that are blocked only some are looked at in a call: time brings the others their turn.
        let blocked = (!self.blocked.is_empty()).then(|| self.now + BLOCKED_TURN);
        [self.master.poll_timeout(), self.timers.next(&self.peers), blocked].into_iter().flatten().min()
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
                    if self.peers[index].zmtp.queue_ping(ttl) {
                        self.timers.start(&mut self.peers, now, index, Class::Pinged);
                        self.mark_ready(index);
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
                peer.outgoing == 0 || !matches!(peer.role, Role::Subscriber(_))
            })
    }

    /// See [`Master::abandon`].
    pub fn abandon(&mut self, now: Instant, count: usize) -> usize {
        self.master.abandon(now, count)
    }

    fn find(&self, id: ConnectionId) -> Option<u32> {
        (self.peers.get(id.index).is_some() && self.peers.generation(id.index) == Some(id.generation))
            .then_some(id.index)
    }

    /// The handshake is over: the connection gets its role. `false` if there is no room for it.
    fn on_ready(&mut self, now: Instant, index: u32, connection: ConnectionId, identity: &[u8]) -> bool {
        let service = self.peers[index].service;
        let role = match service {
            Service::Pull => self.master.add_sender().map(Role::Sender),
            Service::Publish => self.master.add_subscriber(now, index).map(Role::Subscriber),
            Service::WorkerPush => self.master.add_worker(now, index, jobs(identity)).map(Role::Worker),
            Service::WorkerPull => Some(Role::Answerer),
            Service::Cache => Some(Role::CacheClient),
        };
        let Some(role) = role else { return false };
        if let Role::Worker(worker) = role {
            self.master.set_round_trip(worker, now - self.peers[index].accepted);
        }
        self.peers[index].role = role;
        self.timers.stop(&mut self.peers, index);
        self.mark_ready(index);
        self.report(EndpointEvent::Joined { connection, service });
        true
    }

    /// Whether there is room for the subscription.
    fn on_subscription(&mut self, now: Instant, index: u32, topic: &[u8], subscribe: bool) -> bool {
        let Role::Subscriber(subscriber) = self.peers[index].role else { return true };
        if subscribe {
            return self.master.handle_subscribe(now, subscriber, topic).is_ok();
        }
        self.master.handle_cancel(subscriber, topic);
        true
    }

    /// Part of a unit is there. Room for a message is set aside once its length is known.
    fn on_incomplete(&mut self, index: u32, total: usize, message: bool) -> Next {
        let peer = &self.peers[index];
        if !message {
            return Next::Read { message: 0 };
        }
        if peer.reserved == 0 {
            if !self.may_begin(index, total) {
                return self.block(index, total);
            }
            let sender = self.peers[index].sender();
            self.peers[index].reserved = u32::try_from(total).unwrap_or(u32::MAX);
            self.partial += large(self.peers[index].reserved as usize);
            self.master.reserve(sender, self.peers[index].reserved as usize);
        }
        Next::Read { message: total }
    }

    /// Whether a message may be waited for of which only a part is there. Large ones together are given half the memory, each
    /// at most half of what is left of that: so peers that never end theirs do not keep others from sending.
    fn may_begin(&self, index: u32, total: usize) -> bool {
        let left = (self.memory / 2).saturating_sub(self.partial);
        (self.partial == 0 || large(total) <= left / 2) && self.may_read(index, total)
    }

    fn may_read(&self, index: u32, len: usize) -> bool {
        let peer = &self.peers[index];
        match peer.role {
            Role::Sender(sender) => !self.draining && self.master.may_submit(sender, len),
            Role::Answerer => self.master.may_answer(len),
            // One request at a time, and its reply leaves before the next.
            Role::CacheClient => peer.request.reply.is_none() && peer.outgoing == 0 && self.master.may_answer(len),
            Role::Stranger | Role::Worker(_) | Role::Subscriber(_) => true,
        }
    }

    fn on_frame(
        &mut self,
        now: Instant,
        index: u32,
        input: Input<'_, BufferOf<S>>,
        body: core::ops::Range<usize>,
        more: bool,
    ) -> Taken<BufferOf<S>> {
        let blocked = |input| match input {
            Input::Borrowed(_) => Taken::Blocked(None),
            Input::Owned(buffer) => Taken::Blocked(Some(buffer)),
        };
        // What has been set aside is given back when the message itself is counted.
        let reserved = self.peers[index].reserved as usize;
        if reserved == 0 && !self.may_read(index, body.len()) {
            return blocked(input);
        }
        match self.peers[index].role {
            Role::Sender(_) | Role::Answerer => {
                if more || self.peers[index].skipping {
                    self.counters.multipart += u64::from(!more);
                    self.peers[index].skipping = more;
                    self.unreserve(index);
                    return Taken::Yes;
                }
                let Some(message) = input.span(body) else {
                    self.unreserve(index);
                    return Taken::Yes;
                };
                let taken = match self.peers[index].role {
                    Role::Sender(sender) => self.master.handle_submit(now, sender, message),
                    _ => self.master.handle_result(now, message),
                };
                match taken {
                    Err(NotTaken { reason: Refusal::Full, message }) => {
                        return Taken::Blocked(Some(message.into_parts().0));
                    }
                    Ok(()) | Err(NotTaken { reason: Refusal::Malformed, .. }) => {}
                }
                self.unreserve(index);
                Taken::Yes
            }
            Role::CacheClient => {
                let taken = self.on_request_frame(index, input.bytes().get(body).unwrap_or(&[]), more);
                self.unreserve(index);
                taken
            }
            // A subscriber's message that is no subscription, which a PUB passes over.
            Role::Subscriber(_) | Role::Worker(_) | Role::Stranger => {
                self.unreserve(index);
                Taken::Yes
            }
        }
    }

    fn on_request_frame(&mut self, index: u32, frame: &[u8], more: bool) -> Taken<BufferOf<S>> {
        match self.peers[index].request.handle_frame(frame, more) {
            Part::Envelope => {}
            Part::Broken => return Taken::Fault(Fault::NoEnvelope),
            Part::Body => {
                self.counters.cache_requests += 1;
                let reply = self.cache.handle_request(frame);
                let outcome = reply.outcome();
                let bytes = match reply.buffer() {
                    Some(buffer) => Some(Span::whole(buffer.clone())),
                    None => Span::copy_from(reply.as_slice()),
                };
                let Some(bytes) = bytes else { return Taken::Fault(Fault::NoRoom) };
                self.master.reserve(None, bytes.len());
                self.peers[index].request.reply = Some(bytes);
                if outcome.is_fault() {
                    self.counters.cache_faults += 1;
                    self.report(EndpointEvent::CacheFault(outcome));
                }
            }
        }
        if self.peers[index].request.reply.is_some() && !more {
            self.mark_ready(index);
        }
        Taken::Yes
    }

    fn unreserve(&mut self, index: u32) {
        let peer = &mut self.peers[index];
        let reserved = core::mem::take(&mut peer.reserved) as usize;
        if reserved > 0 {
            let sender = peer.sender();
            self.partial -= large(reserved);
            self.master.release(sender, reserved);
        }
    }

    fn block(&mut self, index: u32, wanted: usize) -> Next {
        let peer = &mut self.peers[index];
        peer.wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        if !peer.is_blocked() {
            self.blocked.push_back(&mut self.peers, index);
        }
        Next::Wait
    }

    fn unblock(&mut self, index: u32) {
        self.blocked.remove(&mut self.peers, index);
        self.mark_ready(index);
    }

    /// Lets some of those that wait go on, if there is room for them again.
    fn settle(&mut self) {
        for _ in 0..UNBLOCKED_A_CALL.min(self.blocked.len()) {
            let Some(index) = self.blocked.front() else { return };
            let reserved = self.peers[index].reserved > 0;
            let wanted = if reserved { 0 } else { self.peers[index].wanted as usize };
            if self.may_begin(index, wanted) {
                self.unblock(index);
            } else {
                self.blocked.remove(&mut self.peers, index);
                self.blocked.push_back(&mut self.peers, index);
            }
        }
    }

    /// Whether a peer that has been asked and has not answered may not have been reached by the question yet: it has taken
    /// something since, or it is a subscriber that has taken nothing for less than the time to keep.
    fn is_slow(&mut self, now: Instant, index: u32) -> bool {
        let peer = &mut self.peers[index];
        if core::mem::take(&mut peer.takes) {
            peer.heard = now;
            return true;
        }
        matches!(peer.role, Role::Subscriber(_)) && peer.outgoing > 0 && now - peer.heard < self.keep
    }

    /// Something came from a peer: it lives.
    fn heard(&mut self, now: Instant, index: u32) {
        self.now = now;
        let peer = &mut self.peers[index];
        peer.heard = now;
        if peer.closing || peer.role == Role::Stranger {
            return;
        }
        if peer.is_blocked() {
            // It is we who do not read.
            self.timers.stop(&mut self.peers, index);
        } else if peer.reserved > 0 {
            self.timers.start(&mut self.peers, now, index, Class::Partial);
        } else if peer.zmtp.speaks_ping() {
            self.timers.start(&mut self.peers, now, index, Class::Quiet);
        } else {
            self.timers.stop(&mut self.peers, index);
        }
    }

    fn mark_ready(&mut self, index: u32) {
        if self.peers.get(index).is_some_and(|peer| !peer.is_ready_listed()) {
            self.ready.push_back(&mut self.peers, index);
        }
    }

    fn close_for(&mut self, index: u32, fault: Fault) -> Next {
        let generation = self.peers.generation(index).unwrap_or(0);
        let connection = ConnectionId { index, generation };
        if let Fault::Protocol(_) | Fault::NoEnvelope = fault {
            self.counters.protocol_errors += 1;
        }
        let peer = &mut self.peers[index];
        peer.closing = true;
        let service = peer.service;
        self.timers.stop(&mut self.peers, index);
        self.report(EndpointEvent::Fault { connection, service, fault });
        self.mark_ready(index);
        Next::Close
    }

    /// Whether a connection is to be closed once what is pending has been sent.
    pub fn is_closing(&self, id: ConnectionId) -> bool {
        self.find(id).is_none_or(|index| self.peers[index].closing)
    }

    fn report(&mut self, event: EndpointEvent) {
        // A full queue means a flood: counters tell the rest.
        let _ = self.events.push_back(event);
    }
}

/// The size of a message if it is large, else 0.
fn large(len: usize) -> u64 {
    if len > LARGE { len as u64 } else { 0 }
}

/// How many messages a worker says it works on at the same time: the `jobs=N` in an identity `palm;jobs=N`.
fn jobs(identity: &[u8]) -> u32 {
    let identity = core::str::from_utf8(identity).unwrap_or_default();
    let jobs = identity.strip_prefix("palm;jobs=").and_then(|rest| rest.split(';').next()?.parse().ok());
    jobs.unwrap_or(1).clamp(1, 1_024)
}
