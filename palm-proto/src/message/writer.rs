//! Writes a message, or appends fields to one.

use core::fmt;

use super::extension::{Status, TaskId, field};
use super::wire::{VARINT_MAX, put_varint};

/// Takes bytes in order, all of a run or none.
pub trait Sink {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// If they do not fit; nothing of them is written then.
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom>;

    /// Number of bytes it holds.
    fn position(&self) -> usize;
}

/// The output has no room for what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the output buffer")
    }
}

impl core::error::Error for NoRoom {}

/// A caller's slice as a sink.
#[derive(Debug)]
pub struct SliceSink<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> SliceSink<'a> {
    /// Writes to the front of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// What has been written.
    pub fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or(&[])
    }
}

impl Sink for SliceSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn position(&self) -> usize {
        self.len
    }
}

impl<const N: usize> Sink for heapless::Vec<u8, N> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.extend_from_slice(bytes).map_err(|_| NoRoom)
    }

    fn position(&self) -> usize {
        self.len()
    }
}

#[cfg(feature = "alloc")]
impl Sink for bytes::BytesMut {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn position(&self) -> usize {
        self.len()
    }
}

/// Writes fields in the order of the calls.
///
/// Strings, payload and stage are left out when empty or zero **only** by [`MessageWriter::new`] writers; one made with
/// [`MessageWriter::appending`] writes them, since there they override what the message had.
#[derive(Debug)]
pub struct MessageWriter<'a, S> {
    sink: &'a mut S,
    start: usize,
    keep_defaults: bool,
    full: bool,
}

impl<'a, S: Sink> MessageWriter<'a, S> {
    /// Starts a message.
    pub fn new(sink: &'a mut S) -> Self {
        let start = sink.position();
        Self { sink, start, keep_defaults: false, full: false }
    }

    /// Appends to the message that the sink ends with.
    pub fn appending(sink: &'a mut S) -> Self {
        Self { keep_defaults: true, ..Self::new(sink) }
    }

    /// Id of the stream.
    pub fn pipeline(&mut self, value: &str) -> &mut Self {
        self.bytes_field(field::PIPELINE, value.as_bytes())
    }

    /// Id of the client.
    pub fn client(&mut self, value: &str) -> &mut Self {
        self.bytes_field(field::CLIENT, value.as_bytes())
    }

    /// Step of a pipeline.
    pub fn stage(&mut self, value: i64) -> &mut Self {
        self.varint_field(field::STAGE, value.cast_unsigned())
    }

    /// Function, or functions by stage.
    pub fn function(&mut self, value: &str) -> &mut Self {
        self.bytes_field(field::FUNCTION, value.as_bytes())
    }

    /// Key of a cache command, or user data.
    pub fn cache(&mut self, value: &str) -> &mut Self {
        self.bytes_field(field::CACHE, value.as_bytes())
    }

    /// The data.
    pub fn payload(&mut self, value: &[u8]) -> &mut Self {
        self.bytes_field(field::PAYLOAD, value)
    }

    /// The master's name for the task; always 10 bytes.
    pub fn task(&mut self, value: TaskId) -> &mut Self {
        self.key(field::TASK, 1);
        self.raw(&value.0.to_le_bytes())
    }

    /// Which dispatch of the task; the first is left out.
    pub fn attempt(&mut self, value: u32) -> &mut Self {
        if value <= 1 && !self.keep_defaults {
            return self;
        }
        self.key(field::ATTEMPT, 0);
        self.varint(u64::from(value))
    }

    /// The client's number for the message.
    pub fn sequence(&mut self, value: u64) -> &mut Self {
        self.key(field::SEQUENCE, 0);
        self.varint(value)
    }

    /// What became of the message.
    pub fn status(&mut self, value: Status) -> &mut Self {
        self.varint_field(field::STATUS, u64::from(value.code()))
    }

    /// Text that goes with the status.
    pub fn error(&mut self, value: &str) -> &mut Self {
        self.bytes_field(field::ERROR, value.as_bytes())
    }

    /// Milliseconds that the client still waits.
    pub fn deadline(&mut self, millis: u64) -> &mut Self {
        self.key(field::DEADLINE, 0);
        self.varint(millis)
    }

    /// How urgent the message is.
    pub fn priority(&mut self, value: u8) -> &mut Self {
        self.varint_field(field::PRIORITY, u64::from(value))
    }

    /// This is one of several results of a task that goes on.
    pub fn partial(&mut self) -> &mut Self {
        self.varint_field(field::PARTIAL, 1)
    }

    /// Fields that are serialised already.
    pub fn raw(&mut self, fields: &[u8]) -> &mut Self {
        self.full = self.full || self.sink.put(fields).is_err();
        self
    }

    /// Number of bytes written.
    ///
    /// # Errors
    /// If something did not fit; what is in the sink is then no message.
    pub fn finish(&mut self) -> Result<usize, NoRoom> {
        if self.full { Err(NoRoom) } else { Ok(self.sink.position() - self.start) }
    }

    fn bytes_field(&mut self, number: u32, value: &[u8]) -> &mut Self {
        if value.is_empty() && !self.keep_defaults {
            return self;
        }
        self.key(number, 2);
        self.varint(value.len() as u64);
        self.raw(value)
    }

    fn varint_field(&mut self, number: u32, value: u64) -> &mut Self {
        if value == 0 && !self.keep_defaults {
            return self;
        }
        self.key(number, 0);
        self.varint(value)
    }

    fn key(&mut self, number: u32, wire_type: u64) {
        self.varint((u64::from(number) << 3) | wire_type);
    }

    fn varint(&mut self, value: u64) -> &mut Self {
        let mut out = [0; VARINT_MAX];
        match put_varint(&mut out, value).and_then(|len| out.get(..len)) {
            Some(bytes) => self.raw(bytes),
            None => self,
        }
    }
}
