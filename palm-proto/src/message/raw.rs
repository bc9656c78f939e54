//! A checked view of a serialised message with its strings as bytes: what a component reads that passes it on.

use super::extension::{Extension, Status, TaskId, field};
use super::view::{ParseError, ParseErrorKind};
use crate::uuid::Uuid;

use super::wire::{Field, Fields, Value, ascii_prefix, is_text};

/// A serialised message whose every field has been checked, with its strings as bytes. Nothing is copied.
///
/// The same as [`MessageRef`](super::MessageRef) at about a quarter of its cost, most of which is that of making a `str` of
/// each string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawMessage<'a> {
    bytes: &'a [u8],
    untagged: usize,
    /// Values by number; nothing looks at those of 0 and of [`field::STAGE`].
    values: [&'a [u8]; 7],
    error: &'a [u8],
    /// Step of a pipeline.
    pub stage: i64,
    /// Our own fields, but for the error's text.
    extension: Extension<'a>,
}

impl<'a> RawMessage<'a> {
    /// Reads `bytes`. The last occurrence of a field wins; fields that are not known, or have another wire type than
    /// theirs, are passed over.
    ///
    /// # Errors
    /// If the bytes are not a protobuf message, or a string is not UTF-8 (which a Python component would die of).
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut message =
            Self { bytes, untagged: 0, values: [&[]; 7], error: &[], stage: 0, extension: Extension::default() };
        message.read(bytes)?;
        Ok(message)
    }

    // Not inlined, so that the fields are written where the caller has them.
    #[inline(never)]
    fn read(&mut self, bytes: &'a [u8]) -> Result<(), ParseError> {
        let ascii = ascii_prefix(bytes);
        let mut fields = Fields::new(bytes);
        loop {
            while let Some((number, value, end)) = fields.next_short() {
                self.untagged = end;
                let Some(place) = self.values.get_mut(usize::from(number)) else { continue };
                if end > ascii && is_string(u32::from(number)) && !is_text(value) {
                    let kind = ParseErrorKind::NotUtf8 { field: u32::from(number) };
                    return Err(ParseError { offset: end - value.len() - 2, kind });
                }
                *place = value;
            }
            let malformed = |at: super::wire::Malformed| ParseError { offset: at.0, kind: ParseErrorKind::Malformed };
            match fields.next().map_err(malformed)? {
                Some(field) => self.take(field)?,
                None => return Ok(()),
            }
        }
    }

    #[inline(always)]
    fn take(&mut self, Field { number, value, start, end }: Field<'a>) -> Result<(), ParseError> {
        match value {
            Value::Fixed64(value) if number == field::TASK => {
                self.extension.task = Some(TaskId(value));
                return Ok(());
            }
            Value::Varint(value) => match number {
                field::STAGE => self.stage = value.cast_signed(),
                field::ATTEMPT => {
                    self.extension.attempt = u32::try_from(value).unwrap_or(u32::MAX);
                    return Ok(());
                }
                field::SEQUENCE => self.extension.sequence = Some(value),
                field::STATUS => self.extension.status = Status::from_code(u32::try_from(value).unwrap_or(u32::MAX)),
                field::DEADLINE => self.extension.deadline = Some(value),
                _ => {}
            },
            Value::Bytes(value) => {
                let place = match number {
                    field::ERROR => Some(&mut self.error),
                    _ => self.values.get_mut(number as usize),
                };
                if let Some(place) = place {
                    if is_string(number) && !is_text(value) {
                        return Err(ParseError { offset: start, kind: ParseErrorKind::NotUtf8 { field: number } });
                    }
                    *place = value;
                }
            }
            Value::Fixed64(_) | Value::Fixed32(_) => {}
        }
        self.untagged = end;
        Ok(())
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

    /// The same without a UUID in the `cache` field before them, if that is an appended one: it stands after the payload, where
    /// no component puts its own.
    pub fn unmarked_len(&self) -> usize {
        let (cache, payload) = (self.cache(), self.payload());
        let at = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        let appended = cache.len() == Uuid::LEN
            && !payload.is_empty()
            && at(payload) < at(cache)
            && at(cache) + Uuid::LEN == self.untagged;
        if appended { self.untagged - Uuid::LEN - 2 } else { self.untagged }
    }

    /// Id of the stream, UTF-8.
    pub const fn pipeline(&self) -> &'a [u8] {
        self.values[field::PIPELINE as usize]
    }

    /// Id of the client, and topic of its results, UTF-8.
    pub const fn client(&self) -> &'a [u8] {
        self.values[field::CLIENT as usize]
    }

    /// Function, or functions by stage, UTF-8.
    pub const fn function(&self) -> &'a [u8] {
        self.values[field::FUNCTION as usize]
    }

    /// Key of a cache command, or user data, UTF-8.
    pub const fn cache(&self) -> &'a [u8] {
        self.values[field::CACHE as usize]
    }

    /// The data.
    pub const fn payload(&self) -> &'a [u8] {
        self.values[field::PAYLOAD as usize]
    }

    /// The master's name for the task.
    pub const fn task(&self) -> Option<TaskId> {
        self.extension.task
    }

    /// Which dispatch of the task, counted from 1; 0 when the field is absent, which means the first.
    pub const fn attempt(&self) -> u32 {
        self.extension.attempt
    }

    /// What became of the message.
    pub const fn status(&self) -> Status {
        self.extension.status
    }

    /// Milliseconds that the client still waits, counted from when the message was received.
    pub const fn deadline(&self) -> Option<u64> {
        self.extension.deadline
    }

    /// Our own fields.
    pub(super) fn extension(&self) -> Extension<'a> {
        Extension { error: core::str::from_utf8(self.error).unwrap_or_default(), ..self.extension }
    }
}

/// Whether a field of this number and of the wire type of strings and bytes is a string.
const fn is_string(number: u32) -> bool {
    matches!(number, field::PIPELINE | field::CLIENT | field::FUNCTION | field::CACHE | field::ERROR)
}
