//! Connections: bytes that take their time, in bounded buffers, and the ways in which they end.

use std::collections::VecDeque;
use std::time::Duration;

use palm_proto::Instant;
use palm_proto::endpoint::Service;

use super::dice::Dice;
use super::ledger::{Key, Submission};
use super::queue::{Event, Queue};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// The master's.
    Master,
    /// Its peer's.
    Peer,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Master => Self::Peer,
            Self::Peer => Self::Master,
        }
    }
}

/// How a connection carries bytes.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Time that a byte takes.
    pub latency: Duration,
    /// Bytes a millisecond.
    pub speed: usize,
    /// Bytes that are sent and not read, in each direction.
    pub buffer: usize,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Bytes at the front that have arrived.
    arrived: usize,
    /// When what follows arrives: time, and number of bytes.
    coming: VecDeque<(Instant, usize)>,
    /// When the writer's end has let its last byte go.
    free_at: Instant,
    last_arrival: Instant,
    /// Bytes that were written after the connection had broken.
    lost: usize,
    /// Nothing follows the bytes; the reader knows from this time on.
    ends_at: Option<Instant>,
    ended: bool,
    /// The writer waits for room.
    writer_waits: bool,
    arrival_is_due: bool,
}

/// A connection between the master and a peer.
#[derive(Debug)]
pub(super) struct Link {
    /// The master's socket.
    pub(super) service: Service,
    /// The peer, an index into the cast.
    pub(super) owner: usize,
    line: Line,
    to_master: Pipe,
    to_peer: Pipe,
    master_open: bool,
    peer_open: bool,
    /// No bytes move until it heals.
    pub(super) parted: bool,
    /// What the peer wrote into it, and the master has not read: where each message ends.
    pub(super) submissions: VecDeque<(u64, Submission)>,
    /// Results that the master gave to it.
    pub(super) handed: VecDeque<Key>,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is there.
    Nothing,
    /// Nothing will come any more.
    End,
}

/// All connections, open and closed.
#[derive(Debug, Default)]
pub(super) struct Network {
    links: Vec<Link>,
    /// Ends of connections at which something has changed.
    pub(super) notices: VecDeque<(usize, Side)>,
}

impl Network {
    /// A peer calls one of the master's sockets.
    pub(super) fn connect(
        &mut self,
        queue: &mut Queue,
        now: Instant,
        owner: usize,
        service: Service,
        line: Line,
    ) -> usize {
        let link = self.links.len();
        self.links.push(Link {
            service,
            owner,
            line,
            to_master: Pipe::default(),
            to_peer: Pipe::default(),
            master_open: true,
            peer_open: true,
            parted: false,
            submissions: VecDeque::new(),
            handed: VecDeque::new(),
        });
        queue.push(now + line.latency, Event::Accept(link));
        link
    }

    /// A connection.
    pub(super) fn link(&mut self, link: usize) -> &mut Link {
        &mut self.links[link]
    }

    /// Number of connections that there ever were.
    pub(super) fn count(&self) -> usize {
        self.links.len()
    }

    /// Whether this end has not been closed.
    pub(super) fn is_open(&self, link: usize, side: Side) -> bool {
        match side {
            Side::Master => self.links[link].master_open,
            Side::Peer => self.links[link].peer_open,
        }
    }

    /// Writes as much as the buffer takes; the number of bytes. What nobody will read is taken, too, as long as there is room.
    pub(super) fn write(&mut self, queue: &mut Queue, now: Instant, link: usize, side: Side, bytes: &[u8]) -> usize {
        if !self.is_open(link, side) {
            return 0;
        }
        let entry = &mut self.links[link];
        let line = entry.line;
        let pipe = entry.pipe(side.other());
        if pipe.ends_at.is_some() {
            // The writer's end fills up until it learns of it.
            let len = bytes.len().min(line.buffer.saturating_sub(pipe.bytes.len() + pipe.lost));
            pipe.lost += len;
            return len;
        }
        let len = bytes.len().min(line.buffer.saturating_sub(pipe.bytes.len()));
        pipe.writer_waits = len < bytes.len();
        if len == 0 {
            return 0;
        }
        pipe.bytes.extend(&bytes[..len]);
        pipe.free_at = pipe.free_at.max(now) + Duration::from_micros((len * 1_000 / line.speed) as u64);
        pipe.last_arrival = pipe.free_at + line.latency;
        let at = pipe.last_arrival;
        pipe.coming.push_back((at, len));
        self.schedule(queue, link, side.other(), at);
        len
    }

    /// Reads up to `max` of the bytes that have arrived.
    pub(super) fn read(&mut self, link: usize, side: Side, max: usize, out: &mut Vec<u8>) -> Read {
        if !self.is_open(link, side) {
            return Read::End;
        }
        let pipe = self.links[link].pipe(side);
        let len = pipe.arrived.min(max);
        if len == 0 {
            return if pipe.ended { Read::End } else { Read::Nothing };
        }
        out.extend(pipe.bytes.drain(..len));
        pipe.arrived -= len;
        if std::mem::take(&mut pipe.writer_waits) {
            self.notices.push_back((link, side.other()));
        }
        Read::Bytes(len)
    }

    /// Closes an end. What it has written still arrives.
    pub(super) fn close(&mut self, queue: &mut Queue, now: Instant, link: usize, side: Side) {
        if !self.is_open(link, side) {
            return;
        }
        let entry = &mut self.links[link];
        match side {
            Side::Master => entry.master_open = false,
            Side::Peer => entry.peer_open = false,
        }
        let unread = entry.pipe(side);
        unread.bytes.clear();
        (unread.arrived, unread.ended) = (0, true);
        unread.coming.clear();
        unread.ends_at.get_or_insert(now);
        if std::mem::take(&mut unread.writer_waits) {
            self.notices.push_back((link, side.other()));
        }
        let entry = &mut self.links[link];
        let latency = entry.line.latency;
        let written = entry.pipe(side.other());
        let at = written.last_arrival.max(now + latency);
        written.ends_at.get_or_insert(at);
        self.schedule(queue, link, side.other(), at);
    }

    /// Breaks a connection: in each direction a part of what was under way still arrives, cut at any byte.
    pub(super) fn cut(&mut self, queue: &mut Queue, dice: &mut Dice, now: Instant, link: usize) {
        for side in [Side::Master, Side::Peer] {
            let entry = &mut self.links[link];
            let latency = entry.line.latency;
            let pipe = entry.pipe(side);
            let keep = dice.between(0, pipe.bytes.len());
            pipe.bytes.truncate(keep);
            pipe.arrived = pipe.arrived.min(keep);
            let mut left = keep - pipe.arrived;
            for (_, len) in &mut pipe.coming {
                *len = (*len).min(left);
                left -= *len;
            }
            let at = pipe.last_arrival.max(now + latency);
            pipe.ends_at.get_or_insert(at);
            if std::mem::take(&mut pipe.writer_waits) {
                self.notices.push_back((link, side.other()));
            }
            self.schedule(queue, link, side, at);
        }
    }

    /// No bytes move any more, and nobody is told.
    pub(super) fn part(&mut self, link: usize) {
        self.links[link].parted = true;
    }

    /// What was held up arrives.
    pub(super) fn heal(&mut self, queue: &mut Queue, now: Instant, link: usize) {
        self.links[link].parted = false;
        for side in [Side::Master, Side::Peer] {
            self.links[link].pipe(side).arrival_is_due = false;
            self.schedule(queue, link, side, now);
        }
    }

    /// Something is to arrive.
    pub(super) fn handle_arrival(&mut self, queue: &mut Queue, now: Instant, link: usize, side: Side) {
        let entry = &mut self.links[link];
        if entry.parted {
            return;
        }
        let pipe = entry.pipe(side);
        pipe.arrival_is_due = false;
        while let Some(&(at, len)) = pipe.coming.front()
            && at <= now
        {
            pipe.arrived += len;
            pipe.coming.pop_front();
        }
        let next = pipe.coming.front().map(|&(at, _)| at);
        if next.is_none() && pipe.ends_at.is_some_and(|at| at <= now) {
            pipe.ended = true;
        }
        let next = next.or(pipe.ends_at.filter(|_| !pipe.ended));
        if let Some(at) = next {
            self.schedule(queue, link, side, at);
        }
        if self.is_open(link, side) {
            self.notices.push_back((link, side));
        }
    }

    fn schedule(&mut self, queue: &mut Queue, link: usize, side: Side, at: Instant) {
        let entry = &mut self.links[link];
        let parted = entry.parted;
        let pipe = entry.pipe(side);
        if !parted && !std::mem::replace(&mut pipe.arrival_is_due, true) {
            queue.push(at, Event::Arrival(link, side));
        }
    }
}

impl Link {
    fn pipe(&mut self, reader: Side) -> &mut Pipe {
        match reader {
            Side::Master => &mut self.to_master,
            Side::Peer => &mut self.to_peer,
        }
    }

    /// Whether both ends are closed.
    pub(super) fn is_over(&self) -> bool {
        !self.master_open && !self.peer_open
    }
}
