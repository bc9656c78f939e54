//! A message's fields as they lie in it, for whoever passes most of them on.

use super::view::MessageRef;
use super::wire::Fields;
use crate::buffer::Buffer;

/// Runs of fields that are left out of a message at most. Who sends more means no good.
const CUTS_MAX: usize = 16;

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

/// A copy of a message without the fields that have one of these numbers. O(length of the message).
///
/// `None` if the message is malformed, they are in more than 16 places, or a buffer cannot be had.
#[cold]
#[inline(never)]
pub(crate) fn copy_without<B: Buffer>(message: &[u8], numbers: &[u32]) -> Option<B> {
    let mut parts: heapless::Vec<&[u8], { CUTS_MAX + 1 }> = heapless::Vec::new();
    let (mut fields, mut kept_from, mut end) = (Fields::new(message), 0, 0);
    while let Some(field) = fields.next().ok()? {
        if numbers.contains(&field.number) {
            if field.start > kept_from {
                parts.push(message.get(kept_from..field.start)?).ok()?;
            }
            kept_from = field.end;
        }
        end = field.end;
    }
    parts.push(message.get(kept_from..end)?).ok()?;
    B::joined(&parts)
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

    #[test]
    fn fields_are_left_out_wherever_they_are_and_however_their_numbers_are_written() {
        type Bytes = heapless::Vec<u8, 256>;
        let written = |forged: bool| {
            let mut out = Bytes::new();
            let mut writer = MessageWriter::new(&mut out);
            let forge = |writer: &mut MessageWriter<'_, Bytes>| {
                if forged {
                    // 1004 in five bytes instead of two, and 1001 with a wire type that is not its own.
                    writer.task(TaskId(1)).attempt(9).raw(b"\xe0\xbe\x80\x80\x00\x06").raw(b"\xc8\x3e\x07");
                }
            };
            forge(&mut writer);
            writer.client("c").sequence(5);
            forge(&mut writer);
            writer.payload(b"x").error(if forged { "why" } else { "" }).priority(2);
            forge(&mut writer);
            writer.finish().unwrap();
            out
        };
        let numbers = super::super::field::OF_MASTERS;
        assert_eq!(copy_without::<Bytes>(&written(true), &numbers), Some(written(false)));
        assert_eq!(copy_without::<Bytes>(&written(false), &numbers), Some(written(false)));
        assert_eq!(copy_without::<Bytes>(b"\xd0\x3e\x05", &numbers), Some(Bytes::new()));
        assert_eq!(copy_without::<Bytes>(b"\xd0\x3e", &numbers), None, "what is no message has no copy");
        let alternating = b"\xd0\x3e\x05\x12\x00".repeat(18);
        assert_eq!(copy_without::<Bytes>(&alternating, &numbers), None);
        let in_a_row = b"\xd0\x3e\x05".repeat(80);
        assert_eq!(copy_without::<Bytes>(&in_a_row, &numbers), Some(Bytes::new()));
        assert_eq!(copy_without::<heapless::Vec<u8, 4>>(&written(true), &numbers), None, "it does not fit");
    }
}
