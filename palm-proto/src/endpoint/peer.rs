//! What is known of one connection.

use core::fmt;

use crate::buffer::Span;
use crate::collections::{Link, Linked};
use crate::master::{Identity, SenderId, SubscriberId, WorkerId};
use crate::time::Instant;
use crate::zmtp::{CONTROL_MAX, Connection, METADATA_MAX, Metadata, SocketType};

use super::part::Part;
use super::reply::Request;

/// What a master listens for: one of its five ZeroMQ sockets, or the native protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Messages from clients come in.
    Pull,
    /// Results go out.
    Publish,
    /// Messages go out to workers.
    WorkerPush,
    /// Results come in from workers.
    WorkerPull,
    /// The cache.
    Cache,
    /// The native protocol: clients, workers and the cache over one connection each.
    Native,
}

impl Service {
    /// Those that speak ZeroMQ.
    pub const ZEROMQ: [Self; 5] = [Self::Pull, Self::Publish, Self::WorkerPush, Self::WorkerPull, Self::Cache];

    /// The type of its ZeroMQ socket, if it is one.
    pub const fn socket_type(self) -> Option<SocketType> {
        match self {
            Self::Pull | Self::WorkerPull => Some(SocketType::Pull),
            Self::Publish => Some(SocketType::Pub),
            Self::WorkerPush => Some(SocketType::Push),
            Self::Cache => Some(SocketType::Rep),
            Self::Native => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Publish => "pub",
            Self::WorkerPush => "worker push",
            Self::WorkerPull => "worker pull",
            Self::Cache => "cache",
            Self::Native => "native",
        })
    }
}

/// A connection to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl ConnectionId {
    /// A small number that no other connection has at the same time: for a driver's own table.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// What a connection is to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The handshake is not over.
    Stranger,
    Sender(SenderId),
    Worker(WorkerId),
    /// A worker's other connection, over which it answers.
    Answerer,
    Subscriber(SubscriberId),
    CacheClient,
    NativeWorker(WorkerId),
    NativeClient {
        sender: SenderId,
        subscriber: SubscriberId,
        session: u32,
    },
}

/// What there is to a connection that speaks ZeroMQ; named only by storage types.
#[derive(Debug)]
pub struct ZeroMq<B> {
    pub(super) zmtp: Connection,
    /// That of a worker's connection for answers, if it tells one.
    pub(super) identity: Identity,
    /// A cache request, and the reply to it.
    pub(super) request: Request<B>,
}

impl<B> ZeroMq<B> {
    pub(super) fn new(zmtp: Connection) -> Self {
        Self { zmtp, identity: Identity::NONE, request: Request::default() }
    }
}

/// What all connections that speak ZeroMQ share; named only by storage types.
#[derive(Debug)]
pub struct Control {
    /// Where greetings, READYs, PINGs and PONGs are written.
    pub(super) out: [u8; CONTROL_MAX + METADATA_MAX],
    /// What each READY tells beside what ZMTP has it tell.
    pub(super) metadata: Metadata,
}

impl Control {
    pub(super) const fn new() -> Self {
        Self { out: [0; CONTROL_MAX + METADATA_MAX], metadata: Metadata::new() }
    }
}

/// What a connection speaks.
#[derive(Debug)]
pub(super) enum Speech<Z> {
    ZeroMq(Z),
    /// The native protocol, and which of its peers it is.
    Native(u32),
}

/// One connection; named only by storage types. `Z` is [`ZeroMq`], or [`Absent`](super::Absent) where none speaks that.
#[derive(Debug)]
pub struct Peer<Z> {
    pub(super) speech: Speech<Z>,
    pub(super) service: Service,
    /// Which of the sources it comes from.
    pub(super) source: u32,
    pub(super) role: Role,
    pub(super) accepted: Instant,
    /// Last time anything came, or was seen to be taken.
    pub(super) heard: Instant,
    /// It has taken something since it was last looked at.
    pub(super) takes: bool,
    /// A message of several frames, where one is due, is passed over up to its last frame.
    pub(super) skipping: bool,
    /// Bytes counted for a message that has come in part.
    pub(super) reserved: u32,
    /// Bytes given to the driver that have not been sent yet.
    pub(super) outgoing: u32,
    /// What it waits to be allowed to send, in bytes, while it is blocked.
    pub(super) wanted: u32,
    /// Its last answer was one too many of those that nobody waits for.
    pub(super) stray: bool,
    /// It is to be closed, as soon as pending control bytes are sent.
    pub(super) closing: bool,
    /// It is closed to make room for another.
    pub(super) gives_way: bool,
    /// It has been of use.
    pub(super) known: bool,
    /// It has given the token that all native peers have to give.
    pub(super) trusted: bool,
    pub(super) timer: Option<super::timers::Class>,
    pub(super) timer_since: Instant,
    ready_link: Link,
    blocked_link: Link,
    timer_link: Link,
    idle_link: Link,
}

impl<Z> Peer<Z> {
    pub(super) fn new(now: Instant, service: Service, source: u32, speech: Speech<Z>) -> Self {
        Self {
            speech,
            service,
            source,
            role: Role::Stranger,
            accepted: now,
            heard: now,
            takes: false,
            skipping: false,
            reserved: 0,
            outgoing: 0,
            wanted: 0,
            stray: false,
            closing: false,
            gives_way: false,
            known: false,
            trusted: false,
            timer: None,
            timer_since: now,
            ready_link: Link::UNLINKED,
            blocked_link: Link::UNLINKED,
            timer_link: Link::UNLINKED,
            idle_link: Link::UNLINKED,
        }
    }

    pub(super) fn sender(&self) -> Option<SenderId> {
        if let Role::Sender(sender) | Role::NativeClient { sender, .. } = self.role { Some(sender) } else { None }
    }

    /// Which of the native peers it is.
    pub(super) fn native(&self) -> Option<u32> {
        if let Speech::Native(native) = self.speech { Some(native) } else { None }
    }

    pub(super) fn is_ready_listed(&self) -> bool {
        self.ready_link.is_linked()
    }

    pub(super) fn is_idle_listed(&self) -> bool {
        self.idle_link.is_linked()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_link.is_linked()
    }

    /// Its ZMTP, if it speaks that.
    pub(super) fn zmtp<'a, B: 'a>(&'a mut self) -> Option<&'a mut Connection>
    where
        Z: Part<ZeroMq<B>>,
    {
        if let Speech::ZeroMq(zeromq) = &mut self.speech { Some(&mut zeromq.part_mut().zmtp) } else { None }
    }

    /// What a worker tells over its connection for answers to be known by, if it is that.
    pub(super) fn identity<B>(&self) -> Identity
    where
        Z: Part<ZeroMq<B>>,
    {
        if let Speech::ZeroMq(zeromq) = &self.speech { zeromq.part().identity } else { Identity::NONE }
    }

    /// Whether it can be asked whether it lives.
    pub(super) fn speaks_ping<B>(&self) -> bool
    where
        Z: Part<ZeroMq<B>>,
    {
        match &self.speech {
            // A subscriber that is slow does not read, and so answers no PING: only TCP can tell whether it lives.
            Speech::ZeroMq(zeromq) => zeromq.part().zmtp.speaks_ping() && !matches!(self.role, Role::Subscriber(_)),
            Speech::Native(_) => true,
        }
    }

    /// Its requests to the cache, if it speaks ZeroMQ.
    pub(super) fn request<B>(&self) -> Option<&Request<B>>
    where
        Z: Part<ZeroMq<B>>,
    {
        if let Speech::ZeroMq(zeromq) = &self.speech { Some(&zeromq.part().request) } else { None }
    }

    /// Its requests to the cache, if it speaks ZeroMQ.
    pub(super) fn request_mut<B>(&mut self) -> Option<&mut Request<B>>
    where
        Z: Part<ZeroMq<B>>,
    {
        if let Speech::ZeroMq(zeromq) = &mut self.speech { Some(&mut zeromq.part_mut().request) } else { None }
    }

    /// A reply that waits to be sent.
    pub(super) fn reply<B>(&self) -> Option<&Span<B>>
    where
        Z: Part<ZeroMq<B>>,
    {
        self.request()?.reply.as_ref()
    }
}

#[derive(Debug)]
pub(super) struct InReady;
#[derive(Debug)]
pub(super) struct InBlocked;
#[derive(Debug)]
pub(super) struct InTimer;
#[derive(Debug)]
pub(super) struct InIdle;

impl<Z> Linked<InReady> for Peer<Z> {
    fn link(&mut self) -> &mut Link {
        &mut self.ready_link
    }
    fn peek_link(&self) -> Link {
        self.ready_link
    }
}

impl<Z> Linked<InBlocked> for Peer<Z> {
    fn link(&mut self) -> &mut Link {
        &mut self.blocked_link
    }
    fn peek_link(&self) -> Link {
        self.blocked_link
    }
}

impl<Z> Linked<InTimer> for Peer<Z> {
    fn link(&mut self) -> &mut Link {
        &mut self.timer_link
    }
    fn peek_link(&self) -> Link {
        self.timer_link
    }
}

impl<Z> Linked<InIdle> for Peer<Z> {
    fn link(&mut self) -> &mut Link {
        &mut self.idle_link
    }
    fn peek_link(&self) -> Link {
        self.idle_link
    }
}
