//! What is said to native peers.

use core::ops::Range;

use crate::buffer::{Buffer, Span};
use crate::collections::NONE;
use crate::master::{Note, Outcome, ResultKind, SenderId, SubscriberId, WorkerId, millis_left};
use crate::message::{RawMessage, Status, TaskId, word};
use crate::native::{Alias, FUNCTION_MAX, HEADER_MAX, Header, Magic, SessionId, TEXT_MAX, ToPeer, VERSION, front_of};
use crate::time::Instant;

use super::super::machine::{BufferOf, Endpoint};
use super::super::part::Part;
use super::super::peer::Role;
use super::super::storage::EndpointStorage;
use super::super::transmit::{Body, Topic, Transmit};
use super::names::session_of;
use super::peer::{Aliases, Stage};
use super::sessions::Kept;
use super::{NativeStorage, Natives};

/// What is to be sent next; the header is in `head`.
enum Said<B> {
    /// Nothing but a header, and a text.
    Text(&'static str),
    /// How far a task is; the text is in `text`.
    Progress,
    /// A part of the master's name.
    Welcome(Range<usize>),
    /// A value of the cache.
    Reply(Span<B>),
    /// The front and the body of a task, parts of its message.
    OfTask { task: TaskId, front: Range<usize>, part: Range<usize> },
    /// A part of the message that a worker is sent next.
    OfNext(WorkerId, Range<usize>),
    /// A part of a result.
    OfResult(u32, Range<usize>),
}

impl<B: Buffer> Said<B> {
    /// Number of bytes beside the header and a text.
    fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Progress => 0,
            Self::Welcome(part) | Self::OfNext(_, part) | Self::OfResult(_, part) => part.len(),
            Self::OfTask { front, part, .. } => front.len() + part.len(),
            Self::Reply(value) => value.len(),
        }
    }
}

impl<N: NativeStorage> Natives<N> {
    /// The text that is said.
    fn text_of(&self, said: &Said<super::BufferOf<N>>) -> &[u8] {
        match said {
            Said::Text(text) => text.as_bytes(),
            Said::Progress => self.text.as_bytes(),
            _ => &[],
        }
    }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// The next frame for a native peer. Of what is beside the handshake and the heartbeat, no more than `cap` bytes are on their
    /// way.
    #[inline(always)]
    pub(in super::super) fn poll_native(
        &mut self,
        now: Instant,
        index: u32,
        native: u32,
        cap: u32,
    ) -> Option<Transmit<'_, BufferOf<S>>> {
        let said = match self.next_control(index, native) {
            Some(said) => said,
            None if self.peers[index].closing || self.peers[index].outgoing >= cap => return None,
            None => self.next_frame(now, index, native)?,
        };
        let total = self.native.head.len() + said.len() + self.native.text_of(&said).len();
        self.peers[index].outgoing += total as u32;
        self.master.reserve(None, total);
        if let Said::Reply(value) = &said {
            self.master.release(None, value.len());
        }
        let natives = &self.native;
        let empty = Transmit { lead: &natives.head, after: natives.text_of(&said), ..Transmit::EMPTY };
        Some(match said {
            Said::Text(_) | Said::Progress => empty,
            Said::Welcome(part) => {
                Transmit { topic: Topic::Own(natives.name.as_slice().get(part).unwrap_or(&[])), ..empty }
            }
            Said::Reply(value) => Transmit { body: Body::Given(value), ..empty },
            Said::OfTask { task, front, part } => {
                let body = Body::Kept(self.master.leased(task)?);
                Transmit { topic: Topic::InBody(front), body, part: Some(part), ..empty }
            }
            Said::OfNext(worker, part) => {
                Transmit { body: Body::Kept(self.master.next_task(worker)?), part: Some(part), ..empty }
            }
            Said::OfResult(kept, part) => {
                Transmit { body: Body::Kept(&natives.kept[kept].message), part: Some(part), ..empty }
            }
        })
    }

    /// What keeps a connection up, or ends it.
    fn next_control(&mut self, index: u32, native: u32) -> Option<Said<BufferOf<S>>> {
        let peer = &mut self.native.peers[native];
        match peer.stage {
            Stage::New | Stage::Over => return None,
            Stage::Refused(code, text) => {
                peer.stage = Stage::Over;
                return self.say(ToPeer::Refused { code }, Said::Text(text));
            }
            Stage::Greeted => {
                peer.stage = Stage::Established;
                let max_frame = self.max_frame();
                let window = self.first_grant(index, native);
                let peer = &self.native.peers[native];
                let welcome = ToPeer::Welcome {
                    magic: Magic,
                    version: VERSION,
                    epoch: self.native.epoch,
                    max_frame,
                    window,
                    heartbeat_ms: u32::try_from(self.heartbeat.as_millis()).unwrap_or(u32::MAX),
                };
                let room = (peer.max_frame as usize).saturating_sub(HEADER_MAX);
                let name = core::str::from_utf8(self.native.name.as_slice()).unwrap_or_default();
                let len = front_of(name, room).len();
                return self.say(welcome, Said::Welcome(0..len));
            }
            Stage::Established => {}
        }
        if core::mem::take(&mut peer.owes_pong) {
            return self.say(ToPeer::Pong, Said::Text(""));
        }
        if core::mem::take(&mut peer.owes_ping) {
            return self.say(ToPeer::Ping, Said::Text(""));
        }
        if core::mem::take(&mut peer.owes_sign) {
            // An empty frame.
            self.native.head.clear();
            return self.native.head.push(0).ok().map(|()| Said::Text(""));
        }
        None
    }

    /// What a client may submit at first; 0 for a worker.
    fn first_grant(&mut self, index: u32, native: u32) -> u32 {
        let Role::NativeClient { sender, session, .. } = self.peers[index].role else { return 0 };
        self.take_grant(native, sender, session)
    }

    fn next_frame(&mut self, now: Instant, index: u32, native: u32) -> Option<Said<BufferOf<S>>> {
        if let Some(reply) = self.native.peers[native].reply.take() {
            if self.peers[index].is_blocked() {
                // The next request waited for this.
                self.unblock(index);
            }
            let text = if let ToPeer::CacheRefused { .. } = reply.header { "refused" } else { "" };
            return self.say(reply.header, reply.body.map_or(Said::Text(text), |value| Said::Reply(value.into_part())));
        }
        if let Some(number) = self.native.pop_revoked(native) {
            return self.say(ToPeer::CancelTask { number }, Said::Text(""));
        }
        match self.peers[index].role {
            Role::NativeWorker(worker) => self.next_to_worker(now, native, worker),
            Role::NativeClient { sender, subscriber, session } => {
                self.next_to_client(now, native, (sender, session), subscriber)
            }
            Role::Stranger
            | Role::Sender(_)
            | Role::Worker(_)
            | Role::Answerer
            | Role::Subscriber(_)
            | Role::CacheClient => None,
        }
    }

    fn next_to_worker(&mut self, now: Instant, native: u32, worker: WorkerId) -> Option<Said<BufferOf<S>>> {
        loop {
            let peer = &self.native.peers[native];
            let has_room = peer.holding == 0 && peer.outstanding.list().len() < peer.window as usize;
            if !has_room {
                return None;
            }
            if !self.native.may_send() {
                if self.master.has_task(worker) {
                    self.native.stall(native);
                }
                return None;
            }
            let max_frame = peer.max_frame as usize;
            let next = self.look_at_next(worker)?;
            let longest = next.function.len().max(next.payload.len() + next.cache.len());
            if next.function.len() > FUNCTION_MAX || longest + HEADER_MAX > max_frame {
                let text = "the worker does not take a message of this length";
                self.master.refuse_next(now, worker, Status::TooLong, text);
                continue;
            }
            let told = self.native.peers[native].aliases.functions();
            let slot = function_slot(next.hash, told.len());
            let known = told.get_mut(slot)?;
            if core::mem::replace(known, next.hash) != next.hash {
                return self.say(ToPeer::Function { alias: alias(slot) }, Said::OfNext(worker, next.function));
            }
            let (id, sequence) = match next.origin {
                Some((id, sequence)) => (id, Some(sequence)),
                None => (self.native.bridge, None),
            };
            let told = self.native.peers[native].aliases.sessions();
            let session = session_slot(id, told.len());
            let known = told.get_mut(session)?;
            if known.replace(id) != Some(id) {
                return self.say(ToPeer::Session { alias: alias(session), id }, Said::Text(""));
            }
            let numbers = self.native.taken_numbers(native);
            if numbers > 0 {
                self.native.skip_numbers(native, numbers);
                return self.say(ToPeer::Skip { numbers }, Said::Text(""));
            }
            let assignment = self.master.poll_task(worker)?;
            let (task, attempt) = (assignment.task, assignment.attempt);
            let deadline_ms =
                assignment.deadline.map(|deadline| u32::try_from(millis_left(now, deadline)).unwrap_or(u32::MAX));
            let (function, session) = (alias(slot), alias(session));
            let sequence = sequence.unwrap_or(task.0);
            let plain = attempt == 1 && deadline_ms.is_none() && next.cache.is_empty();
            let header = if plain {
                ToPeer::Task { function, session, sequence }
            } else {
                let cache_len = u32::try_from(next.cache.len()).unwrap_or(u32::MAX);
                ToPeer::TaskWith { function, session, sequence, attempt, deadline_ms, cache_len }
            };
            self.native.add_outstanding(native, Some(task), attempt);
            return self.say(header, Said::OfTask { task, front: next.cache, part: next.payload });
        }
    }

    /// What a worker is sent next; it is read unless all is noted.
    #[inline]
    fn look_at_next(&self, worker: WorkerId) -> Option<Next> {
        let task = self.master.next_noted(worker)?;
        let origin = task.origin;
        if let (true, true, Some(function)) = (origin.is_some(), task.wants_cache, task.opening.function()) {
            let known = self.native.sessions.generation(origin.session) == Some(origin.generation);
            if let Some(session) = self.native.sessions.get(origin.session).filter(|_| known) {
                return Some(Next {
                    function: function.start as usize..function.end as usize,
                    hash: origin.function,
                    payload: task.payload.0 as usize..task.payload.1 as usize,
                    cache: 0..0,
                    origin: Some((session.id, origin.sequence)),
                });
            }
        }
        let message = task.message.as_slice();
        // It was checked when it was taken.
        let view = RawMessage::parse(message).ok()?;
        let function = word(view.function(), view.stage).unwrap_or_default();
        let client = if origin.is_some() { session_of(view.client()) } else { None };
        Some(Next {
            function: range_in(message, function),
            hash: self.native.function_hash(function),
            payload: view.payload_place(),
            cache: view.cache_place(),
            origin: client.map(|id| (id, origin.sequence)),
        })
    }

    fn next_to_client(
        &mut self,
        now: Instant,
        native: u32,
        (sender, session): (SenderId, u32),
        subscriber: SubscriberId,
    ) -> Option<Said<BufferOf<S>>> {
        if core::mem::take(&mut self.native.peers[native].owes_accepted) {
            let up_to = self.native.sessions[session].accepted;
            return self.say(ToPeer::Accepted { up_to }, Said::Text(""));
        }
        if let Some(from) = self.native.take_no_room(native) {
            return self.say(ToPeer::NoRoom { from }, Said::Text(""));
        }
        let more = self.take_grant(native, sender, session);
        if more > 0 {
            return self.say(ToPeer::Window { more }, Said::Text(""));
        }
        let progress = core::mem::replace(&mut self.native.peers[native].progress, NONE);
        if let Some(progress) = self.native.progress.remove(progress) {
            self.native.text = progress.text;
            let header = ToPeer::Progress { sequence: progress.sequence, permille: progress.permille };
            return self.say(header, Said::Progress);
        }
        self.next_result(now, native, session, subscriber)
    }

    fn next_result(
        &mut self,
        now: Instant,
        native: u32,
        session: u32,
        subscriber: SubscriberId,
    ) -> Option<Said<BufferOf<S>>> {
        let peer = &mut self.native.peers[native];
        if peer.unconfirmed >= peer.window {
            return None;
        }
        let kept = if peer.resend != NONE {
            let kept = peer.resend;
            let list = &self.native.sessions[session].kept;
            self.native.peers[native].resend = list.next(&self.native.kept, kept).unwrap_or(NONE);
            kept
        } else {
            if !self.native.may_keep(session) {
                self.native.peers[native].awaits_place = true;
                self.native.stall(native);
                return None;
            }
            let outcome = self.next_own_result(now, subscriber)?;
            self.master.reserve(None, outcome.message.footprint());
            let note = read_note(outcome.message.as_slice(), outcome.note);
            if note.kind != ResultKind::Part {
                self.native.remove_submission(session, note.origin.sequence);
            }
            self.native.keep_result(session, outcome.message, note)?
        };
        let Kept { message, note, .. } = &self.native.kept[kept];
        let peer = &mut self.native.peers[native];
        peer.unconfirmed += 1;
        let room = (peer.max_frame as usize).saturating_sub(HEADER_MAX);
        let sequence = note.origin.sequence;
        let mut part = note.payload.start as usize..note.payload.end as usize;
        let header = match note.kind {
            ResultKind::Done | ResultKind::Part if part.len() > room => {
                part = 0..0;
                ToPeer::Failed { sequence, code: Status::TooLong.code() }
            }
            ResultKind::Done => ToPeer::Result { sequence },
            ResultKind::Part => ToPeer::Partial { sequence },
            ResultKind::Unread => {
                let view = RawMessage::parse(message.as_slice()).ok()?;
                let text = core::str::from_utf8(view.error()).unwrap_or_default();
                let start = view.error_place().start;
                part = start..start + front_of(text, room.min(TEXT_MAX)).len();
                ToPeer::Failed { sequence, code: view.status().code() }
            }
        };
        self.say(header, Said::OfResult(kept, part))
    }

    /// The next result of a task of a native client. Anybody who speaks ZeroMQ may publish under its topic: that is dropped.
    fn next_own_result(&mut self, now: Instant, subscriber: SubscriberId) -> Option<Outcome<BufferOf<S>>> {
        loop {
            let outcome = self.master.poll_result(now, subscriber)?;
            if outcome.note.origin.is_some() {
                return Some(outcome);
            }
            self.counters.unwanted += 1;
        }
    }

    /// Puts the header in front of what is said.
    #[inline(always)]
    fn say(&mut self, header: ToPeer, said: Said<BufferOf<S>>) -> Option<Said<BufferOf<S>>> {
        let len = said.len() + self.native.text_of(&said).len();
        self.native.head = header.stream_head_for(len).ok()?;
        Some(said)
    }
}

/// What is known of the message that a worker is sent next: where its parts are, and whose it is.
struct Next {
    function: Range<usize>,
    hash: u64,
    payload: Range<usize>,
    cache: Range<usize>,
    /// The native client's session, and its number for the task.
    origin: Option<(SessionId, u64)>,
}

/// What is known of a result once it has been read, if it has to be: its kind is [`ResultKind::Unread`] only for a failure then.
/// Which task it is of was noted, whatever number the answer has.
fn read_note(message: &[u8], note: Note) -> Note {
    if note.kind != ResultKind::Unread {
        return note;
    }
    let Ok(view) = RawMessage::parse(message) else { return note };
    let kind = match view.status() {
        Status::Done if view.is_partial() => ResultKind::Part,
        Status::Done => ResultKind::Done,
        _ => ResultKind::Unread,
    };
    let payload = view.payload_place();
    Note { kind, payload: payload.start as u32..payload.end as u32, ..note }
}

/// The alias of a slot: one of a few.
pub(super) fn alias(slot: usize) -> Alias {
    Alias::new(slot as u16).expect("slots are fewer than aliases")
}

/// Names are hashed with a key of ours.
pub(super) fn function_slot(hash: u64, slots: usize) -> usize {
    (hash % slots.max(1) as u64) as usize
}

/// Ids are random, so that any of their bits spread them.
pub(super) fn session_slot(SessionId([first, ..]): SessionId, slots: usize) -> usize {
    usize::from(first) % slots.max(1)
}

/// Where in `whole` its part `part` is.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if start > whole.len() { 0..0 } else { start..start + part.len() }
}
