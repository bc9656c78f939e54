//! What comes over a connection: bytes, and the messages that are made of them.

use bytes::{Bytes, BytesMut};
use palm_proto::zmtp::{Connection, Decoded, EXTENSIONS, MAX_MESSAGE, NATIVE_ADDRESS, ProtocolError, property};

/// Least that is read at a time.
const READ_MIN: usize = 4 << 10;
/// Most by which a buffer grows at once beyond what it holds: what a header claims is not set aside before it comes.
const GROWTH: usize = 1 << 20;
/// Frames of a message that are looked at; those behind them are read and dropped.
const FRAMES: u8 = 2;
/// Longest address that is taken from a peer.
const ADDRESS_MAX: usize = 1024;

/// What a component tells of itself in its READY (`docs/spec.md`, section 6.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whether it knows our extension fields.
    pub(crate) extensions: bool,
    /// The longest message that it takes, in bytes.
    pub(crate) max_message: Option<usize>,
    /// Where it takes native peers.
    pub(crate) native_address: Option<String>,
}

impl Told {
    fn read(properties: &[u8]) -> Self {
        let text = |name| property(properties, name).and_then(|value| std::str::from_utf8(value).ok());
        let address = text(NATIVE_ADDRESS).filter(|text| !text.is_empty() && text.len() <= ADDRESS_MAX);
        Self {
            extensions: text(EXTENSIONS) == Some("1"),
            max_message: text(MAX_MESSAGE).and_then(|digits| digits.parse().ok()),
            native_address: address.map(str::to_owned),
        }
    }
}

/// A message: its first two frames, of which the second may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) first: Bytes,
    pub(super) second: Option<Bytes>,
    /// It had more frames.
    pub(super) more: bool,
}

/// Bytes that have come, the message that they are making, and one that is whole.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) buffer: BytesMut,
    /// Room that is made for reading.
    room: usize,
    /// Length of what the buffer has the front of, if that is known.
    total: usize,
    frames: u8,
    first: Bytes,
    second: Option<Bytes>,
    whole: Option<Message>,
    pub(super) told: Told,
}

impl Incoming {
    /// For a connection that is read `room` bytes at a time.
    pub(super) fn new(room: usize) -> Self {
        let room = room.max(READ_MIN);
        Self {
            buffer: BytesMut::new(),
            room,
            total: 0,
            frames: 0,
            first: Bytes::new(),
            second: None,
            whole: None,
            told: Told::default(),
        }
    }

    /// The message that is whole.
    pub(super) fn take(&mut self) -> Option<Message> {
        self.whole.take()
    }

    /// Whether a message is whole, and nothing behind it is looked at.
    pub(super) fn is_full(&self) -> bool {
        self.whole.is_some()
    }

    /// Makes room for reading.
    pub(super) fn make_room(&mut self) {
        let (len, spare) = (self.buffer.len(), self.buffer.capacity() - self.buffer.len());
        let missing = self.total.saturating_sub(len);
        if missing > spare {
            let more = missing.clamp(self.room, self.room.max(len).max(GROWTH));
            if len < GROWTH {
                self.buffer.reserve(more);
            } else {
                // `reserve` may double what there is, which for a long message is far beyond its end.
                let mut exact = BytesMut::with_capacity(len + more);
                exact.extend_from_slice(&self.buffer);
                self.buffer = exact;
            }
        } else if spare < READ_MIN && missing == 0 {
            self.buffer.reserve(self.room);
        }
    }

    /// Takes what has come apart, until a message is whole or more has to come.
    ///
    /// # Errors
    /// If the peer breaks the protocol, or its limits.
    pub(super) fn decode(&mut self, zmtp: &mut Connection) -> Result<(), ProtocolError> {
        self.total = 0;
        while self.whole.is_none() {
            match zmtp.handle_input(&self.buffer)? {
                Decoded::Incomplete { total, .. } => {
                    self.total = total;
                    break;
                }
                Decoded::Frame { used, body, more } => {
                    let frame = self.buffer.split_to(used).freeze();
                    self.on_frame(frame.slice(body), more);
                }
                Decoded::Ready { used, properties, .. } => {
                    self.told = Told::read(self.buffer.get(properties).unwrap_or(&[]));
                    drop(self.buffer.split_to(used));
                }
                Decoded::Consumed { used } | Decoded::Subscribe { used, .. } | Decoded::Cancel { used, .. } => {
                    drop(self.buffer.split_to(used));
                }
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, body: Bytes, more: bool) {
        match self.frames {
            0 => self.first = body,
            1 => self.second = Some(body),
            _ => {}
        }
        let beyond = self.frames >= FRAMES;
        self.frames = (self.frames + 1).min(FRAMES + 1);
        if !more {
            self.frames = 0;
            let (first, second) = (std::mem::take(&mut self.first), self.second.take());
            self.whole = Some(Message { first, second, more: beyond });
        }
    }
}

#[cfg(test)]
mod tests {
    use palm_proto::zmtp::{Limits, SocketType, frame_header};

    use super::*;

    fn connected() -> Connection {
        let mut greeting = Vec::from(*b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
        greeting.resize(64, 0);
        greeting.extend(b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH");
        let mut zmtp = Connection::new(SocketType::Pull, Limits { max_frame: 1 << 30, ..Limits::default() });
        let mut incoming = Incoming::new(0);
        incoming.buffer.extend_from_slice(&greeting);
        incoming.decode(&mut zmtp).unwrap();
        assert!(zmtp.is_ready());
        zmtp
    }

    #[test]
    fn room_is_made_for_what_has_come_and_not_for_what_is_claimed() {
        let (mut zmtp, mut incoming) = (connected(), Incoming::new(64 << 10));
        incoming.buffer.extend_from_slice(frame_header(1 << 29, false).as_ref());
        for _ in 0..4 {
            incoming.decode(&mut zmtp).unwrap();
            incoming.make_room();
            assert!(
                incoming.buffer.capacity() <= (incoming.buffer.len() + GROWTH) * 2,
                "{}",
                incoming.buffer.capacity()
            );
            let spare = incoming.buffer.capacity() - incoming.buffer.len();
            assert!(spare > 0);
            incoming.buffer.extend_from_slice(&vec![0; spare]);
        }
    }

    #[test]
    fn a_long_message_has_no_more_room_than_it_needs() {
        let (mut zmtp, mut incoming) = (connected(), Incoming::new(64 << 10));
        let (header, len) = (frame_header(5 << 20, false), 5 << 20);
        incoming.buffer.extend_from_slice(header.as_ref());
        while incoming.buffer.len() < len {
            incoming.decode(&mut zmtp).unwrap();
            incoming.make_room();
            assert!(incoming.buffer.capacity() <= header.as_ref().len() + len, "{}", incoming.buffer.capacity());
            let left = header.as_ref().len() + len - 1 - incoming.buffer.len();
            let spare = (incoming.buffer.capacity() - incoming.buffer.len()).min(left);
            incoming.buffer.extend_from_slice(&vec![0; spare]);
        }
    }

    #[test]
    fn a_message_without_an_end_is_not_kept() {
        let (mut zmtp, mut incoming) = (connected(), Incoming::new(64 << 10));
        for _ in 0..1000 {
            incoming.buffer.extend_from_slice(&[&[1, 200][..], &[7; 200]].concat().repeat(10));
            incoming.decode(&mut zmtp).unwrap();
            assert!(!incoming.is_full() && incoming.buffer.is_empty());
        }
        incoming.buffer.extend_from_slice(&[0, 1, b'x', 0, 1, b'y']);
        incoming.decode(&mut zmtp).unwrap();
        let message = incoming.take().unwrap();
        assert_eq!((message.first.len(), message.second.unwrap().len(), message.more), (200, 200, true));
        incoming.decode(&mut zmtp).unwrap();
        assert_eq!(incoming.take(), Some(Message { first: "y".into(), second: None, more: false }));
    }
}
