//! What a client says: tasks, and which results it has.

use core::time::Duration;

use crate::buffer::{Buffer, Span};
use crate::master::{NotTaken, Origin, Prepared, Refusal, SenderId, Unfit};
use crate::message::wire::FieldHead;
use crate::message::{MessageWriter, Opening, field};
use crate::native::{Frame, SessionId, ToMaster};
use crate::time::Instant;

use super::super::event::Fault;
use super::super::machine::Endpoint;
use super::super::storage::EndpointStorage;
use super::MALFORMED;
use super::input::Heard;
use super::names::Name;
use super::sessions::opening;

/// The fields after its payload: a sequence, a deadline and a priority, a key of two bytes each.
const TRAILER_MAX: usize = 3 * (2 + 10);

impl<S: EndpointStorage> Endpoint<S> {
    /// There is room for it, or it is turned away: it is never left unread.
    pub(super) fn on_submit(
        &mut self,
        now: Instant,
        (index, native): (u32, u32),
        sender: SenderId,
        session: u32,
        frame: &Frame<'_, ToMaster>,
    ) -> Heard {
        let (sequence, alias, priority, deadline) = match frame.header {
            ToMaster::Submit { sequence, function } => (sequence, function, 0, None),
            ToMaster::SubmitWith { sequence, function, priority, deadline_ms, .. } => {
                (sequence, function, priority, deadline_ms)
            }
            _ => return Heard::Taken,
        };
        let len = frame.front.len() + frame.body.len();
        match self.spend_credit(index, native, len) {
            None => return Heard::Fault(MALFORMED),
            Some(false) => return Heard::Taken,
            Some(true) => {}
        }
        if sequence < self.native.sessions[session].accepted {
            // It was sent again after a reconnect, and is here.
            self.counters.submitted_again += 1;
            return Heard::Taken;
        }
        let function = self.native.function(native, alias);
        if function.is_none() && !self.native.peers[native].lacks_names {
            return Heard::Fault(MALFORMED);
        }
        if !self.has_room(index, sender, session, len) {
            self.turn_away(index, native, sequence);
            return Heard::Taken;
        }
        let entry = &self.native.sessions[session];
        let (id, generation) = (entry.id, self.native.sessions.generation(session).unwrap_or(0));
        let hash = function.map_or(0, |function| function.hash);
        let origin = Origin { session, generation, sequence, function: hash };
        let made = match function {
            Some(function) => message(function, frame, origin, &Extras { priority, deadline })
                .or_else(|| unfit(&id, origin, Unfit::TooLong)),
            None => unfit(&id, origin, Unfit::Name),
        };
        let Some((message, prepared)) = made else {
            return Heard::Fault(Fault::NoRoom);
        };
        let taken = match self.native.take_claim(id, sequence) {
            None => self.master.handle_submit_prepared(now, sender, message, &prepared),
            Some(claim) => {
                let held = (claim.worker, claim.attempt);
                let taken = self.master.handle_prepared_held(now, sender, message, &prepared, held);
                match &taken {
                    Ok(task) => self.native.know(claim.outstanding, *task),
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
                Heard::Taken
            }
            Err(NotTaken { reason: Refusal::Malformed, .. }) => Heard::Fault(MALFORMED),
            Err(NotTaken { .. }) => {
                self.turn_away(index, native, sequence);
                Heard::Taken
            }
        }
    }

    /// Whether there is room for a task that has come, for which it may have been set aside.
    fn has_room(&self, index: u32, sender: SenderId, session: u32, len: usize) -> bool {
        let is_set_aside = self.peers[index].reserved > 0;
        let room = if is_set_aside { self.master.has_place() } else { self.master.may_submit(sender, len) };
        room && !self.draining && self.native.room_to_note(session) > 0
    }

    pub(super) fn on_received(&mut self, index: u32, native: u32, session: u32, results: u32) -> Heard {
        if results > self.native.peers[native].unconfirmed {
            return Heard::Fault(MALFORMED);
        }
        for _ in 0..results {
            if let Some(bytes) = self.native.confirm_result(session) {
                self.master.release(None, bytes);
            }
        }
        self.native.peers[native].unconfirmed -= results;
        self.mark_ready(index);
        Heard::Taken
    }
}

/// What a task may have beside its function and payload.
struct Extras {
    priority: u8,
    deadline: Option<u32>,
}

/// The PALM message that a task is inside the master, and what is known of it; `None` if it is too long for a buffer.
fn message<B: Buffer, O: Buffer>(
    function: &Name<O>,
    frame: &Frame<'_, ToMaster>,
    origin: Origin,
    &Extras { priority, deadline }: &Extras,
) -> Option<(Span<B>, Prepared)> {
    let head = |number, bytes: &[u8]| (!bytes.is_empty()).then(|| FieldHead::of_bytes(number, bytes.len()));
    let (cache, payload) = (head(field::CACHE, frame.front), head(field::PAYLOAD, frame.body));
    let (cache, payload) = (cache.as_deref().unwrap_or(&[]), payload.as_deref().unwrap_or(&[]));
    let mut trailer: heapless::Vec<u8, TRAILER_MAX> = heapless::Vec::new();
    let mut writer = MessageWriter::new(&mut trailer);
    writer.sequence(origin.sequence);
    if let Some(deadline) = deadline {
        writer.deadline(deadline.into());
    }
    if priority > 0 {
        writer.priority(priority);
    }
    writer.finish().ok()?;
    let opening = function.opening.as_slice();
    let start = (opening.len() + cache.len() + frame.front.len() + payload.len()) as u32;
    let message = B::joined(&[opening, cache, frame.front, payload, frame.body, &trailer]).map(Span::whole)?;
    let prepared = Prepared {
        opening: match u8::try_from(function.len) {
            Ok(len @ ..0x80) => Opening::of(32, 32, len),
            _ => Opening::NONE,
        },
        payload: if frame.body.is_empty() { 0..0 } else { start..start + frame.body.len() as u32 },
        deadline: deadline.map(|millis| Duration::from_millis(millis.into())),
        priority,
        has_cache: !frame.front.is_empty(),
        is_addressed: function.is_addressed,
        unfit: None,
        origin,
    };
    Some((message, prepared))
}

/// What is kept of a task that cannot be done, so that it has its failure; `None` if a buffer cannot hold even that.
fn unfit<B: Buffer>(session: &SessionId, origin: Origin, why: Unfit) -> Option<(Span<B>, Prepared)> {
    let mut trailer: heapless::Vec<u8, TRAILER_MAX> = heapless::Vec::new();
    MessageWriter::new(&mut trailer).sequence(origin.sequence).finish().ok()?;
    let message = B::joined(&[&opening(session), &trailer]).map(Span::whole)?;
    let prepared = Prepared {
        opening: Opening::NONE,
        payload: 0..0,
        deadline: None,
        priority: 0,
        has_cache: false,
        is_addressed: false,
        unfit: Some(why),
        origin,
    };
    Some((message, prepared))
}
