//! What a transport notes with a message, so that it need not be read again.

use core::ops::Range;
use core::time::Duration;

use crate::message::Opening;

/// Whose a message is in the eyes of the transport that it came over; it comes back with the message and with its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The transport's number for its client.
    pub session: u32,
    /// Which of those that had that number it is.
    pub generation: u32,
    /// The client's number for the message.
    pub sequence: u64,
    /// What stands for the name of its function: the same for the same name.
    pub function: u64,
}

impl Origin {
    /// That of a message of which nothing was noted.
    pub const NONE: Self = Self { session: u32::MAX, generation: 0, sequence: 0, function: 0 };

    /// Whether anything was noted.
    pub const fn is_some(&self) -> bool {
        self.session != u32::MAX
    }
}

/// What is known of a message by who has put it together.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) opening: Opening,
    /// Where its payload is.
    pub(crate) payload: Range<u32>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) priority: u8,
    /// Whether it has user data.
    pub(crate) has_cache: bool,
    /// Whether its function is one: `server.method`.
    pub(crate) is_addressed: bool,
    /// Why nobody is to do it, if so: it is only what is needed to answer it.
    pub(crate) unfit: Option<Unfit>,
    pub(crate) origin: Origin,
}

/// Why a message is answered by a failure as soon as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// A buffer cannot hold it.
    TooLong,
    /// There was no room for the name of its function.
    Name,
}

/// What is known of a result without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose it is.
    pub origin: Origin,
    /// What it is.
    pub kind: ResultKind,
    /// Where its payload is, unless its kind is [`ResultKind::Unread`].
    pub payload: Range<u32>,
}

impl Note {
    /// That of a result of which nothing is known.
    pub(crate) const NONE: Self = Self { origin: Origin::NONE, kind: ResultKind::Unread, payload: 0..0 };
}

/// What a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// A function's only or last result.
    Done,
    /// One of several, and not the last.
    Part,
    /// Read it: a failure, or anything else.
    Unread,
}
