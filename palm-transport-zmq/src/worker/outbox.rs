//! Results on their way to the socket that sends them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Results that the socket has taken and not written yet. Its own queue has a bound of 100,000 messages, whatever their size.
#[derive(Debug, Default)]
struct Unwritten {
    bytes: AtomicUsize,
    peak: AtomicUsize,
    written: Notify,
}

/// A result that tells when the socket is done with it.
struct Tracked {
    result: Bytes,
    unwritten: Arc<Unwritten>,
}

impl Tracked {
    fn wrap(result: Bytes, unwritten: &Arc<Unwritten>) -> Bytes {
        let bytes = unwritten.bytes.fetch_add(result.len(), Ordering::Relaxed) + result.len();
        unwritten.peak.fetch_max(bytes, Ordering::Relaxed);
        Bytes::from_owner(Self { result, unwritten: unwritten.clone() })
    }
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.result
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.unwritten.bytes.fetch_sub(self.result.len(), Ordering::Relaxed);
        self.unwritten.written.notify_one();
    }
}

/// Sends what the outbox holds until it is closed and empty, and gives the socket back; `None` if its peer is gone first. A
/// result leaves the outbox when the socket has taken it, so one that it did not take is sent on the next connection.
pub(super) async fn send_all(outbox: &Outbox, socket: PushSocket, monitor: Monitor) -> Option<PushSocket> {
    send_tracked(outbox, socket, monitor, &Arc::default()).await
}

async fn send_tracked(
    outbox: &Outbox,
    mut socket: PushSocket,
    mut monitor: Monitor,
    unwritten: &Arc<Unwritten>,
) -> Option<PushSocket> {
    loop {
        let wakened = if unwritten.bytes.load(Ordering::Relaxed) >= MOST_BYTES {
            &unwritten.written
        } else {
            match outbox.front() {
                Ok(Some(result)) => {
                    socket.send(ZmqMessage::from(Tracked::wrap(result, unwritten))).await.ok()?;
                    outbox.sent();
                    continue;
                }
                Err(Closed) => return Some(socket),
                Ok(None) => &outbox.filled,
            }
        };
        tokio::select! {
            () = wakened.notified() => {}
            () = monitor.gone() => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeromq::{PullSocket, Socket, SocketRecv};

    use super::*;
    use crate::socket::connect;

    /// A master that reads nothing until the worker can do no more.
    #[tokio::test]
    async fn what_a_master_does_not_read_is_bounded() {
        const COUNT: usize = 200;
        let mut master = PullSocket::new();
        let address = master.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
        let (socket, monitor) = connect::<PushSocket>(&address, Duration::from_secs(5)).await.unwrap();
        let (outbox, unwritten) = (Arc::new(Outbox::default()), Arc::new(Unwritten::default()));
        for number in 0..COUNT {
            outbox.put(vec![number as u8; 1 << 20].into());
        }
        outbox.close();
        let (to_send, tracked) = (outbox.clone(), unwritten.clone());
        let sender = tokio::spawn(async move { send_tracked(&to_send, socket, monitor, &tracked).await.is_some() });
        // More than the system's buffers hold has been taken from the outbox, and still is unwritten.
        let full = async {
            while unwritten.bytes.load(Ordering::Relaxed) < MOST_BYTES {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), full).await.unwrap();
        assert!(outbox.len() > COUNT / 4, "{} left", outbox.len());
        for number in 0..COUNT {
            let result = master.recv().await.unwrap().into_vec().remove(0);
            assert_eq!((result.len(), result[0]), (1 << 20, number as u8));
        }
        assert!(sender.await.unwrap());
        assert!(unwritten.peak.load(Ordering::Relaxed) < MOST_BYTES + (2 << 20));
    }
}
