//! One connection: two threads that move bytes between its socket and the endpoint.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread;
use std::time::Duration;

use palm_proto::endpoint::{ConnectionId, Next, Service};

use crate::{Master, State};

/// How long a peer may take nothing of what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Master {
    /// A connection, from when it is established until it is gone.
    pub(crate) fn serve(&self, service: Service, stream: &TcpStream) {
        let _options = (stream.set_nodelay(true), stream.set_write_timeout(Some(WRITE_TIMEOUT)));
        let (id, waker) = {
            let mut state = self.lock();
            // None: there are too many. The stream is closed as it is dropped.
            let Some(id) = state.endpoint.handle_accept(self.clock.now(), service) else { return };
            state.settle();
            (id, Arc::clone(&state.wakers[id.index()]))
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                let _failed = self.write(id, &waker, stream);
                // This ends the reader, whatever has ended the writer.
                let _closed = stream.shutdown(Shutdown::Both);
            });
            if self.read(id, &waker, stream).is_ok() {
                // Of a peer that is gone, nothing more can be written.
                self.close(id);
                waker.notify_all();
            }
        });
        self.close(id);
    }

    /// Reads until the peer ends the connection, `Ok`, or the endpoint does: then the writer has its last words to send.
    fn read(&self, id: ConnectionId, waker: &Condvar, mut stream: &TcpStream) -> Result<(), Next> {
        let (mut pending, mut bytes) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let count = stream.read(&mut bytes).unwrap_or(0);
            if count == 0 {
                return Ok(());
            }
            pending.extend_from_slice(&bytes[..count]);
            let mut state = self.lock();
            loop {
                state.named[id.index()] = false;
                let progress = state.endpoint.handle_input(self.clock.now(), id, &pending);
                pending.drain(..progress.used);
                state.settle();
                match progress.next {
                    // A frame that has come in part stays, and is looked at again when more of it is there.
                    Next::Read { .. } => break,
                    // There is no room. As long as nothing is read, TCP makes the peer wait, and it makes its users wait.
                    Next::Wait => {
                        let wait = |state: &mut State| !state.named[id.index()] && !state.endpoint.is_closing(id);
                        state = waker.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
                    }
                    Next::Close => return Err(Next::Close),
                }
            }
        }
    }

    /// Writes what the endpoint has for the connection, and waits for more, until the connection is to be closed.
    fn write(&self, id: ConnectionId, waker: &Condvar, mut stream: &TcpStream) -> io::Result<()> {
        let mut out = Vec::new();
        loop {
            let mut state = self.lock();
            loop {
                // What this hands to the connection that asks would wake nobody: it does not wait yet.
                state.settle();
                while let Some(transmit) = state.endpoint.poll_transmit(self.clock.now(), id) {
                    let [a, b, c, d] = transmit.before();
                    out.extend([a, b, c, d, transmit.body_bytes(), transmit.after()].concat());
                }
                state.settle();
                if !out.is_empty() {
                    break;
                }
                if state.endpoint.is_closing(id) {
                    return Ok(());
                }
                state = waker.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            stream.write_all(&out)?;
            let mut state = self.lock();
            state.endpoint.handle_sent(id, out.len());
            state.settle();
            out.clear();
        }
    }

    /// What the connection held is given to others. A second call finds nothing.
    fn close(&self, id: ConnectionId) {
        let mut state = self.lock();
        state.endpoint.handle_close(self.clock.now(), id);
        state.settle();
    }
}
