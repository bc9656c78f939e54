//! A checked, borrowed view of a serialised message.

use core::fmt;

use super::extension::Extension;
use super::function::{FunctionAddress, resolve};
use super::raw::RawMessage;

/// A serialised message whose every field has been checked. Nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRef<'a> {
    bytes: &'a [u8],
    untagged: usize,
    /// Id of the stream.
    pub pipeline: &'a str,
    /// Id of the client, and topic of its results.
    pub client: &'a str,
    /// Step of a pipeline.
    pub stage: i64,
    /// Function, or functions by stage.
    pub function: &'a str,
    /// Key of a cache command, or user data.
    pub cache: &'a str,
    /// The data.
    pub payload: &'a [u8],
    /// Our own fields.
    pub extension: Extension<'a>,
}

impl<'a> MessageRef<'a> {
    /// Reads `bytes`. The last occurrence of a field wins; fields that are not known, or have another wire type than
    /// theirs, are passed over.
    ///
    /// # Errors
    /// If the bytes are not a protobuf message, or a string is not UTF-8 (which a Python component would die of).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        RawMessage::parse(bytes).map(Self::from)
    }

    /// The serialised message.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Length of the message without the task and attempt fields that end it: what a master that appended them cuts it
    /// down to.
    pub const fn untagged_len(&self) -> usize {
        self.untagged
    }

    /// The function's address at the message's stage; `None` if there is none.
    pub fn address(&self) -> Option<FunctionAddress<'a>> {
        resolve(self.function, self.stage)
    }
}

impl<'a> From<RawMessage<'a>> for MessageRef<'a> {
    fn from(raw: RawMessage<'a>) -> Self {
        // Checked to be UTF-8 when the message was read.
        let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
        Self {
            bytes: raw.as_bytes(),
            untagged: raw.untagged_len(),
            pipeline: text(raw.pipeline()),
            client: text(raw.client()),
            stage: raw.stage,
            function: text(raw.function()),
            cache: text(raw.cache()),
            payload: raw.payload(),
            extension: raw.extension(),
        }
    }
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where in the bytes.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What is wrong with bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Not protobuf: a length that exceeds the rest, a varint without end, a key without meaning.
    Malformed,
    /// A string that is not UTF-8.
    NotUtf8 {
        /// Number of the string's field.
        field: u32,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ParseErrorKind::Malformed => write!(f, "not a PALM message: malformed protobuf at byte {}", self.offset),
            ParseErrorKind::NotUtf8 { field } => {
                write!(f, "not a PALM message: string field {field} at byte {} is not UTF-8", self.offset)
            }
        }
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::super::{MessageWriter, SliceSink, TaskId};
    use super::*;

    fn written(write: impl FnOnce(&mut MessageWriter<SliceSink<'_>>)) -> heapless::Vec<u8, 512> {
        let mut out = [0; 512];
        let mut sink = SliceSink::new(&mut out);
        let mut writer = MessageWriter::new(&mut sink);
        write(&mut writer);
        let len = writer.finish().unwrap();
        heapless::Vec::from_slice(&out[..len]).unwrap()
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let message = MessageRef::parse(b"").unwrap();
        assert_eq!((message.pipeline, message.payload, message.untagged_len()), ("", &b""[..], 0));
    }

    #[test]
    fn the_last_occurrence_wins() {
        let bytes = written(|w| {
            w.stage(3).cache("old").payload(b"x").stage(-1).cache("new");
        });
        let message = MessageRef::parse(&bytes).unwrap();
        assert_eq!((message.stage, message.cache, message.payload), (-1, "new", &b"x"[..]));
    }

    #[test]
    fn only_trailing_tags_are_cut() {
        let bytes = written(|w| {
            w.client("c").task(TaskId(1)).sequence(9).task(TaskId(7)).attempt(2);
        });
        let message = MessageRef::parse(&bytes).unwrap();
        assert_eq!((message.extension.task, message.extension.attempt), (Some(TaskId(7)), 2));
        let cut = MessageRef::parse(&bytes[..message.untagged_len()]).unwrap();
        assert_eq!((cut.extension.task, cut.extension.sequence, cut.client), (Some(TaskId(1)), Some(9), "c"));
    }

    #[test]
    fn strings_must_be_utf8_and_payloads_need_not() {
        assert_eq!(
            MessageRef::parse(b"\x12\x01\xff").unwrap_err(),
            ParseError { offset: 0, kind: ParseErrorKind::NotUtf8 { field: 2 } }
        );
        assert_eq!(MessageRef::parse(b"\x32\x01\xff").unwrap().payload, b"\xff");
    }

    #[test]
    fn a_known_number_with_another_wire_type_is_passed_over() {
        assert_eq!(MessageRef::parse(b"\x08\x05\x1a\x01\xff").unwrap().pipeline, "");
    }

    #[test]
    fn errors_are_found_where_they_are() {
        let malformed = |offset| Err(ParseError { offset, kind: ParseErrorKind::Malformed });
        let not_text = |offset, field| Err(ParseError { offset, kind: ParseErrorKind::NotUtf8 { field } });
        assert_eq!(MessageRef::parse(b"\x02\x01a"), malformed(0), "there is no field 0");
        assert_eq!(MessageRef::parse(b"\x12\x01a\x0a\x02a"), malformed(5));
        assert_eq!(MessageRef::parse(b"\x12\x01a\x2a\x02a\xff"), not_text(3, 5));
        assert_eq!(MessageRef::parse(b"\x12\x01\xff\x12\x01a"), not_text(0, 2), "each occurrence is checked");
        let long = [b"\x12\xc8\x01".as_slice(), &[b'a'; 199], b"\xff"].concat();
        assert_eq!(MessageRef::parse(&long), not_text(0, 2));
    }
}
