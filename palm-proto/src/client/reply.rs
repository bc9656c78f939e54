//! A result as a client keeps it.

use core::ops::Range;

use crate::buffer::Buffer;
use crate::message::{MessageRef, ParseError, Status};

/// A checked result, in the buffer that it was received in.
#[derive(Clone, Debug)]
pub struct Reply<B> {
    message: B,
    sequence: Option<u64>,
    status: Status,
    partial: bool,
    payload: Range<usize>,
    error: Range<usize>,
}

impl<B: Buffer> Reply<B> {
    /// Checks a serialised message.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(message: B) -> Result<Self, ParseError> {
        let bytes = message.as_ref();
        let view = MessageRef::parse(bytes)?;
        let range = |part: &[u8]| {
            // `part` is a part of `bytes`, or empty and elsewhere.
            let start = (part.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            if part.is_empty() { 0..0 } else { start..start + part.len() }
        };
        let (payload, error) = (range(view.payload), range(view.extension.error.as_bytes()));
        let (sequence, status, partial) = (view.extension.sequence, view.extension.status, view.extension.partial);
        Ok(Self { message, sequence, status, partial, payload, error })
    }

    /// The client's number for the message that this is the result of; absent if a component on the way dropped it.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// What became of the message. A Python component says [`Status::Done`] of failures too, and sends the payload `0`.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether it tells that another result follows.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// The result.
    pub fn payload(&self) -> &[u8] {
        self.message.as_ref().get(self.payload.clone()).unwrap_or(&[])
    }

    /// Text that goes with the status.
    pub fn error(&self) -> &str {
        self.message.as_ref().get(self.error.clone()).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
    }

    /// The whole message, and where in it the payload lies.
    pub fn into_parts(self) -> (B, Range<usize>) {
        (self.message, self.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageWriter, SliceSink};

    #[test]
    fn finds_payload_and_text_in_the_buffer() {
        let mut out = [0; 128];
        let mut sink = SliceSink::new(&mut out);
        let mut writer = MessageWriter::new(&mut sink);
        writer.client("c").payload(b"pay").sequence(5).status(Status::Failed).error("why").finish().unwrap();
        let reply = Reply::parse(heapless::Vec::<u8, 128>::from_slice(sink.written()).unwrap()).unwrap();
        assert_eq!((reply.payload(), reply.error()), (&b"pay"[..], "why"));
        assert_eq!((reply.sequence(), reply.status()), (Some(5), Status::Failed));
        let (message, range) = reply.into_parts();
        assert_eq!(&message[range], b"pay");
        let empty = Reply::parse(heapless::Vec::<u8, 8>::new()).unwrap();
        assert_eq!((empty.payload(), empty.error(), empty.sequence()), (&b""[..], "", None));
    }
}
