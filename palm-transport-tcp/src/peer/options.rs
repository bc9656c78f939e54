//! How a worker or a client introduces itself.

use std::fmt;
use std::time::Duration;

use palm_proto::native::{PeerConfig, SessionId, TOKEN_MAX};
use uuid::Uuid;

use crate::address::{Address, AddressError};

/// Where a worker's or a client's master is, and what it is told.
#[derive(Clone)]
pub struct PeerOptions {
    /// Where the master is, an [`Address`].
    pub address: String,
    /// The peer's name, for people; a UUID unless given.
    pub name: String,
    /// What the master wants to be shown; empty: nothing.
    pub token: String,
    /// A worker: tasks that it has at once. A client: tasks that have no result yet.
    pub window: u32,
    /// Longest message that it takes, in bytes.
    pub max_message: u32,
    /// How long a try to connect may take, and then the handshake.
    pub handshake_timeout: Duration,
}

impl PeerOptions {
    /// A peer of the master at this address.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            name: Uuid::new_v4().to_string(),
            token: String::new(),
            window: 1_024,
            max_message: 64 << 20,
            handshake_timeout: Duration::from_secs(5),
        }
    }

    pub(crate) fn check(&self) -> Result<Address, BuildError> {
        let address: Address = self.address.parse()?;
        match address {
            Address::Tcp { port: 0, .. } => Err(BuildError::NoPort),
            _ if self.token.len() > TOKEN_MAX => Err(BuildError::Token),
            address => Ok(address),
        }
    }

    pub(crate) fn machine(&self) -> PeerConfig<Box<str>> {
        let session = SessionId(Uuid::new_v4().into_bytes());
        let mut config = PeerConfig::new(self.name.as_str().into(), self.token.as_str().into(), session);
        config.max_frame = self.max_message;
        config.handshake = self.handshake_timeout;
        config
    }
}

impl fmt::Debug for PeerOptions {
    /// Keeps the token to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerOptions").field("address", &self.address).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A worker or a client cannot be made of what was given.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// An address that is none.
    Address(AddressError),
    /// Port 0 is nobody's.
    NoPort,
    /// The token is longer than 255 bytes.
    Token,
    /// The operating system gives no means to wait for events, or no thread.
    Io(std::io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::NoPort => f.write_str("the master's port is missing: 0 is for listening"),
            Self::Token => f.write_str("the token is longer than 255 bytes"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Address(_) | Self::NoPort | Self::Token => None,
        }
    }
}

impl From<AddressError> for BuildError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
