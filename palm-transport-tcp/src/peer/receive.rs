//! What comes in over a connection: from bytes to frames.

use std::io;

use bytes::Bytes;
use palm_proto::native::{Deframed, Framing, LINE_OVERHEAD};

use crate::stream::{Received, Stream};

/// Bytes read at a time.
const READ: usize = 64 << 10;
/// Bytes read at a time of what comes behind a large frame: little more than the next header, as what is read so is copied once more.
const READ_BEHIND: usize = 4 << 10;
/// Bytes read at a time from a line: what its driver in the operating system holds.
const READ_LINE: usize = 4 << 10;

/// Bytes that have come and are no whole frame yet.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Behind a large frame, if there is one.
    input: Vec<u8>,
    large: Option<Large>,
    /// The frame on a line, as far as it has come.
    line: Vec<u8>,
    /// Most bytes of `line` that may be filled.
    partial: usize,
}

/// A frame that is so long that it has a buffer for itself.
#[derive(Debug)]
struct Large {
    /// As long as it is, with its length before it.
    bytes: Vec<u8>,
    /// How much of it has come.
    filled: usize,
}

/// What is found.
pub(super) enum Found<'a> {
    /// A frame, and the buffer that it has for itself, if it has.
    Frame(&'a [u8], Option<&'a Bytes>),
    /// The connection is broken.
    Fault(String),
}

impl Receiver {
    /// Reads once, and gives what is found to `found`, until that says that the connection is over.
    pub(super) fn receive(
        &mut self,
        stream: &Stream,
        framing: &mut Framing,
        max_frame: u32,
        mut found: impl FnMut(Found<'_>) -> bool,
    ) -> io::Result<Received> {
        let received = match &mut self.large {
            Some(large) => {
                self.input.resize(READ_BEHIND, 0);
                let missing = large.bytes.get_mut(large.filled..).unwrap_or(&mut []);
                let len = missing.len();
                let received = stream.read_both(missing, &mut self.input)?;
                let count = if let Received::Bytes(count, _) = received { count } else { 0 };
                large.filled += count.min(len);
                self.input.truncate(count.saturating_sub(len));
                received
            }
            None => {
                let most = if stream.is_serial() { READ_LINE } else { READ };
                let room = self.input.capacity() - self.input.len();
                if room < most / 2 {
                    self.input.reserve_exact(most);
                }
                let room = self.input.capacity() - self.input.len();
                stream.read_more(&mut self.input, room)?
            }
        };
        if let Received::Bytes(..) = received {
            if stream.is_serial() {
                self.look_through_line(framing, max_frame, &mut found);
            } else {
                self.look_through(framing, max_frame, &mut found);
            }
        }
        Ok(received)
    }

    /// The connection is over: what has come in part is void.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn look_through(&mut self, framing: &mut Framing, max_frame: u32, found: &mut impl FnMut(Found<'_>) -> bool) {
        if let Some(large) = self.large.take_if(|large| large.filled == large.bytes.len()) {
            let whole = Bytes::from(large.bytes);
            if let Deframed::Frame { frame, .. } = framing.handle_input(&whole, &mut [], max_frame)
                && !found(Found::Frame(frame, Some(&whole)))
            {
                return self.clear();
            }
        }
        if self.large.is_some() {
            return;
        }
        let mut taken = 0;
        let needed = loop {
            let rest = self.input.get(taken..).unwrap_or(&[]);
            match framing.handle_input(rest, &mut [], max_frame) {
                Deframed::Incomplete { needed, .. } => break needed,
                Deframed::Frame { used, frame } => {
                    taken += used;
                    if !found(Found::Frame(frame, None)) {
                        return self.clear();
                    }
                }
                Deframed::Fault { fault, .. } => {
                    found(Found::Fault(fault.to_string()));
                    return self.clear();
                }
            }
        };
        if needed <= READ {
            self.input.drain(..taken);
            return;
        }
        // Never more than `max_frame` and its length, or that would have been a fault.
        let (mut bytes, rest) = (vec![0; needed], self.input.get(taken..).unwrap_or(&[]));
        let filled = rest.len();
        if let Some(front) = bytes.get_mut(..filled) {
            front.copy_from_slice(rest);
        }
        self.input.clear();
        self.large = Some(Large { bytes, filled });
    }

    fn look_through_line(&mut self, framing: &mut Framing, max_frame: u32, found: &mut impl FnMut(Found<'_>) -> bool) {
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while !rest.is_empty() {
            // No byte on the line is more than one of a frame.
            let longest = (max_frame as usize).saturating_add(LINE_OVERHEAD);
            let wanted = (self.partial + rest.len()).min(longest);
            if self.line.len() < wanted {
                self.line.resize(wanted, 0);
            }
            let (used, goes_on) = match framing.handle_input(rest, &mut self.line, max_frame) {
                Deframed::Incomplete { used, .. } => {
                    self.partial = wanted;
                    (used.max(1), true)
                }
                Deframed::Frame { used, frame } => {
                    self.partial = 0;
                    (used, found(Found::Frame(frame, None)))
                }
                Deframed::Fault { used, fault } => {
                    self.partial = 0;
                    (used, found(Found::Fault(fault.to_string())))
                }
            };
            rest = rest.get(used..).unwrap_or(&[]);
            if !goes_on {
                break;
            }
        }
        self.input = input;
        self.input.clear();
    }
}
