//! What a client says: tasks, and which results it has.

use crate::buffer::Span;
use crate::master::{NotTaken, Refusal, SenderId};
use crate::message::wire::FieldHead;
use crate::message::{MessageWriter, field};
use crate::native::{Frame, RefusalCode, ToMaster};
use crate::time::Instant;

use super::super::event::Fault;
use super::super::input::Taken;
use super::super::machine::{BufferOf, Endpoint};
use super::super::storage::EndpointStorage;
use super::names::hex;

/// The fields of a message before its function.
const OPENING_MAX: usize = 2 * (2 + 32);
/// The fields after its payload: a sequence, a deadline and a priority, a key of two bytes each.
const TRAILER_MAX: usize = 3 * (2 + 10);

impl<S: EndpointStorage> Endpoint<S> {
    pub(super) fn on_submit(
        &mut self,
        now: Instant,
        native: u32,
        sender: SenderId,
        session: u32,
        frame: &Frame<'_, ToMaster>,
    ) -> Taken<BufferOf<S>> {
        let (sequence, alias, priority, deadline) = match frame.header {
            ToMaster::Submit { sequence, function } => (sequence, function, 0, None),
            ToMaster::SubmitWith { sequence, function, priority, deadline_ms, .. } => {
                (sequence, function, priority, deadline_ms)
            }
            _ => return Taken::Yes,
        };
        if sequence < self.native.sessions[session].accepted {
            // It was sent again after a reconnect, and is here.
            self.counters.submitted_again += 1;
            return Taken::Yes;
        }
        let Some(function) = self.native.function(native, alias) else {
            return Taken::Fault(Fault::Refused(RefusalCode::Malformed));
        };
        let len = frame.front.len() + frame.body.len();
        if !self.native.may_note(session) || self.draining || !self.master.may_submit(sender, len) {
            return Taken::Blocked(None);
        }
        let id = self.native.sessions[session].id;
        let Some(message) = message(&id.0, function.as_slice(), frame, sequence, priority, deadline) else {
            return Taken::Fault(Fault::NoRoom);
        };
        let taken = match self.native.take_claim(id, sequence) {
            None => self.master.handle_submit(now, sender, message),
            Some(claim) => {
                let taken = self.master.handle_submit_held(now, sender, message, claim.worker, claim.attempt);
                match &taken {
                    Ok(task) => self.native.outstanding[claim.outstanding].task = Some(*task),
                    Err(_) => _ = self.native.add_claim(id, sequence, claim.outstanding, claim.worker),
                }
                taken
            }
        };
        match taken {
            Ok(task) => {
                self.native.sessions[session].accepted = sequence.saturating_add(1);
                let noted = self.native.note_submission(session, sequence, task);
                debug_assert!(noted, "there was room for it");
                Taken::Yes
            }
            Err(NotTaken { reason: Refusal::Malformed, .. }) => Taken::Fault(Fault::Refused(RefusalCode::Malformed)),
            Err(NotTaken { .. }) => Taken::Blocked(None),
        }
    }

    pub(super) fn on_received(&mut self, index: u32, native: u32, session: u32, results: u32) -> Taken<BufferOf<S>> {
        if results > self.native.peers[native].unconfirmed {
            return Taken::Fault(Fault::Refused(RefusalCode::Malformed));
        }
        for _ in 0..results {
            if let Some(bytes) = self.native.confirm_result(session) {
                self.master.release(None, bytes);
            }
        }
        self.native.peers[native].unconfirmed -= results;
        self.mark_ready(index);
        Taken::Yes
    }
}

/// The PALM message that a task is inside the master; `None` if it is too long for a buffer.
fn message<B: crate::buffer::Buffer>(
    session: &[u8; 16],
    function: &[u8],
    frame: &Frame<'_, ToMaster>,
    sequence: u64,
    priority: u8,
    deadline: Option<u32>,
) -> Option<Span<B>> {
    let session = hex(session);
    let mut opening: heapless::Vec<u8, OPENING_MAX> = heapless::Vec::new();
    let id = core::str::from_utf8(&session).unwrap_or_default();
    MessageWriter::new(&mut opening).pipeline(id).client(id).finish().ok()?;
    let named = FieldHead::of_bytes(field::FUNCTION, function.len());
    let [cache, payload] = [(field::CACHE, frame.front), (field::PAYLOAD, frame.body)]
        .map(|(number, bytes)| (!bytes.is_empty()).then(|| FieldHead::of_bytes(number, bytes.len())));
    let mut trailer: heapless::Vec<u8, TRAILER_MAX> = heapless::Vec::new();
    let mut writer = MessageWriter::new(&mut trailer);
    writer.sequence(sequence);
    if let Some(deadline) = deadline {
        writer.deadline(deadline.into());
    }
    if priority > 0 {
        writer.priority(priority);
    }
    writer.finish().ok()?;
    let (cache, payload) = (cache.as_deref().unwrap_or(&[]), payload.as_deref().unwrap_or(&[]));
    B::joined(&[&opening, &named, function, cache, frame.front, payload, frame.body, &trailer]).map(Span::whole)
}
