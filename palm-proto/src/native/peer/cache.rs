//! Requests to the cache, and their answers (`docs/spec.md`, section 9.8).

use crate::native::{CacheRefusalCode, Frame, ToMaster, ToPeer, When};

use super::error::Fault;

/// What the cache answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheAnswer<'a> {
    /// To Get: the value.
    Value {
        /// Which value of its key it is.
        version: u64,
        /// It.
        value: &'a [u8],
    },
    /// To Set: it is set.
    Stored {
        /// Which value of its key it is.
        version: u64,
    },
    /// To Delete: it is gone.
    Deleted,
    /// The key has no value.
    Absent,
    /// The condition is not met.
    Conflict {
        /// Which value the key has.
        version: u64,
    },
    /// The cache does not do it.
    Refused {
        /// Why.
        code: CacheRefusalCode,
        /// More about it.
        text: &'a str,
    },
}

impl<'a> CacheAnswer<'a> {
    /// The answer, and to which request, if the frame is one.
    pub(super) fn of(frame: &Frame<'a, ToPeer>) -> Option<(u32, Self)> {
        // Most frames are none, and the others are all that is matched here.
        let answer = match frame.header {
            ToPeer::Value { id, version } => (id, Self::Value { version, value: frame.body }),
            ToPeer::Stored { id, version } => (id, Self::Stored { version }),
            ToPeer::Deleted { id } => (id, Self::Deleted),
            ToPeer::Absent { id } => (id, Self::Absent),
            ToPeer::Conflict { id, version } => (id, Self::Conflict { version }),
            ToPeer::CacheRefused { id, code } => (id, Self::Refused { code, text: frame.body_text() }),
            _ => return None,
        };
        Some(answer)
    }
}

/// The numbers of requests: answers come in their order, so that two of them say which ones wait.
#[derive(Debug, Default)]
pub(super) struct CacheRequests {
    next: u32,
    /// The oldest that has not been answered; `next` if there is none.
    oldest: u32,
}

impl CacheRequests {
    /// The number of the next request, which `sent` has to be called for.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    pub(super) const fn sent(&mut self) {
        self.next = self.next.wrapping_add(1);
    }

    /// What has no answer by now gets none.
    pub(super) const fn forget(&mut self) {
        self.oldest = self.next;
    }

    pub(super) fn answered(&mut self, id: u32) -> Result<(), Fault> {
        if self.oldest == self.next || self.oldest != id {
            return Err(Fault::CacheId { id });
        }
        self.oldest = id.wrapping_add(1);
        Ok(())
    }
}

/// A Get for `key`.
pub(super) const fn get(id: u32, key: &[u8]) -> Frame<'_, ToMaster> {
    Frame { header: ToMaster::Get { id }, front: &[], body: key }
}

/// A Set of `key`; no frame can carry a key whose length is cut here.
pub(super) fn set<'a>(id: u32, key: &'a [u8], value: &'a [u8], ttl_ms: Option<u32>, when: When) -> Frame<'a, ToMaster> {
    let key_len = u32::try_from(key.len()).unwrap_or(u32::MAX);
    Frame { header: ToMaster::Set { id, ttl_ms, when, key_len }, front: key, body: value }
}

/// A Delete of `key`.
pub(super) const fn delete(id: u32, key: &[u8], when: When) -> Frame<'_, ToMaster> {
    Frame { header: ToMaster::Delete { id, when }, front: &[], body: key }
}
