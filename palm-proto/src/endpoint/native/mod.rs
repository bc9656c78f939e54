//! Peers that speak the native protocol (`docs/spec.md`, section 9): the master's side of it.
//!
//! Inside the master a native task is a PALM message like any other: pipeline and client are the handle of the client's session as
//! 32 hexadecimal digits (the session itself is a credential, and is forgotten at once), and the client's number for the task is the extension field for it. So tasks cross from one protocol to
//! the other in both directions, and all that a master guarantees holds for both.
//!
//! - `handshake.rs`: Hello, Welcome and Refused;
//! - `worker.rs`: what a worker says; `tasks.rs`: by which number a worker knows which task, and what it holds from before;
//! - `client.rs`: what a client says; `credit.rs`: how much it may submit; `sessions.rs`: what is remembered of one over its
//!   connections; `names.rs`: its aliases;
//! - `cache.rs`: requests to the cache, of both;
//! - `output.rs`: what is said to either; `batch.rs`: the same for tasks and results in a row.

mod batch;
mod cache;
mod client;
mod credit;
mod handshake;
mod input;
mod names;
mod output;
mod peer;
mod sessions;
mod storage;
mod tasks;
#[cfg(test)]
mod tests;
mod worker;

use crate::buffer::Span;
use crate::collections::{Index, List, Slab};
use crate::hash::KeyedHash;
use crate::master::MasterStorage;
use crate::native::{HeaderBytes, NAME_MAX, RefusalCode, SessionId, TOKEN_MAX, front_of};
use crate::random::{Random, Seed};

use super::config::EndpointConfig;
use super::event::Fault;

pub use names::Name;
pub use peer::{Aliases, NativePeer, Progress, Told};
pub use sessions::{Kept, Session, Submission};
pub use storage::{FixedNative, NativeStorage, NativeTables};
#[cfg(feature = "alloc")]
pub use storage::{HeapNative, native_tables};
pub use tasks::{Claim, Outstanding};

/// What a peer is closed for that breaks the protocol.
const MALFORMED: Fault = Fault::Refused(RefusalCode::Malformed);

pub(super) type BufferOf<N> = <<N as NativeStorage>::Master as MasterStorage>::Buffer;

/// All that is known of native peers.
#[derive(Debug)]
pub(super) struct Natives<N: NativeStorage> {
    peers: Slab<NativePeer<N::Value, N::Aliases>, N::Peers>,
    /// What clients are to be told of how far their tasks are.
    progress: Slab<Progress, N::Progress>,
    /// Those that wait for what all share.
    stalled: List<credit::IsStalled>,
    sessions: Slab<Session, N::Sessions>,
    by_session: Index<N::SessionPlaces>,
    /// Sessions whose client is away, in the order in which they went.
    away: List<sessions::IsAway>,
    /// Those that have been forgotten, and whose tasks have still to be dropped.
    forgotten: List<sessions::IsAway>,
    submissions: Slab<Submission, N::Submissions>,
    by_sequence: Index<N::SubmissionPlaces>,
    /// Results that were sent and are not safe with their clients yet.
    kept: Slab<Kept<BufferOf<N>>, N::Kept>,
    outstanding: Slab<Outstanding, N::Outstanding>,
    /// Tasks that workers hold from before and have still to name: there is room for them.
    announced: u32,
    /// Those that they have named, and that are no tasks that are known here.
    unknown: u32,
    by_number: Index<N::OutstandingPlaces>,
    claims: Slab<Claim, N::Claims>,
    by_claim: Index<N::ClaimPlaces>,
    names: Slab<Name<N::Opening>, N::Names>,
    by_alias: Index<N::NamePlaces>,
    /// Names beyond those that are set aside for each client.
    names_shared: u32,
    hash: KeyedHash,
    /// Differs for each start of the master.
    epoch: u64,
    /// Under which tasks of clients that speak ZeroMQ are known.
    bridge: SessionId,
    name: Span<N::Opening>,
    token: heapless::Vec<u8, TOKEN_MAX>,
    /// How long what belongs to a client that is away is kept.
    keep: core::time::Duration,
    /// What comes before the next message's body.
    head: HeaderBytes,
    /// The text of the progress that is sent.
    text: heapless::String<{ peer::PROGRESS_TEXT }>,
}

impl<N: NativeStorage> Natives<N> {
    /// `None` if the name is too long for a message buffer.
    pub(super) fn new(name: &str, config: &EndpointConfig, tables: NativeTables<N>, seed: Seed) -> Option<Self> {
        let mut random = Random::new(seed.derive("native"));
        let mut bridge = [0; 16];
        let (first, second) = bridge.split_at_mut(8);
        first.copy_from_slice(&random.next_u64().to_le_bytes());
        second.copy_from_slice(&random.next_u64().to_le_bytes());
        Some(Self {
            peers: Slab::new(tables.peers),
            stalled: List::new(),
            progress: Slab::new(tables.progress),
            sessions: Slab::new(tables.sessions),
            by_session: Index::new(tables.session_places),
            away: List::new(),
            forgotten: List::new(),
            submissions: Slab::new(tables.submissions),
            by_sequence: Index::new(tables.submission_places),
            kept: Slab::new(tables.kept),
            outstanding: Slab::new(tables.outstanding),
            announced: 0,
            unknown: 0,
            by_number: Index::new(tables.outstanding_places),
            claims: Slab::new(tables.claims),
            by_claim: Index::new(tables.claim_places),
            names: Slab::new(tables.names),
            by_alias: Index::new(tables.name_places),
            names_shared: 0,
            hash: KeyedHash::new(seed.derive("native hash")),
            epoch: random.next_u64(),
            bridge: SessionId(bridge),
            name: Span::copy_from(front_of(name, NAME_MAX).as_bytes())?,
            token: heapless::Vec::new(),
            keep: config.master.keep,
            head: HeaderBytes::new(),
            text: heapless::String::new(),
        })
    }
}
