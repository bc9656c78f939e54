//! What a worker says: answers, how far it is, what it still holds, and how much it takes.

use crate::collections::NONE;
use crate::master::{ATTEMPTS_CLAIMED, WorkerId};
use crate::message::{RawMessage, Status, TaskId};
use crate::native::{SessionId, TaskNumber, front_of};
use crate::time::Instant;

use super::super::event::Fault;
use super::super::machine::Endpoint;
use super::super::storage::EndpointStorage;
use super::MALFORMED;
use super::handshake::WINDOW_MAX;
use super::input::Heard;
use super::names::session_of;
use super::peer::{NativePeer, PROGRESS_TEXT, Progress};

impl<S: EndpointStorage> Endpoint<S> {
    pub(super) fn on_credit(&mut self, now: Instant, native: u32, worker: WorkerId, more: u32) {
        let peer = &mut self.native.peers[native];
        peer.window = peer.window.saturating_add(more).min(WINDOW_MAX);
        if peer.holding == 0 {
            self.widen(now, native, worker);
        }
    }

    /// A worker is given as many tasks as its window has places, whatever became of those that it handed back.
    fn widen(&mut self, now: Instant, native: u32, worker: WorkerId) {
        let window = self.native.peers[native].window;
        let known = self.master.load(worker).map_or(0, |(_, size)| size);
        self.master.widen(now, worker, window.saturating_sub(known));
    }

    /// An answer: its status, its payload, and the text that goes with a failure. It is the `last` of its task, or one of
    /// several.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        native: u32,
        worker: WorkerId,
        number: TaskNumber,
        (status, payload, text): (Status, &[u8], &str),
        last: bool,
    ) -> Heard {
        let Some(index) = self.native.find_outstanding(native, number) else { return Heard::Fault(MALFORMED) };
        let (task, attempt) = (self.native.outstanding[index].task, self.native.outstanding[index].attempt);
        if let Some(task) = task {
            // What has come in part has its room.
            let is_set_aside = self.peers[self.native.peers[native].connection].reserved > 0;
            let len = if is_set_aside { 0 } else { payload.len() };
            if status != Status::HandedBack && !self.master.may_answer(len) {
                return Heard::Blocked;
            }
            if self.master.handle_answer(now, worker, task, attempt, status, payload, text, last).is_err() {
                return Heard::Blocked;
            }
        } else if last {
            self.counters.unwanted += 1;
            if status == Status::HandedBack {
                self.master.give_no_more(worker);
            }
        }
        if last {
            self.native.remove_outstanding(index);
            if status == Status::HandedBack {
                // Its place stays empty until there is credit for it.
                let peer = &mut self.native.peers[native];
                peer.window = peer.window.saturating_sub(1);
            }
            self.mark_ready(self.native.peers[native].connection);
        }
        Heard::Taken
    }

    pub(super) fn on_progress(&mut self, native: u32, number: TaskNumber, permille: u16, text: &str) -> Heard {
        let Some(index) = self.native.find_outstanding(native, number) else { return Heard::Fault(MALFORMED) };
        let Some(message) = self.native.outstanding[index].task.and_then(|task| self.master.leased(task)) else {
            return Heard::Taken;
        };
        let Ok(view) = RawMessage::parse(message.as_slice()) else { return Heard::Taken };
        let (Some(id), Some(sequence)) = (session_of(view.client()), view.sequence()) else { return Heard::Taken };
        let Some(session) = self.native.find_session(id) else { return Heard::Taken };
        let client = self.native.sessions[session].peer;
        if let Some(peer) = self.native.peers.get_mut(client) {
            let text = front_of(text, PROGRESS_TEXT);
            let text = heapless::String::try_from(text).unwrap_or_default();
            let progress = Progress { sequence, permille: permille.min(1000), text };
            match self.native.progress.get_mut(peer.progress) {
                Some(before) => *before = progress,
                // With no room for it, the client learns of the next one.
                None => peer.progress = self.native.progress.insert(progress).unwrap_or(NONE),
            }
            let connection = peer.connection;
            self.mark_ready(connection);
        }
        Heard::Taken
    }

    /// A task of an earlier connection that a worker still does.
    pub(super) fn on_holding(
        &mut self,
        now: Instant,
        native: u32,
        worker: WorkerId,
        id: SessionId,
        sequence: u64,
        attempt: u32,
    ) -> Heard {
        let peer = &mut self.native.peers[native];
        if peer.holding == 0 {
            return Heard::Fault(MALFORMED);
        }
        peer.holding -= 1;
        self.native.announced -= 1;
        self.await_holding(now, native);
        let last = self.native.peers[native].holding == 0;
        let Some(index) = self.native.add_outstanding(native, None, attempt) else {
            return Heard::Fault(Fault::NoRoom);
        };
        let known = if id == self.native.bridge { Some(TaskId(sequence)) } else { self.native.submitted(id, sequence) };
        let is_past = || {
            let session = self.native.find_session(id);
            session.is_some_and(|session| sequence < self.native.sessions[session].accepted)
        };
        match known {
            _ if attempt > ATTEMPTS_CLAIMED => self.native.revoke(index),
            Some(task) if self.master.claim(now, task, worker, attempt) => {
                self.native.know(index, task);
            }
            Some(_) => self.native.revoke(index),
            // It is called off, or the worker does not know whose it is: nobody can want it.
            None if id == SessionId::NOBODY => self.native.revoke(index),
            None if is_past() || !self.native.add_claim(id, sequence, index, worker) => self.native.revoke(index),
            None => {}
        }
        if last {
            self.widen(now, native, worker);
        }
        self.mark_ready(self.native.peers[native].connection);
        Heard::Taken
    }

    /// A worker has as much time as for a handshake to name the first half of what it holds, and as much again for half of the rest,
    /// and so on: a slow line has time enough, and silence or one frame now and then keeps nothing.
    fn await_holding(&mut self, now: Instant, native: u32) {
        let NativePeer { holding, connection, .. } = self.native.peers[native];
        if holding == 0 {
            self.timers.stop(&mut self.peers, connection);
        } else if holding.is_power_of_two() {
            self.start_handshake(now, connection);
        }
    }

    /// Workers are told of tasks that nobody wants any more.
    pub(in super::super) fn pass_on_revoked(&mut self) {
        while let Some(revoked) = self.master.poll_revoked() {
            let Some(native) = self.peers.get(revoked.worker).and_then(|peer| peer.native()) else { continue };
            if let Some(index) = self.native.outstanding_task(native, revoked.task, revoked.attempt) {
                self.native.revoke(index);
                self.mark_ready(revoked.worker);
            }
        }
    }
}
