//! A serial line for a master that has none: a thread that owns the device, and carries what it brings to the master's socket.
//!
//! On the line the rules of a master are kept here (`docs/spec.md`, section 9.4). A connection that the line carries is a
//! connection to the socket: begun at each Hello, closed when the line faults.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token, Waker};
use palm_proto::Instant;
use palm_proto::buffer::{Outgoing, Spare};
use palm_proto::native::{Header, LineEncoder, RefusalCode, STREAM_FRAME_MAX, Streamed, ToPeer, decode_stream};

use crate::address::Address;
use crate::clock::Clock;
use crate::connecting::{Connecting, Established};
use crate::framed::{LineFound, LineReader, is_hello, put_on_line, put_on_stream};
use crate::listener::BindError;
use crate::poll::wait;
use crate::serial::open_line;
use crate::stream::{Liveness, Received, Stream};

const WAKE: Token = Token(0);
const LINE: Token = Token(1);
const MASTER: Token = Token(2);
/// Events taken at a time: there are three sources.
const EVENTS: usize = 8;
/// Reads after which others have their turn, and how much is read at a time of the line and of the master.
const READS_A_TURN: usize = 4;
const READ_LINE: usize = 4 << 10;
const READ_MASTER: usize = 64 << 10;
/// Bytes that may wait for one side before the other is not read any more.
const WAITING_MAX: usize = 256 << 10;
/// Pause between tries to open a device that is gone.
const DEVICE_PAUSE: Duration = Duration::from_secs(1);

/// What a bridge is told about its master.
#[derive(Clone, Copy, Debug)]
pub struct BridgeOptions {
    /// Longest frame that the master takes, in bytes.
    pub max_message: usize,
    /// How often a peer that is not connected is told so at most.
    pub heartbeat: Duration,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self { max_message: 64 << 20, heartbeat: Duration::from_secs(5) }
    }
}

/// A serial line that leads to a master's socket, until it is dropped.
///
/// ```no_run
/// use palm_transport_tcp::{BridgeOptions, LineBridge};
///
/// let bridge = LineBridge::start("serial:///dev/ttyUSB0?baud=921600", "unix:///run/palm.sock", BridgeOptions::default())?;
/// println!("peers at {} are served", bridge.address());
/// # Ok::<(), palm_transport_tcp::BindError>(())
/// ```
#[derive(Debug)]
pub struct LineBridge {
    address: Address,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waker: Waker,
    stop: AtomicBool,
}

impl LineBridge {
    /// Opens the device at `line`, an address `serial://`, and carries what it brings to the native listener at `master`.
    ///
    /// # Errors
    /// If an address is none, or the device cannot be opened. One that goes later is opened again when it is back.
    pub fn start(line: &str, master: &str, options: BridgeOptions) -> Result<Self, BindError> {
        let (address, master): (Address, Address) = (line.parse()?, master.parse()?);
        let failed = |error| BindError::Io { address: address.clone(), error };
        let Address::Serial { path, baud } = address.clone() else {
            return Err(BindError::Config { why: "a bridge is for a serial line" });
        };
        if let Address::Serial { .. } = master {
            return Err(BindError::Config { why: "a bridge leads to a master's socket" });
        }
        let poll = Poll::new().map_err(failed)?;
        let waker = Waker::new(poll.registry(), WAKE).map_err(failed)?;
        let shared = Arc::new(Shared { waker, stop: AtomicBool::new(false) });
        let mut bridge = Bridge::new(poll, path, baud, master, options);
        bridge.open().map_err(failed)?;
        let thread = std::thread::Builder::new().name("palm-line".into());
        let ours = Arc::clone(&shared);
        let thread = thread.spawn(move || bridge.run(&ours.stop)).map_err(failed)?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// The line.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for LineBridge {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Err(error) = self.shared.waker.wake() {
            // Then its thread cannot be waited for.
            return tracing::warn!("cannot wake a bridge: {error}");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a bridge's thread has panicked");
        }
    }
}

/// What the thread has.
struct Bridge {
    poll: Poll,
    clock: Clock,
    path: PathBuf,
    baud: u32,
    master: Address,
    options: BridgeOptions,
    line: Option<Stream>,
    line_ready: Ready,
    reader: LineReader,
    encoder: LineEncoder,
    to_line: Outgoing,
    connection: Option<Connection>,
    spare: Spare,
    /// When the last peer was told that it is not connected.
    told: Option<Instant>,
    /// When to try to open the device again.
    retry: Option<Instant>,
}

/// A connection to the master's socket.
struct Connection {
    stream: Carrier,
    ready: Ready,
    /// What has come of it and is no whole frame.
    input: Vec<u8>,
    to_master: Outgoing,
}

enum Carrier {
    Connecting(Connecting),
    Open(Stream),
}

/// What can be done without waiting.
#[derive(Clone, Copy, Default)]
struct Ready {
    read: bool,
    write: bool,
}

impl Ready {
    const BOTH: Self = Self { read: true, write: true };

    fn note(&mut self, event: &Event) {
        self.read |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.write |= event.is_writable() || event.is_error();
    }
}

impl Bridge {
    fn new(poll: Poll, path: PathBuf, baud: u32, master: Address, options: BridgeOptions) -> Self {
        Self {
            poll,
            clock: Clock::start(),
            path,
            baud,
            master,
            options,
            line: None,
            line_ready: Ready::default(),
            reader: LineReader::new(options.max_message),
            encoder: LineEncoder::new(),
            to_line: Outgoing::new(),
            connection: None,
            spare: Spare::new(),
            told: None,
            retry: None,
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let mut stream = Stream::Serial(open_line(&self.path, self.baud)?);
        stream.register(self.poll.registry(), LINE, Interest::READABLE | Interest::WRITABLE)?;
        (self.line, self.line_ready, self.retry) = (Some(stream), Ready::BOTH, None);
        Ok(())
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut events = Events::with_capacity(EVENTS);
        while !stop.load(Ordering::Acquire) {
            let again = self.turn();
            let timeout = match self.retry {
                _ if again => Some(Duration::ZERO),
                retry => retry.map(|at| at - self.clock.now()),
            };
            if let Err(error) = wait(&mut self.poll, &mut events, timeout) {
                return tracing::error!("cannot wait for events of {}: {error}", self.path.display());
            }
            for event in &events {
                match (event.token(), &mut self.connection) {
                    (LINE, _) => self.line_ready.note(event),
                    (MASTER, Some(connection)) => connection.ready.note(event),
                    _ => {}
                }
            }
        }
    }

    /// Does what there is to do. Whether there is more.
    fn turn(&mut self) -> bool {
        if self.retry.is_some_and(|at| at <= self.clock.now()) {
            match self.open() {
                Ok(()) => tracing::info!("serial line {}: it is back", self.path.display()),
                Err(_) => self.retry = Some(self.clock.now() + DEVICE_PAUSE),
            }
        }
        self.connect();
        let mut again = self.read_line();
        again |= self.read_master();
        again |= self.write_master();
        again | self.write_line()
    }

    /// Sees to a connection that is being made.
    fn connect(&mut self) {
        let Some(Connection { stream: Carrier::Connecting(_), .. }) = &self.connection else { return };
        let Some(connection) = self.connection.take() else { return };
        let Carrier::Connecting(connecting) = connection.stream else { return };
        match connecting.check(self.poll.registry(), MASTER, Liveness::of(self.options.heartbeat)) {
            Ok(Established::NotYet(connecting)) => {
                self.connection = Some(Connection { stream: Carrier::Connecting(connecting), ..connection });
            }
            Ok(Established::Yes(stream)) => {
                self.connection = Some(Connection { stream: Carrier::Open(stream), ready: Ready::BOTH, ..connection });
            }
            Err(error) => self.is_out_of_reach(&error),
        }
    }

    fn read_line(&mut self) -> bool {
        let mut input = Vec::with_capacity(READ_LINE);
        for _ in 0..READS_A_TURN {
            let full = self.connection.as_ref().is_some_and(|connection| connection.to_master.len() > WAITING_MAX);
            let Some(line) = self.line.as_ref().filter(|_| self.line_ready.read && !full) else { return false };
            input.clear();
            match line.read_more(&mut input, READ_LINE) {
                Ok(Received::Bytes(..)) => self.look_through(&input),
                Ok(Received::Blocked) => self.line_ready.read = false,
                Ok(Received::End) => self.lose_line("the device is gone"),
                Err(error) => self.lose_line(&error.to_string()),
            }
        }
        true
    }

    fn look_through(&mut self, mut input: &[u8]) {
        while !input.is_empty()
            && let Some(found) = self.reader.next(&mut input)
        {
            match found {
                LineFound::Frame(range) => {
                    let frame = self.reader.take_frame();
                    self.on_frame(frame.get(range).unwrap_or(&[]));
                    self.reader.give_back(frame);
                }
                LineFound::Fault(fault) => {
                    tracing::debug!("serial line {}: {fault}", self.path.display());
                    self.disconnect();
                    self.tell_not_connected();
                }
            }
        }
    }

    fn on_frame(&mut self, frame: &[u8]) {
        if is_hello(frame) {
            self.disconnect();
            match Connecting::begin(&self.master, self.poll.registry(), MASTER) {
                Ok(connecting) => {
                    self.connection = Some(Connection {
                        stream: Carrier::Connecting(connecting),
                        ready: Ready::default(),
                        input: Vec::new(),
                        to_master: Outgoing::new(),
                    });
                    self.connect();
                }
                Err(error) => return self.is_out_of_reach(&error),
            }
        }
        let Some(connection) = &mut self.connection else {
            self.reader.reset();
            return self.tell_not_connected();
        };
        let mut bytes = Vec::with_capacity(frame.len() + 5);
        put_on_stream(frame, &mut bytes);
        connection.to_master.copy(&[&bytes], &mut self.spare);
    }

    fn read_master(&mut self) -> bool {
        for _ in 0..READS_A_TURN {
            let room = self.to_line.len() <= WAITING_MAX;
            let Some(Connection { stream: Carrier::Open(stream), ready, input, .. }) = &mut self.connection else {
                return false;
            };
            if !ready.read || !room {
                return false;
            }
            input.reserve(READ_MASTER);
            match stream.read_more(input, READ_MASTER) {
                Ok(Received::Bytes(..)) => {}
                Ok(Received::Blocked) => ready.read = false,
                Ok(Received::End) | Err(_) => {
                    // Whatever comes next on the line has to begin a connection.
                    self.reader.reset();
                    self.disconnect();
                    return true;
                }
            }
            let mut taken = 0;
            loop {
                let rest = input.get(taken..).unwrap_or(&[]);
                match decode_stream(rest, STREAM_FRAME_MAX) {
                    Ok(Streamed::Frame { used, range }) => {
                        let frame = rest.get(range).unwrap_or(&[]);
                        put_on_line(&mut self.encoder, &mut self.to_line, frame, &mut self.spare);
                        taken += used;
                    }
                    Ok(Streamed::Skipped { used }) => taken += used,
                    Ok(Streamed::Incomplete { .. }) | Err(_) => break,
                }
            }
            input.drain(..taken);
        }
        true
    }

    fn write_master(&mut self) -> bool {
        let Some(Connection { stream: Carrier::Open(stream), ready, to_master, .. }) = &mut self.connection else {
            return false;
        };
        if !ready.write || to_master.is_empty() {
            return false;
        }
        match stream.write(to_master, &mut self.spare) {
            Ok(0) => {
                ready.write = false;
                false
            }
            Ok(_) => true,
            // What it has said before is still to be read, and then its end.
            Err(_) => {
                ready.write = false;
                ready.read
            }
        }
    }

    fn write_line(&mut self) -> bool {
        let Some(line) = self.line.as_ref().filter(|_| self.line_ready.write && !self.to_line.is_empty()) else {
            return false;
        };
        match line.write(&mut self.to_line, &mut self.spare) {
            Ok(0) => {
                self.line_ready.write = false;
                false
            }
            Ok(_) => true,
            Err(error) => {
                self.lose_line(&error.to_string());
                false
            }
        }
    }

    /// The connection is over. What was to be sent to the line, is: a peer that does not expect it ignores it. What the peer
    /// has sent goes to the master as far as it takes it at once.
    fn disconnect(&mut self) {
        self.write_master();
        self.connection = None;
    }

    fn lose_line(&mut self, why: &str) {
        tracing::warn!("serial line {}: {why}; trying to open it again", self.path.display());
        self.disconnect();
        self.reader.clear();
        self.to_line.clear();
        self.line = None;
        self.retry = Some(self.clock.now() + DEVICE_PAUSE);
    }

    fn is_out_of_reach(&mut self, error: &io::Error) {
        tracing::warn!("serial line {}: no connection to the master at {}: {error}", self.path.display(), self.master);
        self.connection = None;
        self.reader.reset();
        self.tell_not_connected();
    }

    fn tell_not_connected(&mut self) {
        let now = self.clock.now();
        if self.told.is_none_or(|told| now - told >= self.options.heartbeat) {
            self.told = Some(now);
            let refused = ToPeer::Refused { code: RefusalCode::NotConnected }.encode();
            put_on_line(&mut self.encoder, &mut self.to_line, &refused, &mut self.spare);
        }
    }
}
