//! What a peer says about itself, and what a refusal means to it.

use core::time::Duration;

use crate::native::{FIRST_FRAME_MAX, RefusalCode, SessionId};

/// How a peer introduces itself, and what it takes. `T` holds text: `&'static str` in firmware, `Box<str>` on hosts.
#[derive(Clone, Copy, Debug)]
pub struct PeerConfig<T> {
    /// Its name, for people; no more than [`NAME_MAX`](crate::native::NAME_MAX) bytes of it are said.
    pub name: T,
    /// Its token, empty if it has none; one of more than [`TOKEN_MAX`](crate::native::TOKEN_MAX) bytes is cut, and wrong.
    pub token: T,
    /// What its process is called; drawn at random when that starts.
    pub session: SessionId,
    /// A worker: tasks that it has at once. A client: results that it takes before it says Received. At most what its tables
    /// have room for, and at least one.
    pub window: u32,
    /// Longest frame that it takes, in bytes.
    pub max_frame: u32,
    /// How long it waits for the answer to its Hello.
    pub handshake: Duration,
}

impl<T> PeerConfig<T> {
    /// A window as wide as the tables allow, frames of up to 1024 bytes, and five seconds for the handshake.
    pub const fn new(name: T, token: T, session: SessionId) -> Self {
        let handshake = Duration::from_secs(5);
        Self { name, token, session, window: u32::MAX, max_frame: FIRST_FRAME_MAX, handshake }
    }
}

/// Whether a peer that was refused may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would be refused again.
    Never,
    /// After a while.
    Later,
    /// At once: on a line, where the connection broke without this side having noticed.
    AtOnce,
}

impl RefusalCode {
    /// Whether the peer may try again.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Version | Self::Token | Self::Role | Self::Malformed | Self::Name => Retry::Never,
            // By a connection that it has given up itself, and that came late: nobody else draws the same session.
            Self::Replaced => Retry::Later,
            Self::Full | Self::Stopping | Self::Other(_) => Retry::Later,
            Self::NotConnected => Retry::AtOnce,
        }
    }
}
