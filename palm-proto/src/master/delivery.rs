//! A result on its way, and where it waits.

use core::ops::Range;

use crate::buffer::Span;
use crate::collections::{Link, Linked, List};
use crate::time::Instant;

use super::origin::Note;
use super::subscriptions::OfSubscriber;

/// A result that has not been taken yet; named only by storage types.
#[derive(Debug)]
pub struct Delivery<B> {
    pub(super) message: Span<B>,
    /// Where in the message its topic is, its client's id.
    pub(super) topic: Range<u32>,
    /// On whose account it is.
    pub(super) sender: u32,
    pub(super) note: Note,
    /// When it came, or its holder last took something.
    pub(super) since: Instant,
    pub(super) holder: Holder,
    /// Another subscriber has taken a copy of it: nobody waits for this one.
    pub(super) taken: bool,
    /// The next in a ring of copies of it that other subscribers were given; `NONE`: there is no other.
    pub(super) sibling: u32,
    pub(super) queue_link: Link,
    pub(super) age_link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Topic(u32),
    Subscriber(u32),
}

/// Somebody who takes results; named only by storage types.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) token: u32,
    pub(super) queue: List<InQueue>,
    pub(super) subscriptions: List<OfSubscriber>,
    pub(super) last_taken: Instant,
    /// The last publication that it was given.
    pub(super) publication: u64,
    pub(super) wake_link: Link,
}

/// A topic for which results wait and nobody has subscribed; named only by storage types.
#[derive(Debug)]
pub struct Topic<B> {
    pub(super) key: Span<B>,
    pub(super) waiting: List<InQueue>,
}

#[derive(Debug)]
pub(super) struct InQueue;
#[derive(Debug)]
pub(super) struct InAge;
#[derive(Debug)]
pub(super) struct InWake;

impl<B> Linked<InQueue> for Delivery<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.queue_link
    }
    fn peek_link(&self) -> Link {
        self.queue_link
    }
}

impl<B> Linked<InAge> for Delivery<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.age_link
    }
    fn peek_link(&self) -> Link {
        self.age_link
    }
}

impl Linked<InWake> for Subscriber {
    fn link(&mut self) -> &mut Link {
        &mut self.wake_link
    }
    fn peek_link(&self) -> Link {
        self.wake_link
    }
}
