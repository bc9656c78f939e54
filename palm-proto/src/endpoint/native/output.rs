//! What is said to native peers.

use core::ops::Range;

use crate::collections::NONE;
use crate::master::{SubscriberId, WorkerId};
use crate::message::{RawMessage, Status, word};
use crate::native::{Alias, FUNCTION_MAX, Frame, HEADER_MAX, Magic, SessionId, TEXT_MAX, ToPeer, VERSION, front_of};
use crate::time::Instant;

use super::super::machine::{BufferOf, Endpoint};
use super::super::peer::Role;
use super::super::storage::EndpointStorage;
use super::super::transmit::{Body, Topic, Transmit};
use super::names::session_of;
use super::peer::{ALIASES, Stage};

/// What is to be sent next; the header is in `head`.
enum Said<B> {
    /// Nothing but a header, and a text.
    Text(&'static str),
    /// Welcome, and how much of the master's name.
    Welcome(usize),
    Progress,
    Reply(Option<crate::buffer::Span<B>>),
    /// The front and the body of a task, parts of its message.
    OfTask(crate::message::TaskId, Range<usize>, Range<usize>),
    /// A part of the message that a worker is sent next.
    OfNext(WorkerId, Range<usize>),
    /// A part of a result.
    OfResult(u32, Range<usize>),
}

impl<S: EndpointStorage> Endpoint<S> {
    /// The next frame for a native peer. Of what is beside the handshake and the heartbeat, no more than `cap` bytes are on their
    /// way.
    pub(in super::super) fn poll_native(
        &mut self,
        now: Instant,
        index: u32,
        native: u32,
        cap: u32,
    ) -> Option<Transmit<'_, BufferOf<S>>> {
        let said = match self.next_control(native) {
            Some(said) => said,
            None if self.peers[index].closing || self.peers[index].outgoing >= cap => return None,
            None => self.next_frame(now, index, native)?,
        };
        let (body, part, after): (Body<'_, BufferOf<S>>, _, &[u8]) = match said {
            Said::Text(text) => (Body::None, None, text.as_bytes()),
            Said::Welcome(len) => (Body::Kept(&self.native.name), Some(0..len), &[]),
            Said::Progress => (Body::None, None, self.native.text.as_bytes()),
            Said::Reply(Some(value)) => {
                self.master.release(None, value.len());
                (Body::Given(value), None, &[])
            }
            Said::Reply(None) => (Body::None, None, &[]),
            Said::OfTask(task, front, part) => {
                self.count_outgoing(index, self.native.head.len() + front.len() + part.len());
                let body = Body::Kept(self.master.leased(task)?);
                let (lead, topic) = (&self.native.head, Topic::InBody(front));
                return Some(Transmit { lead, topic, body, part: Some(part), ..Transmit::EMPTY });
            }
            Said::OfNext(worker, part) => {
                self.count_outgoing(index, self.native.head.len() + part.len());
                let body = Body::Kept(self.master.next_task(worker)?);
                return Some(Transmit { lead: &self.native.head, body, part: Some(part), ..Transmit::EMPTY });
            }
            Said::OfResult(kept, part) => (Body::Kept(&self.native.kept[kept].message), Some(part), &[]),
        };
        let transmit = Transmit { lead: &self.native.head, body, part, after, ..Transmit::EMPTY };
        let total = transmit.len();
        self.peers[index].outgoing += total as u32;
        self.master.reserve(None, total);
        Some(transmit)
    }

    fn count_outgoing(&mut self, index: u32, total: usize) {
        self.peers[index].outgoing += total as u32;
        self.master.reserve(None, total);
    }

    /// What keeps a connection up, or ends it.
    fn next_control(&mut self, native: u32) -> Option<Said<BufferOf<S>>> {
        let peer = &mut self.native.peers[native];
        match peer.stage {
            Stage::New | Stage::Over => return None,
            Stage::Refused(code, text) => {
                peer.stage = Stage::Over;
                return self.say(ToPeer::Refused { code }, Said::Text(text));
            }
            Stage::Greeted => {
                peer.stage = Stage::Established;
                let max_frame = u32::try_from(self.limits.max_frame).unwrap_or(u32::MAX);
                let welcome = ToPeer::Welcome {
                    magic: Magic,
                    version: VERSION,
                    epoch: self.native.epoch,
                    max_frame,
                    window: u32::MAX,
                    heartbeat_ms: u32::try_from(self.heartbeat.as_millis()).unwrap_or(u32::MAX),
                };
                let room = (peer.max_frame as usize).saturating_sub(HEADER_MAX);
                let name = core::str::from_utf8(self.native.name.as_slice()).unwrap_or_default();
                let len = front_of(name, room).len();
                return self.say(welcome, Said::Welcome(len));
            }
            Stage::Established => {}
        }
        if core::mem::take(&mut peer.owes_pong) {
            return self.say(ToPeer::Pong, Said::Text(""));
        }
        if core::mem::take(&mut peer.owes_ping) {
            return self.say(ToPeer::Ping, Said::Text(""));
        }
        None
    }

    fn next_frame(&mut self, now: Instant, index: u32, native: u32) -> Option<Said<BufferOf<S>>> {
        if let Some(reply) = self.native.peers[native].reply.take() {
            if self.peers[index].is_blocked() {
                // The next request waited for this.
                self.unblock(index);
            }
            let text = if let ToPeer::CacheRefused { .. } = reply.header { "refused" } else { "" };
            return match reply.body {
                Some(value) => {
                    let head = Frame::with_body(reply.header, value.as_slice()).stream_head();
                    self.native.head = head.ok()?;
                    Some(Said::Reply(Some(value)))
                }
                None => self.say(reply.header, Said::Text(text)),
            };
        }
        if let Some(number) = self.native.pop_revoked(native) {
            return self.say(ToPeer::CancelTask { number }, Said::Text(""));
        }
        match self.peers[index].role {
            Role::NativeWorker(worker) => self.next_to_worker(now, native, worker),
            Role::NativeClient { subscriber, session, .. } => self.next_to_client(now, native, session, subscriber),
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
            let has_room = peer.holding == 0 && peer.outstanding.len() < peer.window as usize;
            if !has_room || !self.native.may_send() {
                return None;
            }
            let max_frame = peer.max_frame as usize;
            let message = self.master.next_task(worker)?.as_slice();
            // It was checked when it was taken.
            let view = RawMessage::parse(message).ok()?;
            let function = word(view.function(), view.stage).unwrap_or_default();
            let longest = function.len().max(view.payload().len() + view.cache().len());
            if function.len() > FUNCTION_MAX || longest + HEADER_MAX > max_frame {
                let text = "the worker does not take a message of this length";
                self.master.refuse_next(now, worker, Status::TooLong, text);
                continue;
            }
            let hash = self.native.hash.hash(function).max(1);
            let slot = (hash % ALIASES as u64) as usize;
            if self.native.peers[native].functions[slot] != hash {
                let part = range_in(message, function);
                let header = ToPeer::Function { alias: alias(slot) };
                self.native.head = Frame::with_body(header, function).stream_head().ok()?;
                self.native.peers[native].functions[slot] = hash;
                return Some(Said::OfNext(worker, part));
            }
            let native_id = session_of(view.client()).filter(|&id| self.native.find_session(id).is_some());
            let (id, sequence) = match (native_id, view.sequence()) {
                (Some(id), Some(sequence)) => (id, Some(sequence)),
                _ => (self.native.bridge, None),
            };
            let session = session_slot(id);
            if self.native.peers[native].sessions[session] != Some(id) {
                self.native.peers[native].sessions[session] = Some(id);
                return self.say(ToPeer::Session { alias: alias(session), id }, Said::Text(""));
            }
            let numbers = self.native.taken_numbers(native);
            if numbers > 0 {
                let peer = &mut self.native.peers[native];
                peer.next_number = peer.next_number.plus(numbers);
                return self.say(ToPeer::Skip { numbers }, Said::Text(""));
            }
            let assignment = self.master.poll_task(worker)?;
            let (task, attempt) = (assignment.task, assignment.attempt);
            let deadline_ms =
                assignment.deadline.map(|deadline| u32::try_from((deadline - now).as_millis()).unwrap_or(u32::MAX));
            let message = assignment.message.as_slice();
            let view = RawMessage::parse(message).ok()?;
            let (function, session) = (alias(slot), alias(session));
            let sequence = sequence.unwrap_or(task.0);
            let plain = attempt == 1 && deadline_ms.is_none() && view.cache().is_empty();
            let header = if plain {
                ToPeer::Task { function, session, sequence }
            } else {
                let cache_len = u32::try_from(view.cache().len()).unwrap_or(u32::MAX);
                ToPeer::TaskWith { function, session, sequence, attempt, deadline_ms, cache_len }
            };
            self.native.head = Frame { header, front: view.cache(), body: view.payload() }.stream_head().ok()?;
            let (front, part) = (view.cache_place(), view.payload_place());
            self.native.add_outstanding(native, Some(task), attempt);
            return Some(Said::OfTask(task, front, part));
        }
    }

    fn next_to_client(
        &mut self,
        now: Instant,
        native: u32,
        session: u32,
        subscriber: SubscriberId,
    ) -> Option<Said<BufferOf<S>>> {
        if core::mem::take(&mut self.native.peers[native].owes_accepted) {
            let up_to = self.native.sessions[session].accepted;
            return self.say(ToPeer::Accepted { up_to }, Said::Text(""));
        }
        if let Some(progress) = self.native.peers[native].progress.take() {
            self.native.text = progress.text;
            let header = ToPeer::Progress { sequence: progress.sequence, permille: progress.permille };
            self.native.head = Frame::with_body(header, self.native.text.as_bytes()).stream_head().ok()?;
            return Some(Said::Progress);
        }
        {
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
                    return None;
                }
                let outcome = self.master.poll_result(now, subscriber)?;
                self.master.reserve(None, outcome.message.footprint());
                let view = RawMessage::parse(outcome.message.as_slice()).ok();
                if let Some(sequence) = view.filter(|view| !view.is_partial()).and_then(|view| view.sequence()) {
                    self.native.remove_submission(session, sequence);
                }
                self.native.keep_result(session, outcome.message)?
            };
            let message = self.native.kept[kept].message.as_slice();
            let view = RawMessage::parse(message).ok()?;
            let peer = &mut self.native.peers[native];
            peer.unconfirmed += 1;
            // A message without a number was no native client's: it cannot be told which it answers.
            let sequence = view.sequence().unwrap_or(u64::MAX);
            let room = (peer.max_frame as usize).saturating_sub(HEADER_MAX);
            let fits = view.payload().len() <= room;
            let (head, part) = match view.status() {
                Status::Done if !fits => {
                    let code = Status::TooLong.code();
                    (Frame::new(ToPeer::Failed { sequence, code }).stream_head(), 0..0)
                }
                Status::Done if view.is_partial() => {
                    (Frame::with_body(ToPeer::Partial { sequence }, view.payload()).stream_head(), view.payload_place())
                }
                Status::Done => {
                    (Frame::with_body(ToPeer::Result { sequence }, view.payload()).stream_head(), view.payload_place())
                }
                status => {
                    let text = core::str::from_utf8(view.error()).unwrap_or_default();
                    let text = front_of(text, room.min(TEXT_MAX));
                    let header = ToPeer::Failed { sequence, code: status.code() };
                    let start = view.error_place().start;
                    (Frame::with_body(header, text.as_bytes()).stream_head(), start..start + text.len())
                }
            };
            self.native.head = head.ok()?;
            Some(Said::OfResult(kept, part))
        }
    }

    /// A frame that is nothing but `header` and the text that is `said`.
    fn say(&mut self, header: ToPeer, said: Said<BufferOf<S>>) -> Option<Said<BufferOf<S>>> {
        let body = match &said {
            Said::Text(text) => text.as_bytes(),
            Said::Welcome(len) => self.native.name.as_slice().get(..*len).unwrap_or(&[]),
            _ => &[],
        };
        self.native.head = Frame::with_body(header, body).stream_head().ok()?;
        Some(said)
    }
}

/// The alias of a slot: one of a few.
fn alias(slot: usize) -> Alias {
    Alias::new(slot as u16).expect("slots are fewer than aliases")
}

/// Ids are random, so that any of their bits spread them.
fn session_slot(SessionId([first, ..]): SessionId) -> usize {
    usize::from(first) % ALIASES
}

/// Where in `whole` its part `part` is.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if start > whole.len() { 0..0 } else { start..start + part.len() }
}
