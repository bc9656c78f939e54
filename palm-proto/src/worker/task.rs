//! A message that a worker has, and how far it is with it.

use crate::collections::{Link, Linked};
use crate::message::Status;
use crate::time::Instant;

use super::answer::Answer;

/// One message that a worker has; named only by storage types.
#[derive(Debug)]
pub struct Task<B> {
    pub(super) message: B,
    pub(super) expires: Option<Instant>,
    pub(super) state: State<B>,
    link: Link,
}

#[derive(Debug)]
pub(super) enum State<B> {
    Queued,
    Running,
    Answered(Answer<B>),
    /// An answer that needs no bytes of its own.
    Refused(Status, &'static str),
}

impl<B> Task<B> {
    pub(super) const fn new(message: B, expires: Option<Instant>, state: State<B>) -> Self {
        Self { message, expires, state, link: Link::UNLINKED }
    }
}

/// The list of those in the same state.
#[derive(Debug)]
pub(super) struct InState;

impl<B> Linked<InState> for Task<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

impl<B: AsRef<[u8]>> State<B> {
    pub(super) fn answer(&self) -> Answer<&[u8]> {
        match self {
            Self::Answered(Answer::Result(payload)) => Answer::Result(payload.as_ref()),
            Self::Answered(Answer::Failure(status, text)) => Answer::Failure(*status, text.as_ref()),
            Self::Refused(status, text) => Answer::Failure(*status, text.as_bytes()),
            // Only answered tasks are in the list of those to transmit.
            Self::Queued | Self::Running => Answer::Failure(Status::Failed, b""),
        }
    }
}
