//! What the targets that drive a machine have in common.

pub mod native;

use palm_proto::native::{Frame, Header, ToMaster};

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
