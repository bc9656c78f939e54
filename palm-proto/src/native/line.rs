//! Frames on a serial line: stuffed, counted, with a checksum, each ended by a zero byte (`docs/spec.md`, section 9.4).

use core::fmt;
use core::ops::Range;

use crate::message::{NoRoom, Sink};

use super::checksum::Checksum;
use super::cobs::{Unstuffed, Unstuffer, stuff, stuffed_max};

/// Bytes that a [`LineDecoder`]'s buffer needs beside the longest frame: counter and checksum.
pub const LINE_OVERHEAD: usize = 1 + CHECKSUM;

const CHECKSUM: usize = 4;

/// Kinds of frames, of both directions, that begin a connection or stand outside of one: their counter is always 0.
const FIRST_KINDS: u8 = 2;

/// Most bytes that a frame of `len` bytes takes on a line.
pub const fn line_len_max(len: usize) -> usize {
    stuffed_max(len + LINE_OVERHEAD) + 2
}

/// Writes one direction of a line.
#[derive(Clone, Debug, Default)]
pub struct LineEncoder {
    counter: u8,
}

impl LineEncoder {
    /// One that has not sent anything.
    pub const fn new() -> Self {
        Self { counter: 0 }
    }

    /// Appends a frame, whose parts come one after the other: header, front and body. Frames of the kinds 0 and 1 (Hello,
    /// Bye, Welcome, Refused) begin the count anew, and have a zero byte before them, which ends whatever the line had
    /// carried before.
    ///
    /// O(length of the frame). [`line_len_max`] says how much room it takes at most.
    ///
    /// # Errors
    /// If the sink has no room. What was put into it must not be sent then; the encoder is as before.
    pub fn encode(&mut self, frame: &[&[u8]; 3], sink: &mut impl Sink) -> Result<(), NoRoom> {
        let [header, front, body] = *frame;
        let first = is_first(header);
        let counter = if first { 0 } else { self.counter };
        let mut checksum = Checksum::new();
        for part in [&[counter][..], header, front, body] {
            checksum.put(part);
        }
        if first {
            sink.put(&[0])?;
        }
        stuff(&[&[counter], header, front, body, &checksum.to_bytes()], sink)?;
        sink.put(&[0])?;
        self.counter = counter.wrapping_add(1);
        Ok(())
    }
}

/// What a [`LineDecoder`] has found in its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineUnit {
    /// All of the input is used; more is needed.
    Incomplete,
    /// A frame.
    Frame {
        /// Number of bytes to take off the input.
        used: usize,
        /// Where in the buffer the frame is, until the next call.
        range: Range<usize>,
    },
    /// Something that breaks the connection.
    Fault {
        /// Number of bytes to take off the input.
        used: usize,
        /// What it is.
        fault: LineFault,
    },
}

/// What breaks the connection that a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineFault {
    /// The stuffing is not right: bytes are missing or others are in their place.
    Stuffing,
    /// Too short to be a frame.
    TooShort,
    /// Longer than the buffer.
    TooLong,
    /// The checksum is another.
    Checksum,
    /// A frame is missing before this one, or no connection has begun.
    Counter {
        /// The count that was to come, if a connection has begun.
        expected: Option<u8>,
        /// The one that came.
        found: u8,
    },
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuffing => f.write_str("bytes are missing on the line"),
            Self::TooShort => f.write_str("too few bytes on the line for a frame"),
            Self::TooLong => f.write_str("a frame on the line that is longer than it may be"),
            Self::Checksum => f.write_str("a frame on the line with a wrong checksum"),
            Self::Counter { expected: Some(expected), found } => {
                write!(f, "frame {found} on the line where frame {expected} was to come")
            }
            Self::Counter { expected: None, found } => {
                write!(f, "frame {found} on the line where no connection has begun")
            }
        }
    }
}

impl core::error::Error for LineFault {}

/// Reads one direction of a line.
///
/// After a fault it gives no frame before one that begins a connection ([`LineUnit::Fault`] for each that comes): a line
/// is a connection that breaks at its first error. What is on the line before the first zero byte counts as a frame.
#[derive(Clone, Debug)]
pub struct LineDecoder {
    unstuffer: Unstuffer,
    /// Bytes of the buffer that are filled.
    filled: usize,
    /// Whether a fault was told of what comes until the next zero.
    skipping: bool,
    /// Counter of the next frame, if a connection has begun.
    next: Option<u8>,
}

impl LineDecoder {
    /// One that waits for a connection to begin.
    pub const fn new() -> Self {
        Self { unstuffer: Unstuffer::new(), filled: 0, skipping: false, next: None }
    }

    /// Takes what has been received, until it comes to a frame, which is then in `buffer`: the same at each call, longer
    /// by [`LINE_OVERHEAD`] than the longest frame.
    ///
    /// O(length of the input, and of the frame).
    pub fn handle_input(&mut self, input: &[u8], buffer: &mut [u8]) -> LineUnit {
        for (index, &byte) in input.iter().enumerate() {
            let used = index + 1;
            if byte == 0 {
                match self.on_end(buffer) {
                    None => {}
                    Some(Ok(range)) => return LineUnit::Frame { used, range },
                    Some(Err(fault)) => return self.on_fault(used, fault),
                }
            } else if !self.skipping
                && let Unstuffed::Byte(byte) = self.unstuffer.put(byte)
            {
                let Some(place) = buffer.get_mut(self.filled) else {
                    self.skipping = true;
                    return self.on_fault(used, LineFault::TooLong);
                };
                *place = byte;
                self.filled += 1;
            }
        }
        LineUnit::Incomplete
    }

    /// The connection is over, by Bye or Refused or because its owner gives it up: what comes next has to begin one.
    pub fn reset(&mut self) {
        self.next = None;
    }

    fn on_fault(&mut self, used: usize, fault: LineFault) -> LineUnit {
        self.reset();
        LineUnit::Fault { used, fault }
    }

    /// What a zero byte ends; `None` if it is nothing, or has been told of.
    fn on_end(&mut self, buffer: &[u8]) -> Option<Result<Range<usize>, LineFault>> {
        let unstuffer = core::mem::replace(&mut self.unstuffer, Unstuffer::new());
        let filled = core::mem::take(&mut self.filled);
        if core::mem::take(&mut self.skipping) || (unstuffer.is_idle() && filled == 0) {
            return None;
        }
        if !unstuffer.is_whole() {
            return Some(Err(LineFault::Stuffing));
        }
        Some(self.on_content(buffer.get(..filled).unwrap_or(&[])))
    }

    fn on_content(&mut self, content: &[u8]) -> Result<Range<usize>, LineFault> {
        let (counted, theirs) = content.split_last_chunk::<CHECKSUM>().ok_or(LineFault::TooShort)?;
        let (&found, frame) = counted.split_first().ok_or(LineFault::TooShort)?;
        let mut checksum = Checksum::new();
        checksum.put(counted);
        if checksum.to_bytes() != *theirs {
            return Err(LineFault::Checksum);
        }
        let expected = if is_first(frame) { Some(0) } else { self.next };
        if expected != Some(found) {
            return Err(LineFault::Counter { expected, found });
        }
        self.next = Some(found.wrapping_add(1));
        Ok(1..counted.len())
    }
}

impl Default for LineDecoder {
    fn default() -> Self {
        Self::new()
    }
}

fn is_first(frame: &[u8]) -> bool {
    frame.first().is_some_and(|&kind| kind < FIRST_KINDS)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn encoded(encoder: &mut LineEncoder, frame: &[u8]) -> Vec<u8> {
        let mut sink = heapless::Vec::<u8, 1000>::new();
        encoder.encode(&[frame, &[], &[]], &mut sink).unwrap();
        sink.to_vec()
    }

    /// All that comes of `input`, which is fed in pieces.
    fn decoded(decoder: &mut LineDecoder, input: &[u8], piece: usize, max: usize) -> Vec<Result<Vec<u8>, LineFault>> {
        let mut buffer = vec![0xaa; max + LINE_OVERHEAD];
        let mut units = Vec::new();
        for mut piece in input.chunks(piece.max(1)) {
            loop {
                let used = match decoder.handle_input(piece, &mut buffer) {
                    LineUnit::Incomplete => break,
                    LineUnit::Frame { used, range } => {
                        units.push(Ok(buffer[range].to_vec()));
                        used
                    }
                    LineUnit::Fault { used, fault } => {
                        units.push(Err(fault));
                        used
                    }
                };
                piece = &piece[used..];
            }
        }
        units
    }

    #[test]
    fn noise_before_a_connection_does_no_harm() {
        let mut encoder = LineEncoder::new();
        let hello = encoded(&mut encoder, b"\0hello");
        let ping = encoded(&mut encoder, b"\x02");
        let wire = [b"noise", &hello[..], b"\0\0", &ping].concat();
        let units = decoded(&mut LineDecoder::new(), &wire, 3, 100);
        assert_eq!(units, [Err(LineFault::Stuffing), Ok(b"\0hello".to_vec()), Ok(b"\x02".to_vec())]);
    }

    #[test]
    fn a_connection_breaks_at_its_first_fault_until_the_next_hello() {
        let mut encoder = LineEncoder::new();
        let mut decoder = LineDecoder::new();
        let hello = encoded(&mut encoder, b"\0hello");
        assert_eq!(decoded(&mut decoder, &hello, 100, 100), [Ok(b"\0hello".to_vec())]);
        let lost = encoded(&mut encoder, b"\x02");
        let next = encoded(&mut encoder, b"\x03");
        let counter = |expected, found| Err(LineFault::Counter { expected, found });
        assert_eq!(decoded(&mut decoder, &next, 100, 100), [counter(Some(1), 2)]);
        assert_eq!(decoded(&mut decoder, &lost, 100, 100), [counter(None, 1)]);
        let again = encoded(&mut encoder, b"\0hello");
        assert_eq!(again, hello, "the count begins anew");
        assert_eq!(decoded(&mut decoder, &again, 100, 100), [Ok(b"\0hello".to_vec())]);
    }

    #[test]
    fn what_is_too_long_is_told_once() {
        let mut encoder = LineEncoder::new();
        let mut wire = encoded(&mut encoder, b"\0hello");
        wire.extend(encoded(&mut encoder, &[7; 11]));
        wire.extend(encoded(&mut LineEncoder::new(), b"\0hello"));
        let units = decoded(&mut LineDecoder::new(), &wire, 100, 10);
        assert_eq!(units, [Ok(b"\0hello".to_vec()), Err(LineFault::TooLong), Ok(b"\0hello".to_vec())]);
    }

    #[test]
    fn the_count_goes_round() {
        let (mut encoder, mut decoder) = (LineEncoder::new(), LineDecoder::new());
        for number in 0..1000_u32 {
            let frame = if number == 0 { vec![0] } else { vec![2, number as u8] };
            assert_eq!(decoded(&mut decoder, &encoded(&mut encoder, &frame), 100, 100), [Ok(frame)]);
        }
    }

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()];
        prop_oneof![prop::collection::vec(byte, 0..40), prop::collection::vec(1_u8.., 240..780)]
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec(frame(), 0..6), piece in 1_usize..50, cuts in any::<[prop::sample::Index; 2]>(),
        ) {
            let mut encoder = LineEncoder::new();
            let mut wire = encoded(&mut encoder, b"\0");
            let mut expected = vec![Ok(b"\0".to_vec())];
            for frame in frames {
                let mut sink = heapless::Vec::<u8, 1000>::new();
                let [first, second] = cuts.map(|cut| cut.index(frame.len() + 1));
                let (first, second) = (first.min(second), first.max(second));
                // A header is never empty but in a frame that is.
                let first = first.max(usize::from(!frame.is_empty())).min(frame.len());
                let parts = [&frame[..first], &frame[first..second.max(first)], &frame[second.max(first)..]];
                encoder.encode(&parts, &mut sink).unwrap();
                prop_assert!(sink.len() <= line_len_max(frame.len()));
                let content = &sink[usize::from(sink[0] == 0)..sink.len() - 1];
                prop_assert!(!content.contains(&0));
                wire.extend(sink);
                expected.push(Ok(frame));
            }
            prop_assert_eq!(decoded(&mut LineDecoder::new(), &wire, piece, 800), expected);
        }

        #[test]
        fn a_changed_byte_is_noticed(frame in frame(), at in any::<prop::sample::Index>(), with in 1_u8..) {
            let mut encoder = LineEncoder::new();
            let hello = encoded(&mut encoder, b"\0");
            let frame = [&[2], &frame[..]].concat();
            let mut wire = encoded(&mut encoder, &frame);
            let at = at.index(wire.len());
            wire[at] ^= with;
            wire.push(0);
            let mut decoder = LineDecoder::new();
            prop_assert_eq!(decoded(&mut decoder, &hello, 100, 800).len(), 1);
            for unit in decoded(&mut decoder, &wire, 100, 800) {
                prop_assert!(unit.is_err());
            }
            prop_assert_eq!(decoder.next, None);
        }

        #[test]
        fn noise_comes_to_the_same_however_it_is_cut(wire in prop::collection::vec(0_u8..8, 0..300), piece in 1_usize..50) {
            let whole = decoded(&mut LineDecoder::new(), &wire, wire.len(), 40);
            prop_assert_eq!(decoded(&mut LineDecoder::new(), &wire, piece, 40), whole);
        }
    }
}
