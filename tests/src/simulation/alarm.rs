//! When a peer is woken.

use palm_proto::Instant;

use super::context::Context;
use super::queue::Event;

/// A peer's next wake-up, of which one is in the queue that counts: the earliest.
#[derive(Debug)]
pub(super) struct Alarm {
    peer: usize,
    at: Option<Instant>,
}

impl Alarm {
    /// One that is in the queue already.
    pub(super) const fn set(peer: usize, at: Instant) -> Self {
        Self { peer, at: Some(at) }
    }

    /// The peer is woken at `at`, or before.
    pub(super) fn wake(&mut self, context: &mut Context, at: Instant) {
        let at = at.max(context.now);
        if self.at.is_none_or(|due| at < due) {
            self.at = Some(at);
            context.queue.push(at, Event::Wake(self.peer));
        }
    }

    /// The peer has been woken.
    pub(super) fn ring(&mut self, context: &Context) {
        self.at.take_if(|at| *at <= context.now);
    }
}
