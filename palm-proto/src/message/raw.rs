//! A checked view of a serialised message with its strings as bytes: what a component reads that passes it on.

use core::ops::Range;

use super::extension::{Extension, PRIORITY_MAX, Status, TaskId, field};
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
    /// Whether it has a field that only a master or a worker writes.
    marked: bool,
    /// Where the values are, by number; nothing looks at those of 0 and of [`field::STAGE`].
    places: [Place; 7],
    error: Place,
    /// Step of a pipeline.
    pub stage: i64,
    /// Our own fields, but for the error's text.
    extension: Extension<'a>,
}

/// Where a value begins and ends.
type Place = (u32, u32);

impl<'a> RawMessage<'a> {
    /// Reads `bytes`. The last occurrence of a field wins; fields that are not known, or have another wire type than
    /// theirs, are passed over.
    ///
    /// # Errors
    /// If the bytes are not a protobuf message, or a string is not UTF-8 (which a Python component would die of).
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut message = Self::unread(bytes);
        message.read_all()?;
        Ok(message)
    }

    /// A view of `bytes` that has not seen any field yet: an empty message.
    #[inline(always)]
    pub(crate) fn unread(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            untagged: 0,
            marked: false,
            places: [(0, 0); 7],
            error: (0, 0),
            stage: 0,
            extension: Extension::default(),
        }
    }

    /// Reads all the fields. It is for callers to whom a copy of the view would be too much; others [`parse`](Self::parse).
    #[inline]
    pub(crate) fn read_all(&mut self) -> Result<(), ParseError> {
        self.read(0, ascii_prefix(self.bytes))
    }

    /// Reads all the fields of a message that may well begin as `known` does, of which `opening` is the opening: then the rest
    /// only.
    #[inline]
    pub(crate) fn read_like(&mut self, known: &[u8], opening: Opening) -> Result<(), ParseError> {
        let len = opening.len();
        if len == 0 || self.bytes.get(..len) != known.get(..len) {
            return self.read_all();
        }
        let [pipeline, client, function] = opening.places();
        self.places[field::PIPELINE as usize] = pipeline;
        self.places[field::CLIENT as usize] = client;
        self.places[field::FUNCTION as usize] = function;
        self.read(len, 0)
    }

    /// Reads the fields from `at` on. The first `ascii` bytes are known to be ASCII.
    // Not inlined, so that the fields are written where the caller has them.
    #[inline(never)]
    fn read(&mut self, at: usize, ascii: usize) -> Result<(), ParseError> {
        let malformed = |at| ParseError { offset: at, kind: ParseErrorKind::Malformed };
        if u32::try_from(self.bytes.len()).is_err() {
            return Err(malformed(u32::MAX as usize));
        }
        self.untagged = at;
        let mut fields = Fields::after(self.bytes, at);
        loop {
            while let Some((number, start, end)) = fields.next_short() {
                self.untagged = end;
                let Some(place) = self.places.get_mut(number) else { continue };
                *place = (start as u32, end as u32);
                if end > ascii && is_string(number as u32) && !is_text(self.bytes.get(start..end).unwrap_or(&[])) {
                    let kind = ParseErrorKind::NotUtf8 { field: number as u32 };
                    return Err(ParseError { offset: start - 2, kind });
                }
            }
            match fields.next().map_err(|super::wire::Malformed(at)| malformed(at))? {
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
                self.marked = true;
                return Ok(());
            }
            Value::Varint(value) => match number {
                field::STAGE => self.stage = value.cast_signed(),
                field::ATTEMPT => {
                    self.extension.attempt = u32::try_from(value).unwrap_or(u32::MAX);
                    self.marked = true;
                    return Ok(());
                }
                field::SEQUENCE => self.extension.sequence = Some(value),
                field::STATUS => {
                    self.extension.status = Status::from_code(u32::try_from(value).unwrap_or(u32::MAX));
                    self.marked = true;
                }
                field::DEADLINE => self.extension.deadline = Some(value),
                field::PRIORITY => self.extension.priority = value.min(u64::from(PRIORITY_MAX)) as u8,
                field::PARTIAL => {
                    self.extension.partial = value != 0;
                    self.marked = true;
                }
                _ => {}
            },
            Value::Bytes(value) => {
                if is_string(number) && !is_text(value) {
                    return Err(ParseError { offset: start, kind: ParseErrorKind::NotUtf8 { field: number } });
                }
                let at = ((end - value.len()) as u32, end as u32);
                if number == field::ERROR {
                    self.error = at;
                    self.marked = true;
                } else if let Some(place) = self.places.get_mut(number as usize) {
                    *place = at;
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

    /// Whether it has a field that a client may not set, whatever its value: one of [`field::OF_MASTERS`].
    pub(crate) const fn is_marked(&self) -> bool {
        self.marked
    }

    /// Length of the message without the task and attempt fields that end it: what a master that appended them cuts it
    /// down to.
    pub const fn untagged_len(&self) -> usize {
        self.untagged
    }

    /// The same without a UUID in the `cache` field before them, if that is an appended one: it stands after the payload, where
    /// no component puts its own.
    pub fn unmarked_len(&self) -> usize {
        let (payload, cache) = (self.places[field::PAYLOAD as usize], self.places[field::CACHE as usize]);
        let len = (cache.1 - cache.0) as usize;
        let appended = len == Uuid::LEN && payload.0 != 0 && payload.0 < cache.0 && cache.1 as usize == self.untagged;
        if appended { self.untagged - Uuid::LEN - 2 } else { self.untagged }
    }

    /// How the message begins, for [`read_like`](Self::read_like).
    #[inline]
    pub(crate) fn opening(&self) -> Opening {
        let [pipeline, client, function] =
            [field::PIPELINE, field::CLIENT, field::FUNCTION].map(|number| self.places[number as usize]);
        // They stand first, in this order, each after a key and a length of one byte.
        if pipeline.0 == 2 && client.0 == pipeline.1 + 2 && function.0 == client.1 + 2 {
            let len = |(start, end): Place| (end - start) as u8;
            return Opening { pipeline: len(pipeline), client: len(client), function: len(function) };
        }
        Opening::NONE
    }

    /// Id of the stream, UTF-8.
    pub fn pipeline(&self) -> &'a [u8] {
        self.value(field::PIPELINE)
    }

    /// Id of the client, and topic of its results, UTF-8.
    pub fn client(&self) -> &'a [u8] {
        self.value(field::CLIENT)
    }

    /// Where in the message the client's id is.
    pub(crate) fn client_place(&self) -> Range<u32> {
        let (start, end) = self.places[field::CLIENT as usize];
        start..end
    }

    /// Function, or functions by stage, UTF-8.
    pub fn function(&self) -> &'a [u8] {
        self.value(field::FUNCTION)
    }

    /// Key of a cache command, or user data, UTF-8.
    pub fn cache(&self) -> &'a [u8] {
        self.value(field::CACHE)
    }

    /// The data.
    pub fn payload(&self) -> &'a [u8] {
        self.value(field::PAYLOAD)
    }

    /// Text that goes with a status, UTF-8.
    pub fn error(&self) -> &'a [u8] {
        self.at(self.error)
    }

    /// Where in the message the key of a cache command, or user data, is.
    pub(crate) fn cache_place(&self) -> Range<usize> {
        range(self.places[field::CACHE as usize])
    }

    /// Where in the message the data are.
    pub(crate) fn payload_place(&self) -> Range<usize> {
        range(self.places[field::PAYLOAD as usize])
    }

    /// Where in the message the text is that goes with a status.
    pub(crate) fn error_place(&self) -> Range<usize> {
        range(self.error)
    }

    #[inline]
    fn value(&self, number: u32) -> &'a [u8] {
        self.at(self.places[number as usize])
    }

    #[inline]
    fn at(&self, place: Place) -> &'a [u8] {
        self.bytes.get(range(place)).unwrap_or(&[])
    }

    /// The master's name for the task.
    pub const fn task(&self) -> Option<TaskId> {
        self.extension.task
    }

    /// Which dispatch of the task, counted from 1; 0 when the field is absent, which means the first.
    pub const fn attempt(&self) -> u32 {
        self.extension.attempt
    }

    /// The client's number for the message.
    pub const fn sequence(&self) -> Option<u64> {
        self.extension.sequence
    }

    /// What became of the message.
    pub const fn status(&self) -> Status {
        self.extension.status
    }

    /// Milliseconds that the client still waits, counted from when the message was received.
    pub const fn deadline(&self) -> Option<u64> {
        self.extension.deadline
    }

    /// Whether it is one of several results, and not the last.
    pub const fn is_partial(&self) -> bool {
        self.extension.partial
    }

    /// How urgent the message is, from 0 to [`PRIORITY_MAX`](super::PRIORITY_MAX).
    pub const fn priority(&self) -> u8 {
        self.extension.priority
    }

    /// Our own fields.
    pub(super) fn extension(&self) -> Extension<'a> {
        Extension { error: core::str::from_utf8(self.error()).unwrap_or_default(), ..self.extension }
    }
}

/// How a message begins that has the usual fields first: the lengths of its pipeline, client and function, each below 128.
///
/// The answer to a message begins as the message did, so who knows both need not read that part again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pipeline: u8,
    client: u8,
    function: u8,
}

impl Opening {
    /// That of a message that begins in another way.
    pub(crate) const NONE: Self = Self { pipeline: 0, client: 0, function: 0 };

    /// The opening of a message that begins with values of these lengths, each of at most 127 bytes.
    pub(crate) const fn of(pipeline: u8, client: u8, function: u8) -> Self {
        Self { pipeline, client, function }
    }

    /// Where the client's id is, if there is an opening.
    pub(crate) fn client(self) -> Option<Range<u32>> {
        let [_, (start, end), _] = self.places();
        (self != Self::NONE).then_some(start..end)
    }

    /// Where the function's name is, if there is an opening.
    pub(crate) fn function(self) -> Option<Range<u32>> {
        let [_, _, (start, end)] = self.places();
        (self != Self::NONE).then_some(start..end)
    }

    /// Number of bytes; 0: there is no opening.
    fn len(self) -> usize {
        if self == Self::NONE { 0 } else { self.places()[2].1 as usize }
    }

    /// Where the values are: a key and a length of one byte each before each of them.
    fn places(self) -> [Place; 3] {
        let mut end = 0;
        [self.pipeline, self.client, self.function].map(|len| {
            let start = end + 2;
            end = start + u32::from(len);
            (start, end)
        })
    }
}

#[inline]
fn range((start, end): Place) -> Range<usize> {
    start as usize..end as usize
}

/// Whether a field of this number and of the wire type of strings and bytes is a string.
const fn is_string(number: u32) -> bool {
    matches!(number, field::PIPELINE | field::CLIENT | field::FUNCTION | field::CACHE | field::ERROR)
}
