//! A peer's request to the cache, and the reply: raw bytes, not a message (`docs/spec.md`, section 3).

use core::fmt;

use super::{Cache, CacheRefused, Entry};
use crate::buffer::Buffer;
use crate::collections::{Place, Slot, Table};
use crate::message::RawMessage;
use crate::time::Instant;
use crate::uuid::Uuid;

impl<B: Buffer, S: Table<Slot<Entry<B>>>, P: Table<Place>> Cache<B, S, P> {
    /// Carries one request out: the serialised message of a REQ peer. There is a reply to anything at all, since a REQ peer
    /// waits for one.
    pub fn handle_request<'a>(&'a mut self, now: Instant, message: &'a [u8]) -> CacheReply<'a, B> {
        self.advance(now);
        let Ok(message) = RawMessage::parse(message) else {
            return CacheReply::empty(CacheOutcome::NotAMessage);
        };
        // The whole field, whatever the stage is: no words here.
        let Some(command) = message.function().split(|&byte| byte == b'.').nth(1) else {
            return CacheReply::empty(CacheOutcome::NoDot);
        };
        match command {
            b"get" => self.handle_get(message.payload()),
            b"set" => self.handle_set(message.cache(), message.payload()),
            b"delete" => self.handle_delete(message.payload()),
            _ => CacheReply::empty(CacheOutcome::UnknownCommand),
        }
    }

    fn handle_get(&mut self, key: &[u8]) -> CacheReply<'_, B> {
        match self.find_live(self.hash.hash(key), key) {
            Some(index) => CacheReply { outcome: CacheOutcome::Got, body: Body::Value(&self.entries[index].value) },
            None => CacheReply::empty(CacheOutcome::Absent),
        }
    }

    fn handle_set<'a>(&'a mut self, key: &'a [u8], value: &[u8]) -> CacheReply<'a, B> {
        let mut made = [0; Uuid::LEN];
        let put = if key.is_empty() {
            self.make_key(&mut made);
            self.put(&made, value, false)
        } else {
            self.put(key, value, false)
        };
        match put {
            Ok(index) => CacheReply { outcome: CacheOutcome::Set, body: Body::Value(&self.entries[index].key) },
            Err(CacheRefused::Preset) => CacheReply { outcome: CacheOutcome::PresetRefused, body: Body::Key(key) },
            Err(CacheRefused::Full) => CacheReply::empty(CacheOutcome::Full),
            Err(CacheRefused::TooLarge) => CacheReply::empty(CacheOutcome::TooLarge),
        }
    }

    fn handle_delete<'a>(&mut self, key: &'a [u8]) -> CacheReply<'a, B> {
        let outcome = match self.delete(key) {
            Ok(true) => CacheOutcome::Deleted,
            Ok(false) => CacheOutcome::NotThere,
            Err(_) => CacheOutcome::PresetRefused,
        };
        CacheReply { outcome, body: Body::Key(key) }
    }

    /// Makes a key for a value that came without.
    fn make_key(&mut self, out: &mut [u8; Uuid::LEN]) {
        Uuid::generate(&mut self.random).write(out);
    }
}

/// The reply to a request, and what became of the request.
#[derive(Debug)]
pub struct CacheReply<'a, B> {
    outcome: CacheOutcome,
    body: Body<'a, B>,
}

#[derive(Debug)]
enum Body<'a, B> {
    Empty,
    /// As it lies in the request.
    Key(&'a [u8]),
    /// A key or a value, as it lies in the table.
    Value(&'a B),
}

impl<'a, B: Buffer> CacheReply<'a, B> {
    const fn empty(outcome: CacheOutcome) -> Self {
        Self { outcome, body: Body::Empty }
    }

    /// What became of the request, for counters and logs.
    pub const fn outcome(&self) -> CacheOutcome {
        self.outcome
    }

    /// The bytes to send.
    pub fn as_slice(&self) -> &'a [u8] {
        match self.body {
            Body::Empty => &[],
            Body::Key(key) => key,
            Body::Value(buffer) => buffer.as_ref(),
        }
    }

    /// The bytes to send as a buffer, if the cache has them in one: a driver may share it rather than copy the bytes.
    pub const fn buffer(&self) -> Option<&'a B> {
        match self.body {
            Body::Value(buffer) => Some(buffer),
            Body::Empty | Body::Key(_) => None,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// `get`: the reply is the value.
    Got,
    /// `get`: there is no such key; the reply is empty.
    Absent,
    /// `set`: the reply is the key.
    Set,
    /// `delete`: the reply is the key.
    Deleted,
    /// `delete`: there was no such key; the reply is the key.
    NotThere,
    /// `set` or `delete` of a key that the owner preset: nothing has changed; the reply is the key, as a stock peer expects.
    PresetRefused,
    /// `set`: the cache is full; the reply is empty.
    Full,
    /// `set`: the key or the value is too large; the reply is empty.
    TooLarge,
    /// The function has no dot; the reply is empty.
    NoDot,
    /// The word after the dot is no command; the reply is empty.
    UnknownCommand,
    /// The bytes are not a PALM message; the reply is empty.
    NotAMessage,
}

impl CacheOutcome {
    /// Whether the peer did something that no sound peer does: worth a line in the log, at a bounded rate.
    pub const fn is_fault(self) -> bool {
        match self {
            Self::Got | Self::Absent | Self::Set | Self::Deleted | Self::NotThere => false,
            Self::PresetRefused | Self::Full | Self::TooLarge => true,
            Self::NoDot | Self::UnknownCommand | Self::NotAMessage => true,
        }
    }
}

impl fmt::Display for CacheOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Got => "got",
            Self::Absent => "no such key",
            Self::Set => "set",
            Self::Deleted => "deleted",
            Self::NotThere => "no such key to delete",
            Self::PresetRefused => "refused: the key is preset",
            Self::Full => "refused: the cache is full",
            Self::TooLarge => "refused: the key or the value is too large",
            Self::NoDot => "not a command: no dot in the function",
            Self::UnknownCommand => "not a command: the word after the dot is none of get, set, delete",
            Self::NotAMessage => "not a message",
        })
    }
}
