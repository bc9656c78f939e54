//! One connection of a socket: bytes in both directions, the handshake, and signs of life.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use palm_proto::buffer::{Outgoing, Spare};
use palm_proto::zmtp::{Beat, CONTROL_MAX, Connection, Limits, Pulse, SocketType, frame_header};
use tokio::time::{Instant, Sleep, timeout_at};
use tokio_util::io::poll_read_buf;

use super::dial::dial;
use super::incoming::{Incoming, Message};
use super::{Options, SocketError};
use crate::stream::{Stream, poll_write};

/// Bytes that wait to be written before a socket takes no more.
const OUTGOING: usize = 256 << 10;
/// Read at a time where messages come, and where only commands or one reply do.
const ROOM: usize = 64 << 10;
const SMALL_ROOM: usize = 4 << 10;

/// A connection that has shaken hands.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    zmtp: Connection,
    pub(super) incoming: Incoming,
    outgoing: Outgoing,
    spare: Spare,
    /// Bytes that were ever written.
    written: u64,
    origin: Instant,
    pulse: Pulse,
    timer: Pin<Box<Sleep>>,
}

impl Wire {
    /// Connects a socket of this type within `patience`, the handshake included. `answers`: whether its peers always read, so that
    /// silence shows that one is gone.
    pub(super) async fn connect(
        address: &str,
        kind: SocketType,
        identity: &[u8],
        answers: bool,
        options: &Options,
    ) -> Result<Self, SocketError> {
        let after = options.patience;
        let end = Instant::now() + after;
        let stream = timeout_at(end, dial(address, options.heartbeat, answers))
            .await
            .map_err(|_| SocketError::TimedOut { after })??;
        let limits = Limits { max_frame: options.max_message as u64, ..Limits::default() };
        let zmtp =
            Connection::new(kind, limits).with_identity(identity).unwrap_or_else(|_| Connection::new(kind, limits));
        let reads_much = matches!(kind, SocketType::Pull | SocketType::Sub);
        let mut wire = Self {
            stream,
            zmtp,
            incoming: Incoming::new(if reads_much { ROOM } else { SMALL_ROOM }),
            outgoing: Outgoing::new(),
            spare: Spare::new(),
            written: 0,
            origin: Instant::now(),
            pulse: Pulse::new(palm_proto::Instant::ZERO, Duration::ZERO),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        };
        timeout_at(end, poll_fn(|context| wire.poll_handshake(context)))
            .await
            .map_err(|_| SocketError::NoHandshake { after })??;
        // A peer of ZMTP 3.0 answers no PING: of its host the operating system takes care.
        let heartbeat = if answers && wire.zmtp.speaks_ping() { options.heartbeat } else { Duration::ZERO };
        wire.pulse = Pulse::new(wire.now(), heartbeat);
        Ok(wire)
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        loop {
            self.decode()?;
            let flushed = self.poll_flush(context)?.is_ready();
            if self.zmtp.is_ready() && flushed {
                return Poll::Ready(Ok(()));
            }
            // What comes behind the handshake can wait for its end.
            if self.incoming.is_full() {
                return Poll::Pending;
            }
            ready!(self.poll_read(context))?;
        }
    }

    /// Moves bytes in both directions until a message is there, if one is wanted, or neither can go on. While none is wanted, no more
    /// than one is read.
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
        wanted: bool,
    ) -> Poll<Result<Message, SocketError>> {
        loop {
            self.decode()?;
            if wanted && let Some(message) = self.incoming.take() {
                return Poll::Ready(Ok(message));
            }
            let _ = self.poll_flush(context)?;
            if self.incoming.is_full() || self.poll_read(context)?.is_pending() {
                break;
            }
        }
        self.poll_pulse(context)?;
        Poll::Pending
    }

    /// Moves bytes in both directions until some have been written.
    pub(super) fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        let before = self.written;
        loop {
            self.decode()?;
            let _ = self.poll_flush(context)?;
            if self.incoming.is_full() || self.poll_read(context)?.is_pending() {
                break;
            }
        }
        self.poll_pulse(context)?;
        if self.written > before { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether the socket takes more to send.
    pub(super) fn has_room(&self) -> bool {
        self.outgoing.len() < OUTGOING
    }

    /// Bytes that were ever written, and those and all that wait.
    pub(super) fn sent(&self) -> (u64, u64) {
        (self.written, self.written + self.outgoing.len() as u64)
    }

    /// Has a frame of a message sent.
    pub(super) fn put(&mut self, frame: Bytes, more: bool) {
        let header = frame_header(frame.len(), more);
        if frame.len() < Outgoing::SHARE_FROM {
            self.outgoing.copy(&[header.as_ref(), &frame], &mut self.spare);
        } else {
            self.outgoing.copy(&[header.as_ref()], &mut self.spare);
            self.outgoing.push(frame, &mut self.spare);
        }
    }

    /// Has a subscription sent.
    pub(super) fn put_subscription(&mut self, topic: &[u8]) {
        let header = self.zmtp.subscribe_header(topic.len());
        self.outgoing.copy(&[header.as_ref(), topic], &mut self.spare);
    }

    /// Writes all that waits.
    pub(super) async fn flush(&mut self) -> Result<(), SocketError> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Says that nothing more will be sent, and reads until the peer says so, too: it has read everything then. What it has sent and
    /// is not read would have the operating system take back what it has not read yet.
    pub(super) async fn end(mut self) -> Result<(), SocketError> {
        self.flush().await?;
        tokio::io::AsyncWriteExt::shutdown(&mut self.stream).await?;
        loop {
            self.incoming.buffer.clear();
            self.incoming.buffer.reserve(SMALL_ROOM);
            let read = poll_fn(|context| poll_read_buf(Pin::new(&mut self.stream), context, &mut self.incoming.buffer));
            if read.await? == 0 {
                return Ok(());
            }
        }
    }

    /// Takes apart what has come, up to the end of a message.
    fn decode(&mut self) -> Result<(), SocketError> {
        if !self.incoming.is_full() {
            self.incoming.decode(&mut self.zmtp)?;
            self.pulse.handle_ttl(self.zmtp.peer_ttl());
        }
        Ok(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.incoming.make_room();
        if ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.incoming.buffer))? == 0 {
            return Poll::Ready(Err(SocketError::Closed));
        }
        self.pulse.handle_heard(self.now());
        Poll::Ready(Ok(()))
    }

    /// Ready when nothing waits to be written.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        loop {
            // Only whole messages wait, so that control bytes come between them; not many, whatever the peer asks for.
            if self.zmtp.has_transmit() && self.outgoing.len() < OUTGOING {
                let mut control = [0; CONTROL_MAX];
                let len = self.zmtp.poll_transmit(&mut control);
                self.outgoing.copy(&[control.get(..len).unwrap_or(&[])], &mut self.spare);
            }
            if self.outgoing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.written += ready!(poll_write(&mut self.outgoing, context, &mut self.stream, &mut self.spare))? as u64;
        }
    }

    fn poll_pulse(&mut self, context: &mut Context<'_>) -> Result<(), SocketError> {
        loop {
            let reads = !self.incoming.is_full();
            let Some(due) = self.pulse.poll_timeout(reads) else { return Ok(()) };
            let at = self.origin + Duration::from_micros(due.as_micros());
            // It is set later only when it fires, as what comes puts it off again and again.
            if at < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            match self.pulse.handle_timeout(self.now(), reads) {
                Beat::Nothing => {}
                Beat::Ask => {
                    self.zmtp.queue_ping(self.pulse.ttl());
                    let _ = self.poll_flush(context)?;
                }
                Beat::Lost => return Err(SocketError::Silent),
            }
        }
    }

    fn now(&self) -> palm_proto::Instant {
        palm_proto::Instant::from_micros(self.origin.elapsed().as_micros() as u64)
    }
}
