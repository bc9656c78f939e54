//! Results on their way to the socket that sends them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use zeromq::{PushSocket, SocketSend, ZmqMessage};

use crate::socket::Monitor;

const MOST_MESSAGES: usize = 1024;
const MOST_BYTES: usize = 64 << 20;

/// A queue between the worker's task and the one that owns the PUSH socket; it outlives connections.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is something to send, or no more will come.
    filled: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    results: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

impl Outbox {
    pub(super) fn has_room(&self) -> bool {
        let state = self.lock();
        state.results.len() < MOST_MESSAGES && state.bytes < MOST_BYTES
    }

    pub(super) fn put(&self, result: Bytes) {
        let mut state = self.lock();
        state.bytes += result.len();
        state.results.push_back(result);
        drop(state);
        self.filled.notify_one();
    }

    /// Ends when something has been sent.
    pub(super) async fn room(&self) {
        self.room.notified().await;
    }

    /// No more will be put in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().results.len()
    }

    fn front(&self) -> Result<Option<Bytes>, Closed> {
        let state = self.lock();
        match state.results.front() {
            Some(result) => Ok(Some(result.clone())),
            None if state.closed => Err(Closed),
            None => Ok(None),
        }
    }

    /// Forgets the first result: the socket has taken it.
    fn sent(&self) {
        let mut state = self.lock();
        let was_full = state.results.len() >= MOST_MESSAGES || state.bytes >= MOST_BYTES;
        if let Some(result) = state.results.pop_front() {
            state.bytes -= result.len();
        }
        drop(state);
        if was_full {
            self.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Closed;

/// Sends what the outbox holds until it is closed and empty, and gives the socket back; `None` if its peer is gone first. A
/// result leaves the outbox when the socket has taken it, so one that it did not take is sent on the next connection.
pub(super) async fn send_all(outbox: &Outbox, mut socket: PushSocket, mut monitor: Monitor) -> Option<PushSocket> {
    loop {
        match outbox.front() {
            Ok(Some(result)) => {
                socket.send(ZmqMessage::from(result)).await.ok()?;
                outbox.sent();
            }
            Err(Closed) => return Some(socket),
            Ok(None) => tokio::select! {
                () = outbox.filled.notified() => {}
                () = monitor.gone() => return None,
            },
        }
    }
}
