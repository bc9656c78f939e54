//! One connection over a socket: moves bytes between its stream and the endpoint.

use std::io;

use bytes::Bytes;
use mio::event::Source as _;
use mio::{Interest, Registry, Token};
use palm_proto::buffer::Outgoing;
use palm_proto::endpoint::{ConnectionId, Next, Progress};

use super::turn::{Desk, READS_A_TURN, Step};
use crate::stream::{More, Received, Stream};

/// Messages from this size on are read into a buffer of their own; smaller ones through the scratch buffer, which all
/// connections share.
const OWN_BUFFER_FROM: usize = 32 << 10;
/// Read at a time while large messages come: little more than the next header, as what is read through the scratch buffer is
/// copied once more.
const READ_BETWEEN_LARGE: usize = 4 << 10;
/// Least that is read at a time.
const READ_MIN: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    stream: Stream,
    outgoing: Outgoing,
    /// What has been received and could not be used yet.
    pending: Vec<u8>,
    /// Length of the message that `pending` is the front of, if that is known.
    message: usize,
    /// The last message was read into a buffer of its own.
    large: bool,
    state: State,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Whether its being writable is told: only from when it was not for the first time, as it is most of the time.
    pub(super) watched: bool,
    /// The other side sends no more, so that the end has to be read.
    pub(super) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// `pending` is to be offered again once the endpoint names the connection.
    Waiting,
    Closing,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, stream: Stream) -> Self {
        Self {
            id,
            stream,
            outgoing: Outgoing::new(),
            pending: Vec::new(),
            message: 0,
            large: false,
            state: State::Reading,
            readable: false,
            writable: true,
            watched: false,
            ended: false,
        }
    }

    /// Has it told when it is writable again, if it is not now.
    pub(super) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.writable || self.watched {
            return Ok(());
        }
        self.watched = true;
        self.stream.reregister(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The endpoint has named the connection: offers again what had to wait. Whether it is to be read.
    pub(super) fn resume(&mut self, desk: &mut Desk<'_>) -> bool {
        if self.state == State::Waiting {
            self.offer(desk);
        }
        self.state == State::Reading && self.readable
    }

    /// Reads a few times, and hands over what has come.
    pub(super) fn receive(&mut self, desk: &mut Desk<'_>) -> io::Result<Step> {
        for _ in 0..READS_A_TURN {
            if self.state != State::Reading || !self.readable {
                return Ok(Step::Idle);
            }
            let received = if self.message >= OWN_BUFFER_FROM { self.read_own(desk)? } else { self.read(desk)? };
            match received {
                Received::End => return Ok(Step::Over),
                Received::Blocked => self.readable = false,
                Received::Bytes(_, More::No) => self.readable = self.ended,
                Received::Bytes(_, More::Perhaps) => {}
            }
        }
        Ok(Step::Again)
    }

    /// Takes from the endpoint, and writes, once.
    pub(super) fn send(&mut self, desk: &mut Desk<'_>) -> io::Result<Step> {
        if !self.writable {
            // A peer that takes nothing is not told why.
            return Ok(if desk.endpoint.is_closing(self.id) { Step::Over } else { Step::Idle });
        }
        self.collect(desk);
        let written = self.stream.write(&mut self.outgoing, desk.spare)?;
        if written > 0 {
            desk.endpoint.handle_sent(self.id, written);
            self.collect(desk);
        }
        Ok(match (self.outgoing.is_empty(), self.state) {
            (true, State::Closing) => Step::Over,
            (true, State::Reading | State::Waiting) => Step::Idle,
            (false, _) if written > 0 => Step::Again,
            (false, State::Closing) => Step::Over,
            (false, State::Reading | State::Waiting) => {
                self.writable = false;
                Step::Idle
            }
        })
    }

    fn collect(&mut self, desk: &mut Desk<'_>) {
        while let Some(transmit) = desk.endpoint.poll_transmit(desk.now, self.id) {
            self.outgoing.push_transmit(transmit, desk.spare);
        }
        if desk.endpoint.is_closing(self.id) {
            self.state = State::Closing;
        }
    }

    /// Reads the rest of a large message.
    fn read_own(&mut self, desk: &mut Desk<'_>) -> io::Result<Received> {
        let missing = self.message - self.pending.len();
        let received = self.stream.read_more(&mut self.pending, missing)?;
        if self.pending.len() == self.message {
            self.large = true;
            self.offer_message(desk);
        } else if let Received::Bytes(..) = received {
            desk.endpoint.handle_part(desk.now, self.id);
        }
        Ok(received)
    }

    /// Reads what there is through the scratch buffer: what is left from before goes to its front, and what comes, behind it.
    fn read(&mut self, desk: &mut Desk<'_>) -> io::Result<Received> {
        let kept = self.pending.len();
        if desk.scratch.len() < kept + READ_MIN {
            desk.scratch.resize(kept + READ_MIN, 0);
        }
        let share = if self.large { READ_BETWEEN_LARGE } else { desk.endpoint.read_share() };
        let end = (kept + share.max(READ_MIN)).min(desk.scratch.len());
        let received = self.stream.read(&mut desk.scratch[kept..end])?;
        if let Received::Bytes(count, _) = received {
            let (front, input) = (&mut desk.scratch[..kept], kept + count);
            front.copy_from_slice(&self.pending);
            self.pending.clear();
            let Progress { used, next } = desk.endpoint.handle_input(desk.now, self.id, &desk.scratch[..input]);
            self.keep(&desk.scratch[used..input], next);
        }
        Ok(received)
    }

    /// Offers what is left again.
    fn offer(&mut self, desk: &mut Desk<'_>) {
        self.state = State::Reading;
        if self.message >= OWN_BUFFER_FROM && self.pending.len() == self.message {
            return self.offer_message(desk);
        }
        let pending = std::mem::take(&mut self.pending);
        let Progress { used, next } = desk.endpoint.handle_input(desk.now, self.id, &pending);
        self.keep(&pending[used..], next);
    }

    fn offer_message(&mut self, desk: &mut Desk<'_>) {
        let message = Bytes::from(std::mem::take(&mut self.pending));
        match desk.endpoint.handle_message(desk.now, self.id, message.into()) {
            Ok(next) => {
                self.message = 0;
                self.state = if next == Next::Close { State::Closing } else { State::Reading };
            }
            Err(message) => {
                self.pending = Bytes::from(message).into();
                self.state = State::Waiting;
            }
        }
    }

    /// Keeps what could not be used.
    fn keep(&mut self, rest: &[u8], next: Next) {
        self.message = 0;
        self.large = false;
        match next {
            Next::Close => {
                self.state = State::Closing;
                return;
            }
            Next::Wait => self.state = State::Waiting,
            Next::Read { message } => self.message = message,
        }
        let room = if self.message >= OWN_BUFFER_FROM { self.message } else { rest.len() };
        self.pending = Vec::new();
        self.pending.reserve_exact(room);
        self.pending.extend_from_slice(rest);
    }
}
