//! Why there is no connection, or none any more.

use std::time::Duration;
use std::{fmt, io};

use palm_proto::zmtp::ProtocolError;

/// Why a socket has no connection to its peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketError {
    /// The address is none.
    Address {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The operating system says no, or that the connection is broken.
    Io(io::Error),
    /// Nobody answered in time.
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// Somebody answered, but did not shake hands as ZeroMQ does in time.
    NoHandshake {
        /// The limit.
        after: Duration,
    },
    /// What the peer sent breaks ZMTP, or is longer than it may be.
    Protocol(ProtocolError),
    /// What the peer sent is no reply to a request.
    NoReply,
    /// The peer has closed the connection.
    Closed,
    /// Nothing has come from the peer, although it was asked whether it lives.
    Silent,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { why } => f.write_str(why),
            Self::Io(error) => error.fmt(f),
            Self::TimedOut { after } => write!(f, "no answer within {after:?}"),
            Self::NoHandshake { after } => write!(f, "no ZeroMQ handshake within {after:?}"),
            Self::Protocol(error) => error.fmt(f),
            Self::NoReply => f.write_str("the answer is no reply to a request"),
            Self::Closed => f.write_str("the other side has closed the connection"),
            Self::Silent => f.write_str("the other side does not answer any more"),
        }
    }
}

// The texts above are those of the causes, so that none is printed twice.
impl std::error::Error for SocketError {}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ProtocolError> for SocketError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
