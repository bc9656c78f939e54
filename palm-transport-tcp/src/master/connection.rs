//! One connection over a socket: moves bytes between its stream and the endpoint.

use std::io;

use mio::event::Source as _;
use mio::{Interest, Registry, Token};
use palm_proto::buffer::{Filling, Outgoing};
use palm_proto::endpoint::{ConnectionId, Next, Progress};

use super::turn::{Desk, LargeBuffers, READS_A_TURN, Step};
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
    /// A large message that is coming, or could not be used yet.
    own: Option<Own>,
    /// What has been received, behind that, and could not be used yet.
    pending: Vec<u8>,
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

/// A message with a buffer of its own.
#[derive(Debug)]
struct Own {
    /// The message at the front.
    bytes: Vec<u8>,
    /// Its length.
    len: usize,
    /// How much of it has come.
    filled: usize,
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
            own: None,
            pending: Vec::new(),
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
            let received = if self.own.is_some() { self.read_own(desk)? } else { self.read(desk)? };
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
        let mut filling = Filling { outgoing: &mut self.outgoing, spare: desk.spare };
        desk.endpoint.transmit_to(desk.now, self.id, &mut filling);
        if desk.endpoint.is_closing(self.id) {
            self.state = State::Closing;
        }
    }

    /// Reads the rest of a large message, and a little of what comes behind it.
    fn read_own(&mut self, desk: &mut Desk<'_>) -> io::Result<Received> {
        let Some(Own { bytes, len, filled }) = &mut self.own else { return Ok(Received::Blocked) };
        let (missing, behind) = (&mut bytes[*filled..*len], &mut desk.scratch.bytes[..READ_BETWEEN_LARGE]);
        let len = missing.len();
        let received = self.stream.read_both(missing, behind)?;
        if let Received::Bytes(count, _) = received {
            *filled += count.min(len);
            if count < len {
                desk.endpoint.handle_part(desk.now, self.id);
                return Ok(received);
            }
            self.large = true;
            self.offer_own(desk);
            let behind = &desk.scratch.bytes[..count - len];
            match self.state {
                State::Reading if behind.is_empty() => {}
                State::Reading => {
                    let Progress { used, next } = desk.endpoint.handle_input(desk.now, self.id, behind);
                    self.keep(&behind[used..], next, &mut desk.scratch.large);
                    self.large = true;
                }
                State::Waiting => self.pending = behind.to_vec(),
                State::Closing => {}
            }
        }
        Ok(received)
    }

    /// Reads what there is through the scratch buffer: what is left from before goes to its front, and what comes, behind it.
    fn read(&mut self, desk: &mut Desk<'_>) -> io::Result<Received> {
        let kept = self.pending.len();
        if desk.scratch.bytes.len() < kept + READ_MIN {
            desk.scratch.bytes.resize(kept + READ_MIN, 0);
        }
        let share = if self.large { READ_BETWEEN_LARGE } else { desk.endpoint.read_share() };
        let end = (kept + share.max(READ_MIN)).min(desk.scratch.bytes.len());
        let received = self.stream.read(&mut desk.scratch.bytes[kept..end])?;
        if let Received::Bytes(count, _) = received {
            let (front, input) = (&mut desk.scratch.bytes[..kept], kept + count);
            front.copy_from_slice(&self.pending);
            self.pending.clear();
            let Progress { used, next } = desk.endpoint.handle_input(desk.now, self.id, &desk.scratch.bytes[..input]);
            self.keep(&desk.scratch.bytes[used..input], next, &mut desk.scratch.large);
        }
        Ok(received)
    }

    /// Offers what is left again.
    fn offer(&mut self, desk: &mut Desk<'_>) {
        self.state = State::Reading;
        if self.own.as_ref().is_some_and(|own| own.filled == own.len) {
            self.offer_own(desk);
        }
        if self.state != State::Reading || self.own.is_some() || self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let Progress { used, next } = desk.endpoint.handle_input(desk.now, self.id, &pending);
        self.keep(&pending[used..], next, &mut desk.scratch.large);
    }

    /// Offers the large message, which is whole.
    fn offer_own(&mut self, desk: &mut Desk<'_>) {
        let Some(own) = self.own.take() else { return };
        match desk.endpoint.handle_input(desk.now, self.id, &own.bytes[..own.len]).next {
            Next::Read { .. } => self.state = State::Reading,
            Next::Close => self.state = State::Closing,
            Next::Wait => {
                self.state = State::Waiting;
                self.own = Some(own);
                return;
            }
        }
        desk.scratch.large.put(own.bytes);
    }

    /// Keeps what could not be used.
    fn keep(&mut self, rest: &[u8], next: Next, buffers: &mut LargeBuffers) {
        self.large = false;
        let message = match next {
            Next::Close => {
                self.state = State::Closing;
                return;
            }
            Next::Wait => {
                self.state = State::Waiting;
                0
            }
            Next::Read { message } => message,
        };
        if message < OWN_BUFFER_FROM {
            self.pending = rest.to_vec();
            return;
        }
        self.pending = Vec::new();
        let mut bytes = buffers.take(message);
        // It is the front of the message, and not all of it.
        bytes[..rest.len()].copy_from_slice(rest);
        self.own = Some(Own { bytes, len: message, filled: rest.len() });
    }
}
