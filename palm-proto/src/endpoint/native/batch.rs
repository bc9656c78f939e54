//! Tasks and results that go out one after the other: the common ones, without looking at each for all that may be said between
//! them.

use crate::collections::NONE;
use crate::master::{ResultKind, SubscriberId, WorkerId};
use crate::native::{HEADER_MAX, Header, ToPeer};
use crate::time::Instant;

use super::super::machine::{BufferOf, Endpoint};
use super::super::peer::Role;
use super::super::storage::EndpointStorage;
use super::super::transmit::Outlet;
use super::output::{alias, function_slot, session_slot};
use super::peer::{Aliases, Stage};
use super::{NativeStorage, Natives};

/// Payloads up to this size are small: a batch is of these.
const SMALL: usize = 1 << 10;
/// Bytes after which a batch ends, so that memory is looked at anew.
const BATCH: u32 = 16 << 10;

impl<N: NativeStorage> Natives<N> {
    /// Whether nothing has to be said to a peer before its next task or result.
    fn may_batch(&self, native: u32) -> bool {
        let peer = &self.peers[native];
        peer.stage == Stage::Established
            && !(peer.owes_ping || peer.owes_pong || peer.owes_sign)
            && peer.reply.is_none()
            && peer.revoked.is_empty()
            && peer.holding == 0
    }

    /// The same of what is said to clients alone.
    fn may_batch_results(&self, native: u32) -> bool {
        let peer = &self.peers[native];
        !peer.owes_accepted && peer.resend == NONE && peer.progress == NONE && !peer.credit.has_word()
    }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// Gives what a batch can be made of, up to `room` bytes.
    pub(in super::super) fn transmit_batch(
        &mut self,
        now: Instant,
        index: u32,
        native: u32,
        room: u32,
        out: &mut impl Outlet<BufferOf<S>>,
    ) {
        if self.peers[index].closing || !self.native.may_batch(native) {
            return;
        }
        let room = room.min(BATCH);
        let given = match self.peers[index].role {
            Role::NativeWorker(worker) => self.batch_of_tasks(native, worker, room, out),
            Role::NativeClient { subscriber, session, .. } if self.native.may_batch_results(native) => {
                self.batch_of_results(now, native, session, subscriber, room, out)
            }
            _ => 0,
        };
        self.peers[index].outgoing += given;
        self.master.reserve(None, given as usize);
    }

    /// Tasks that are dispatched for the first time, with functions and sessions that the worker knows by alias. The number of bytes.
    fn batch_of_tasks(&mut self, native: u32, worker: WorkerId, room: u32, out: &mut impl Outlet<BufferOf<S>>) -> u32 {
        let (mut given, mut last) = (0, None);
        while given < room {
            let peer = &mut self.native.peers[native];
            let max_frame = peer.max_frame as usize;
            if peer.outstanding.list().len() >= peer.window as usize || !self.native.may_send() {
                break;
            }
            let Some(task) = self.master.next_noted(worker) else { break };
            let origin = task.origin;
            let payload = task.payload.0 as usize..task.payload.1 as usize;
            if !task.is_plain() || payload.len() > SMALL.min(max_frame.saturating_sub(HEADER_MAX)) {
                break;
            }
            // Most have the function and the session of the one before.
            let key = (origin.session, origin.generation, origin.function);
            let (function, session) = match last {
                Some((known, aliases)) if known == key => aliases,
                _ => {
                    if self.native.sessions.generation(origin.session) != Some(origin.generation) {
                        break;
                    }
                    let Some(id) = self.native.sessions.get(origin.session).map(|session| session.id) else { break };
                    let aliases = &mut self.native.peers[native].aliases;
                    let functions = aliases.functions();
                    let function = function_slot(origin.function, functions.len());
                    let knows_function = functions.get(function) == Some(&origin.function);
                    let sessions = aliases.sessions();
                    let session = session_slot(id, sessions.len());
                    if !knows_function || sessions.get(session) != Some(&Some(id)) {
                        break;
                    }
                    let aliases = (alias(function), alias(session));
                    last = Some((key, aliases));
                    aliases
                }
            };
            if self.native.taken_numbers(native) > 0 {
                break;
            }
            let header = ToPeer::Task { function, session, sequence: origin.sequence };
            let payload = task.message.as_slice().get(payload).unwrap_or(&[]);
            let Ok(head) = header.stream_head_for(payload.len()) else { break };
            out.copy(&head, payload);
            given += (head.len() + payload.len()) as u32;
            let Some(task) = self.master.take_next(worker) else { break };
            self.native.add_outstanding(native, Some(task), 1);
        }
        given
    }

    /// Results of tasks that were done. The number of bytes.
    fn batch_of_results(
        &mut self,
        now: Instant,
        native: u32,
        session: u32,
        subscriber: SubscriberId,
        room: u32,
        out: &mut impl Outlet<BufferOf<S>>,
    ) -> u32 {
        let mut given = 0;
        while given < room {
            let peer = &mut self.native.peers[native];
            let max_frame = peer.max_frame as usize;
            if peer.unconfirmed >= peer.window || !self.native.may_keep(session) {
                break;
            }
            let Some((note, message)) = self.master.next_result(subscriber) else { break };
            let sequence = note.origin.sequence;
            let payload = note.payload.start as usize..note.payload.end as usize;
            let is_plain = note.kind == ResultKind::Done && note.origin.is_some();
            if !is_plain || payload.len() > SMALL.min(max_frame.saturating_sub(HEADER_MAX)) {
                break;
            }
            let payload = message.as_slice().get(payload).unwrap_or(&[]);
            let header = ToPeer::Result { sequence };
            let Ok(head) = header.stream_head_for(payload.len()) else { break };
            out.copy(&head, payload);
            given += (head.len() + payload.len()) as u32;
            let Some(outcome) = self.master.poll_result(now, subscriber) else { break };
            self.master.reserve(None, outcome.message.footprint());
            self.native.remove_submission(session, sequence);
            self.native.keep_result(session, outcome.message, outcome.note);
            self.native.peers[native].unconfirmed += 1;
        }
        given
    }
}
