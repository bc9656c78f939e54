//! The task of one connection: moves bytes between its stream and the endpoint.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use palm_proto::buffer::{Filling, Outgoing};
use palm_proto::endpoint::{ConnectionId, Next, Progress};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::shared::{Scratch, Shared, with_scratch};
use crate::stream::{Stream, poll_write};

/// Messages from this size on are read into a buffer of their own; smaller ones through the scratch buffer, which all
/// connections share.
const OWN_BUFFER_FROM: usize = 32 << 10;
/// Read at a time while large messages come: little more than the next header, as what is read through the scratch buffer is
/// copied once more.
const READ_BETWEEN_LARGE: usize = 4 << 10;
/// Writes after which others have their turn.
const WRITES_A_TURN: usize = 4;
/// Least that is read at a time.
const READ_MIN: usize = 4 << 10;

pub(super) struct Connection {
    shared: Arc<Shared>,
    id: ConnectionId,
    stream: Stream,
    outgoing: Outgoing,
    /// What has been received and could not be used yet.
    pending: BytesMut,
    /// Length of the message that `pending` is the front of, if that is known.
    message: usize,
    /// The last message was read into a buffer of its own.
    large: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// `pending` is to be offered again once the endpoint names the connection.
    Waiting,
    Closing,
}

/// Whether a step did something, or waits for the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    Idle,
    Over,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, id: ConnectionId, stream: Stream) -> Self {
        Self {
            shared,
            id,
            stream,
            outgoing: Outgoing::default(),
            pending: BytesMut::new(),
            message: 0,
            large: false,
            state: State::Reading,
        }
    }

    /// One turn: sends what there is, then reads once. So no peer keeps the others waiting.
    fn turn(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Step> {
        let sent = self.send(context, scratch)?;
        if self.state == State::Closing {
            let over = self.outgoing.is_empty();
            return Ok(if over { Step::Over } else { sent });
        }
        if self.state == State::Waiting {
            self.offer();
        }
        if self.state != State::Reading {
            return Ok(sent);
        }
        let received = self.receive(context, scratch)?;
        if received == Step::Done && self.state == State::Closing {
            return Ok(Step::Done);
        }
        Ok(if received == Step::Idle { sent } else { received })
    }

    /// Takes from the endpoint, and writes, until either has no more, or others should have their turn.
    fn send(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Step> {
        for _ in 0..WRITES_A_TURN {
            {
                let mut state = self.shared.lock();
                let now = self.shared.now();
                let mut filling = Filling { outgoing: &mut self.outgoing, spare: &mut scratch.spare };
                state.endpoint.transmit_to(now, self.id, &mut filling);
                if state.endpoint.is_closing(self.id) {
                    self.state = State::Closing;
                }
            }
            if self.outgoing.is_empty() {
                return Ok(Step::Idle);
            }
            match poll_write(&mut self.outgoing, context, &mut self.stream, &mut scratch.spare)? {
                Poll::Pending => return Ok(Step::Idle),
                Poll::Ready(written) => {
                    let mut state = self.shared.lock();
                    state.endpoint.handle_sent(self.id, written);
                    state.wake_ready();
                }
            }
        }
        Ok(Step::Done)
    }

    fn receive(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Step> {
        if self.message >= OWN_BUFFER_FROM {
            let missing = self.message - self.pending.len();
            let mut rest = (&mut self.pending).limit(missing);
            match poll_read_buf(Pin::new(&mut self.stream), context, &mut rest)? {
                Poll::Pending => return Ok(Step::Idle),
                Poll::Ready(0) => return Ok(Step::Over),
                Poll::Ready(_) => {}
            }
            if self.pending.len() == self.message {
                self.large = true;
                self.offer_message();
            } else {
                let mut state = self.shared.lock();
                state.endpoint.handle_part(self.shared.now(), self.id);
            }
            return Ok(Step::Done);
        }
        // What is left from before goes to the front of the scratch buffer, and what comes, behind it.
        let kept = self.pending.len();
        if scratch.bytes.len() < kept + READ_MIN {
            scratch.bytes.resize(kept + READ_MIN, 0);
        }
        let share = if self.large { READ_BETWEEN_LARGE } else { self.shared.read_share() };
        let end = (kept + share.max(READ_MIN)).min(scratch.bytes.len());
        let mut room = ReadBuf::new(&mut scratch.bytes[kept..end]);
        match Pin::new(&mut self.stream).poll_read(context, &mut room)? {
            Poll::Pending => return Ok(Step::Idle),
            Poll::Ready(()) => {}
        }
        let received = room.filled().len();
        if received == 0 {
            return Ok(Step::Over);
        }
        scratch.bytes[..kept].copy_from_slice(&self.pending);
        self.pending.clear();
        let input = &scratch.bytes[..kept + received];
        let Progress { used, next } = self.hand_over(input);
        self.keep(&input[used..], next);
        Ok(Step::Done)
    }

    /// Offers what is left again.
    fn offer(&mut self) {
        self.state = State::Reading;
        if self.message >= OWN_BUFFER_FROM && self.pending.len() == self.message {
            return self.offer_message();
        }
        let pending = std::mem::take(&mut self.pending);
        let Progress { used, next } = self.hand_over(&pending);
        self.keep(&pending[used..], next);
    }

    fn offer_message(&mut self) {
        let message = self.pending.split().freeze();
        let mut state = self.shared.lock();
        let now = self.shared.now();
        match state.endpoint.handle_message(now, self.id, message.into()) {
            Ok(next) => {
                self.message = 0;
                self.state = if next == Next::Close { State::Closing } else { State::Reading };
            }
            Err(message) => {
                self.pending = Bytes::from(message).into();
                self.state = State::Waiting;
            }
        }
        state.wake_ready();
        state.settle_timer(&self.shared);
    }

    fn hand_over(&mut self, input: &[u8]) -> Progress {
        let mut state = self.shared.lock();
        let now = self.shared.now();
        let progress = state.endpoint.handle_input(now, self.id, input);
        state.wake_ready();
        state.settle_timer(&self.shared);
        progress
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
        if rest.is_empty() {
            self.pending = BytesMut::new();
            return;
        }
        self.pending.reserve(if self.message >= OWN_BUFFER_FROM { self.message } else { rest.len() });
        self.pending.put_slice(rest);
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.shared.lock().register(this.id, context.waker()) {
            return Poll::Ready(());
        }
        match with_scratch(|scratch| this.turn(context, scratch)) {
            Ok(Step::Idle) => Poll::Pending,
            Ok(Step::Done) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(Step::Over) => Poll::Ready(()),
            Err(error) => {
                tracing::debug!("connection {}: {error}", this.id);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let now = self.shared.now();
        state.unregister(self.id);
        state.endpoint.handle_close(now, self.id);
        state.wake_ready();
        state.settle_timer(&self.shared);
    }
}
