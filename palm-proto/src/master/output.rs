//! What a master gives out: messages to do, and results.

use crate::buffer::Span;
use crate::message::{MessageWriter, TaskId, field};
use crate::time::Instant;
use crate::uuid::Uuid;

use super::origin::Note;

/// A message for a worker. On the wire, its own bytes are followed by [`Assignment::tags`].
#[derive(Debug)]
pub struct Assignment<'a, B> {
    /// The master's name for the task.
    pub task: TaskId,
    /// Which dispatch of it, from 1.
    pub attempt: u32,
    /// When its client stops waiting.
    pub deadline: Option<Instant>,
    /// What goes into the `cache` field, which the client left empty.
    pub cache: Option<Uuid>,
    /// The message as its client sent it.
    pub message: &'a Span<B>,
}

/// Fields that follow a message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Tags {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Tags {
    /// A UUID, a deadline, an attempt and a task: 38 + 12 + 7 + 10 bytes.
    const MAX: usize = 72;

    pub(crate) const fn new() -> Self {
        Self { len: 0, bytes: [0; Self::MAX] }
    }

    /// The task in the tags that `message` ends with, if it does.
    #[inline]
    pub(super) fn last_task(message: &[u8]) -> Option<TaskId> {
        let [low, high, task @ ..] = message.last_chunk::<10>()?;
        ([*low, *high] == TASK_KEY).then_some(TaskId(u64::from_le_bytes(*task)))
    }

    /// Appends `field`; there is room for all that there are.
    #[inline]
    fn push(&mut self, field: &[u8]) {
        let start = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(start..start + field.len()) {
            room.copy_from_slice(field);
            self.len += field.len() as u8;
        }
    }
}

impl core::ops::Deref for Tags {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The key of a task's field.
const TASK_KEY: [u8; 2] = {
    const KEY: u32 = field::TASK << 3 | 1;
    [KEY as u8 & 0x7f | 0x80, (KEY >> 7) as u8]
};

impl<B> Assignment<'_, B> {
    /// The serialised fields that the master adds: `cache` if the client left it empty, the time left until the deadline, the
    /// attempt unless it is the first, and, last, the task.
    #[inline]
    pub fn tags(&self, now: Instant) -> Tags {
        let mut tags = Tags::new();
        self.write_tags(now, &mut tags);
        tags
    }

    /// The same in place of what is in `tags`.
    #[inline]
    pub(crate) fn write_tags(&self, now: Instant, tags: &mut Tags) {
        tags.len = 0;
        if let Some(uuid) = self.cache {
            // A key and a length of one byte each.
            const HEAD: [u8; 2] = [(field::CACHE << 3 | 2) as u8, Uuid::LEN as u8];
            let mut text = [0; Uuid::LEN];
            uuid.write(&mut text);
            tags.push(&HEAD);
            tags.push(&text);
        }
        if self.deadline.is_some() || self.attempt > 1 {
            let mut rare: heapless::Vec<u8, 24> = heapless::Vec::new();
            let mut writer = MessageWriter::new(&mut rare);
            if let Some(deadline) = self.deadline {
                writer.deadline(millis_left(now, deadline));
            }
            writer.attempt(self.attempt);
            debug_assert!(writer.finish().is_ok(), "12 + 7 bytes fit");
            tags.push(&rare);
        }
        // Always ten bytes, always last, so that they can be cut off again: a key of two, and the number.
        tags.push(&TASK_KEY);
        tags.push(&self.task.0.to_le_bytes());
    }
}

/// A result for a subscriber. On the wire it is two frames: the topic, and the message followed by
/// [`Outcome::tags`].
#[derive(Debug)]
pub struct Outcome<B> {
    /// The result, or failure.
    pub message: Span<B>,
    /// Where in the message its topic is; `None` where the topic is the master's own name.
    pub topic: Option<core::ops::Range<usize>>,
    /// The stage to put into the message, where it goes to the next one.
    pub stage: Option<i64>,
    /// What is known of it without reading it.
    pub note: Note,
}

impl<B> Outcome<B> {
    /// The serialised fields that the master adds: the next stage, where it goes to one.
    pub fn tags(&self) -> Tags {
        let mut tags = Tags::new();
        self.write_tags(&mut tags);
        tags
    }

    /// The same in place of what is in `tags`.
    #[inline]
    pub(crate) fn write_tags(&self, tags: &mut Tags) {
        tags.len = 0;
        if let Some(stage) = self.stage {
            let mut field: heapless::Vec<u8, 16> = heapless::Vec::new();
            let written = MessageWriter::appending(&mut field).stage(stage).finish();
            debug_assert!(written.is_ok(), "11 bytes fit");
            tags.push(&field);
        }
    }
}

/// How long a worker has, in milliseconds: rounded up, for it is not to be late before its client is.
pub(crate) fn millis_left(now: Instant, deadline: Instant) -> u64 {
    (deadline - now).as_micros().div_ceil(1_000) as u64
}
