//! Sockets on the side that connects: PULL, PUSH, SUB and REQ, each with one connection, on the ZMTP machine of `palm-proto`
//! (`docs/spec.md`, section 4).
//!
//! Whoever owns a socket drives it by waiting for what it wants of it: nothing happens in the background. A socket that has failed is
//! dropped for a new one. What a peer sends is bounded before it is kept: a frame by [`Options::max_message`], a message by two
//! frames, the handshake by [`Options::patience`].

mod dial;
mod error;
mod incoming;
mod wire;

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::zmtp::SocketType;

pub use error::SocketError;
use incoming::Message;
pub(crate) use incoming::Told;
use wire::Wire;

/// Longest message that is taken from a peer unless something else is said: as long as one of the native protocol can be.
pub(crate) const MAX_MESSAGE: usize = 256 << 20;
/// Silence after which a peer is asked whether it lives, unless something else is said.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a peer may take to read what it was sent, and end the connection.
const FAREWELL: Duration = Duration::from_secs(1);

/// How sockets behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How long it may take to connect, the handshake included.
    pub(crate) patience: Duration,
    /// Silence after which a peer is asked whether it lives; after twice as much more it is lost. Zero: never.
    pub(crate) heartbeat: Duration,
    /// Longest frame of a message that is taken, in bytes.
    pub(crate) max_message: usize,
}

/// Takes messages.
#[derive(Debug)]
pub(crate) struct PullSocket(Wire);

impl PullSocket {
    pub(crate) async fn connect(address: &str, identity: &str, options: &Options) -> Result<Self, SocketError> {
        Ok(Self(Wire::connect(address, SocketType::Pull, identity.as_bytes(), true, options).await?))
    }

    /// What the peer tells of itself.
    pub(crate) fn told(&self) -> &Told {
        &self.0.incoming.told
    }

    /// The next message, if one is `wanted`; else this waits for the connection's end. May be dropped while it waits.
    ///
    /// A message is one frame: of several the first is it.
    pub(crate) async fn recv(&mut self, wanted: bool) -> Result<Bytes, SocketError> {
        Ok(poll_fn(|context| self.0.poll_message(context, wanted)).await?.first)
    }

    /// Ends the connection, so that what the peer has sent is read.
    pub(crate) async fn close(self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.0.end()).await;
    }
}

/// Sends messages.
#[derive(Debug)]
pub(crate) struct PushSocket(Wire);

impl PushSocket {
    pub(crate) async fn connect(address: &str, identity: &str, options: &Options) -> Result<Self, SocketError> {
        // A master that has no room for more does not read, and so says nothing, for as long as it takes.
        Ok(Self(Wire::connect(address, SocketType::Push, identity.as_bytes(), false, options).await?))
    }

    /// What the peer tells of itself.
    pub(crate) fn told(&self) -> &Told {
        &self.0.incoming.told
    }

    /// Whether it takes one more message.
    pub(crate) fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// Takes a message, to be written by [`progress`](Self::progress), and tells how many bytes will have been written then.
    pub(crate) fn put(&mut self, message: Bytes) -> u64 {
        self.0.put(message, false);
        self.0.sent().1
    }

    /// Bytes that have been written.
    pub(crate) fn written(&self) -> u64 {
        self.0.sent().0
    }

    /// Writes what it can, and ends when it has written something. May be dropped while it waits, for which it also looks after the
    /// connection.
    pub(crate) async fn progress(&mut self) -> Result<(), SocketError> {
        poll_fn(|context| self.0.poll_written(context)).await
    }

    /// Writes what is left, and ends the connection. Whether everything has been handed to the operating system, which delivers it
    /// even if the process ends.
    pub(crate) async fn close(mut self, patience: Duration) -> bool {
        let end = tokio::time::Instant::now() + patience;
        if !matches!(tokio::time::timeout_at(end, self.0.flush()).await, Ok(Ok(()))) {
            return false;
        }
        let _ = tokio::time::timeout_at(end.min(tokio::time::Instant::now() + FAREWELL), self.0.end()).await;
        true
    }
}

/// Takes what is published under one topic.
#[derive(Debug)]
pub(crate) struct SubSocket(Wire);

impl SubSocket {
    /// With a subscription to `topic`, if there is one, which has been written when this ends.
    pub(crate) async fn connect(address: &str, topic: Option<&str>, options: &Options) -> Result<Self, SocketError> {
        let mut wire = Wire::connect(address, SocketType::Sub, &[], true, options).await?;
        if let Some(topic) = topic {
            wire.put_subscription(topic.as_bytes());
            wire.flush().await?;
        }
        Ok(Self(wire))
    }

    /// What the peer tells of itself.
    pub(crate) fn told(&self) -> &Told {
        &self.0.incoming.told
    }

    /// The next topic and message; `None` for what is neither. May be dropped while it waits.
    pub(crate) async fn recv(&mut self) -> Result<Option<(Bytes, Bytes)>, SocketError> {
        let Message { first, second, more } = poll_fn(|context| self.0.poll_message(context, true)).await?;
        Ok(second.filter(|_| !more).map(|second| (first, second)))
    }
}

/// Asks, and is answered.
#[derive(Debug)]
pub(crate) struct ReqSocket(Wire);

impl ReqSocket {
    pub(crate) async fn connect(address: &str, options: &Options) -> Result<Self, SocketError> {
        Ok(Self(Wire::connect(address, SocketType::Req, &[], true, options).await?))
    }

    /// What the peer tells of itself.
    pub(crate) fn told(&self) -> &Told {
        &self.0.incoming.told
    }

    /// Sends a request, and waits for the reply to it. One on which this was dropped is not to be used any more.
    pub(crate) async fn ask(&mut self, request: Bytes) -> Result<Bytes, SocketError> {
        self.0.put(Bytes::new(), true);
        self.0.put(request, false);
        let Message { first, second, .. } = poll_fn(|context| self.0.poll_message(context, true)).await?;
        // An empty frame goes before a reply.
        second.filter(|_| first.is_empty()).ok_or(SocketError::NoReply)
    }
}

#[cfg(test)]
mod tests;
