//! A result on its way, and where it waits.

use core::ops::Range;

use crate::buffer::Span;
use crate::collections::{Link, Linked, List, NONE};
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
    /// In whose queue it is; `NONE`: in nobody's.
    pub(super) holder: u32,
    /// Under which topic it waits; `NONE`: under none. What one is given who has subscribed to a prefix waits for its client, too.
    pub(super) under: u32,
    pub(super) rank: Rank,
    /// A copy of it has been taken: nobody waits for this one.
    pub(super) taken: bool,
    /// What [`Copies`] it has, in less room.
    pub(super) tie: Tie,
    pub(super) tied: [u32; 2],
    pub(super) queue_link: Link,
    pub(super) topic_link: Link,
    pub(super) age_link: Link,
    pub(super) spare_link: Link,
}

/// What a result is worth when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// Nobody has taken it, or only others who have copies of their own: it stays, on its sender's account.
    Full,
    /// One who has subscribed to a prefix has taken it; it waits for its topic's own client. It gives way.
    Kept,
    /// Its topic's own client has it, or another copy; it is for one who has subscribed to a prefix. It gives way first.
    Extra,
}

/// Which of the [`Copies`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    None,
    Ring,
    Of,
}

impl<B> Delivery<B> {
    #[inline]
    pub(super) fn copies(&self) -> Copies {
        let [one, other] = self.tied;
        match self.tie {
            Tie::None => Copies::None,
            Tie::Ring => Copies::Ring { before: one, after: other },
            Tie::Of => Copies::Of { first: one, generation: other },
        }
    }

    pub(super) fn set_copies(&mut self, copies: Copies) {
        (self.tie, self.tied) = match copies {
            Copies::None => (Tie::None, [NONE; 2]),
            Copies::Ring { before, after } => (Tie::Ring, [before, after]),
            Copies::Of { first, generation } => (Tie::Of, [first, generation]),
        };
    }
}

/// What else there is of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    None,
    /// A ring: the copies of those who have subscribed to the topic itself.
    Ring {
        before: u32,
        after: u32,
    },
    /// Another waits for the topic's own client: which one, and the use of its place.
    Of {
        first: u32,
        generation: u32,
    },
}

/// Somebody who takes results; named only by storage types.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) token: u32,
    pub(super) queue: List<InQueue, ()>,
    /// Topics whose results waited when it came: they go before its queue.
    pub(super) claimed: List<InClaimed, ()>,
    pub(super) subscriptions: List<OfSubscriber>,
    pub(super) last_taken: Instant,
    /// The last publication that it was given.
    pub(super) publication: u64,
    pub(super) wake_link: Link,
}

impl Subscriber {
    pub(super) fn has_next(&self) -> bool {
        !self.claimed.is_empty() || !self.queue.is_empty()
    }
}

/// A topic under which results wait, which are what tells it; named only by storage types.
#[derive(Debug)]
pub struct Topic {
    pub(super) hash: u64,
    pub(super) waiting: List<InTopic, ()>,
    /// Who takes them, having subscribed to it; `NONE`: nobody has.
    pub(super) owner: u32,
    /// When one who has left last took something.
    pub(super) last_taken: Instant,
    pub(super) claimed_link: Link,
}

#[derive(Debug)]
pub(super) struct InQueue;
#[derive(Debug)]
pub(super) struct InTopic;
#[derive(Debug)]
pub(super) struct InAge;
#[derive(Debug)]
pub(super) struct InWake;
#[derive(Debug)]
pub(super) struct InSpare;
#[derive(Debug)]
pub(super) struct InClaimed;

impl<B> Linked<InQueue> for Delivery<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.queue_link
    }
    fn peek_link(&self) -> Link {
        self.queue_link
    }
}

impl<B> Linked<InTopic> for Delivery<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.topic_link
    }
    fn peek_link(&self) -> Link {
        self.topic_link
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

impl<B> Linked<InSpare> for Delivery<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.spare_link
    }
    fn peek_link(&self) -> Link {
        self.spare_link
    }
}

impl Linked<InClaimed> for Topic {
    fn link(&mut self) -> &mut Link {
        &mut self.claimed_link
    }
    fn peek_link(&self) -> Link {
        self.claimed_link
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
