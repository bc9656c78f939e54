//! A connection to a master: made, used, and made anew when it breaks.

use std::io;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use palm_proto::native::{Framing, Retry};
use palm_proto::{Backoff, Instant, Reminder, Seed};

use super::machine::{Machine, Verdict, refusal};
use super::options::PeerOptions;
use super::out::Out;
use super::receive::{Found, Receiver};
use crate::address::Address;
use crate::connecting::{Connecting, Established};
use crate::stream::{Liveness, More, Received, Stream};

/// Reads after which others have their turn.
const READS_A_TURN: usize = 4;
/// The shortest and the longest wait before the next try to connect.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);
/// After how long the operating system asks whether a silent master's host still lives.
const IDLE: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    address: Address,
    watcher: Option<(Registry, Token)>,
    state: State,
    pub(crate) out: Out,
    receiver: Receiver,
    backoff: Backoff,
    /// When to say again that there is no connection.
    reminder: Reminder,
    /// Whether the master has welcomed this side in the connection that there is.
    established: bool,
    max_frame: u32,
    /// Whether the master is shown a token.
    shows_token: bool,
    /// How long a try to connect may take.
    patience: Duration,
    readable: bool,
    writable: bool,
    /// Whether its being writable is told.
    watched: bool,
    /// The other side sends no more, so that the end has to be read.
    ended: bool,
    /// A turn has left something to do.
    again: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing before a time. A line stays open.
    Waiting(Instant, Option<Stream>),
    /// Until a time.
    Connecting(Connecting, Instant),
    Open(Stream),
    /// For good.
    Over,
}

impl Link {
    pub(crate) fn new(address: Address, options: &PeerOptions, seed: Seed) -> Self {
        let out = Out::new(framing(&address));
        Self {
            address,
            watcher: None,
            state: State::Waiting(Instant::ZERO, None),
            out,
            receiver: Receiver::default(),
            backoff: Backoff::new(FIRST, LONGEST, seed),
            reminder: Reminder::new(),
            established: false,
            max_frame: options.max_message,
            shows_token: !options.token.is_empty(),
            patience: options.handshake_timeout,
            readable: false,
            writable: false,
            watched: false,
            ended: false,
            again: false,
        }
    }

    /// Where events are to be told.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.watcher = Some((registry.try_clone()?, token));
        Ok(())
    }

    /// Has the next connection made to another address, and at once if there is none. A serial line that is open stays.
    pub(crate) fn relocate(&mut self, address: Address) {
        self.address = address;
        self.backoff.reset();
        if let State::Waiting(..) = self.state {
            self.close();
            self.state = State::Waiting(Instant::ZERO, None);
        }
    }

    /// Notes what an event tells.
    pub(crate) fn on_ready(&mut self, event: &Event) {
        let over = event.is_error() || event.is_read_closed();
        self.readable |= event.is_readable() || over;
        self.writable |= event.is_writable() || event.is_error();
        self.ended |= over;
    }

    /// When to call [`turn`](Self::turn) without an event.
    pub(crate) fn timeout(&self, now: Instant, machine: &impl Machine) -> Option<Duration> {
        if self.again {
            return Some(Duration::ZERO);
        }
        let own = match &self.state {
            State::Waiting(at, _) | State::Connecting(_, at) => Some(*at),
            State::Open(_) | State::Over => None,
        };
        [own, machine.poll_timeout()].into_iter().flatten().min().map(|at| at - now)
    }

    /// Whether it is over for good.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Bytes that have not left.
    pub(crate) fn unsent(&self) -> usize {
        self.out.outgoing.len()
    }

    /// Does what there is to do: connects, reads, writes, and looks at the time.
    pub(crate) fn turn(&mut self, now: Instant, machine: &mut impl Machine) {
        self.again = false;
        self.connect(now, machine);
        self.read(now, machine);
        if let Some(lost) = machine.handle_timeout(now) {
            self.lose(now, machine, &lost.to_string(), Retry::Later);
        }
        self.write(now, machine);
    }

    /// Ends the connection for good.
    pub(crate) fn end(&mut self, machine: &mut impl Machine) {
        if !self.is_over() {
            self.close();
            self.state = State::Over;
            machine.handle_disconnected("", true);
        }
    }

    fn connect(&mut self, now: Instant, machine: &mut impl Machine) {
        let Some((registry, token)) = &self.watcher else { return };
        let (connecting, until) = match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(at, Some(line)) if at <= now => {
                self.state = State::Open(line);
                return self.begin(now, machine);
            }
            State::Waiting(at, None) if at <= now => {
                (self.readable, self.writable, self.ended) = (false, false, false);
                (Connecting::begin(&self.address, registry, *token), now + self.patience)
            }
            State::Connecting(_, until) if until <= now => (Err(io::ErrorKind::TimedOut.into()), until),
            State::Connecting(connecting, until) => (Ok(connecting), until),
            other => {
                self.state = other;
                return;
            }
        };
        let checked = connecting.and_then(|connecting| {
            connecting.check(registry, *token, Liveness { idle: IDLE, unacknowledged: IDLE * 3 })
        });
        match checked {
            Ok(Established::NotYet(connecting)) => self.state = State::Connecting(connecting, until),
            Ok(Established::Yes(mut stream)) => {
                (self.readable, self.writable, self.watched) = (true, true, false);
                // Being writable is told only once it has not been: most of the time it is.
                self.watched = stream.reregister(registry, *token, Interest::READABLE).is_err();
                self.state = State::Open(stream);
                self.out.framing = framing(&self.address);
                self.begin(now, machine);
            }
            Err(error) => {
                self.say(now, &error.to_string());
                self.state = State::Waiting(now + self.backoff.wait(now), None);
            }
        }
    }

    /// Says why there is no connection: at once, and then now and then. That one is lost others say.
    fn say(&mut self, now: Instant, why: &str) {
        if std::mem::take(&mut self.established) {
            return;
        }
        if self.reminder.is_due(now) {
            tracing::warn!("cannot reach {}: {why}; trying again", self.address);
        } else {
            tracing::debug!("{}: {why}", self.address);
        }
    }

    fn begin(&mut self, now: Instant, machine: &mut impl Machine) {
        self.established = false;
        self.out.framing.begin();
        machine.handle_connected(now);
    }

    fn read(&mut self, now: Instant, machine: &mut impl Machine) {
        for _ in 0..READS_A_TURN {
            let stream = match &self.state {
                State::Open(stream) | State::Waiting(_, Some(stream)) if self.readable => stream,
                _ => return machine.handle_read(),
            };
            let idle = matches!(self.state, State::Waiting(..));
            let mut over = None;
            let (backoff, established, shows_token) = (&mut self.backoff, &mut self.established, self.shows_token);
            let received = self.receiver.receive(stream, &mut self.out.framing, self.max_frame, |found| {
                if idle {
                    return true;
                }
                let verdict = match found {
                    Found::Frame(frame, whole) => machine.handle_frame(now, frame, whole),
                    Found::Fault(fault) => Ok(Verdict::Over(fault, Retry::Later)),
                };
                over = match verdict {
                    Ok(Verdict::Stays) => None,
                    Ok(Verdict::Established) => {
                        *established = true;
                        backoff.handle_connected(now);
                        None
                    }
                    Ok(Verdict::Useful) => {
                        backoff.handle_useful();
                        None
                    }
                    Ok(Verdict::Over(why, retry)) => Some((why, retry)),
                    Ok(Verdict::Refused(text, code)) => Some((refusal(&text, code, shows_token), code.retry())),
                    Err(fault) => Some((format!("the master breaks the protocol: {fault}"), Retry::Later)),
                };
                over.is_none()
            });
            match received {
                Ok(Received::Blocked) => self.readable = false,
                Ok(Received::Bytes(_, More::No)) => self.readable = self.ended,
                Ok(Received::Bytes(_, More::Perhaps)) => {}
                Ok(Received::End) => return self.break_off(now, machine, "the master has closed the connection"),
                Err(error) => return self.break_off(now, machine, &error.to_string()),
            }
            if let Some((why, retry)) = over {
                machine.handle_read();
                return self.lose(now, machine, &why, retry);
            }
        }
        machine.handle_read();
        self.again = true;
    }

    fn write(&mut self, now: Instant, machine: &mut impl Machine) {
        if !matches!(self.state, State::Open(_)) {
            return;
        }
        self.collect(now, machine);
        let State::Open(stream) = &self.state else { return };
        if self.writable {
            match stream.write(&mut self.out.outgoing, &mut self.out.spare) {
                Ok(0) => {
                    self.writable = self.out.outgoing.is_empty();
                    self.watch();
                }
                Ok(_) => {
                    self.collect(now, machine);
                    self.again |= !self.out.outgoing.is_empty();
                }
                Err(error) => return self.break_off(now, machine, &error.to_string()),
            }
        }
        if machine.is_closed() && self.out.outgoing.is_empty() {
            // It has said Bye.
            self.end(machine);
        }
    }

    /// Has it told when the stream is writable again, if it is not now.
    fn watch(&mut self) {
        if let (false, false, Some((registry, token)), State::Open(stream)) =
            (self.writable, self.watched, &self.watcher, &mut self.state)
        {
            // If that is not possible, the heartbeat finds a connection that does not move.
            self.watched = stream.reregister(registry, *token, Interest::READABLE | Interest::WRITABLE).is_ok();
        }
    }

    fn collect(&mut self, now: Instant, machine: &mut impl Machine) {
        while let Some(frame) = machine.poll_transmit() {
            self.out.frame(&frame);
        }
        machine.fill(now, &mut self.out);
        while let Some(frame) = machine.poll_transmit() {
            self.out.frame(&frame);
        }
    }

    /// The stream is broken: there has to be another one.
    fn break_off(&mut self, now: Instant, machine: &mut impl Machine, why: &str) {
        self.close();
        self.say(now, why);
        self.state = State::Waiting(now + self.backoff.wait(now), None);
        machine.handle_disconnected(why, false);
    }

    /// The connection is over. On a line the next one begins where this one ends.
    fn lose(&mut self, now: Instant, machine: &mut impl Machine, why: &str, retry: Retry) {
        let at = match retry {
            Retry::Never => {
                self.close();
                self.state = State::Over;
                return machine.handle_disconnected(why, true);
            }
            // Only if the last time was not the same.
            Retry::AtOnce if !self.backoff.is_in_vain() => {
                self.backoff.wait(now);
                now
            }
            Retry::Later | Retry::AtOnce => now + self.backoff.wait(now),
        };
        self.say(now, why);
        self.out.outgoing.clear();
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Open(line) if line.is_serial() => State::Waiting(at, Some(line)),
            old => {
                self.state = old;
                self.close();
                State::Waiting(at, None)
            }
        };
        machine.handle_disconnected(why, false);
    }

    fn close(&mut self) {
        self.out.outgoing.clear();
        self.receiver.clear();
        if let (State::Open(mut stream) | State::Waiting(_, Some(mut stream)), Some((registry, _))) =
            (std::mem::replace(&mut self.state, State::Over), &self.watcher)
        {
            // It is closed in the next moment, which takes it off as well.
            let _ = stream.deregister(registry);
        }
    }
}

fn framing(address: &Address) -> Framing {
    if let Address::Serial { .. } = address { Framing::line() } else { Framing::Stream }
}
