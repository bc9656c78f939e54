//! A serial line: one device, and the connections that it carries one after the other (`docs/spec.md`, section 9.4).
//!
//! The endpoint speaks the framing of streams. Here each frame is put from the one framing into the other.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use palm_proto::Instant;
use palm_proto::buffer::Outgoing;
use palm_proto::endpoint::{ConnectionId, Next, Progress, Service};
use palm_proto::native::{Header, LineEncoder, RefusalCode, STREAM_FRAME_MAX, Streamed, ToPeer, decode_stream};

use super::turn::{Desk, MasterEndpoint, READS_A_TURN, Step};
use crate::framed::{LineFound, LineReader, is_hello, put_on_line, put_on_stream};
use crate::serial::open_line;
use crate::stream::{Received, Stream};

/// Bytes read at a time: what a line's driver in the operating system holds.
const READ: usize = 4 << 10;

/// A device, open or not, and the connection that it carries, if one has begun.
#[derive(Debug)]
pub(super) struct Line {
    path: PathBuf,
    baud: u32,
    stream: Option<Stream>,
    reader: LineReader,
    encoder: LineEncoder,
    connection: Option<ConnectionId>,
    /// Frames, with their lengths before them, that the endpoint has not taken yet.
    pending: Vec<u8>,
    /// What has been read and not been looked at, as the endpoint had no room.
    input: Vec<u8>,
    waiting: bool,
    outgoing: Outgoing,
    /// What the endpoint counts for parts of `outgoing`, by the length that they have on the line.
    owed: VecDeque<(usize, usize)>,
    /// When the last peer was told that it is not connected.
    told: Option<Instant>,
    heartbeat: Duration,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Line {
    pub(super) fn new(path: PathBuf, baud: u32, max_frame: usize, heartbeat: Duration) -> Self {
        Self {
            path,
            baud,
            stream: None,
            reader: LineReader::new(max_frame),
            encoder: LineEncoder::new(),
            connection: None,
            pending: Vec::new(),
            input: Vec::new(),
            waiting: false,
            outgoing: Outgoing::new(),
            owed: VecDeque::new(),
            told: None,
            heartbeat,
            readable: false,
            writable: false,
        }
    }

    /// Opens the device, again if it was gone.
    pub(super) fn open(&mut self) -> io::Result<&mut Stream> {
        let stream = Stream::Serial(open_line(&self.path, self.baud)?);
        (self.readable, self.writable) = (true, true);
        Ok(self.stream.insert(stream))
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub(super) fn id(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// The device is gone.
    pub(super) fn close(&mut self, desk: &mut Desk<'_>) {
        self.disconnect(desk);
        self.reader.clear();
        self.stream = None;
        self.input.clear();
        self.outgoing.clear();
        self.owed.clear();
    }

    /// The endpoint has named the connection: offers again what had to wait. Whether the line is to be read.
    pub(super) fn resume(&mut self, desk: &mut Desk<'_>) -> bool {
        if std::mem::take(&mut self.waiting) {
            self.offer(desk);
        }
        self.wants_turn()
    }

    /// Whether there is something to read, or read already.
    pub(super) fn wants_turn(&self) -> bool {
        !self.waiting && (self.readable || !self.input.is_empty())
    }

    /// Reads a few times, and hands over what has come.
    pub(super) fn receive(&mut self, desk: &mut Desk<'_>) -> io::Result<Step> {
        for _ in 0..READS_A_TURN {
            if self.waiting {
                return Ok(Step::Idle);
            }
            if self.input.is_empty() {
                let Some(stream) = self.stream.as_ref().filter(|_| self.readable) else { return Ok(Step::Idle) };
                self.input.reserve_exact(READ);
                match stream.read_more(&mut self.input, READ)? {
                    Received::End => return Ok(Step::Over),
                    Received::Blocked => {
                        self.readable = false;
                        return Ok(Step::Idle);
                    }
                    Received::Bytes(..) => {}
                }
            }
            self.look_through(desk);
        }
        Ok(Step::Again)
    }

    /// Takes from the endpoint, and writes, once.
    pub(super) fn send(&mut self, desk: &mut Desk<'_>) -> io::Result<Step> {
        self.collect(desk);
        let Some(stream) = self.stream.as_ref().filter(|_| self.writable) else { return Ok(Step::Idle) };
        let written = stream.write(&mut self.outgoing, desk.spare)?;
        self.settle(desk.endpoint, written);
        Ok(match self.outgoing.is_empty() {
            true => Step::Idle,
            false if written > 0 => Step::Again,
            false => {
                self.writable = false;
                Step::Idle
            }
        })
    }

    /// Finds the frames in what was read.
    fn look_through(&mut self, desk: &mut Desk<'_>) {
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while !rest.is_empty()
            && !self.waiting
            && let Some(found) = self.reader.next(&mut rest)
        {
            match found {
                LineFound::Frame(range) => {
                    let frame = self.reader.take_frame();
                    self.on_frame(desk, frame.get(range).unwrap_or(&[]));
                    self.reader.give_back(frame);
                }
                LineFound::Fault(fault) => {
                    tracing::debug!("serial line {}: {fault}", self.path.display());
                    self.disconnect(desk);
                    self.tell_not_connected(desk);
                }
            }
        }
        self.offer(desk);
        self.input = rest.to_vec();
    }

    fn on_frame(&mut self, desk: &mut Desk<'_>, frame: &[u8]) {
        if is_hello(frame) {
            self.offer(desk);
            self.disconnect(desk);
            self.connection = desk.endpoint.handle_accept(desk.now, Service::Native);
            if self.connection.is_none() {
                return self.refuse(desk, RefusalCode::Full);
            }
        }
        if self.connection.is_none() {
            self.reader.reset();
            return self.tell_not_connected(desk);
        }
        put_on_stream(frame, &mut self.pending);
    }

    fn offer(&mut self, desk: &mut Desk<'_>) {
        let Some(id) = self.connection.filter(|_| !self.pending.is_empty()) else { return };
        let Progress { used, next } = desk.endpoint.handle_input(desk.now, id, &self.pending);
        self.pending.drain(..used);
        match next {
            Next::Read { .. } => {}
            Next::Wait => self.waiting = true,
            Next::Close => self.collect(desk),
        }
    }

    /// Puts what the endpoint has for the connection into the line's framing.
    fn collect(&mut self, desk: &mut Desk<'_>) {
        let Some(id) = self.connection else { return };
        let mut bytes = Vec::new();
        while let Some(transmit) = desk.endpoint.poll_transmit(desk.now, id) {
            bytes.clear();
            for part in transmit.before() {
                bytes.extend_from_slice(part);
            }
            bytes.extend_from_slice(transmit.body_bytes());
            bytes.extend_from_slice(transmit.after());
            let before = self.outgoing.len();
            let mut rest = &bytes[..];
            while let Ok(Streamed::Frame { used, range }) = decode_stream(rest, STREAM_FRAME_MAX) {
                let frame = rest.get(range).unwrap_or(&[]);
                put_on_line(&mut self.encoder, &mut self.outgoing, frame, desk.spare);
                rest = rest.get(used..).unwrap_or(&[]);
            }
            debug_assert!(rest.is_empty(), "an endpoint gives whole frames");
            self.owed.push_back((self.outgoing.len() - before, bytes.len()));
        }
        if desk.endpoint.is_closing(id) {
            self.reader.reset();
            self.disconnect(desk);
        }
    }

    /// The endpoint may forget what has been written.
    fn settle(&mut self, endpoint: &mut MasterEndpoint, mut written: usize) {
        while let Some((on_line, counted)) = self.owed.front_mut() {
            if written < *on_line {
                *on_line -= written;
                return;
            }
            written -= *on_line;
            if let Some(id) = self.connection {
                endpoint.handle_sent(id, *counted);
            }
            self.owed.pop_front();
        }
    }

    /// The connection is over. What was to be sent over it, is: a peer that does not expect it ignores it.
    fn disconnect(&mut self, desk: &mut Desk<'_>) {
        self.pending.clear();
        self.waiting = false;
        for (_, counted) in &mut self.owed {
            *counted = 0;
        }
        if let Some(id) = self.connection.take() {
            desk.endpoint.handle_close(desk.now, id);
        }
    }

    fn tell_not_connected(&mut self, desk: &mut Desk<'_>) {
        if self.told.is_none_or(|told| desk.now - told >= self.heartbeat) {
            self.told = Some(desk.now);
            self.refuse(desk, RefusalCode::NotConnected);
        }
    }

    fn refuse(&mut self, desk: &mut Desk<'_>, code: RefusalCode) {
        let before = self.outgoing.len();
        put_on_line(&mut self.encoder, &mut self.outgoing, &ToPeer::Refused { code }.encode(), desk.spare);
        self.owed.push_back((self.outgoing.len() - before, 0));
    }
}
