//! The loop: one thread, all connections.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use palm_proto::Instant;
use palm_proto::buffer::Spare;
use palm_proto::endpoint::{Service, Source};

use super::connection::Connection;
use super::connections::{Carrier, Connections};
use super::log::EventLog;
use super::shared::{Shared, counters};
use super::stopping::Stopping;
use super::turn::{Desk, MasterEndpoint, Scratch, Step};
use crate::clock::Clock;
use crate::listener::Listener;
use crate::poll::wait;
use crate::stream::{Liveness, Stream};

/// Events taken at a time.
const EVENTS: usize = 1024;
/// Connections taken from a listener in a turn.
const ACCEPTS_A_TURN: usize = 64;
/// Pause after a connection could not be accepted, as when the process has no file descriptors left; and between tries to open a
/// device.
const PAUSE: Duration = Duration::from_millis(100);
const DEVICE_PAUSE: Duration = Duration::from_secs(1);
/// How long a stream is kept open after its end was sent, so that its peer reads why before it learns that nobody reads what it
/// sends; and how many of them.
const LINGER: Duration = Duration::from_secs(1);
const LINGERING: usize = 64;

/// The token of [`mio::Waker`].
pub(super) const WAKE: Token = Token(0);

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) poll: Poll,
    pub(super) endpoint: MasterEndpoint,
    pub(super) clock: Clock,
    pub(super) listeners: Vec<Listener>,
    pub(super) connections: Connections,
    pub(super) liveness: Liveness,
    pub(super) shared: Arc<Shared>,
    scratch: Scratch,
    spare: Spare,
    log: EventLog,
    /// Listeners that may have more connections.
    accepting: Vec<usize>,
    /// When to try to accept again, or to open devices.
    retry: Option<Instant>,
    failing: bool,
    lingering: VecDeque<(Instant, Stream)>,
}

impl Driver {
    pub(super) fn new(
        poll: Poll,
        endpoint: MasterEndpoint,
        clock: Clock,
        listeners: Vec<Listener>,
        connections: Connections,
        liveness: Liveness,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            poll,
            endpoint,
            clock,
            accepting: (0..listeners.len()).collect(),
            listeners,
            connections,
            liveness,
            shared,
            scratch: Scratch::new(),
            spare: Spare::new(),
            log: EventLog::default(),
            retry: Some(clock.now()),
            failing: false,
            lingering: VecDeque::new(),
        }
    }

    /// Turns until the master has stopped.
    pub(super) fn run(&mut self, stopping: &mut Stopping) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout(stopping);
            wait(&mut self.poll, &mut events, timeout)?;
            let now = self.clock.now();
            self.handle_timers(now);
            for event in &events {
                self.on_event(event);
            }
            self.accept(now);
            self.read(now);
            self.settle(now);
            self.write(now);
            self.settle(now);
            self.log.drain(now, &mut self.endpoint);
            self.shared.publish(counters(&self.endpoint));
            if self.shared.is_stopping() && stopping.advance(now, &mut self.endpoint) {
                self.log.tell_rest();
                return Ok(());
            }
        }
    }

    /// How long to wait for events.
    fn timeout(&self, stopping: &Stopping) -> Option<Duration> {
        if self.connections.reading.len() + self.connections.writing.len() + self.accepting.len() > 0 {
            return Some(Duration::ZERO);
        }
        let lingering = self.lingering.front().map(|(until, _)| *until);
        let due =
            [self.endpoint.poll_timeout(), self.retry, lingering, stopping.deadline()].into_iter().flatten().min();
        due.map(|due| due - self.clock.now())
    }

    fn handle_timers(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
            self.settle(now);
        }
        while self.lingering.front().is_some_and(|(until, _)| *until <= now) {
            self.lingering.pop_front();
        }
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.accepting = (0..self.listeners.len()).collect();
            self.open_lines(now);
        }
    }

    fn on_event(&mut self, event: &Event) {
        let Some(place) = event.token().0.checked_sub(1 + self.listeners.len()) else {
            if event.token() != WAKE && !self.accepting.contains(&(event.token().0 - 1)) {
                self.accepting.push(event.token().0 - 1);
            }
            return;
        };
        let over = event.is_error() || event.is_read_closed();
        let (came, left) = (event.is_readable() || over, event.is_writable() || event.is_error());
        match self.connections.at(place) {
            Some(Carrier::Socket(connection)) => {
                connection.readable |= came;
                connection.writable |= left;
                connection.ended |= over;
            }
            Some(Carrier::Line(line)) => {
                line.readable |= came;
                line.writable |= left;
            }
            None => return,
        }
        if came {
            self.connections.reading.push(place);
        }
        if left {
            self.connections.writing.push(place);
        }
    }

    fn token(&self, place: usize) -> Token {
        Token(1 + self.listeners.len() + place)
    }

    fn accept(&mut self, now: Instant) {
        for index in std::mem::take(&mut self.accepting) {
            for turn in 0.. {
                if turn == ACCEPTS_A_TURN {
                    self.accepting.push(index);
                    break;
                }
                match self.listeners[index].accept(self.liveness) {
                    Ok(None) => break,
                    Ok(Some((stream, source))) => {
                        self.failing = false;
                        if !self.add(now, stream, source) {
                            self.retry = Some(now + PAUSE);
                            break;
                        }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut self.failing, true) {
                            tracing::warn!("cannot accept connections: {error}; trying on");
                        }
                        self.retry = Some(now + PAUSE);
                        break;
                    }
                }
            }
        }
    }

    /// Whether the endpoint has taken the connection.
    fn add(&mut self, now: Instant, mut stream: Stream, source: Source) -> bool {
        let token = self.token(self.connections.next_place());
        if let Err(error) = self.poll.registry().register(&mut stream, token, Interest::READABLE) {
            tracing::warn!("cannot watch a connection: {error}");
            return false;
        }
        let Some(id) = self.endpoint.handle_accept_from(now, Service::Native, source) else { return false };
        let place = self.connections.insert(Carrier::Socket(Box::new(Connection::new(id, stream))));
        self.connections.note(id, place);
        true
    }

    /// Opens the devices that are not open, and looks after them again later if that does not work.
    fn open_lines(&mut self, now: Instant) {
        for place in self.connections.places() {
            let token = self.token(place);
            let Some(Carrier::Line(line)) = self.connections.at(place) else { continue };
            if line.is_open() {
                continue;
            }
            let opened = match line.open() {
                Ok(stream) => self.poll.registry().register(stream, token, Interest::READABLE | Interest::WRITABLE),
                Err(error) => Err(error),
            };
            let path = line.path().display();
            match opened {
                Ok(()) => {
                    tracing::info!("serial line {path} is open");
                    self.connections.reading.push(place);
                }
                Err(error) => {
                    tracing::debug!("serial line {path}: {error}; trying on");
                    self.retry = Some(now + DEVICE_PAUSE);
                }
            }
        }
    }

    fn read(&mut self, now: Instant) {
        for _ in 0..self.connections.reading.len() {
            let Some(place) = self.connections.reading.pop() else { return };
            let mut desk = desk(&mut self.endpoint, &mut self.scratch, &mut self.spare, now);
            let step = match self.connections.at(place) {
                Some(Carrier::Socket(connection)) => connection.receive(&mut desk),
                Some(Carrier::Line(line)) => {
                    let step = line.receive(&mut desk);
                    if let Some(id) = line.id() {
                        self.connections.note(id, place);
                    }
                    self.connections.writing.push(place);
                    step
                }
                None => continue,
            };
            match step {
                Ok(Step::Again) => self.connections.reading.push(place),
                Ok(Step::Idle) => {}
                Ok(Step::Over) => self.close(now, place, None),
                Err(error) => self.close(now, place, Some(error)),
            }
        }
    }

    fn write(&mut self, now: Instant) {
        for _ in 0..self.connections.writing.len() {
            let Some(place) = self.connections.writing.pop() else { return };
            let token = self.token(place);
            let mut desk = desk(&mut self.endpoint, &mut self.scratch, &mut self.spare, now);
            let step = match self.connections.at(place) {
                Some(Carrier::Socket(connection)) => {
                    let step = connection.send(&mut desk);
                    step.and_then(|step| connection.watch(self.poll.registry(), token).map(|()| step))
                }
                Some(Carrier::Line(line)) => {
                    let step = line.send(&mut desk);
                    if line.wants_turn() {
                        self.connections.reading.push(place);
                    }
                    step
                }
                None => continue,
            };
            match step {
                Ok(Step::Again) => self.connections.writing.push(place),
                Ok(Step::Idle) => {}
                Ok(Step::Over) => self.close(now, place, None),
                Err(error) => self.close(now, place, Some(error)),
            }
        }
    }

    /// Comes back to the connections that the endpoint names.
    fn settle(&mut self, now: Instant) {
        while let Some(id) = self.endpoint.poll_ready() {
            let Some(place) = self.connections.place_of(id) else { continue };
            let mut desk = desk(&mut self.endpoint, &mut self.scratch, &mut self.spare, now);
            let read = match self.connections.at(place) {
                Some(Carrier::Socket(connection)) if connection.id() == id => connection.resume(&mut desk),
                Some(Carrier::Line(line)) if line.id() == Some(id) => line.resume(&mut desk),
                _ => continue,
            };
            if read {
                self.connections.reading.push(place);
            }
            self.connections.writing.push(place);
        }
    }

    fn close(&mut self, now: Instant, place: usize, error: Option<io::Error>) {
        if let Some(Carrier::Line(line)) = self.connections.at(place) {
            let why = error.map_or_else(|| "the other end is gone".into(), |error| error.to_string());
            tracing::warn!("serial line {}: {why}", line.path().display());
            line.close(&mut desk(&mut self.endpoint, &mut self.scratch, &mut self.spare, now));
            self.retry = Some(now + DEVICE_PAUSE);
            return;
        }
        let Some(Carrier::Socket(connection)) = self.connections.remove(place) else { return };
        let id = connection.id();
        let refused = error.is_none() && self.endpoint.is_closing(id);
        if let Some(error) = error {
            tracing::debug!("connection {id}: {error}");
        }
        self.endpoint.handle_close(now, id);
        if refused {
            let mut stream = connection.into_stream();
            let watched = self.poll.registry().deregister(&mut stream);
            if watched.is_ok() && stream.finish().is_ok() && self.lingering.len() < LINGERING {
                self.lingering.push_back((now + LINGER, stream));
            }
        }
    }
}

fn desk<'a>(
    endpoint: &'a mut MasterEndpoint,
    scratch: &'a mut Scratch,
    spare: &'a mut Spare,
    now: Instant,
) -> Desk<'a> {
    Desk { endpoint, scratch, spare, now }
}
