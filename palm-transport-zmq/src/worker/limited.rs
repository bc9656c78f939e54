//! A result that must be no longer than its master takes: a longer one would cost the worker its connection, and the message its worker.

use bytes::{Bytes, BytesMut};
use palm_proto::message::{NoRoom, Sink};

/// Collects one result.
#[derive(Debug)]
pub(super) struct Limited {
    bytes: BytesMut,
    most: usize,
}

impl Limited {
    /// For a result of `most` bytes at most.
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: BytesMut::new(), most }
    }

    /// The result.
    pub(super) fn freeze(self) -> Bytes {
        self.bytes.freeze()
    }
}

impl Sink for Limited {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(NoRoom);
        }
        self.bytes.put(bytes)
    }

    fn position(&self) -> usize {
        self.bytes.len()
    }
}
