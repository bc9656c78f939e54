//! A message's fields as they lie in it, for whoever passes most of them on.

use super::view::MessageRef;
use super::wire::Fields;

/// One field with its key, as serialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawField<'a> {
    /// Number of the field.
    pub number: u32,
    /// Key and value.
    pub bytes: &'a [u8],
}

/// The fields of a message, in order, those of unknown numbers and repeated ones too.
pub struct RawFields<'a> {
    bytes: &'a [u8],
    fields: Fields<'a>,
}

impl<'a> Iterator for RawFields<'a> {
    type Item = RawField<'a>;

    fn next(&mut self) -> Option<RawField<'a>> {
        // The message was checked when the view was made, so an error does not come up.
        let field = self.fields.next().ok()??;
        Some(RawField { number: field.number, bytes: self.bytes.get(field.start..field.end)? })
    }
}

impl<'a> MessageRef<'a> {
    /// The fields as they lie in the message.
    pub fn raw_fields(&self) -> RawFields<'a> {
        RawFields { bytes: self.as_bytes(), fields: Fields::new(self.as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MessageWriter, SliceSink, TaskId};
    use super::*;

    #[test]
    fn the_fields_put_together_are_the_message() {
        let mut out = [0; 128];
        let mut sink = SliceSink::new(&mut out);
        MessageWriter::new(&mut sink)
            .client("c")
            .payload(b"x")
            .payload(b"y")
            .task(TaskId(3))
            .raw(b"\xc0\xbb\x78\x01")
            .finish()
            .unwrap();
        let message = MessageRef::parse(sink.written()).unwrap();
        let mut whole = heapless::Vec::<u8, 128>::new();
        let mut numbers = heapless::Vec::<u32, 8>::new();
        for field in message.raw_fields() {
            whole.extend_from_slice(field.bytes).unwrap();
            numbers.push(field.number).unwrap();
        }
        assert_eq!(&whole, message.as_bytes());
        assert_eq!(numbers, [2, 6, 6, 1001, 246_712]);
    }
}
