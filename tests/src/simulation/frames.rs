//! A native peer's end of a connection: frames on top of the simulated network.

use bytes::BytesMut;
use palm_proto::endpoint::Service;
use palm_proto::native::{Deframed, Frame, Framing, ToMaster};

use super::context::Context;
use super::ledger::Key;
use super::network::{Line, Read, Side};

/// Longest frame that peers take.
pub(super) const MAX_FRAME: u32 = 16 << 20;

/// A stream of frames.
#[derive(Debug)]
pub(super) struct FrameStream {
    /// The connection.
    pub(super) link: usize,
    framing: Framing,
    incoming: Vec<u8>,
    used: usize,
    outgoing: BytesMut,
    /// Bytes that ever went to `outgoing`.
    total: u64,
    broken: bool,
    pieces: usize,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Heard {
    /// A frame.
    Frame(Vec<u8>),
    /// Nothing whole is there.
    Nothing,
    /// The connection is gone.
    End,
}

impl FrameStream {
    /// Calls the master.
    pub(super) fn connect(context: &mut Context, owner: usize, line: Line) -> Self {
        let Context { now, network, queue, dice, trace, .. } = context;
        let link = network.connect(queue, *now, owner, Service::Native, line);
        trace.note(*now, "peer {} calls, connection {}", &[owner as u64, link as u64]);
        let pieces = if dice.chance(300) { dice.spread(1, 4_096) } else { 64 << 10 };
        let mut framing = Framing::Stream;
        framing.begin();
        Self {
            link,
            framing,
            incoming: Vec::new(),
            used: 0,
            outgoing: BytesMut::new(),
            total: 0,
            broken: false,
            pieces,
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn backlog(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends a frame, of which the master's end has a count if it has a `key`.
    pub(super) fn send(&mut self, context: &mut Context, frame: &Frame<'_, ToMaster>, key: Option<Key>) {
        let before = self.outgoing.len();
        self.framing.encode(frame, &mut self.outgoing).expect("a buffer on the heap has room");
        self.total += (self.outgoing.len() - before) as u64;
        if let Some(key) = key {
            context.network.link(self.link).submissions.push_back((self.total, key));
        }
    }

    /// Writes what the connection takes.
    pub(super) fn flush(&mut self, context: &mut Context) {
        if self.broken || self.outgoing.is_empty() {
            return;
        }
        let Context { now, network, queue, .. } = context;
        let written = network.write(queue, *now, self.link, Side::Peer, &self.outgoing);
        let _ = self.outgoing.split_to(written);
    }

    /// The next frame, read from the connection if it is not here yet.
    pub(super) fn receive(&mut self, context: &mut Context) -> Heard {
        if self.broken {
            return Heard::End;
        }
        loop {
            match self.framing.handle_input(&self.incoming[self.used..], &mut [], MAX_FRAME) {
                Deframed::Frame { used, frame } => {
                    let frame = frame.to_vec();
                    self.used += used;
                    return Heard::Frame(frame);
                }
                Deframed::Incomplete { used, .. } => self.used += used,
                Deframed::Fault { fault, .. } => {
                    context.ledger.fail(format!("connection {}: {fault}", self.link));
                    return Heard::End;
                }
            }
            self.incoming.drain(..self.used);
            self.used = 0;
            match context.network.read(self.link, Side::Peer, self.pieces, &mut self.incoming) {
                Read::Bytes(_) => {}
                Read::Nothing => return Heard::Nothing,
                Read::End => return Heard::End,
            }
        }
    }

    /// Closes the connection.
    pub(super) fn close(&mut self, context: &mut Context) {
        if std::mem::replace(&mut self.broken, true) {
            return;
        }
        let now = context.now;
        context.trace.note(now, "connection {} is closed by its peer", &[self.link as u64]);
        context.network.close(&mut context.queue, now, self.link, Side::Peer);
        context.settle_link(self.link);
    }
}

/// How a connection ends.
pub(super) fn end(context: &mut Context, stream: &mut Option<FrameStream>) {
    if let Some(stream) = stream {
        stream.close(context);
    }
    *stream = None;
}
