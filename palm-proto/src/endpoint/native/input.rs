//! What native peers say.

use crate::buffer::Buffer;
use crate::message::Status;
use crate::native::{
    FIRST_FRAME_MAX, Frame, Header, RefusalCode, STREAM_FRAME_MAX, STREAM_HEAD_MAX, Streamed, ToMaster, decode_stream,
};
use crate::time::Instant;

use super::super::event::Fault;
use super::super::input::{Next, Progress};
use super::super::machine::{BufferOf, Endpoint};
use super::super::peer::Role;
use super::super::storage::EndpointStorage;
use super::MALFORMED;
use super::peer::Stage;
use super::sessions::OPENING;

/// Frames up to this size are not worth setting room aside for while they come.
/// Among these are all that have nothing to do with memory.
const SMALL: usize = 2 << 10;
/// Bytes that the message of a task has beside those of its frame, if its function's name has no more than 16: pipeline, client and
/// function, and the keys and lengths of the other fields.
const MESSAGE_BESIDE_FRAME: usize = OPENING + (2 + 16) + 8;
/// Frames that have nothing to do with memory are no longer than that.
const FRAME_MAX_LEAST: usize = 64;

/// What a frame came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Taken,
    /// There is no room for it now.
    Blocked,
    Fault(Fault),
}

impl<S: EndpointStorage> Endpoint<S> {
    /// Takes as many frames of `input` as are whole and there is room for.
    pub(in super::super) fn handle_native_input(
        &mut self,
        now: Instant,
        index: u32,
        native: u32,
        input: &[u8],
    ) -> Progress {
        let mut used = 0;
        let next = loop {
            if self.native.skips(native) {
                used += self.native.skip(native, input.len() - used);
            }
            let rest = input.get(used..).unwrap_or(&[]);
            if self.peers[index].closing {
                break Next::Close;
            }
            match decode_stream(rest, self.longest_frame(native)) {
                Err(_) => break self.break_off(index, native, MALFORMED),
                Ok(Streamed::Incomplete { total }) if total <= SMALL => break Next::Read { message: 0 },
                // Its header tells what it is.
                Ok(Streamed::Incomplete { .. }) if rest.len() < STREAM_HEAD_MAX => break Next::Read { message: 0 },
                Ok(Streamed::Incomplete { total }) => {
                    let next = self.on_long_frame(index, native, rest, total);
                    let dropped = self.native.skip(native, rest.len());
                    used += dropped;
                    break next;
                }
                Ok(Streamed::Skipped { used: len }) => used += len,
                Ok(Streamed::Frame { used: len, range }) => {
                    match self.on_native_frame(now, index, native, rest.get(range).unwrap_or(&[])) {
                        Heard::Taken => used += len,
                        Heard::Blocked => break self.block(index, len),
                        Heard::Fault(fault) => break self.break_off(index, native, fault),
                    }
                }
            }
        };
        self.heard(now, index);
        self.settle();
        Progress { used, next }
    }

    /// Takes one whole frame, with its length before it, that the driver has put into a buffer of its own.
    pub(in super::super) fn handle_native_message(
        &mut self,
        now: Instant,
        index: u32,
        native: u32,
        unit: BufferOf<S>,
    ) -> Result<Next, BufferOf<S>> {
        if self.peers[index].closing {
            return Ok(Next::Close);
        }
        let next = match decode_stream(unit.as_ref(), self.longest_frame(native)) {
            Ok(Streamed::Frame { used, range }) => {
                match self.on_native_frame(now, index, native, unit.as_ref().get(range).unwrap_or(&[])) {
                    Heard::Taken => Next::Read { message: 0 },
                    Heard::Fault(fault) => self.break_off(index, native, fault),
                    Heard::Blocked => {
                        self.block(index, used);
                        return Err(unit);
                    }
                }
            }
            Ok(_) => Next::Read { message: 0 },
            Err(_) => self.break_off(index, native, MALFORMED),
        };
        self.heard(now, index);
        self.settle();
        Ok(next)
    }

    fn longest_frame(&self, native: u32) -> u32 {
        match self.native.peers[native].stage {
            Stage::New => FIRST_FRAME_MAX,
            _ => self.max_frame().min(STREAM_FRAME_MAX),
        }
    }

    /// Longest frame that this master takes: what it is kept as has to fit into a buffer.
    pub(super) fn max_frame(&self) -> u32 {
        let buffer = BufferOf::<S>::CAPACITY.saturating_sub(MESSAGE_BESIDE_FRAME).max(FRAME_MAX_LEAST);
        u32::try_from(self.limits.max_frame.min(buffer as u64)).unwrap_or(u32::MAX)
    }

    /// It broke the protocol, or there is no room for what it has.
    pub(super) fn break_off(&mut self, index: u32, native: u32, fault: Fault) -> Next {
        if !self.peers[index].closing {
            if fault == MALFORMED {
                self.counters.protocol_errors += 1;
                self.refuse(index, native, RefusalCode::Malformed, "this breaks the protocol");
            } else {
                self.refuse(index, native, RefusalCode::Full, "no room for this");
            }
        }
        Next::Close
    }

    fn on_native_frame(&mut self, now: Instant, index: u32, native: u32, frame: &[u8]) -> Heard {
        let heard = match ToMaster::decode(frame) {
            Ok(None) => Heard::Taken,
            Ok(Some(frame)) => self.on_frame_to_master(now, index, native, &frame),
            Err(_) => Heard::Fault(MALFORMED),
        };
        if heard != Heard::Blocked {
            self.unreserve(index);
        }
        heard
    }

    fn on_frame_to_master(&mut self, now: Instant, index: u32, native: u32, frame: &Frame<'_, ToMaster>) -> Heard {
        if self.native.peers[native].stage == Stage::New {
            self.on_hello(now, index, native, frame);
            return Heard::Taken;
        }
        match (frame.header, self.peers[index].role) {
            (ToMaster::Bye, _) => {
                (self.native.peers[native].stage, self.native.peers[native].parts) = (Stage::Over, true);
                self.close(index);
                Heard::Taken
            }
            (ToMaster::Ping, _) => {
                self.native.peers[native].owes_pong = true;
                self.mark_ready(index);
                Heard::Taken
            }
            (ToMaster::Pong, _) => Heard::Taken,
            (ToMaster::Get { .. } | ToMaster::Set { .. } | ToMaster::Delete { .. }, _) => {
                self.on_cache_frame(now, index, native, frame)
            }
            (ToMaster::Credit { more }, Role::NativeWorker(worker)) => {
                self.on_credit(now, native, worker, more);
                Heard::Taken
            }
            (ToMaster::Done { number }, Role::NativeWorker(worker)) => {
                self.on_answer(now, native, worker, number, (Status::Done, frame.body, ""), true)
            }
            (ToMaster::Partial { number }, Role::NativeWorker(worker)) => {
                self.on_answer(now, native, worker, number, (Status::Done, frame.body, ""), false)
            }
            (ToMaster::Failed { number, code }, Role::NativeWorker(worker)) => {
                let status = match Status::from_code(code) {
                    // A failure is none of these, whatever the worker says.
                    Status::Done | Status::HandedBack => Status::Failed,
                    status => status,
                };
                self.on_answer(now, native, worker, number, (status, &[], frame.body_text()), true)
            }
            (ToMaster::HandBack { number }, Role::NativeWorker(worker)) => {
                self.on_answer(now, native, worker, number, (Status::HandedBack, &[], ""), true)
            }
            (ToMaster::Progress { number, permille }, Role::NativeWorker(_)) => {
                self.on_progress(native, number, permille, frame.body_text())
            }
            (ToMaster::Drain, Role::NativeWorker(worker)) => {
                self.master.drain_worker(now, worker);
                Heard::Taken
            }
            (ToMaster::Holding { session, sequence, attempt }, Role::NativeWorker(worker)) => {
                self.on_holding(now, native, worker, session, sequence, attempt)
            }
            (ToMaster::Function { alias }, Role::NativeClient { session, .. }) => {
                self.native.declare(native, session, alias, frame.body);
                Heard::Taken
            }
            (ToMaster::Submit { .. } | ToMaster::SubmitWith { .. }, Role::NativeClient { sender, session, .. }) => {
                self.on_submit(now, (index, native), sender, session, frame)
            }
            (ToMaster::Restart, Role::NativeClient { .. }) => {
                self.mark_ready(index);
                if self.native.on_restart(native) { Heard::Taken } else { Heard::Fault(MALFORMED) }
            }
            (ToMaster::Cancel { sequence }, Role::NativeClient { session, .. }) => {
                let id = self.native.sessions[session].id;
                if let Some(task) = self.native.submitted(id, sequence) {
                    self.master.cancel(now, task);
                }
                Heard::Taken
            }
            (ToMaster::Received { results }, Role::NativeClient { session, .. }) => {
                self.on_received(index, native, session, results)
            }
            _ => Heard::Fault(MALFORMED),
        }
    }
}
