//! What the frames of both directions have in common: a header that postcard encodes, then bytes (`docs/spec.md`, section
//! 9.2).

use core::fmt::{self, Debug};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::numbers::Numbers;
use super::stream::{self, FrameTooLong, PREFIX_MAX};

/// Room for the longest header, in bytes.
pub const HEADER_MAX: usize = 44;

/// Unknown kinds from this on are passed over, those below break the protocol.
const FIRST_OPTIONAL_KIND: u8 = 64;

/// Kinds are one byte, so that the first byte of a frame is its kind.
const KIND_END: u8 = 128;

/// An encoded header, and on a stream the frame's length before it.
pub type HeaderBytes = heapless::Vec<u8, STREAM_HEAD_MAX, u8>;

/// The headers of one direction.
pub trait Header: Copy + Debug + PartialEq + Serialize + DeserializeOwned {
    /// Number of kinds, which are numbered from 0.
    const KINDS: u8;

    /// What follows a header like this one.
    fn shape(&self) -> Shape;

    /// The header as numbers, if it is one of the commonest, which are nothing else: it is the same bytes then, in less time.
    #[inline]
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// Reads a header of the commonest kinds, in their commonest form, and gives what comes after it; the same as postcard does.
    #[inline]
    fn of_numbers(_frame: &[u8]) -> Option<(Self, &[u8])> {
        None
    }

    /// Reads a frame; `None` if it says nothing to us: it is empty, or of a kind that may be passed over.
    ///
    /// O(1), but for text, which is checked to be UTF-8.
    ///
    /// # Errors
    /// If it breaks the protocol.
    #[inline]
    fn decode(frame: &[u8]) -> Result<Option<Frame<'_, Self>>, FrameError> {
        let Some(&kind) = frame.first() else { return Ok(None) };
        if kind >= Self::KINDS {
            return match kind {
                FIRST_OPTIONAL_KIND..KIND_END => Ok(None),
                _ => Err(FrameError::UnknownKind { kind }),
            };
        }
        let (header, rest) = match Self::of_numbers(frame) {
            Some(read) => read,
            None => postcard::take_from_bytes::<Self>(frame).map_err(|_| FrameError::Header { kind })?,
        };
        let shape = header.shape();
        let (front, body) = rest.split_at_checked(shape.front_len).ok_or(FrameError::Front { kind })?;
        if !shape.front.admits(front) {
            return Err(FrameError::Front { kind });
        }
        if !shape.body.admits(body) {
            return Err(FrameError::Body { kind });
        }
        Ok(Some(Frame { header, front, body }))
    }

    /// What goes before `len` bytes of front and body on a stream: the length of the frame, and the header.
    ///
    /// # Errors
    /// If the frame is longer than any may be on a stream.
    #[inline]
    fn stream_head_for(&self, len: usize) -> Result<HeaderBytes, FrameTooLong> {
        let mut room = [0; STREAM_HEAD_MAX];
        // Most frames are short: their length takes one byte.
        let [short, header @ ..] = &mut room;
        let header_len = match self.numbers() {
            Some(numbers) => numbers.write(header),
            None => self.encode_to(header),
        };
        let frame_len = header_len.saturating_add(len);
        if frame_len < 0x80 {
            *short = frame_len as u8;
            return Ok(front_of_room(room, 1 + header_len));
        }
        let (prefix, used) = stream::prefix(frame_len)?;
        room.copy_within(1..1 + header_len, used);
        let (place, _) = room.split_at_mut(used);
        place.copy_from_slice(prefix.split_at(used).0);
        Ok(front_of_room(room, used + header_len))
    }

    /// The encoded header.
    #[inline]
    fn encode(&self) -> HeaderBytes {
        let mut room = [0; STREAM_HEAD_MAX];
        let len = self.encode_to(&mut room);
        front_of_room(room, len)
    }

    /// Encodes the header into `room`, which has [`HEADER_MAX`] bytes, and gives the number of those that it takes.
    #[inline]
    fn encode_to(&self, room: &mut [u8]) -> usize {
        postcard::to_slice(self, room).expect("HEADER_MAX has room for the longest header").len()
    }
}

/// The first `len` bytes.
#[inline]
fn front_of_room(room: [u8; STREAM_HEAD_MAX], len: usize) -> HeaderBytes {
    let mut bytes = HeaderBytes::from_array(room);
    bytes.truncate(len);
    bytes
}

/// Longest header on a stream, with the length before it, in bytes.
pub(crate) const STREAM_HEAD_MAX: usize = HEADER_MAX + PREFIX_MAX;

/// The header of a frame on a stream of which as much has come as a header may take; `None` if it may be passed over.
pub(crate) fn header_on_stream<H: Header>(begun: &[u8]) -> Result<Option<H>, FrameError> {
    let prefix = begun.iter().take(PREFIX_MAX - 1).take_while(|&&byte| byte >= 0x80).count() + 1;
    let frame = begun.get(prefix..).unwrap_or(&[]);
    match frame.first() {
        Some(&kind) if kind < H::KINDS => {
            let header = postcard::take_from_bytes(frame).map_err(|_| FrameError::Header { kind })?;
            Ok(Some(header.0))
        }
        _ => H::decode(frame).map(|_| None),
    }
}

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Length of the front, as the header tells it.
    pub front_len: usize,
    /// What the front is.
    pub front: Content,
    /// What the body is.
    pub body: Content,
}

impl Shape {
    /// No front, and a body that is `body`.
    pub(super) const fn body(body: Content) -> Self {
        Self { front_len: 0, front: Content::Nothing, body }
    }
}

/// What a run of bytes may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Empty.
    Nothing,
    /// Any bytes, as many as the frame may have.
    Bytes,
    /// At most `max` bytes, of any value.
    Short {
        /// Longest, in bytes.
        max: usize,
    },
    /// UTF-8.
    Text {
        /// Shortest, in bytes.
        min: usize,
        /// Longest, in bytes.
        max: usize,
    },
}

impl Content {
    fn admits(self, bytes: &[u8]) -> bool {
        match self {
            Self::Nothing => bytes.is_empty(),
            Self::Bytes => true,
            Self::Short { max } => bytes.len() <= max,
            Self::Text { min, max } => (min..=max).contains(&bytes.len()) && core::str::from_utf8(bytes).is_ok(),
        }
    }
}

/// A frame: one that was read, or the parts of one to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a, H> {
    /// Its header.
    pub header: H,
    /// What comes before the body, of the length that the header tells; empty for most kinds.
    pub front: &'a [u8],
    /// The rest: payload, value, key, name or text.
    pub body: &'a [u8],
}

impl<'a, H: Header> Frame<'a, H> {
    /// A frame that is nothing but a header.
    pub const fn new(header: H) -> Self {
        Self::with_body(header, &[])
    }

    /// A frame of a kind without a front.
    pub const fn with_body(header: H, body: &'a [u8]) -> Self {
        Self { header, front: &[], body }
    }

    /// The front as text; empty if it is none, which [`Header::decode`] has made sure of where the kind wants text.
    pub fn front_text(&self) -> &'a str {
        core::str::from_utf8(self.front).unwrap_or_default()
    }

    /// The body as text; empty if it is none, which [`Header::decode`] has made sure of where the kind wants text.
    pub fn body_text(&self) -> &'a str {
        core::str::from_utf8(self.body).unwrap_or_default()
    }

    /// What goes before front and body on a stream: the length of the frame, and the header. A driver writes it, front and
    /// body one after the other, all at once if it can.
    ///
    /// # Errors
    /// If the frame is longer than any may be on a stream.
    #[inline]
    pub fn stream_head(&self) -> Result<HeaderBytes, FrameTooLong> {
        self.header.stream_head_for(self.front.len().saturating_add(self.body.len()))
    }
}

/// The longest front of `text` of at most `max` bytes that ends between characters.
pub fn front_of(text: &str, max: usize) -> &str {
    // A character has four bytes at most.
    let mut ends = (max.saturating_sub(3)..=max).rev();
    if text.len() <= max { text } else { ends.find_map(|end| text.get(..end)).unwrap_or_default() }
}

/// How a frame breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// There is no such kind, and it is not one of those that may be passed over.
    UnknownKind {
        /// First byte of the frame.
        kind: u8,
    },
    /// It ends within its header, or a field has a value that it cannot have.
    Header {
        /// Kind of the frame.
        kind: u8,
    },
    /// What its header announces is not there, too long or not text.
    Front {
        /// Kind of the frame.
        kind: u8,
    },
    /// Its body is too long or not text, or there should be none.
    Body {
        /// Kind of the frame.
        kind: u8,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind { kind } => write!(f, "a frame of the unknown kind {kind}"),
            Self::Header { kind } => write!(f, "a frame of kind {kind} with a malformed header"),
            Self::Front { kind } => write!(f, "a frame of kind {kind} that lacks what its header announces"),
            Self::Body { kind } => write!(f, "a frame of kind {kind} with a body that it cannot have"),
        }
    }
}

impl core::error::Error for FrameError {}
