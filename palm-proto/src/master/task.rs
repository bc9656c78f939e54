//! A message that a master holds until it is answered.

use crate::buffer::{Buffer, Span};
use crate::collections::{Link, Linked, NONE};
use crate::message::{Opening, RawMessage, TaskId};
use crate::time::Instant;

use super::departures::{DepartureId, NO_DEPARTURE};
use super::origin::Origin;
use super::worker::WorkerId;

/// A message that a worker is to do; named only by storage types.
#[derive(Debug)]
pub struct Task<B> {
    /// Its name, from when it has a place.
    pub(super) id: TaskId,
    pub(crate) message: Span<B>,
    /// How the message begins.
    pub(crate) opening: Opening,
    /// Where its payload is.
    pub(crate) payload: (u32, u32),
    pub(crate) origin: Origin,
    pub(super) link: Link,
    /// On whose account it is.
    pub(super) sender: u32,
    pub(super) deadline: Option<Instant>,
    /// Its place among the deadlines, or `NONE`.
    pub(super) due: u32,
    pub(super) priority: u8,
    /// Whether the master puts a UUID into the `cache` field.
    pub(crate) wants_cache: bool,
    pub(super) sent: bool,
    /// Times it was sent to a worker.
    pub(super) attempt: u32,
    /// Workers that were lost with it.
    pub(super) losses: u32,
    /// With which departure the last of these was, as long as it has not been looked at what became of that.
    pub(super) lost_with: DepartureId,
    /// How often a loss has been taken off again, also by a claim.
    pub(super) forgiven: u8,
    /// It would be given up, but for the doubt whether the last worker was lost.
    pub(super) doubted: bool,
    /// It has been lost as often as it may be, the last time with a worker that was, as far as one can tell, at it.
    pub(super) spent: bool,
    /// It is given only to a worker that holds nothing else: so that one tells whether that was lost because of it.
    pub(super) apart: bool,
    /// Who has it, or `NONE`.
    pub(super) worker: u32,
    /// Who had it before and was taken to hang.
    pub(super) taken_from: Option<Taken>,
}

/// A worker that was taken to hang, and which attempt of a task it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) worker: WorkerId,
    pub(super) attempt: u32,
}

impl<B> Task<B> {
    /// A message that has been sent to nobody.
    pub(super) fn new(message: Span<B>, sender: u32) -> Self {
        Self {
            id: TaskId(0),
            message,
            opening: Opening::NONE,
            payload: (0, 0),
            origin: Origin::NONE,
            link: Link::UNLINKED,
            sender,
            deadline: None,
            due: NONE,
            priority: 0,
            wants_cache: false,
            sent: false,
            attempt: 0,
            losses: 0,
            lost_with: NO_DEPARTURE,
            forgiven: 0,
            doubted: false,
            spent: false,
            apart: false,
            worker: NONE,
            taken_from: None,
        }
    }
}

impl<B> Task<B> {
    /// Whether it is sent for the first time, all is noted of it, and it has nothing beside its payload.
    pub(crate) fn is_plain(&self) -> bool {
        self.attempt == 0
            && self.origin.is_some()
            && self.wants_cache
            && self.deadline.is_none()
            && self.opening.function().is_some()
    }
}

impl<B: Buffer> Task<B> {
    /// The id of its client.
    #[inline]
    pub(super) fn client(&self) -> &[u8] {
        let message = self.message.as_slice();
        match self.opening.client() {
            Some(place) => message.get(place.start as usize..place.end as usize).unwrap_or(&[]),
            // It was checked when it was taken.
            None => RawMessage::parse(message).map_or(&[], |view| view.client()),
        }
    }
}

/// A task is in its sender's queue of its priority, or among those that are kept apart, or in its worker's list.
#[derive(Debug)]
pub(super) struct InQueue;

impl<B> Linked<InQueue> for Task<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}
