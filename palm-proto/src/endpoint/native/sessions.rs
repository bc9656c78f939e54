//! What is remembered of a client over its connections: which of its tasks are here, and which results it may not have yet.

use crate::buffer::Span;
use crate::collections::{Beside, Link, Linked, List, NONE, Sought, SoughtList};
use crate::master::Note;
use crate::message::TaskId;
use crate::native::SessionId;
use crate::random::split_mix;
use crate::time::Instant;

use super::super::crowd::Source;
use super::names::hex;
use super::tasks::SIDE_BY_SIDE;
use super::{NativeStorage, Natives};

/// Bytes of pipeline and client, with keys and lengths.
pub(super) const OPENING: usize = 2 * (2 + 32);
/// Clients that are away that are looked at for one to forget.
const LOOKED_AT: usize = 64;

/// A client's process; named only by storage types.
#[derive(Debug)]
pub struct Session {
    /// The handle of its session, which is all that is kept of that.
    pub(super) id: SessionId,
    /// From which the places of its tasks are derived.
    key: u32,
    /// Its connection, or none.
    pub(super) peer: u32,
    /// All tasks with lower numbers have been taken.
    pub(super) accepted: u64,
    pub(super) kept: List<OfSession>,
    submissions: SoughtList<IsLive>,
    away_since: Instant,
    away_link: Link,
    /// What stands for where its connection came from.
    origin: u32,
}

/// A task of a client that has not been answered; named only by storage types.
#[derive(Debug)]
pub struct Submission {
    session: u32,
    /// Whether it is in the index.
    indexed: bool,
    sequence: u64,
    task: TaskId,
    link: Link,
}

/// A result that was sent and is not safe with its client yet; named only by storage types.
#[derive(Debug)]
pub struct Kept<B> {
    pub(super) message: Span<B>,
    pub(super) note: Note,
    link: Link,
}

#[derive(Debug)]
pub(super) struct OfSession;
#[derive(Debug)]
pub(super) struct IsLive;
#[derive(Debug)]
pub(super) struct IsAway;

impl<B> Linked<OfSession> for Kept<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

impl Linked<IsLive> for Submission {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

impl Sought<IsLive> for Submission {
    fn indexed(&mut self) -> &mut bool {
        &mut self.indexed
    }
}

impl Linked<IsAway> for Session {
    fn link(&mut self) -> &mut Link {
        &mut self.away_link
    }
    fn peek_link(&self) -> Link {
        self.away_link
    }
}

/// What became of a session that was attached.
pub(super) struct Attached {
    pub(super) session: u32,
    /// The connection that had it.
    pub(super) replaced: Option<u32>,
}

impl<N: NativeStorage> Natives<N> {
    /// A client says hello: its session, which is a new one unless `resume` and it is known. `None` if there is no room for it.
    pub(super) fn attach(
        &mut self,
        id: SessionId,
        (peer, source): (u32, Source),
        resume: bool,
        drop: impl FnMut(usize),
    ) -> Option<Attached> {
        let origin = self.session_origin(source);
        let mut replaced = None;
        if let Some(known) = self.find_session(id) {
            let before = core::mem::replace(&mut self.sessions[known].peer, NONE);
            replaced = (before != NONE).then_some(before);
            if resume {
                if self.sessions[known].away_link.is_linked() {
                    self.away.remove(&mut self.sessions, known);
                }
                (self.sessions[known].peer, self.sessions[known].origin) = (peer, origin);
                return Some(Attached { session: known, replaced });
            }
            // It has forgotten all that it knew.
            self.forget_session(known, drop);
        }
        let session = Session {
            id,
            key: self.hash.hash(&id.0) as u32,
            peer,
            accepted: 0,
            kept: List::new(),
            submissions: SoughtList::new(),
            away_since: Instant::ZERO,
            away_link: Link::UNLINKED,
            origin,
        };
        let session = self.sessions.insert(session).ok()?;
        if !self.by_session.insert(self.hash.hash(&id.0), session) {
            self.sessions.remove(session);
            return None;
        }
        Some(Attached { session, replaced })
    }

    /// A client's connection is gone.
    pub(super) fn detach(&mut self, now: Instant, session: u32, peer: u32) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        if entry.peer != peer {
            return;
        }
        entry.peer = NONE;
        entry.away_since = now;
        if entry.kept.is_empty() && entry.submissions.list().is_empty() {
            // Nothing of it is here that it could come back for.
            self.forget_session(session, |_| {});
        } else {
            self.away.push_back(&mut self.sessions, session);
        }
    }

    /// When the client that has been away longest is forgotten, or tasks of one that has been are to be dropped.
    pub(in super::super) fn session_timeout(&self) -> Option<Instant> {
        if !self.forgotten.is_empty() {
            return Some(Instant::ZERO);
        }
        Some(self.sessions[self.away.front()?].away_since + self.keep)
    }

    /// Forgets a client that has been away for too long. `drop` is told the bytes of what is dropped.
    pub(super) fn expire_session(&mut self, now: Instant, drop: impl FnMut(usize)) {
        if let Some(session) = self.away.front()
            && self.sessions[session].away_since + self.keep <= now
        {
            self.forget_session(session, drop);
        }
    }

    /// Whether there is no place for this session.
    pub(super) fn lacks_session(&self, id: SessionId, resume: bool) -> bool {
        self.sessions.is_full() && !(resume && self.find_session(id).is_some())
    }

    /// Forgets a client that is away for one that comes: of those that have been away longest one of the same source, else the very
    /// first. So who comes and goes without end forgets its own, and keeps nobody out. `drop` is told the bytes of what is dropped.
    pub(super) fn forget_one_away(&mut self, source: Source, drop: impl FnMut(usize)) {
        let origin = self.session_origin(source);
        let first = self.away.front();
        let mut oldest = core::iter::successors(first, |&at| self.away.next(&self.sessions, at)).take(LOOKED_AT);
        if let Some(session) = oldest.find(|&at| self.sessions[at].origin == origin).or(first) {
            self.forget_session(session, drop);
        }
    }

    fn session_origin(&self, Source(source): Source) -> u32 {
        self.hash.hash(&source.to_le_bytes()) as u32
    }

    /// The next task of a client that has been forgotten: nobody wants it any more.
    pub(super) fn pop_forgotten(&mut self) -> Option<TaskId> {
        let session = self.forgotten.front()?;
        let index = self.sessions[session].submissions.list().front()?;
        let Submission { sequence, task, .. } = self.submissions[index];
        self.remove_submission(session, sequence);
        if self.sessions[session].submissions.list().is_empty() {
            self.forgotten.remove(&mut self.sessions, session);
            self.sessions.remove(session);
        }
        Some(task)
    }

    pub(super) fn find_session(&self, id: SessionId) -> Option<u32> {
        let place = self.hash.hash(&id.0);
        self.by_session.candidates(place).find(|&session| self.sessions[session].id == id)
    }

    /// Notes a client's task. `false` if there is no room for it.
    pub(super) fn note_submission(&mut self, session: u32, sequence: u64, task: TaskId) -> bool {
        let entry = Submission { session, indexed: false, sequence, task, link: Link::UNLINKED };
        let Ok(index) = self.submissions.insert(entry) else { return false };
        self.sessions[session].submissions.push_back(&mut self.submissions, index);
        true
    }

    /// How many more tasks of a client can be noted: a client may have as many as are left free, so that none keeps others out.
    pub(super) fn room_to_note(&self, session: u32) -> usize {
        let free = self.submissions.capacity() - self.submissions.len();
        free.saturating_sub(self.submissions_of(session)).div_ceil(2)
    }

    /// Tasks of a client that have not been answered.
    pub(super) fn submissions_of(&self, session: u32) -> usize {
        self.sessions[session].submissions.list().len()
    }

    /// The task that a client calls `sequence`, if it has not been answered. Amortised O(1).
    pub(super) fn submitted(&mut self, id: SessionId, sequence: u64) -> Option<TaskId> {
        let session = self.find_session(id)?;
        self.find_submission(session, sequence).map(|index| self.submissions[index].task)
    }

    /// A task has been answered.
    pub(super) fn remove_submission(&mut self, session: u32, sequence: u64) {
        if let Some(index) = self.find_submission(session, sequence) {
            let (beside, entry) = (self.by_sequence.beside(), &mut self.sessions[session]);
            let key = entry.key;
            let place = |entry: &Submission| sequence_place(beside, key, entry.sequence);
            entry.submissions.remove(&mut self.submissions, &mut self.by_sequence, place, index);
            self.submissions.remove(index);
        }
    }

    /// Whether tasks or results of a client are here.
    pub(in super::super) fn holds_for(&self, session: u32) -> bool {
        let session = &self.sessions[session];
        !session.kept.is_empty() || !session.submissions.list().is_empty()
    }

    /// Keeps a result that is being sent until it is safe with its client. Its place; `None` if there is no room, which the
    /// caller has seen to.
    pub(super) fn keep_result(&mut self, session: u32, message: Span<super::BufferOf<N>>, note: Note) -> Option<u32> {
        let index = self.kept.insert(Kept { message, note, link: Link::UNLINKED }).ok()?;
        self.sessions[session].kept.push_back(&mut self.kept, index);
        Some(index)
    }

    /// Whether one more result can be kept for a client; as many as are left free, so that none keeps others out.
    pub(super) fn may_keep(&self, session: u32) -> bool {
        let free = self.kept.capacity() - self.kept.len();
        self.sessions[session].kept.len() < free
    }

    /// The oldest result is safe with its client: the bytes that it took. `None` if none was sent.
    pub(super) fn confirm_result(&mut self, session: u32) -> Option<usize> {
        let index = self.sessions[session].kept.pop_front(&mut self.kept)?;
        self.kept.remove(index).map(|kept| kept.message.footprint())
    }

    #[inline]
    fn find_submission(&mut self, session: u32, sequence: u64) -> Option<u32> {
        let (beside, entry) = (self.by_sequence.beside(), &mut self.sessions[session]);
        let key = entry.key;
        entry.submissions.find(
            &mut self.submissions,
            &mut self.by_sequence,
            |entry| sequence_place(beside, key, entry.sequence),
            || sequence_place(beside, key, sequence),
            |entry| entry.sequence == sequence && entry.session == session,
        )
    }

    /// Nobody finds it any more, and its results are gone; its tasks are dropped a few at a time. O(results that it has here).
    fn forget_session(&mut self, session: u32, mut drop: impl FnMut(usize)) {
        while let Some(bytes) = self.confirm_result(session) {
            drop(bytes);
        }
        if self.sessions[session].away_link.is_linked() {
            self.away.remove(&mut self.sessions, session);
        }
        let entry = &self.sessions[session];
        self.by_session.remove(self.hash.hash(&entry.id.0), session);
        if entry.submissions.list().is_empty() {
            self.sessions.remove(session);
        } else {
            self.forgotten.push_back(&mut self.sessions, session);
        }
    }
}

/// Where a client's number for a task is looked for. The client chooses it, and does not know the key of its session.
fn sequence_place(beside: Beside, key: u32, sequence: u64) -> u64 {
    let (group, rest) = (sequence / u64::from(SIDE_BY_SIDE), sequence as u32 % SIDE_BY_SIDE);
    beside.hash(split_mix(u64::from(key).wrapping_add(split_mix(group))), rest)
}

/// What the messages of a session begin with: its id as pipeline and as client.
pub(super) fn opening(SessionId(id): &SessionId) -> [u8; OPENING] {
    const PIPELINE: u8 = (crate::message::field::PIPELINE << 3 | 2) as u8;
    const CLIENT: u8 = (crate::message::field::CLIENT << 3 | 2) as u8;
    let mut out = [0; OPENING];
    for (part, key) in out.chunks_exact_mut(OPENING / 2).zip([PIPELINE, CLIENT]) {
        let (head, text) = part.split_at_mut(2);
        head.copy_from_slice(&[key, 32]);
        text.copy_from_slice(&hex(id));
    }
    out
}
