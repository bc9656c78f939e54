//! What is known of one native connection.

use core::fmt::Debug;

use crate::collections::{Link, List, NONE, SoughtList};
use crate::native::{RefusalCode, SessionId, ToPeer};
use crate::time::Instant;

use super::super::machine::Endpoint;
use super::super::part::Part;
use super::super::peer::Role;
use super::super::storage::EndpointStorage;
use super::credit::Credit;
use super::names::OfPeer;
use super::tasks::{IsRevoked, OfWorker};

/// Longest text of a progress that is passed on, in bytes.
pub(super) const PROGRESS_TEXT: usize = 64;
/// Tasks of clients that have been forgotten that are dropped in a call.
const FORGOTTEN_A_CALL: usize = 64;

/// What a worker knows by alias: `N` functions and as many sessions at a time; others take their places. `N` is best a power of
/// two.
#[derive(Debug)]
pub struct Told<const N: usize> {
    functions: [u64; N],
    sessions: [Option<SessionId>; N],
}

/// Some number of aliases.
pub trait Aliases: Debug {
    /// Nothing has been told.
    const NONE: Self;

    /// Hashes of the functions; 0: none.
    fn functions(&mut self) -> &mut [u64];

    /// The sessions.
    fn sessions(&mut self) -> &mut [Option<SessionId>];
}

impl<const N: usize> Aliases for Told<N> {
    const NONE: Self = Self { functions: [0; N], sessions: [None; N] };

    fn functions(&mut self) -> &mut [u64] {
        &mut self.functions
    }

    fn sessions(&mut self) -> &mut [Option<SessionId>] {
        &mut self.sessions
    }
}

/// A native connection; named only by storage types.
#[derive(Debug)]
pub struct NativePeer<V, A> {
    /// Which of the endpoint's connections it is.
    pub(super) connection: u32,
    pub(super) stage: Stage,
    /// Longest frame that it takes.
    pub(super) max_frame: u32,
    pub(super) owes_ping: bool,
    pub(super) owes_pong: bool,
    /// It has said that it goes, or is turned away: what becomes of its connection is no accident.
    pub(super) parts: bool,
    /// It has to be shown that the master lives, which does not read what it says.
    pub(super) owes_sign: bool,
    pub(super) stalled_link: Link,
    /// The answer to its request to the cache.
    pub(super) reply: Option<Reply<V>>,

    /// A worker: tasks of an earlier connection that it has still to name.
    pub(super) holding: u32,
    /// A worker: how many numbers were given out or left out before that of its next task.
    pub(super) next_serial: u32,
    /// A worker: what it knows by alias.
    pub(super) aliases: A,
    pub(super) outstanding: SoughtList<OfWorker>,
    /// A worker: tasks that it is to be told nobody wants any more.
    pub(super) revoked: List<IsRevoked, ()>,

    /// A client: what it may submit.
    pub(super) credit: Credit,
    /// A client: the functions that it has told an alias for.
    pub(super) names: List<OfPeer>,
    /// A client: there was no room for some that it has told.
    pub(super) lacks_names: bool,
    /// A client: it has to be told up to where its tasks are here.
    pub(super) owes_accepted: bool,
    /// A client: the result to be sent again next, or none.
    pub(super) resend: u32,
    /// A worker: tasks that it has at once, at most. A client: results that it takes without calling them received.
    pub(super) window: u32,
    /// A client: results that it was sent and has not called received.
    pub(super) unconfirmed: u32,
    /// A client: a result waits for a place where it could be kept.
    pub(super) awaits_place: bool,
    /// A client: what it is to be told of how far one of its tasks is, or none.
    pub(super) progress: u32,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has to say Hello.
    New,
    /// It has to be told Welcome.
    Greeted,
    Established,
    /// It has to be told that it is refused, and why.
    Refused(RefusalCode, &'static str),
    /// Nothing more is said.
    Over,
}

/// An answer to a request to the cache.
#[derive(Debug)]
pub(super) struct Reply<V> {
    pub(super) header: ToPeer,
    pub(super) body: Option<V>,
}

/// How far a client's task is; named only by storage types.
#[derive(Debug)]
pub struct Progress {
    pub(super) sequence: u64,
    pub(super) permille: u16,
    pub(super) text: heapless::String<PROGRESS_TEXT>,
}

impl<V, A: Aliases> NativePeer<V, A> {
    pub(super) fn new(connection: u32) -> Self {
        Self {
            connection,
            stage: Stage::New,
            max_frame: 0,
            owes_ping: false,
            owes_pong: false,
            owes_sign: false,
            parts: false,
            stalled_link: Link::UNLINKED,
            reply: None,
            holding: 0,
            next_serial: 0,
            aliases: A::NONE,
            outstanding: SoughtList::new(),
            revoked: List::new(),
            credit: Credit::new(),
            names: List::new(),
            lacks_names: false,
            owes_accepted: false,
            resend: NONE,
            window: 0,
            unconfirmed: 0,
            awaits_place: false,
            progress: NONE,
        }
    }
}

impl<N: super::NativeStorage> super::Natives<N> {
    /// A connection comes; `None` if there is no room for it.
    pub(in super::super) fn add_peer(&mut self) -> Option<u32> {
        self.peers.insert(NativePeer::new(NONE)).ok()
    }

    /// It is connection `connection` of the endpoint, or none after all.
    pub(in super::super) fn bind_peer(&mut self, native: u32, connection: Option<u32>) {
        match connection {
            Some(connection) => self.peers[native].connection = connection,
            None => _ = self.peers.remove(native),
        }
    }

    /// It is to be shown that the master lives.
    pub(in super::super) fn queue_sign(&mut self, native: u32) {
        self.peers[native].owes_sign = true;
    }

    /// It is to be asked whether it lives; `false` if it has been asked and has not been sent the question yet.
    pub(in super::super) fn queue_ping(&mut self, native: u32) -> bool {
        !core::mem::replace(&mut self.peers[native].owes_ping, true)
    }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// Whether all its requests to the cache have been answered.
    pub(in super::super) fn replied(&self, index: u32) -> bool {
        self.peers[index].native().is_none_or(|native| self.native.peers[native].reply.is_none())
    }

    /// A native connection is gone.
    pub(in super::super) fn close_native(&mut self, now: Instant, index: u32, native: u32) {
        if let Role::NativeClient { session, .. } = self.peers[index].role {
            self.native.detach(now, session, native);
        }
        self.native.forget_stalled(native);
        self.native.forget_outstanding(native);
        self.native.forget_names(native);
        if let Some(peer) = self.native.peers.remove(native) {
            self.native.announced -= peer.holding;
            self.native.progress.remove(peer.progress);
            let value = peer.reply.and_then(|reply| reply.body).map_or(0, |value| value.part().len());
            self.master.release(None, value);
        }
    }

    /// Forgets clients that have been away for too long: one at a time, and some of its tasks, so that no call takes long.
    pub(in super::super) fn expire_sessions(&mut self, now: Instant) {
        let mut dropped = 0;
        self.native.expire_session(now, |bytes| dropped += bytes);
        self.master.release(None, dropped);
        self.counters.forgotten += dropped as u64;
        self.drop_forgotten(now);
    }

    /// Where there is no place for a session, a client that is away is forgotten.
    pub(super) fn make_room_for_session(&mut self, now: Instant, index: u32, id: SessionId, resume: bool) {
        if !self.native.lacks_session(id, resume) {
            return;
        }
        let (source, mut dropped) = (self.source_of(index), 0);
        self.native.forget_one_away(source, |bytes| dropped += bytes);
        self.master.release(None, dropped);
        self.counters.forgotten += dropped as u64;
        self.drop_forgotten(now);
    }

    /// Drops some tasks of clients that have been forgotten.
    fn drop_forgotten(&mut self, now: Instant) {
        for _ in 0..FORGOTTEN_A_CALL {
            let Some(task) = self.native.pop_forgotten() else { return };
            self.master.forget(now, task);
            self.pass_on_revoked();
        }
    }
}
