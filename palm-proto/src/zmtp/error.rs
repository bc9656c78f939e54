//! Why a connection is closed.

use core::fmt;

use super::SocketType;

/// The front of a text of the peer's, at most [`ShortText::MAX`] bytes of it; what is not printable is shown escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl ShortText {
    /// Number of bytes that are kept.
    pub const MAX: usize = 32;

    /// Copies the front of `text`.
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        let mut len = 0;
        for (to, &from) in bytes.iter_mut().zip(text) {
            *to = from;
            len += 1;
        }
        Self { len, bytes }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What a peer did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// It does not speak ZMTP: this is not a byte of its signature.
    NotZmtp {
        /// Which byte, counted from 0.
        offset: u8,
        /// The byte.
        byte: u8,
    },
    /// It speaks a version before 3.0.
    OldVersion {
        /// First byte of its version: 1 is ZMTP 2.0.
        major: u8,
    },
    /// It wants another security mechanism than NULL.
    Mechanism {
        /// The mechanism's name.
        name: ShortText,
    },
    /// Its socket is of a type that ours does not talk to.
    IncompatibleSocket {
        /// Type of our socket.
        ours: SocketType,
        /// What it calls the type of its own.
        peer: ShortText,
    },
    /// It sent a message before READY.
    MessageBeforeReady,
    /// It sent a message to a socket that receives none.
    UnexpectedMessage {
        /// Type of our socket.
        ours: SocketType,
    },
    /// It sent a frame whose flags have no meaning.
    Flags {
        /// The frame's first byte.
        flags: u8,
    },
    /// It announced a message frame that is too long.
    FrameTooLong {
        /// Length of the body, in bytes.
        len: u64,
        /// Longest that is accepted.
        max: u64,
    },
    /// It announced a command that is too long.
    CommandTooLong {
        /// Length of the body, in bytes.
        len: u64,
        /// Longest that is accepted.
        max: u32,
    },
    /// It subscribed to a topic that is too long.
    TopicTooLong {
        /// Length of the topic, in bytes.
        len: u64,
        /// Longest that is accepted.
        max: u16,
    },
    /// It sent a command whose body is malformed.
    BadCommand {
        /// The command's name, empty if that is what is malformed.
        name: ShortText,
    },
    /// It sent a command that has no place here: another than READY or ERROR before READY, or a second READY.
    UnexpectedCommand {
        /// The command's name.
        name: ShortText,
    },
    /// It refused us with an ERROR command.
    PeerError {
        /// The reason that it gave.
        reason: ShortText,
    },
    /// It sent more after an error had ended the connection.
    Closed,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotZmtp { offset, byte } => {
                write!(f, "peer does not speak ZMTP: byte {offset} of its greeting is {byte:#04x}")
            }
            Self::OldVersion { major } => {
                write!(f, "peer speaks a ZMTP version before 3.0 (version byte {major})")
            }
            Self::Mechanism { name } => write!(f, "peer wants security mechanism \"{name}\", only NULL is supported"),
            Self::IncompatibleSocket { ours, peer } => {
                write!(f, "peer's socket type \"{peer}\" does not go with our {ours}")
            }
            Self::MessageBeforeReady => f.write_str("peer sent a message before READY"),
            Self::UnexpectedMessage { ours } => write!(f, "peer sent a message to our {ours}, which receives none"),
            Self::Flags { flags } => write!(f, "peer sent a frame with meaningless flags {flags:#04x}"),
            Self::FrameTooLong { len, max } => {
                write!(f, "peer announced a message frame of {len} bytes, at most {max} are accepted")
            }
            Self::CommandTooLong { len, max } => {
                write!(f, "peer announced a command of {len} bytes, at most {max} are accepted")
            }
            Self::TopicTooLong { len, max } => {
                write!(f, "peer subscribed to a topic of {len} bytes, at most {max} are accepted")
            }
            Self::BadCommand { name } => write!(f, "peer sent a malformed command \"{name}\""),
            Self::UnexpectedCommand { name } => write!(f, "peer sent command \"{name}\" out of place"),
            Self::PeerError { reason } => write!(f, "peer refused the connection: \"{reason}\""),
            Self::Closed => f.write_str("connection has ended with an error before"),
        }
    }
}

impl core::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn texts_of_the_peer_are_bounded_and_escaped() {
        let reason = ShortText::new(b"no\x1b[31m\n");
        assert_eq!(ProtocolError::PeerError { reason }.to_string(), r#"peer refused the connection: "no\x1b[31m\n""#);
        assert_eq!(ShortText::new(&[b'x'; 100]).as_bytes(), [b'x'; ShortText::MAX]);
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ProtocolError>() <= 40, "{}", size_of::<ProtocolError>());
    }
}
