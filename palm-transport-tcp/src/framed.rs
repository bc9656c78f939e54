//! Frames from the framing of a line into that of a stream, and back: what a master and a bridge at a serial line have in
//! common (`docs/spec.md`, section 9.4).

use std::ops::Range;

use bytes::BytesMut;
use palm_proto::buffer::{Outgoing, Spare};
use palm_proto::native::{
    Frame, Header, LINE_OVERHEAD, LineDecoder, LineEncoder, LineFault, LineUnit, STREAM_FRAME_MAX, ToMaster,
    line_len_max,
};

/// Bytes by which the buffer of a frame grows: what a line's driver in the operating system holds.
const GROWTH: usize = 4 << 10;

/// Finds the frames in what is read from a line.
#[derive(Debug)]
pub(crate) struct LineReader {
    decoder: LineDecoder,
    /// The frame that is being read; as long as it has to be for what has come.
    frame: Vec<u8>,
    /// Most bytes that the decoder may have put there.
    partial: usize,
    /// Longest frame.
    max_frame: usize,
}

/// What is found.
#[derive(Debug)]
pub(crate) enum LineFound {
    /// A frame: where it is in the buffer that [`LineReader::take_frame`] gives.
    Frame(Range<usize>),
    /// The connection is broken.
    Fault(LineFault),
}

impl LineReader {
    pub(crate) fn new(max_frame: usize) -> Self {
        let max_frame = max_frame.min(STREAM_FRAME_MAX as usize);
        Self { decoder: LineDecoder::new(), frame: Vec::new(), partial: 0, max_frame }
    }

    /// The next of what is found in `input`, of which it takes off what it has used.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<LineFound> {
        // No byte on the line is more than one of a frame.
        let longest = self.max_frame + LINE_OVERHEAD;
        let wanted = (self.partial + input.len()).min(longest);
        if self.frame.len() < wanted {
            self.frame.resize(wanted.max(GROWTH).min(longest), 0);
        }
        let (used, found) = match self.decoder.handle_input(input, &mut self.frame) {
            LineUnit::Incomplete => {
                self.partial = wanted;
                *input = &[];
                return None;
            }
            LineUnit::Frame { used, range } => (used, LineFound::Frame(range)),
            LineUnit::Fault { used, fault } => (used, LineFound::Fault(fault)),
        };
        self.partial = 0;
        *input = input.get(used..).unwrap_or(&[]);
        Some(found)
    }

    /// The buffer that a frame was found in, to be given back.
    pub(crate) fn take_frame(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frame)
    }

    /// Gives it back.
    pub(crate) fn give_back(&mut self, frame: Vec<u8>) {
        self.frame = frame;
    }

    /// The line is gone.
    pub(crate) fn clear(&mut self) {
        (self.decoder, self.partial) = (LineDecoder::new(), 0);
    }

    /// The connection is over: what comes next has to begin one.
    pub(crate) fn reset(&mut self) {
        self.decoder.reset();
    }
}

/// Whether a frame begins a connection.
pub(crate) fn is_hello(frame: &[u8]) -> bool {
    matches!(ToMaster::decode(frame), Ok(Some(Frame { header: ToMaster::Hello { .. }, .. })))
}

/// Appends a frame as it is on a stream.
pub(crate) fn put_on_stream(frame: &[u8], into: &mut Vec<u8>) {
    // A length is a varint of 7 bits a byte, the lowest first.
    let mut len = frame.len();
    while len >= 0x80 {
        into.push(len as u8 | 0x80);
        len >>= 7;
    }
    into.push(len as u8);
    into.extend_from_slice(frame);
}

/// Appends a frame as it is on a line.
pub(crate) fn put_on_line(encoder: &mut LineEncoder, outgoing: &mut Outgoing, frame: &[u8], spare: &mut Spare) {
    let mut bytes = BytesMut::with_capacity(line_len_max(frame.len()));
    // A buffer that grows has room.
    if encoder.encode(&[frame, &[], &[]], &mut bytes).is_ok() {
        outgoing.copy(&[&bytes], spare);
    }
}
