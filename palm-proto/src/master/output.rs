//! What a master gives out: messages to do, and results.

use crate::buffer::Span;
use crate::message::{MessageWriter, TaskId};
use crate::time::Instant;
use crate::uuid::Uuid;

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

/// Fields that follow a message on its way to a worker.
pub type Tags = heapless::Vec<u8, 96>;

impl<B> Assignment<'_, B> {
    /// The serialised fields that the master adds: `cache` if the client left it empty, the time left until the deadline, the
    /// attempt unless it is the first, and, last, the task.
    pub fn tags(&self, now: Instant) -> Tags {
        let mut tags = Tags::new();
        let mut writer = MessageWriter::new(&mut tags);
        if let Some(uuid) = self.cache {
            let mut text = [0; Uuid::LEN];
            uuid.write(&mut text);
            writer.cache(core::str::from_utf8(&text).unwrap_or_default());
        }
        if let Some(deadline) = self.deadline {
            writer.deadline((deadline - now).as_millis() as u64);
        }
        writer.attempt(self.attempt).task(self.task);
        debug_assert!(writer.finish().is_ok(), "38 + 14 + 8 + 10 bytes fit");
        tags
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
}

impl<B> Outcome<B> {
    /// The serialised fields that the master adds: the next stage, where it goes to one.
    pub fn tags(&self) -> Tags {
        let mut tags = Tags::new();
        if let Some(stage) = self.stage {
            let mut writer = MessageWriter::appending(&mut tags);
            debug_assert!(writer.stage(stage).finish().is_ok(), "11 bytes fit");
        }
        tags
    }
}
