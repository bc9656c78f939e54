//! A cache request on its way: the envelope that a REQ, or a chain of ROUTERs, put before it, and the reply.

use crate::buffer::Span;
use crate::zmtp::frame_header;

/// Bytes of an envelope, with the headers of its frames. A REQ's own has 2; each ROUTER in between adds up to 257.
const ENVELOPE_MAX: usize = 300;

/// The state of a REQ or DEALER peer: at most one request at a time.
#[derive(Debug)]
pub(super) struct Request<B> {
    /// The envelope's frames as they go back, up to and with the empty one.
    pub(super) envelope: heapless::Vec<u8, ENVELOPE_MAX>,
    stage: Stage,
    /// The envelope is that of the request before.
    stale: bool,
    pub(super) reply: Option<Span<B>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Envelope,
    Body,
    /// The body's first frame has been answered; what follows of it is passed over, as a stock peer does.
    Rest,
}

impl<B> Default for Request<B> {
    fn default() -> Self {
        Self { envelope: heapless::Vec::new(), stage: Stage::Envelope, stale: false, reply: None }
    }
}

/// What a frame of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It has been taken care of.
    Envelope,
    /// The request itself.
    Body,
    /// Not a request: no empty frame, or an envelope that is too long.
    Broken,
}

impl<B> Request<B> {
    /// Looks at the next frame.
    pub(super) fn handle_frame(&mut self, frame: &[u8], more: bool) -> Part {
        match self.stage {
            Stage::Envelope => {
                if !more {
                    return Part::Broken;
                }
                if core::mem::take(&mut self.stale) {
                    self.envelope.clear();
                }
                let header = frame_header(frame.len(), true);
                let kept = self.envelope.extend_from_slice(header.as_ref()).is_ok()
                    && self.envelope.extend_from_slice(frame).is_ok();
                if !kept {
                    return Part::Broken;
                }
                if frame.is_empty() {
                    self.stage = Stage::Body;
                }
                Part::Envelope
            }
            Stage::Body => {
                self.stage = if more { Stage::Rest } else { Stage::Envelope };
                self.stale = true;
                Part::Body
            }
            Stage::Rest => {
                if !more {
                    self.stage = Stage::Envelope;
                }
                Part::Envelope
            }
        }
    }

    /// Whether the whole request has come, so that the reply may go.
    pub(super) fn is_whole(&self) -> bool {
        self.stage == Stage::Envelope
    }
}
