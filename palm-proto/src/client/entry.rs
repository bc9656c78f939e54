//! What the table of a job holds, and the lists through it.

use crate::collections::{Link, Linked, List};
use crate::time::Instant;

use super::outcome::Failure;
use super::reply::Reply;

/// An entry of a job's table; named only by storage types.
#[derive(Debug)]
pub struct Entry<B> {
    pub(super) kind: Kind<B>,
    state_link: Link,
    order_link: Link,
}

#[derive(Debug)]
pub(super) enum Kind<B> {
    Message(Message<B>),
    /// One of several results of a message, but for the last.
    Partial(u64, Instant, Reply<B>),
}

#[derive(Debug)]
pub(super) struct Message<B> {
    pub(super) sequence: u64,
    pub(super) submitted: Instant,
    pub(super) message: B,
    pub(super) state: State,
    pub(super) due: Option<Instant>,
    pub(super) retries: u32,
    pub(super) received: u32,
    /// Results that wait for those of earlier messages.
    pub(super) held: List<InState>,
    pub(super) end: Option<Result<Reply<B>, Failure<B>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unsent,
    Sent,
    Delayed,
    Ended,
}

impl<B> Entry<B> {
    pub(super) const fn new(kind: Kind<B>) -> Self {
        Self { kind, state_link: Link::UNLINKED, order_link: Link::UNLINKED }
    }
}

/// The list of those in the same state; results are in one as well.
#[derive(Debug)]
pub(super) struct InState;
/// The list of all messages of an ordered job.
#[derive(Debug)]
pub(super) struct InOrder;

impl<B> Linked<InState> for Entry<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.state_link
    }
    fn peek_link(&self) -> Link {
        self.state_link
    }
}

impl<B> Linked<InOrder> for Entry<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.order_link
    }
    fn peek_link(&self) -> Link {
        self.order_link
    }
}
