//! What an endpoint reports.

use core::fmt;

use crate::cache::CacheOutcome;
use crate::master::Event;
use crate::native::RefusalCode;
use crate::zmtp::ProtocolError;

use super::peer::{ConnectionId, Service};

/// Why a connection is closed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It broke ZMTP, or a limit.
    Protocol(ProtocolError),
    /// Its handshake was not over in time.
    HandshakeTimeout,
    /// It fell silent.
    Silent,
    /// There is no room for another peer of its role, or for another subscription.
    NoRoom,
    /// It has not been of use, and makes room for another.
    GaveWay,
    /// A cache request without an envelope.
    NoEnvelope,
    /// It is a native peer that is refused, or broke the protocol.
    Refused(RefusalCode),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "{error}"),
            Self::HandshakeTimeout => f.write_str("the handshake was not over in time"),
            Self::Silent => f.write_str("the peer fell silent"),
            Self::NoRoom => f.write_str("no room for another peer or subscription"),
            Self::GaveWay => f.write_str("it has been of no use, and makes room for another"),
            Self::Refused(code) => write!(f, "refused: {code}"),
            Self::NoEnvelope => f.write_str("a cache request without the envelope of a REQ socket"),
        }
    }
}

/// Something worth a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointEvent {
    /// The master's own. Workers in it are named by [`ConnectionId::index`].
    Master(Event),
    /// A connection's handshake is over.
    Joined {
        /// The connection.
        connection: ConnectionId,
        /// Which socket it is connected to.
        service: Service,
    },
    /// A connection is closed for a fault of its peer.
    Fault {
        /// The connection.
        connection: ConnectionId,
        /// Which socket it was connected to.
        service: Service,
        /// What was wrong.
        fault: Fault,
    },
    /// A connection was not accepted, as there are too many.
    TurnedAway {
        /// Which socket it was to.
        service: Service,
    },
    /// A request to the cache that no sound peer makes.
    CacheFault(CacheOutcome),
}
