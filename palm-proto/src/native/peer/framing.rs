//! What streams and lines have in common (`docs/spec.md`, sections 9.3 and 9.4).

use core::fmt;

use crate::message::{NoRoom, Sink};
use crate::native::{
    Frame, FrameTooLong, Header, LineDecoder, LineEncoder, LineFault, LineUnit, Streamed, decode_stream,
};

/// How a peer's frames follow each other on what carries them, in both directions.
///
/// On a line it also passes over whatever comes before the connection has begun, as the protocol asks.
#[derive(Clone, Debug)]
pub enum Framing {
    /// A byte stream.
    Stream,
    /// A line.
    Line(LineFraming),
}

/// That of a line alone, for who has nothing else.
#[derive(Clone, Debug, Default)]
pub struct LineFraming {
    decoder: LineDecoder,
    encoder: LineEncoder,
    /// Whether Welcome or Refused has come since the connection began on this side.
    begun: bool,
}

/// What was found in the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Deframed<'a> {
    /// Nothing whole.
    Incomplete {
        /// Number of bytes to take off the input.
        used: usize,
        /// How many there have to be, of what is left after that and what comes, for anything to be found: on a stream the
        /// caller needs so much room. 1 on a line.
        needed: usize,
    },
    /// A frame.
    Frame {
        /// Number of bytes to take off the input.
        used: usize,
        /// It.
        frame: &'a [u8],
    },
    /// The connection is over.
    Fault {
        /// Number of bytes to take off the input.
        used: usize,
        /// Why.
        fault: FramingFault,
    },
}

/// What ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingFault {
    /// A frame on a stream is longer than this side takes.
    TooLong,
    /// Something is wrong on the line.
    Line(LineFault),
}

impl fmt::Display for FramingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => FrameTooLong.fmt(f),
            Self::Line(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for FramingFault {}

/// A frame cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFramed {
    /// The sink has no room. What it took is not to be sent.
    NoRoom,
    /// It is longer than any may be on a stream.
    TooLong,
}

impl fmt::Display for NotFramed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("no room for a frame"),
            Self::TooLong => FrameTooLong.fmt(f),
        }
    }
}

impl core::error::Error for NotFramed {}

impl Framing {
    /// That of a line on which nothing has been sent.
    pub const fn line() -> Self {
        Self::Line(LineFraming::new())
    }

    /// A connection begins, or another one: to be called together with `handle_connected`.
    pub fn begin(&mut self) {
        if let Self::Line(line) = self {
            line.begin();
        }
    }

    /// Looks at the front of `input` for a frame of at most `max` bytes. On a stream `input` is all that has been received and not
    /// been used, and the frame lies in it; on a line it is what has just been received, and the frame lies in `buffer`: the same at
    /// each call, and longer than `max` by [`LINE_OVERHEAD`](crate::native::LINE_OVERHEAD).
    pub fn handle_input<'a>(&mut self, input: &'a [u8], buffer: &'a mut [u8], max: u32) -> Deframed<'a> {
        match self {
            Self::Stream => from_stream(input, max),
            Self::Line(line) => line.handle_input(input, buffer),
        }
    }

    /// Appends a frame to `sink`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn encode<H: Header>(&mut self, frame: &Frame<'_, H>, sink: &mut impl Sink) -> Result<(), NotFramed> {
        match self {
            Self::Stream => {
                let head = frame.stream_head().map_err(|FrameTooLong| NotFramed::TooLong)?;
                let mut parts = [head.as_slice(), frame.front, frame.body].into_iter();
                parts.try_for_each(|part| sink.put(part)).map_err(|_| NotFramed::NoRoom)
            }
            Self::Line(line) => line.encode(frame, sink).map_err(|_| NotFramed::NoRoom),
        }
    }
}

impl LineFraming {
    /// One of a line on which nothing has been sent.
    pub const fn new() -> Self {
        Self { decoder: LineDecoder::new(), encoder: LineEncoder::new(), begun: false }
    }

    /// As [`Framing::begin`].
    pub fn begin(&mut self) {
        self.decoder.reset();
        self.begun = false;
    }

    /// As [`Framing::handle_input`]; the buffer's length is the limit.
    pub fn handle_input<'a>(&mut self, input: &'a [u8], buffer: &'a mut [u8]) -> Deframed<'a> {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.decoder.handle_input(rest, buffer) {
                LineUnit::Incomplete => break,
                LineUnit::Frame { used, range } => {
                    self.begun = true;
                    return Deframed::Frame { used: taken + used, frame: buffer.get(range).unwrap_or(&[]) };
                }
                LineUnit::Fault { used, fault } => {
                    taken += used;
                    if core::mem::take(&mut self.begun) {
                        return Deframed::Fault { used: taken, fault: FramingFault::Line(fault) };
                    }
                }
            }
        }
        Deframed::Incomplete { used: input.len(), needed: 1 }
    }

    /// Appends a frame to `sink`.
    ///
    /// # Errors
    /// If the sink has no room. What it took is not to be sent.
    pub fn encode<H: Header>(&mut self, frame: &Frame<'_, H>, sink: &mut impl Sink) -> Result<(), NoRoom> {
        self.encoder.encode(&[&frame.header.encode(), frame.front, frame.body], sink)
    }
}

fn from_stream(input: &[u8], max: u32) -> Deframed<'_> {
    match decode_stream(input, max) {
        Ok(Streamed::Incomplete { total }) => Deframed::Incomplete { used: 0, needed: total },
        Ok(Streamed::Skipped { used }) => Deframed::Frame { used, frame: &[] },
        Ok(Streamed::Frame { used, range }) => Deframed::Frame { used, frame: input.get(range).unwrap_or(&[]) },
        Err(FrameTooLong) => Deframed::Fault { used: input.len(), fault: FramingFault::TooLong },
    }
}
