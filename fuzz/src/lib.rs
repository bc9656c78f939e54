//! What the targets that drive a machine have in common.

pub mod native;

use bytes::BytesMut;
use palm_proto::native::{Frame, Header, ToMaster};
use palm_proto::{MessageRef, MessageWriter, Status, TaskId};

/// Checks a frame to a native master: it can be read, and if the connection is `established`, it has at most `max` bytes.
///
/// # Panics
/// If it is otherwise.
pub fn check_frame(max: u32, frame: &Frame<'_, ToMaster>, established: bool) -> ToMaster {
    let bytes = [&frame.header.encode(), frame.front, frame.body].concat();
    assert_eq!(ToMaster::decode(&bytes), Ok(Some(*frame)));
    assert!(!established || bytes.len() <= max as usize);
    frame.header
}

/// Puts fields into a message that its sender may not set.
pub fn forge(message: &mut BytesMut, choice: u8) {
    let small = u32::from(choice >> 4);
    let mut writer = MessageWriter::appending(message);
    if choice & 1 != 0 {
        writer.status(Status::from_code(small));
    }
    if choice & 2 != 0 {
        writer.partial();
    }
    if choice & 4 != 0 {
        writer.attempt(small);
    }
    if choice & 8 != 0 {
        writer.error("why").task(TaskId(u64::from(small) << 32 | u64::from(choice & 3)));
    }
}

/// Checks that what a worker is sent says nothing in its master's name but what the master says.
///
/// # Panics
/// If it does.
pub fn assert_only_tags_of_masters(message: &[u8]) {
    let view = MessageRef::parse(message).expect("masters give out messages");
    let fields = view.extension;
    assert_eq!((fields.status, fields.error, fields.partial), (Status::Done, "", false));
    let tags = view.raw_fields().filter(|field| matches!(field.number, 1001 | 1002)).count();
    assert_eq!(tags, 1 + usize::from(fields.attempt > 1), "the master's own");
    assert!(message.len() - view.untagged_len() >= 10, "at the end");
}

/// Draws decisions from a fuzzer's input; zeros when it is used up.
#[derive(Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Draws from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all of it has been drawn.
    pub fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { usize::from(self.byte()) % bound }
    }

    /// A run of bytes whose length is drawn first, fewer if there are no more.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    /// One of `items`, taken out; `None` if there are none.
    pub fn take<T>(&mut self, items: &mut Vec<T>) -> Option<T> {
        if items.is_empty() { None } else { Some(items.swap_remove(self.below(items.len()))) }
    }

    /// One of `items`; `None` if there are none.
    pub fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).cloned()
    }
}
