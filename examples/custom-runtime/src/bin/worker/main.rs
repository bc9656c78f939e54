//! A worker on threads and a blocking socket: `worker HOST:PORT [TOKEN]`.
//!
//! One thread owns the machine, a [`HeapWorker`], and all that happens reaches it through one channel:
//!
//! ```text
//! socket ──▶ reader thread ──▶ ┐
//!                              ├─ channel ─▶ main thread: the machine ──▶ socket
//! a thread for each task  ───▶ ┘
//! ```
//!
//! So nothing is locked, and as the functions run elsewhere, the machine answers heartbeats however long they take.
#![expect(clippy::print_stdout, reason = "a program says what it does")]

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use custom_runtime::{Clock, session};
use palm_proto::native::{HeapWorker, PeerConfig, Retry};

mod connection;
mod functions;

use functions::Answer;

/// Tasks that are worked on at once, each in a thread of its own.
const WINDOW: u32 = 4;
/// Longest frame that is taken. What comes of a frame is kept until it is whole, so this bounds the memory.
const MAX_FRAME: u32 = 64 << 20;

/// What other threads tell the main one.
enum Input {
    /// What has come over the connection of this number; nothing: it is closed.
    Bytes(u32, Vec<u8>),
    /// What a function has to say to a task.
    Answer(Answer),
}

struct Runtime {
    worker: HeapWorker,
    clock: Clock,
    /// Answers that could not be sent yet.
    answers: VecDeque<Answer>,
    inputs: Receiver<Input>,
    /// Cloned for each other thread. The channel is short: a reader that is ahead has to wait, and so has the master.
    to_main: SyncSender<Input>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), token) = (arguments.next(), arguments.next().unwrap_or_default()) else {
        return println!("usage: worker HOST:PORT [TOKEN]");
    };
    // The session is the process's name to its masters: the same in each connection, so that tasks outlast it.
    let config = PeerConfig::new("worker on threads".into(), token.into(), session());
    let worker = HeapWorker::sized(PeerConfig { window: WINDOW, max_frame: MAX_FRAME, ..config });
    let (to_main, inputs) = sync_channel(16);
    let mut runtime = Runtime { worker, clock: Clock::default(), answers: VecDeque::new(), inputs, to_main };
    for connection in 0.. {
        let ended = TcpStream::connect(&address).and_then(|stream| runtime.serve(connection, &stream));
        if let Err(error) = &ended {
            println!("not connected: {error}");
        }
        // The machine knows what a refusal means: a wrong token stays wrong, a full master has room later.
        match ended {
            Ok(Retry::Never) => return,
            Ok(Retry::AtOnce) => {}
            Ok(Retry::Later) | Err(_) => runtime.pause(Duration::from_millis(500)),
        }
    }
}

impl Runtime {
    /// Waits before the next attempt; functions may end meanwhile.
    fn pause(&mut self, pause: Duration) {
        let end = self.clock.now() + pause;
        while let Ok(input) = self.inputs.recv_timeout(end.saturating_since(self.clock.now())) {
            if let Input::Answer(answer) = input {
                self.answers.push_back(answer);
            }
        }
    }
}
