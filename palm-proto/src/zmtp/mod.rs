//! ZMTP 3.1, the protocol of ZeroMQ sockets, as a machine for one connection (`docs/spec.md`, section 4).
//!
//! [`Connection`] is either side of a connection, whichever of them called. It keeps no bytes of messages: the caller
//! hands it the front of what has been received, and is told what lies there as ranges of the same bytes.
//!
//! ```
//! use palm_proto::zmtp::{CONTROL_MAX, Connection, Decoded, Limits, SocketType, frame_header};
//!
//! let mut push = Connection::new(SocketType::Push, Limits::default());
//! let mut pull = Connection::new(SocketType::Pull, Limits::default());
//!
//! // A driver sends what poll_transmit() writes, and offers what has been received until it is Incomplete.
//! while push.has_transmit() || pull.has_transmit() {
//!     let mut wire = [0; CONTROL_MAX];
//!     let sent = push.poll_transmit(&mut wire);
//!     let mut input = &wire[..sent];
//!     while let Decoded::Consumed { used } | Decoded::Ready { used, .. } = pull.handle_input(input)? {
//!         input = &input[used..];
//!     }
//!     let sent = pull.poll_transmit(&mut wire);
//!     let mut input = &wire[..sent];
//!     while let Decoded::Consumed { used } | Decoded::Ready { used, .. } = push.handle_input(input)? {
//!         input = &input[used..];
//!     }
//! }
//! assert!(push.is_ready() && pull.is_ready());
//!
//! let mut wire = [0; 7];
//! wire[..2].copy_from_slice(frame_header(5, false).as_ref());
//! wire[2..].copy_from_slice(b"hello");
//! assert_eq!(pull.handle_input(&wire)?, Decoded::Frame { used: 7, body: 2..7, more: false });
//! # Ok::<(), palm_proto::zmtp::ProtocolError>(())
//! ```

mod command;
mod connection;
mod error;
mod frame;
mod greeting;
mod metadata;
mod pulse;
mod socket_type;

pub use connection::{CONTROL_MAX, Connection, Decoded, IDENTITY_MAX, InvalidIdentity};
pub use error::{ProtocolError, ShortText};
pub use frame::{CommandHeader, FRAME_HEADER_MAX, FrameHeader, Header, frame_header, frame_header_len};
pub use metadata::{EXTENSIONS, MAX_MESSAGE, METADATA_MAX, Metadata, NATIVE_ADDRESS, property};
pub use pulse::{Beat, Pulse};
pub use socket_type::SocketType;

/// What a peer may send. Each length is checked as soon as its header has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body of one message frame, in bytes; no more than `isize::MAX` less 16 is ever accepted.
    pub max_frame: u64,
    /// Longest body of one command, its name included, in bytes. What a connection that has not shaken hands yet can
    /// make its owner buffer.
    pub max_command: u32,
    /// Longest topic of a subscription, in bytes.
    pub max_topic: u16,
}

impl Default for Limits {
    /// 64 MiB a frame, 8 KiB a command, 1 KiB a topic.
    fn default() -> Self {
        Self { max_frame: 64 << 20, max_command: 8 << 10, max_topic: 1 << 10 }
    }
}

#[cfg(test)]
mod tests;
