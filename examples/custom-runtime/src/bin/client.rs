//! A client on a blocking socket: `client HOST:PORT FUNCTION COUNT` calls a function with `message 0`, `message 1`, and so on.
//!
//! It goes on as long as one connection lasts. One that is to outlast it connects again as `worker` does, and then, too, submits again
//! what [`HeapClient::poll_resubmit`] names, of which it keeps the payloads.
#![expect(clippy::print_stdout, reason = "a program says what it does")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use custom_runtime::{Clock, seed, session};
use palm_proto::native::{ClientEvent, Deframed, Framing, HeapClient, PeerConfig, Submit};

/// Tasks at a time, at most: the master says how many it has room for.
const TASKS: usize = 100;
/// Longest frame that is taken.
const MAX_FRAME: u32 = 64 << 20;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, function, count] = &arguments[..] else {
        println!("usage: client HOST:PORT FUNCTION COUNT");
        return Ok(());
    };
    let count: u64 = count.parse().map_err(io::Error::other)?;
    let clock = Clock::default();
    let config = PeerConfig::new("client on a socket".into(), "".into(), session());
    let mut client = HeapClient::sized(PeerConfig { max_frame: MAX_FRAME, ..config }, TASKS, seed());
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    client.handle_connected(clock.now());

    let (mut submitted, mut answered) = (0, 0);
    let (mut received, mut out) = (BytesMut::new(), BytesMut::new());
    while answered < count {
        // What the machine has to say goes first, then as many tasks as there is room for.
        while let Some(frame) = client.poll_transmit() {
            Framing::Stream.encode(&frame, &mut out).map_err(io::Error::other)?;
        }
        loop {
            // What the master had no room for goes again before anything else.
            let (again, new) =
                (client.poll_resubmit(), submitted < count && client.is_connected() && client.has_room());
            let payload = format!("message {}", again.as_ref().map_or(submitted, |again| again.key));
            let submit = Submit::new(function, payload.as_bytes());
            let task = match again {
                Some(_) => client.resubmit(&submit),
                None if new => client.submit(submitted, &submit),
                None => break,
            };
            submitted += u64::from(again.is_none());
            for frame in task.map_err(io::Error::other)?.frames() {
                Framing::Stream.encode(&frame, &mut out).map_err(io::Error::other)?;
            }
        }
        stream.write_all(&out)?;
        out.clear();

        let wait = client.poll_timeout().map(|at| at.saturating_since(clock.now()).max(Duration::from_millis(1)));
        stream.set_read_timeout(wait)?;
        let mut bytes = [0; 16 << 10];
        match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => received.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        if let Some(lost) = client.handle_timeout(clock.now()) {
            return Err(io::Error::other(lost));
        }
        loop {
            let (used, frame) = match Framing::Stream.handle_input(&received, &mut [], MAX_FRAME) {
                Deframed::Frame { used, frame } => (used, frame),
                Deframed::Incomplete { .. } => break,
                Deframed::Fault { fault, .. } => return Err(io::Error::other(fault)),
            };
            match client.handle_frame(clock.now(), frame).map_err(io::Error::other)? {
                Some(ClientEvent::Result { key, payload, last, .. }) => {
                    println!("{key}: {}", String::from_utf8_lossy(payload));
                    answered += u64::from(last);
                }
                Some(ClientEvent::Failed { key, status, text, .. }) => {
                    println!("{key}: {status:?}, {text}");
                    answered += 1;
                }
                Some(ClientEvent::Refused { text, .. }) => return Err(io::Error::other(text.to_owned())),
                Some(ClientEvent::Goodbye) => return Err(io::Error::other("the master goes")),
                Some(_) | None => {}
            }
            received.advance(used);
        }
        // All that was received has been dealt with: the master need not keep it any longer.
        client.acknowledge();
    }
    client.bye();
    while let Some(frame) = client.poll_transmit() {
        Framing::Stream.encode(&frame, &mut out).map_err(io::Error::other)?;
    }
    stream.write_all(&out)
}
