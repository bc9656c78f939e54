//! What workers and clients say to their master (`docs/spec.md`, sections 9.5 to 9.8).

use serde::{Deserialize, Serialize};

use super::frame::{Content, Header, Shape};
#[cfg(feature = "alloc")]
use super::numbers::{Numbers, take, take_short};
use super::{Alias, FUNCTION_MAX, Magic, NAME_MAX, Role, SessionId, TEXT_MAX, TOKEN_MAX, TaskNumber, Versions, When};

/// A header of a frame to the master. The kind is the place in this list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// Begins a connection. Front: the peer's name, body: its token.
    Hello {
        /// The bytes `PALM`.
        magic: Magic,
        /// Versions of the protocol that the peer speaks.
        versions: Versions,
        /// What the peer is.
        role: Role,
        /// Longest frame that the peer takes, in bytes.
        max_frame: u32,
        /// A worker: tasks that it has at once, at most. A client: results that it has not called Received, at most.
        window: u32,
        /// What the peer's process is called, over all its connections.
        session: SessionId,
        /// Whether the process was connected before, and has kept what it knew then.
        resume: bool,
        /// A worker: tasks of earlier connections that it still does. As many Holding follow, and have the first
        /// numbers.
        holding: u32,
        /// Length of the name.
        name_len: u8,
    },
    /// The peer goes.
    Bye,
    /// To be answered by Pong.
    Ping,
    /// Answer to a Ping.
    Pong,

    /// From a worker: its window is wider.
    Credit {
        /// By how many tasks.
        more: u32,
    },
    /// From a worker: a task is done. Body: the result.
    Done {
        /// Which.
        number: TaskNumber,
    },
    /// From a worker: one of several results of a task, which goes on. Body: the result.
    Partial {
        /// Which task.
        number: TaskNumber,
    },
    /// From a worker: how far it is with a task. Body: text.
    Progress {
        /// Which task.
        number: TaskNumber,
        /// Thousandths that are done; above 1000 is as 1000.
        permille: u16,
    },
    /// From a worker: a task failed. Body: text.
    Failed {
        /// Which.
        number: TaskNumber,
        /// A status (`docs/spec.md`, section 2).
        code: u32,
    },
    /// From a worker: it gives a task back, which it has not begun.
    HandBack {
        /// Which.
        number: TaskNumber,
    },
    /// From a worker: it takes no more tasks, and goes when it has done those that it has.
    Drain,
    /// From a worker, straight after Welcome: a task of an earlier connection that it still does.
    Holding {
        /// Session of the client whose task it is.
        session: SessionId,
        /// The client's number for it.
        sequence: u64,
        /// Which attempt it is.
        attempt: u32,
    },

    /// From a client: what an alias means from now on. Body: a function's name, `server.method`.
    Function {
        /// The alias.
        alias: Alias,
    },
    /// From a client: a task. Body: the payload.
    Submit {
        /// The client's number for it.
        sequence: u64,
        /// What is to be done.
        function: Alias,
    },
    /// From a client: a task that has more to it. Front: user data, body: the payload.
    SubmitWith {
        /// The client's number for it.
        sequence: u64,
        /// What is to be done.
        function: Alias,
        /// Higher ones are first, whoever submitted them; 0 is that of Submit.
        priority: u8,
        /// How long the client waits for it, from now, in milliseconds.
        deadline_ms: Option<u32>,
        /// Length of the user data.
        cache_len: u32,
    },
    /// From a client: it does not want a task's result any more.
    Cancel {
        /// The client's number for it.
        sequence: u64,
    },
    /// From a client: so many results more are safe with it, in the order in which they were sent; it takes as many new
    /// ones.
    Received {
        /// How many.
        results: u32,
    },

    /// Asks the cache for a value. Body: the key.
    Get {
        /// The peer's number for the request, which the answer has too.
        id: u32,
    },
    /// Sets a value in the cache. Front: the key, body: the value.
    Set {
        /// The peer's number for the request.
        id: u32,
        /// How long the value lasts, in milliseconds; for good if there is none.
        ttl_ms: Option<u32>,
        /// On what condition.
        when: When,
        /// Length of the key.
        key_len: u32,
    },
    /// Deletes a value from the cache. Body: the key.
    Delete {
        /// The peer's number for the request.
        id: u32,
        /// On what condition.
        when: When,
    },

    /// From a client: it has heard NoRoom. What it was allowed to submit before counts no more.
    Restart,
}

/// Kinds that are numbers only.
#[cfg(feature = "alloc")]
const DONE: u8 = 5;
#[cfg(feature = "alloc")]
const SUBMIT: u8 = 13;

impl Header for ToMaster {
    const KINDS: u8 = 21;

    #[cfg(feature = "alloc")]
    #[inline]
    fn numbers(&self) -> Option<Numbers> {
        match *self {
            Self::Done { number } => Some(Numbers::one(DONE, number.number().into())),
            Self::Submit { sequence, function } => Some(Numbers::two(SUBMIT, [sequence, function.number().into()])),
            _ => None,
        }
    }

    #[cfg(feature = "alloc")]
    #[inline]
    fn of_numbers(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (&kind, mut rest) = frame.split_first()?;
        let header = match kind {
            DONE => Self::Done { number: take_short(&mut rest)?.try_into().ok()? },
            SUBMIT => Self::Submit { sequence: take(&mut rest)?, function: Alias::new(take_short(&mut rest)?)? },
            _ => return None,
        };
        Some((header, rest))
    }

    #[inline]
    fn shape(&self) -> Shape {
        let text = Content::Text { min: 0, max: TEXT_MAX };
        match *self {
            Self::Hello { name_len, .. } => Shape {
                front_len: usize::from(name_len),
                front: Content::Text { min: 0, max: NAME_MAX },
                body: Content::Short { max: TOKEN_MAX },
            },
            Self::Bye | Self::Ping | Self::Pong | Self::Drain | Self::Restart => Shape::body(Content::Nothing),
            Self::Credit { .. } | Self::HandBack { .. } | Self::Holding { .. } => Shape::body(Content::Nothing),
            Self::Cancel { .. } | Self::Received { .. } => Shape::body(Content::Nothing),
            Self::Done { .. } | Self::Partial { .. } | Self::Submit { .. } => Shape::body(Content::Bytes),
            Self::Progress { .. } | Self::Failed { .. } => Shape::body(text),
            Self::Function { .. } => Shape::body(Content::Text { min: 1, max: FUNCTION_MAX }),
            Self::SubmitWith { cache_len, .. } => Shape {
                front_len: cache_len as usize,
                front: Content::Text { min: 0, max: usize::MAX },
                body: Content::Bytes,
            },
            Self::Get { .. } | Self::Delete { .. } => Shape::body(Content::Bytes),
            Self::Set { key_len, .. } => {
                Shape { front_len: key_len as usize, front: Content::Bytes, body: Content::Bytes }
            }
        }
    }
}
