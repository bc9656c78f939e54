//! A master without a heap, for four native workers and two clients: `small [PORT]`. All that it has lies in a `static` of 16 KiB.
//!
//! One thread looks at each connection in turn. What has come in part stays with the system until the rest is there, so that no
//! connection has a buffer; what goes out is few bytes, so that a peer for which the system has no room does not read, and is
//! closed. `examples/no-std-check` runs the same machine where there is no allocator.
#![expect(clippy::print_stdout, reason = "a program says what it does")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use custom_runtime::{Clock, seed};
use palm_proto::Instant;
use palm_proto::endpoint::{ConnectionId, Endpoint, EndpointConfig, EndpointTables, NativeEndpoint, Next, Service};

/// What a message is kept in: its payload, its function's name, and some 90 bytes beside.
type Message = heapless::Vec<u8, 168>;
/// Longest frame of a peer: a task of 67 bytes for a function whose name has up to 19 then fits into a [`Message`].
const MAX_FRAME: usize = 72;
/// Longest frame in which a peer introduces itself.
const FIRST_FRAME: usize = palm_proto::native::FIRST_FRAME_MAX as usize + 4;
const PEERS: usize = 6;
/// Four messages at a time, one for each worker, and places for eight results: a client may have as many messages as there are
/// places left.
type Machine = Endpoint<NativeEndpoint<Message, 4, 8, PEERS>>;

struct Master {
    machine: Machine,
    connections: [Option<Connection>; PEERS],
}

struct Connection {
    id: ConnectionId,
    stream: TcpStream,
    /// Bytes of the input that the machine has seen and left: it is asked again when there are more.
    seen: u32,
    /// It is not to be read before the machine names it.
    waits: bool,
}

static MASTER: Mutex<Option<Master>> = Mutex::new(None);
const _: () = assert!(size_of_val(&MASTER) <= 16 << 10, "the master is too large");

/// How long nothing may happen before it is looked again.
const PAUSE: Duration = Duration::from_micros(200);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(5550), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    println!("native is at tcp://{}", listener.local_addr()?);
    let config = EndpointConfig { max_message: MAX_FRAME, ..EndpointConfig::default() };
    let machine = Endpoint::new("server", &config, EndpointTables::<NativeEndpoint<_, _, _, _>>::fixed(), seed())?;
    let mut master = MASTER.lock().unwrap_or_else(PoisonError::into_inner);
    let master = master.insert(Master { machine, connections: [const { None }; PEERS] });
    println!("{} bytes", size_of_val(&MASTER));
    let clock = Clock::default();
    // From here on nothing is allocated.
    loop {
        if !master.turn(clock.now(), &listener) {
            thread::sleep(PAUSE);
        }
    }
}

impl Master {
    /// Does whatever can be done. `false`: that was nothing.
    fn turn(&mut self, now: Instant, listener: &TcpListener) -> bool {
        let mut busy = false;
        while let Ok((stream, _)) = listener.accept() {
            busy = true;
            let _options = (stream.set_nonblocking(true), stream.set_nodelay(true));
            // None: there are too many. The stream is closed as it is dropped.
            let Some(id) = self.machine.handle_accept(now, Service::Native) else { continue };
            self.connections[id.index()] = Some(Connection { id, stream, seen: 0, waits: false });
        }
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
        for index in 0..PEERS {
            match self.read(now, index) {
                Ok(used) => busy |= used > 0,
                Err(_) => self.close(now, index),
            }
        }
        while let Some(id) = self.machine.poll_ready() {
            busy = true;
            let ended = self.write(now, id).is_err() || self.machine.is_closing(id);
            if ended {
                self.close(now, id.index());
            }
        }
        while self.machine.poll_event().is_some() {}
        busy
    }

    /// Offers the machine what has come over a connection, and takes off what it used. `Err`: the connection is over.
    fn read(&mut self, now: Instant, index: usize) -> io::Result<usize> {
        let Some(connection) = self.connections[index].as_mut().filter(|connection| !connection.waits) else {
            return Ok(0);
        };
        let mut bytes = [0; FIRST_FRAME];
        let count = match connection.stream.peek(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        if count as u32 == connection.seen {
            return Ok(0);
        }
        let progress = self.machine.handle_input(now, connection.id, &bytes[..count]);
        connection.stream.read_exact(&mut bytes[..progress.used])?;
        connection.seen = (count - progress.used) as u32;
        // Next::Close: what the machine still has to say is written first, as it names the connection.
        connection.waits = !matches!(progress.next, Next::Read { .. });
        Ok(progress.used)
    }

    /// Writes what the machine has for a connection that it has named, which is then read again.
    fn write(&mut self, now: Instant, id: ConnectionId) -> io::Result<()> {
        let Some(connection) = &mut self.connections[id.index()] else { return Ok(()) };
        (connection.seen, connection.waits) = (0, false);
        while let Some(transmit) = self.machine.poll_transmit(now, id) {
            let mut out: heapless::Vec<u8, 512> = heapless::Vec::new();
            let [a, b, c, d] = transmit.before();
            for part in [a, b, c, d, transmit.body_bytes(), transmit.after()] {
                out.extend_from_slice(part).map_err(|_| ErrorKind::OutOfMemory)?;
            }
            if connection.stream.write(&out)? < out.len() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.machine.handle_sent(id, out.len());
        }
        Ok(())
    }

    /// What the connection held is given to others.
    fn close(&mut self, now: Instant, index: usize) {
        if let Some(connection) = self.connections[index].take() {
            self.machine.handle_close(now, connection.id);
        }
    }
}
