//! What a master says to its workers and clients (`docs/spec.md`, sections 9.5 to 9.8).

use serde::{Deserialize, Serialize};

use super::frame::{Content, Header, Shape};
#[cfg(feature = "alloc")]
use super::numbers::{Numbers, take, take_short};
use super::{Alias, CacheRefusalCode, FUNCTION_MAX, Magic, NAME_MAX, RefusalCode, SessionId, TEXT_MAX, TaskNumber};

/// A header of a frame from the master. The kind is the place in this list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToPeer {
    /// Answers a Hello: the connection is established. Body: the master's name.
    Welcome {
        /// The bytes `PALM`.
        magic: Magic,
        /// The version of the protocol that is spoken from now on.
        version: u8,
        /// Another one at each start of the master.
        epoch: u64,
        /// Longest frame that the master takes, in bytes.
        max_frame: u32,
        /// To a client: tasks that it may submit at first. To a worker: 0.
        window: u32,
        /// After how long a silence the master sends a Ping, in milliseconds; after as long again it gives the peer up.
        heartbeat_ms: u32,
    },
    /// The master closes the connection. Body: text.
    Refused {
        /// Why.
        code: RefusalCode,
    },
    /// To be answered by Pong.
    Ping,
    /// Answer to a Ping.
    Pong,
    /// The master goes.
    Bye,

    /// To a worker: what an alias of functions means from now on. Body: a function's name, `server.method`.
    Function {
        /// The alias.
        alias: Alias,
    },
    /// To a worker: what an alias of sessions means from now on.
    Session {
        /// The alias.
        alias: Alias,
        /// Session of a client.
        id: SessionId,
    },
    /// To a worker: a task that is dispatched for the first time. Body: the payload.
    Task {
        /// What is to be done.
        function: Alias,
        /// Whose it is.
        session: Alias,
        /// The client's number for it.
        sequence: u64,
    },
    /// To a worker: a task that has more to it. Front: user data, body: the payload.
    TaskWith {
        /// What is to be done.
        function: Alias,
        /// Whose it is.
        session: Alias,
        /// The client's number for it.
        sequence: u64,
        /// Which dispatch of it this is, from 1.
        attempt: u32,
        /// How long its client still waits for it, from now, in milliseconds.
        deadline_ms: Option<u32>,
        /// Length of the user data.
        cache_len: u32,
    },
    /// To a worker: nobody wants a task's result any more. It is answered nevertheless, in whatever way.
    CancelTask {
        /// Which.
        number: TaskNumber,
    },

    /// To a client: the tasks below a number are the master's to keep.
    Accepted {
        /// The number.
        up_to: u64,
    },
    /// To a client: a task's last result. Body: the result.
    Result {
        /// The client's number for it.
        sequence: u64,
    },
    /// To a client: one of several results of a task, which goes on. Body: the result.
    Partial {
        /// The client's number for it.
        sequence: u64,
    },
    /// To a client: how far a task is. Body: text.
    Progress {
        /// The client's number for it.
        sequence: u64,
        /// Thousandths that are done; above 1000 is as 1000.
        permille: u16,
    },
    /// To a client: a task failed. Body: text.
    Failed {
        /// The client's number for it.
        sequence: u64,
        /// A status (`docs/spec.md`, section 2).
        code: u32,
    },
    /// To a client: it may submit so many tasks more.
    Window {
        /// How many.
        more: u32,
    },

    /// Answers Get. Body: the value.
    Value {
        /// Number of the request.
        id: u32,
        /// Which value of its key this is.
        version: u64,
    },
    /// Answers Set: the value is set.
    Stored {
        /// Number of the request.
        id: u32,
        /// Which value of its key this is.
        version: u64,
    },
    /// Answers Delete: the value is gone.
    Deleted {
        /// Number of the request.
        id: u32,
    },
    /// Answers Get and Delete: the key has no value; and a Set that is for a version.
    Absent {
        /// Number of the request.
        id: u32,
    },
    /// Answers Set and Delete: the condition is not met.
    Conflict {
        /// Number of the request.
        id: u32,
        /// Which value the key has.
        version: u64,
    },
    /// Answers Set and Delete: the cache does not do it. Body: text.
    CacheRefused {
        /// Number of the request.
        id: u32,
        /// Why.
        code: CacheRefusalCode,
    },

    /// To a worker: numbers are left out before that of the next task, since other tasks have them.
    Skip {
        /// How many.
        numbers: u32,
    },
    /// To a client: there was no room for a task. It was not taken, nor is any Submit after it before Restart.
    NoRoom {
        /// The client's number for it.
        from: u64,
    },
}

/// Kinds that are numbers only.
#[cfg(feature = "alloc")]
const TASK: u8 = 7;
#[cfg(feature = "alloc")]
const RESULT: u8 = 11;

impl Header for ToPeer {
    const KINDS: u8 = 24;

    #[cfg(feature = "alloc")]
    #[inline]
    fn numbers(&self) -> Option<Numbers> {
        match *self {
            Self::Task { function, session, sequence } => {
                Some(Numbers::three(TASK, [function.number().into(), session.number().into(), sequence]))
            }
            Self::Result { sequence } => Some(Numbers::one(RESULT, sequence)),
            _ => None,
        }
    }

    #[cfg(feature = "alloc")]
    #[inline]
    fn of_numbers(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (&kind, mut rest) = frame.split_first()?;
        let header = match kind {
            TASK => {
                let function = Alias::new(take_short(&mut rest)?)?;
                let session = Alias::new(take_short(&mut rest)?)?;
                Self::Task { function, session, sequence: take(&mut rest)? }
            }
            RESULT => Self::Result { sequence: take(&mut rest)? },
            _ => return None,
        };
        Some((header, rest))
    }

    #[inline]
    fn shape(&self) -> Shape {
        let text = Content::Text { min: 0, max: TEXT_MAX };
        match *self {
            Self::Welcome { .. } => Shape::body(Content::Text { min: 0, max: NAME_MAX }),
            Self::Ping | Self::Pong | Self::Bye => Shape::body(Content::Nothing),
            Self::Session { .. } | Self::CancelTask { .. } | Self::Skip { .. } => Shape::body(Content::Nothing),
            Self::Accepted { .. } | Self::Window { .. } | Self::NoRoom { .. } => Shape::body(Content::Nothing),
            Self::Stored { .. } | Self::Deleted { .. } => Shape::body(Content::Nothing),
            Self::Absent { .. } | Self::Conflict { .. } => Shape::body(Content::Nothing),
            Self::Function { .. } => Shape::body(Content::Text { min: 1, max: FUNCTION_MAX }),
            Self::Task { .. } | Self::Result { .. } | Self::Partial { .. } => Shape::body(Content::Bytes),
            Self::TaskWith { cache_len, .. } => Shape {
                front_len: cache_len as usize,
                front: Content::Text { min: 0, max: usize::MAX },
                body: Content::Bytes,
            },
            Self::Value { .. } => Shape::body(Content::Bytes),
            Self::Refused { .. } | Self::Progress { .. } | Self::Failed { .. } => Shape::body(text),
            Self::CacheRefused { .. } => Shape::body(text),
        }
    }
}
