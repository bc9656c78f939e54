//! A peer's end of a connection: ZMTP on top of the simulated network.

use palm_proto::endpoint::Service;
use palm_proto::zmtp::{CONTROL_MAX, Connection, Decoded, Limits, SocketType, frame_header};

use super::context::Context;
use super::ledger::Key;
use super::network::{Line, Read, Side};

/// A ZeroMQ socket with its one connection.
#[derive(Debug)]
pub(super) struct Socket {
    /// The connection.
    pub(super) link: usize,
    zmtp: Connection,
    incoming: Vec<u8>,
    used: usize,
    outgoing: Vec<u8>,
    sent: usize,
    /// Bytes that ever went to `outgoing`.
    total: u64,
    ready: bool,
    broken: bool,
    pieces: usize,
}

/// What a socket received.
#[derive(Debug)]
pub(super) enum Received {
    /// A message, its frames.
    Message(Vec<Vec<u8>>),
    /// Nothing whole is there.
    Nothing,
    /// The connection is gone.
    End,
}

impl Socket {
    /// Calls one of the master's sockets.
    pub(super) fn connect(context: &mut Context, owner: usize, service: Service, line: Line) -> Self {
        Self::connect_as(context, owner, service, line, "")
    }

    /// The same under a name of its own.
    pub(super) fn connect_as(
        context: &mut Context,
        owner: usize,
        service: Service,
        line: Line,
        identity: &str,
    ) -> Self {
        let kind = match service {
            Service::Pull | Service::WorkerPull => SocketType::Push,
            Service::Publish => SocketType::Sub,
            Service::WorkerPush => SocketType::Pull,
            Service::Cache => SocketType::Req,
            Service::Native => unreachable!("native peers have no socket"),
        };
        let Context { now, network, queue, dice, trace, .. } = context;
        let link = network.connect(queue, *now, owner, service, line);
        trace.note(*now, "peer {} calls, connection {}", &[owner as u64, link as u64]);
        let pieces = if dice.chance(300) { dice.spread(1, 4_096) } else { 64 << 10 };
        Self {
            link,
            zmtp: Connection::new(kind, Limits::default()).with_identity(identity.as_bytes()).expect("it is short"),
            incoming: Vec::new(),
            used: 0,
            outgoing: Vec::new(),
            sent: 0,
            total: 0,
            ready: false,
            broken: false,
            pieces,
        }
    }

    /// Whether messages may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.ready && !self.broken
    }

    /// Whether the connection is gone.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Bytes that wait to be written.
    pub(super) fn backlog(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Sends a message of one frame, of which the master's socket has a count if it has a `key`.
    pub(super) fn send(&mut self, context: &mut Context, message: &[u8], key: Option<Key>) {
        self.put(frame_header(message.len(), false).as_ref());
        self.put(message);
        if let Some(key) = key {
            context.network.link(self.link).submissions.push_back((self.total, key));
        }
        self.flush(context);
    }

    /// Sends a request: an empty frame, and the message.
    pub(super) fn request(&mut self, context: &mut Context, message: &[u8]) {
        self.put(frame_header(0, true).as_ref());
        self.send(context, message, None);
    }

    /// Subscribes.
    pub(super) fn subscribe(&mut self, context: &mut Context, topic: &[u8]) {
        let header = self.zmtp.subscribe_header(topic.len());
        self.put(header.as_ref());
        self.put(topic);
        self.flush(context);
    }

    /// Sends bytes as they are.
    pub(super) fn send_raw(&mut self, context: &mut Context, bytes: &[u8]) {
        self.put(bytes);
        self.flush(context);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
    }

    /// Writes what the connection takes.
    pub(super) fn flush(&mut self, context: &mut Context) {
        if self.broken {
            return;
        }
        // Control bytes go between whole messages: at the end of what waits.
        while self.zmtp.has_transmit() {
            let mut control = [0; CONTROL_MAX];
            let len = self.zmtp.poll_transmit(&mut control);
            self.put(&control[..len]);
        }
        let Context { now, network, queue, .. } = context;
        let rest = &self.outgoing[self.sent..];
        if !rest.is_empty() {
            self.sent += network.write(queue, *now, self.link, Side::Peer, rest);
        }
        if self.sent == self.outgoing.len() || self.sent > 64 << 10 {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The next message, read from the connection if it is not here yet.
    pub(super) fn receive(&mut self, context: &mut Context) -> Received {
        if self.broken {
            return Received::End;
        }
        let mut frames = Vec::new();
        let mut start = self.used;
        loop {
            let input = &self.incoming[start..];
            match self.zmtp.handle_input(input) {
                Ok(Decoded::Frame { used, body, more }) => {
                    frames.push(input[body].to_vec());
                    start += used;
                    if !more {
                        self.used = start;
                        return Received::Message(frames);
                    }
                    continue;
                }
                Ok(Decoded::Ready { used, .. }) => {
                    (self.ready, self.used) = (true, start + used);
                    start = self.used;
                    self.flush(context);
                    continue;
                }
                Ok(Decoded::Consumed { used }) => {
                    self.used = start + used;
                    start = self.used;
                    self.flush(context);
                    continue;
                }
                Ok(Decoded::Subscribe { used, .. } | Decoded::Cancel { used, .. }) => {
                    start += used;
                    continue;
                }
                Ok(Decoded::Incomplete { .. }) => {}
                Err(error) => {
                    let now = context.now;
                    context.trace.say(now, &format!("connection {}: {error}", self.link));
                    self.close(context);
                    return Received::End;
                }
            }
            // Frames of a message that is not whole are decoded again.
            if self.used > 0 {
                self.incoming.drain(..self.used);
                (self.used, start) = (0, start - self.used);
            }
            let read = context.network.read(self.link, Side::Peer, self.pieces, &mut self.incoming);
            match read {
                Read::Bytes(_) => {}
                Read::Nothing => return Received::Nothing,
                Read::End => {
                    self.close(context);
                    return Received::End;
                }
            }
        }
    }

    /// Takes in what concerns the connection itself, of a socket that receives no messages.
    pub(super) fn attend(&mut self, context: &mut Context) {
        self.flush(context);
        while let Received::Message(_) = self.receive(context) {}
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
