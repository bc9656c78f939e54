//! Results on their way to the socket that sends them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::debug;

use crate::socket::PushSocket;

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

impl State {
    fn has_room(&self) -> bool {
        self.results.len() < MOST_MESSAGES && self.bytes < MOST_BYTES
    }
}

impl Outbox {
    pub(super) fn has_room(&self) -> bool {
        self.lock().has_room()
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

    /// Whether it is empty, and stays so.
    fn is_over(&self) -> bool {
        let state = self.lock();
        state.closed && state.results.is_empty()
    }

    fn take(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let had_room = state.has_room();
        let result = state.results.pop_front()?;
        state.bytes -= result.len();
        drop(state);
        if !had_room {
            self.room.notify_one();
        }
        Some(result)
    }

    fn put_back(&self, result: Bytes) {
        let mut state = self.lock();
        state.bytes += result.len();
        state.results.push_front(result);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Results that a socket has taken and not written, each with how many bytes will have been written with it. They go back to the
/// outbox if the socket is given up, to be sent on the next connection.
struct Unwritten<'a> {
    outbox: &'a Outbox,
    results: VecDeque<(u64, Bytes)>,
}

impl Unwritten<'_> {
    fn forget_up_to(&mut self, written: u64) {
        while self.results.front().is_some_and(|(end, _)| *end <= written) {
            self.results.pop_front();
        }
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        while let Some((_, result)) = self.results.pop_back() {
            self.outbox.put_back(result);
        }
    }
}

/// Sends what the outbox holds until it is closed and empty, and gives the socket back; `None` if its peer is gone first. A
/// result leaves the outbox when it has been handed to the operating system.
pub(super) async fn send_all(outbox: &Outbox, mut socket: PushSocket) -> Option<PushSocket> {
    let mut unwritten = Unwritten { outbox, results: VecDeque::new() };
    loop {
        while socket.has_room()
            && let Some(result) = outbox.take()
        {
            let end = socket.put(result.clone());
            unwritten.results.push_back((end, result));
        }
        if unwritten.results.is_empty() && outbox.is_over() {
            return Some(socket);
        }
        let room = socket.has_room();
        tokio::select! {
            biased;
            progress = socket.progress() => match progress {
                Ok(()) => unwritten.forget_up_to(socket.written()),
                Err(error) => {
                    debug!(%error, "the connection for results broke");
                    return None;
                }
            },
            () = outbox.filled.notified(), if room => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use zeromq::{PullSocket, Socket, SocketRecv};

    use super::*;
    use crate::socket::{HEARTBEAT, MAX_MESSAGE, Options};

    const OPTIONS: Options =
        Options { patience: Duration::from_secs(20), heartbeat: HEARTBEAT, max_message: MAX_MESSAGE };

    fn result(number: usize) -> Bytes {
        vec![number as u8; 1 << 20].into()
    }

    async fn master() -> (PullSocket, String) {
        let mut master = PullSocket::new();
        let address = master.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
        (master, address)
    }

    /// A master that reads nothing until the worker can do no more.
    #[tokio::test]
    async fn what_a_master_does_not_read_waits_in_the_outbox_and_is_sent_on_the_next_connection() {
        const COUNT: usize = 200;
        let (_deaf, address) = master().await;
        let outbox = Arc::new(Outbox::default());
        for number in 0..COUNT {
            outbox.put(result(number));
        }
        outbox.close();
        let socket = PushSocket::connect(&address, "me", &OPTIONS).await.unwrap();
        let to_send = outbox.clone();
        let sender = tokio::spawn(async move { send_all(&to_send, socket).await.is_some() });
        let stuck = async {
            let mut before = usize::MAX;
            while before != outbox.len() {
                before = outbox.len();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), stuck).await.unwrap();
        assert!(outbox.len() > COUNT / 2, "{} left", outbox.len());
        sender.abort();
        let _ = sender.await;
        // What had not been written is there again, in its order.
        let left = outbox.len();
        let (mut master, address) = master().await;
        let socket = PushSocket::connect(&address, "me", &OPTIONS).await.unwrap();
        let to_send = outbox.clone();
        let sender = tokio::spawn(async move { send_all(&to_send, socket).await.is_some() });
        for number in COUNT - left..COUNT {
            assert_eq!(master.recv().await.unwrap().into_vec(), [result(number)]);
        }
        assert!(sender.await.unwrap());
    }
}
