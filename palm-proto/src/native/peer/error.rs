//! What a master may do wrong, and what keeps a frame from being sent.

use core::fmt;

use crate::native::FrameError;

/// How a master broke the protocol. The connection is over, and the driver closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A frame cannot be understood.
    Frame(FrameError),
    /// A frame of this kind has no place here.
    Unexpected {
        /// The kind.
        kind: u8,
    },
    /// Welcome names a version that this side did not offer.
    Version {
        /// The version.
        version: u8,
    },
    /// An alias was used that has not been declared.
    Alias,
    /// More tasks than the window of a worker, or more results than that of a client.
    Window,
    /// An answer of the cache to something that was not asked.
    CacheId {
        /// The number in the answer.
        id: u32,
    },
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Unexpected { kind } => write!(f, "a frame of kind {kind} where it has no place"),
            Self::Version { version } => write!(f, "version {version} of the protocol, which was not offered"),
            Self::Alias => f.write_str("an alias that was not declared"),
            Self::Window => f.write_str("more than the window allows"),
            Self::CacheId { id } => write!(f, "an answer of the cache to a request {id} that does not wait for one"),
        }
    }
}

impl core::error::Error for Fault {}

/// Why the connection is to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Hello was not answered in time.
    Handshake,
    /// The master has been silent for too long, even after a Ping.
    Silence,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the master did not answer the greeting in time",
            Self::Silence => "the master has been silent for too long",
        })
    }
}

impl core::error::Error for Lost {}

/// Why there is no frame to send. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSent {
    /// There is no connection, or what it begins with has not been polled yet: again after Connected, and when `poll_transmit` has
    /// given `None`.
    NotConnected,
    /// It is longer than the master takes.
    TooLong,
    /// A worker: there is no such task, or it has been answered.
    Unknown,
    /// A worker: nobody wants the result any more. The task is still to be ended, in whatever way.
    Cancelled,
    /// A client: the window is full, or what has to be submitted again comes first.
    NoRoom,
    /// A client: the function's name is empty, or longer than one may be, or than the tables take.
    Function,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "not connected",
            Self::TooLong => "longer than the master takes",
            Self::Unknown => "no such task",
            Self::Cancelled => "the result is not wanted any more",
            Self::NoRoom => "the window is full",
            Self::Function => "a name that no function can have",
        })
    }
}

impl core::error::Error for NotSent {}
