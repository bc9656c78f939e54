//! The socket types of ZeroMQ, and which of them talk to each other.

use core::fmt;

/// Type of the socket that a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// Sends messages to one of its peers each.
    Push,
    /// Receives messages from all its peers.
    Pull,
    /// Sends messages to the peers that subscribed to them.
    Pub,
    /// Subscribes to messages.
    Sub,
    /// A PUB that shows its user the subscriptions.
    XPub,
    /// A SUB whose user sends the subscriptions.
    XSub,
    /// Sends requests, and receives a reply to each.
    Req,
    /// Receives requests, and sends a reply to each.
    Rep,
    /// A REQ without the alternation.
    Dealer,
    /// A REP without the alternation.
    Router,
}

impl SocketType {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Push,
        Self::Pull,
        Self::Pub,
        Self::Sub,
        Self::XPub,
        Self::XSub,
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
    ];

    /// The name that goes over the wire, as the property `Socket-Type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
        }
    }

    /// The type of this name, which is in capitals; `None` if it is none of these.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|socket| socket.name().as_bytes() == name)
    }

    /// Whether a socket of this type talks to a `peer`. Symmetric.
    pub const fn accepts(self, peer: Self) -> bool {
        match self {
            Self::Push => matches!(peer, Self::Pull),
            Self::Pull => matches!(peer, Self::Push),
            Self::Pub | Self::XPub => matches!(peer, Self::Sub | Self::XSub),
            Self::Sub | Self::XSub => matches!(peer, Self::Pub | Self::XPub),
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
            Self::Dealer => matches!(peer, Self::Rep | Self::Dealer | Self::Router),
            Self::Router => matches!(peer, Self::Req | Self::Dealer | Self::Router),
        }
    }

    /// Whether it is sent subscriptions.
    pub(crate) const fn publishes(self) -> bool {
        matches!(self, Self::Pub | Self::XPub)
    }

    /// Whether it names itself to its peer, which routes by that name.
    pub(crate) const fn has_identity(self) -> bool {
        matches!(self, Self::Req | Self::Dealer | Self::Router)
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatibility_is_symmetric_and_each_type_has_a_peer() {
        for a in SocketType::ALL {
            assert!(SocketType::ALL.into_iter().any(|b| a.accepts(b)), "{a}");
            for b in SocketType::ALL {
                assert_eq!(a.accepts(b), b.accepts(a), "{a} {b}");
            }
        }
        assert!(!SocketType::Push.accepts(SocketType::Push));
        assert!(!SocketType::Req.accepts(SocketType::Dealer));
        assert!(!SocketType::Pub.accepts(SocketType::XPub));
    }

    #[test]
    fn names_are_read_back() {
        for socket in SocketType::ALL {
            assert_eq!(SocketType::from_name(socket.name().as_bytes()), Some(socket));
        }
        assert_eq!(SocketType::from_name(b"push"), None);
        assert_eq!(SocketType::from_name(b""), None);
        assert_eq!(SocketType::from_name(b"PAIR"), None);
    }
}
