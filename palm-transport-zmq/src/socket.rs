//! The `zeromq` crate's sockets on the side that connects: opening one, hearing that its peer is gone, closing one.
//!
//! The crate gives fewer guarantees than libzmq, so every socket here has one peer and one task that owns it; a `send` is never
//! raced against anything; and a socket whose peer is gone is dropped for a new one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_core::Stream;
use zeromq::{MultiPeerBackend, Socket, SocketEvent, SocketOptions, ZmqError};

/// Tells when the peer of a socket is gone.
pub(crate) struct Monitor(Box<dyn Stream<Item = SocketEvent> + Send + Unpin>);

impl Monitor {
    /// Ends when the peer is gone. Nothing is lost if it is dropped before.
    pub(crate) async fn gone(&mut self) {
        loop {
            match poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await {
                Some(SocketEvent::Disconnected(_)) | None => return,
                Some(_) => {}
            }
        }
    }
}

/// Connects a new socket within `patience`; `prepare` sees it before it is connected.
pub(crate) async fn connect<S: Socket>(address: &str, patience: Duration) -> Result<(S, Monitor), ZmqError> {
    connect_socket(unconnected(patience), address).await
}

/// The same, with a name that the peer is told.
pub(crate) async fn connect_as<S: Socket>(
    identity: &str,
    address: &str,
    patience: Duration,
) -> Result<(S, Monitor), ZmqError> {
    let mut options = SocketOptions::default();
    options.connect_timeout(patience).peer_identity(identity.parse()?);
    connect_socket(S::with_options(options), address).await
}

async fn connect_socket<S: Socket>(mut socket: S, address: &str) -> Result<(S, Monitor), ZmqError> {
    let monitor = Monitor(Box::new(socket.monitor()));
    socket.connect(address).await?;
    Ok((socket, monitor))
}

/// A new socket that will connect within `patience`.
pub(crate) fn unconnected<S: Socket>(patience: Duration) -> S {
    let mut options = SocketOptions::default();
    options.connect_timeout(patience);
    S::with_options(options)
}

/// A socket's monitor.
pub(crate) fn monitor<S: Socket>(socket: &mut S) -> Monitor {
    Monitor(Box::new(socket.monitor()))
}

/// Closes a socket and waits until everything that was sent on it has been handed to the operating system, which then
/// delivers it even if the process ends; `false` if that takes longer than `patience`.
///
/// The crate writes in a task of its own that lives until the queue is empty, and that task keeps the socket's backend alive:
/// once the backend is gone, so is the queue. The crate has no event for that, hence the polling.
pub(crate) async fn close<S: Socket>(socket: S, patience: Duration) -> bool {
    let backend: Weak<dyn MultiPeerBackend> = Arc::downgrade(&socket.backend());
    socket.backend().shutdown();
    drop(socket);
    let flushed = async {
        let mut pause = Duration::from_micros(50);
        while backend.strong_count() > 0 {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    };
    tokio::time::timeout(patience, flushed).await.is_ok()
}
