//! The `zeromq` crate's sockets on the side that connects: opening one, hearing that its peer is gone, closing one.
//!
//! The crate gives fewer guarantees than libzmq, so every socket here has one peer and one task that owns it; a `send` is never
//! raced against anything; and a socket whose peer is gone is dropped for a new one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_core::Stream;
use uuid::Uuid;
use zeromq::util::PeerIdentity;
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

/// Connects a new socket within `patience`.
pub(crate) async fn connect<S: Socket>(address: &str, patience: Duration) -> Result<(S, Monitor), ZmqError> {
    let mut socket = unconnected::<S>(patience, None);
    let monitor = monitor(&mut socket);
    socket.connect(address).await?;
    Ok((socket, monitor))
}

/// Connects a new socket of a worker that works on `jobs` messages at the same time, and says so in its identity, which is the
/// only thing that a peer can say of itself; components other than our master do not look at it (`docs/spec.md`, section 7).
pub(crate) async fn connect_worker<S: Socket>(
    address: &str,
    patience: Duration,
    jobs: usize,
) -> Result<(S, Monitor), ZmqError> {
    // Some peers tell connections apart by their identities.
    let identity = PeerIdentity::try_from(format!("palm;jobs={jobs};{}", Uuid::new_v4()).into_bytes())?;
    let mut socket = unconnected::<S>(patience, Some(identity));
    let monitor = monitor(&mut socket);
    socket.connect(address).await?;
    Ok((socket, monitor))
}

/// A new socket that will connect within `patience`.
pub(crate) fn unconnected<S: Socket>(patience: Duration, identity: Option<PeerIdentity>) -> S {
    let mut options = SocketOptions::default();
    options.connect_timeout(patience);
    if let Some(identity) = identity {
        options.peer_identity(identity);
    }
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
