//! One connection: the contract of `palm_proto::native::peer`, whose steps are numbered as there.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use palm_proto::Status;
use palm_proto::native::{Deframed, Framing, NotSent, Retry, WorkerEvent};

use crate::functions::begin;
use crate::{Input, MAX_FRAME, Runtime};

/// How long the master may take nothing of what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Runtime {
    /// One connection, from its begin to its end: the contract of `palm_proto::native`, step by step.
    pub(crate) fn serve(&mut self, connection: u32, stream: &TcpStream) -> io::Result<Retry> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let (mut reader, to_main) = (stream.try_clone()?, self.to_main.clone());
        thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            loop {
                let count = reader.read(&mut bytes).unwrap_or(0);
                let told = to_main.send(Input::Bytes(connection, bytes[..count].to_vec()));
                if count == 0 || told.is_err() {
                    return;
                }
            }
        });
        // 1. Connected.
        self.worker.handle_connected(self.clock.now());
        let ended = self.run(connection, stream);
        // 5. Disconnected. The machine keeps the tasks that it has, and announces them in the next connection.
        self.worker.handle_disconnected();
        // The reader's own handle would keep the connection open.
        let _closed = stream.shutdown(Shutdown::Both);
        ended
    }

    fn run(&mut self, connection: u32, stream: &TcpStream) -> io::Result<Retry> {
        let mut received = Vec::new();
        loop {
            // 4. It may be time for something; it is no harm to ask early.
            let now = self.clock.now();
            if let Some(lost) = self.worker.handle_timeout(now) {
                return Err(io::Error::other(lost));
            }
            // 2. Whatever happened, the machine may have something to say.
            self.send(stream)?;
            let wait = self.worker.poll_timeout().map_or(Duration::MAX, |at| at.saturating_since(now));
            match self.inputs.recv_timeout(wait) {
                Ok(Input::Answer(answer)) => self.answers.push_back(answer),
                Ok(Input::Bytes(of, _)) if of != connection => {}
                Ok(Input::Bytes(_, bytes)) if bytes.is_empty() => return Ok(Retry::Later),
                Ok(Input::Bytes(_, bytes)) => {
                    received.extend_from_slice(&bytes);
                    if let Some(retry) = self.receive(&mut received)? {
                        return Ok(retry);
                    }
                }
                // The time has come.
                Err(_) => {}
            }
        }
    }

    /// 3. Hands in each frame that is whole, and does what the event says. `Some`: the connection is over.
    fn receive(&mut self, received: &mut Vec<u8>) -> io::Result<Option<Retry>> {
        let mut from = 0;
        loop {
            let (used, frame) = match Framing::Stream.handle_input(&received[from..], &mut [], MAX_FRAME) {
                Deframed::Frame { used, frame } => (used, frame),
                Deframed::Incomplete { .. } => break,
                Deframed::Fault { fault, .. } => return Err(io::Error::other(fault)),
            };
            from += used;
            match self.worker.handle_frame(self.clock.now(), frame).map_err(io::Error::other)? {
                Some(WorkerEvent::Task(task)) => begin(&task, self.to_main.clone()),
                Some(WorkerEvent::Connected { master, resumed, .. }) => {
                    println!("connected to {master}{}", if resumed { " again" } else { "" });
                }
                Some(WorkerEvent::Refused { text, retry, .. }) => {
                    println!("refused: {text}");
                    return Ok(Some(retry));
                }
                Some(WorkerEvent::Goodbye) => return Ok(Some(Retry::Later)),
                // A function that could be told would break off: its result is not wanted any more.
                Some(WorkerEvent::Cancelled { .. } | WorkerEvent::Cache { .. }) | None => {}
            }
        }
        received.drain(..from);
        Ok(None)
    }

    /// Writes what the machine has to say, then the answers. The machine queues nothing: each frame is to be sent as it comes.
    fn send(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        let mut out = BytesMut::new();
        while let Some(frame) = self.worker.poll_transmit() {
            Framing::Stream.encode(&frame, &mut out).map_err(io::Error::other)?;
        }
        while let Some((id, result)) = self.answers.front() {
            let frame = match result {
                Ok(result) => self.worker.done(*id, result),
                Err((status, text)) => self.worker.failed(*id, *status, text),
            };
            match frame {
                Ok(frame) => Framing::Stream.encode(&frame, &mut out).map_err(io::Error::other)?,
                // They wait for the next connection, as the task does in the machine.
                Err(NotSent::NotConnected) => break,
                Err(NotSent::TooLong) => {
                    let why = "the result is longer than the master takes".to_owned();
                    self.answers.push_back((*id, Err((Status::TooLong, why))));
                }
                Err(_) => {}
            }
            self.answers.pop_front();
        }
        stream.write_all(&out)
    }
}
