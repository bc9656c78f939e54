//! Our own fields in a PALM message (`docs/spec.md`, section 2).
//!
//! A stock Python component passes fields it does not know through, so these survive it.

use core::fmt;

/// Field numbers, PALM's own and ours.
pub mod field {
    /// Id of the stream, string.
    pub const PIPELINE: u32 = 1;
    /// Id of the client and topic of its results, string.
    pub const CLIENT: u32 = 2;
    /// Step of a pipeline, int64.
    pub const STAGE: u32 = 3;
    /// `server.method`, or one for each stage, string.
    pub const FUNCTION: u32 = 4;
    /// Key of a cache command, or user data, string.
    pub const CACHE: u32 = 5;
    /// The data, bytes.
    pub const PAYLOAD: u32 = 6;
    /// The master's name for one task, fixed64.
    pub const TASK: u32 = 1001;
    /// Which dispatch of the task this is, varint; absent: the first.
    pub const ATTEMPT: u32 = 1002;
    /// The client's number for the message, varint.
    pub const SEQUENCE: u32 = 1003;
    /// What became of the message, varint, a [`Status`](super::Status); absent: done.
    pub const STATUS: u32 = 1004;
    /// Text that goes with a status, string.
    pub const ERROR: u32 = 1005;
    /// Milliseconds that the client still waits, counted from when the message is received, varint.
    pub const DEADLINE: u32 = 1006;
    /// How urgent the message is, varint; absent: 0, which is the usual.
    pub const PRIORITY: u32 = 1007;
    /// 1 in one of several results of a task that goes on, varint.
    pub const PARTIAL: u32 = 1008;

    /// Those of ours that only a master or a worker writes: a master takes them out of what a client sends.
    pub const OF_MASTERS: [u32; 5] = [TASK, ATTEMPT, STATUS, ERROR, PARTIAL];
}

/// Payload of a failure, as a stock Python component sends it (PALM, section 2).
pub const FAILURE_PAYLOAD: &[u8] = b"0";

/// The highest priority; what is higher counts as this.
pub const PRIORITY_MAX: u8 = 3;

/// A master's name for one task: unique among all the tasks it has, not to be guessed, and unlikely to be that of one from before its
/// restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What became of a message; tells a failure from a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The payload is the function's result.
    #[default]
    Done,
    /// The function failed; the error field says how.
    Failed,
    /// The worker has no such function.
    NoSuchFunction,
    /// Every worker that was given the message was lost with it.
    DeadLetter,
    /// The deadline passed before it was done.
    DeadlineExceeded,
    /// The master stopped before the message was done; sending it again later is safe.
    Unavailable,
    /// A worker that is stopping gives the message back undone; a master dispatches it again and never passes it on.
    HandedBack,
    /// The message is for a server of another name.
    WrongServer,
    /// The message is longer than the server takes; a client of ours says so itself, and does not send it.
    TooLong,
    /// Its client wants the message no more.
    Cancelled,
    /// A status of a later version.
    Other(u32),
}

impl Status {
    /// The number that goes over the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NoSuchFunction => 2,
            Self::DeadLetter => 3,
            Self::DeadlineExceeded => 4,
            Self::Unavailable => 5,
            Self::HandedBack => 6,
            Self::WrongServer => 7,
            Self::TooLong => 8,
            Self::Cancelled => 9,
            Self::Other(code) => code,
        }
    }

    /// The status with this number.
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Failed,
            2 => Self::NoSuchFunction,
            3 => Self::DeadLetter,
            4 => Self::DeadlineExceeded,
            5 => Self::Unavailable,
            6 => Self::HandedBack,
            7 => Self::WrongServer,
            8 => Self::TooLong,
            9 => Self::Cancelled,
            code => Self::Other(code),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed => f.write_str("failed"),
            Self::NoSuchFunction => f.write_str("no such function"),
            Self::DeadLetter => f.write_str("dead letter"),
            Self::DeadlineExceeded => f.write_str("deadline exceeded"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::HandedBack => f.write_str("handed back"),
            Self::WrongServer => f.write_str("wrong server"),
            Self::TooLong => f.write_str("too long"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Other(code) => write!(f, "status {code}"),
        }
    }
}

/// Our fields as read from a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The master's name for the task.
    pub task: Option<TaskId>,
    /// Which dispatch of the task, counted from 1; 0 when the field is absent, which means the first.
    pub attempt: u32,
    /// The client's number for the message.
    pub sequence: Option<u64>,
    /// What became of the message.
    pub status: Status,
    /// Text that goes with the status.
    pub error: &'a str,
    /// Milliseconds that the client still waits, counted from when the message was received.
    pub deadline: Option<u64>,
    /// How urgent the message is, from 0 to [`PRIORITY_MAX`].
    pub priority: u8,
    /// Whether this is one of several results of a task that goes on.
    pub partial: bool,
}
