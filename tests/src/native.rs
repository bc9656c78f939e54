//! A native client over a plain [`TcpStream`]: `palm_proto`'s machine, and nothing of our transports.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use palm_proto::native::{
    ClientEvent, Deframed, Framing, HeapClient, PeerConfig, STREAM_FRAME_MAX, SessionId, Submit, Submitted,
};
use palm_proto::{Instant, Seed, Status};

/// A connected client that waits for each result.
#[derive(Debug)]
pub struct NativeClient {
    machine: HeapClient,
    stream: TcpStream,
    received: BytesMut,
    /// What is waited for.
    task: Option<(String, Vec<u8>)>,
    epoch: std::time::Instant,
}

/// The last result, or why there is none; and all results that came before it.
pub type Outcome = (Vec<Vec<u8>>, Result<Vec<u8>, (Status, String)>);

impl NativeClient {
    /// Connects to `tcp://HOST:PORT`, in the session of a number.
    ///
    /// # Panics
    /// If there is no master that takes it within `patience`, which also bounds each later wait for anything to come.
    pub fn connect(address: &str, session: u8, patience: Duration) -> Self {
        let host = address.strip_prefix("tcp://").unwrap_or(address);
        let stream = TcpStream::connect(host).unwrap_or_else(|cause| panic!("no master at {address}: {cause}"));
        let options = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(patience)));
        options.expect("a stream takes options");
        let config = PeerConfig::new("native client".into(), "".into(), SessionId([session; 16]));
        let config = PeerConfig { max_frame: STREAM_FRAME_MAX, ..config };
        let machine = HeapClient::sized(config, 1_000, Seed::from_u64(session.into()));
        let mut client =
            Self { machine, stream, received: BytesMut::new(), task: None, epoch: std::time::Instant::now() };
        client.machine.handle_connected(client.now());
        client.until(|event| matches!(event, ClientEvent::Connected { .. }).then_some(()));
        client
    }

    /// Has one task done.
    ///
    /// # Panics
    /// If nothing comes for too long, or what comes is no answer to it.
    pub fn eval(&mut self, function: &str, payload: &[u8]) -> Outcome {
        while !self.machine.has_room() {
            self.until(|event| matches!(event, ClientEvent::Window).then_some(()));
        }
        let submit = Submit::new(function, payload);
        let submitted = self.machine.submit(0, &submit);
        let submitted = submitted.unwrap_or_else(|error| panic!("{function} cannot be called: {error}"));
        let sequence = submitted.sequence;
        send(&mut self.stream, &submitted);
        self.task = Some((function.to_owned(), payload.to_vec()));
        let mut partial = Vec::new();
        let last = self.until(|event| match event {
            ClientEvent::Result { sequence: of, payload, last, .. } if of == sequence => match last {
                true => Some(Ok(payload.to_vec())),
                false => {
                    partial.push(payload.to_vec());
                    None
                }
            },
            ClientEvent::Failed { sequence: of, status, text, .. } if of == sequence => {
                Some(Err((status, text.to_owned())))
            }
            ClientEvent::Window | ClientEvent::Progress { .. } => None,
            other => panic!("{other:?} while {sequence} is waited for"),
        });
        self.machine.acknowledge();
        self.transmit().expect("the master reads");
        (partial, last)
    }

    /// Takes frames until `pick` has found something in their events.
    fn until<T>(&mut self, mut pick: impl FnMut(ClientEvent<'_>) -> Option<T>) -> T {
        loop {
            self.transmit().expect("the master reads");
            let (now, mut from, mut found) = (self.now(), 0, None);
            while let (None, Deframed::Frame { used, frame }) = (&found, deframe(&self.received, from)) {
                from += used;
                let event = self.machine.handle_frame(now, frame).expect("the master keeps to the protocol");
                found = event.and_then(&mut pick);
            }
            self.received.advance(from);
            if let Some(found) = found {
                return found;
            }
            let mut bytes = vec![0; 64 << 10];
            let count = self.stream.read(&mut bytes).expect("the master says something in time");
            assert!(count > 0, "the master has closed the connection");
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Sends what the machine has to say.
    fn transmit(&mut self) -> io::Result<()> {
        let mut out = BytesMut::new();
        while let Some(frame) = self.machine.poll_transmit() {
            Framing::Stream.encode(&frame, &mut out).map_err(io::Error::other)?;
        }
        self.stream.write_all(&out)?;
        if let (Some(_), Some((function, payload))) = (self.machine.poll_resubmit(), &self.task) {
            // The master had no room for it.
            let submitted = self.machine.resubmit(&Submit::new(function, payload)).map_err(io::Error::other)?;
            send(&mut self.stream, &submitted);
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.epoch.elapsed().as_micros() as u64)
    }
}

/// Sends a task.
fn send(stream: &mut TcpStream, submitted: &Submitted<'_>) {
    let mut out = BytesMut::new();
    for frame in submitted.frames() {
        Framing::Stream.encode(&frame, &mut out).expect("it was checked that it is not too long");
    }
    stream.write_all(&out).expect("the master reads");
}

/// The next frame of `received`, from a place on.
fn deframe(received: &[u8], from: usize) -> Deframed<'_> {
    Framing::Stream.handle_input(received.get(from..).unwrap_or_default(), &mut [], STREAM_FRAME_MAX)
}
