//! The cache: the key-value store of a master, hub or server, seen by its clients and workers (`docs/spec.md`, section 3).
//!
//! [`Cache::handle_request`] answers a peer; [`Cache::preset`], [`Cache::set`], [`Cache::get`] and [`Cache::delete`] are the
//! owner's own access. What the owner presets (the addresses that discovery hands out) no peer can change.
//!
//! It keeps at most [`CacheLimits::entries`] entries of at most [`CacheLimits::bytes`] bytes together. A call hashes the key
//! and looks, as a rule, at a few slots; with a table that is full it may look at all of them.

mod request;
mod table;
#[cfg(test)]
mod tests;

use core::fmt;

pub use request::{CacheOutcome, CacheReply};
pub use table::Entry;
use table::Place;

use crate::buffer::Buffer;
use crate::hash::KeyedHash;
use crate::random::{Random, Seed};
use crate::storage::Slots;

/// What a cache keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Entries, presets among them.
    pub entries: usize,
    /// Bytes of all keys and values together.
    pub bytes: usize,
    /// Bytes of one key.
    pub key: usize,
    /// Bytes of one value.
    pub value: usize,
}

impl Default for CacheLimits {
    /// 65,536 entries, 256 MiB together, keys of 4 KiB, values of 64 MiB.
    fn default() -> Self {
        Self { entries: 1 << 16, bytes: 256 << 20, key: 4 << 10, value: 64 << 20 }
    }
}

/// The cache. `B` holds a key or a value, `S` is the table.
#[derive(Debug)]
pub struct Cache<B, S> {
    slots: S,
    limits: CacheLimits,
    hash: KeyedHash,
    random: Random,
    len: usize,
    bytes: usize,
    buffer: core::marker::PhantomData<B>,
}

/// A cache of at most `N` entries that lie in the cache itself.
pub type FixedCache<B, const N: usize> = Cache<B, [Entry<B>; N]>;

/// A cache whose table is allocated when it is made.
#[cfg(feature = "alloc")]
pub type HeapCache = Cache<bytes::Bytes, alloc::boxed::Box<[Entry<bytes::Bytes>]>>;

impl<B: Buffer, const N: usize> FixedCache<B, N> {
    /// An empty cache. It keeps `N` entries at most, whatever `limits` say, and no key or value that a `B` cannot hold.
    pub fn new(limits: CacheLimits, seed: Seed) -> Self {
        Self::with_slots(core::array::from_fn(|_| Entry::EMPTY), limits, seed)
    }
}

#[cfg(feature = "alloc")]
impl HeapCache {
    /// An empty cache, with a table for `limits.entries` entries: about 100 bytes for each, taken at once.
    ///
    /// # Panics
    /// If there is no memory for the table.
    pub fn new(limits: CacheLimits, seed: Seed) -> Self {
        // A quarter of the slots stays empty, so that a search soon meets an empty one.
        let slots = limits.entries.saturating_add(limits.entries / 3).saturating_add(1);
        Self::with_slots(crate::storage::boxed(slots, || Entry::EMPTY), limits, seed)
    }
}

impl<B: Buffer, S: Slots<Entry<B>>> Cache<B, S> {
    /// An empty cache in `slots`, which lose what they hold.
    pub fn with_slots(mut slots: S, limits: CacheLimits, seed: Seed) -> Self {
        slots.as_mut().fill_with(|| Entry::EMPTY);
        Self {
            slots,
            limits,
            hash: KeyedHash::new(seed.derive("cache hash")),
            random: Random::new(seed.derive("cache keys")),
            len: 0,
            bytes: 0,
            buffer: core::marker::PhantomData,
        }
    }

    /// Sets a value that peers can read, and neither overwrite nor delete.
    ///
    /// # Errors
    /// If it exceeds a bound. The key then has the value it had.
    pub fn preset(&mut self, key: &[u8], value: &[u8]) -> Result<(), CacheRefused> {
        self.put(key, value, true).map(|_| ())
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.buffer(key).map(AsRef::as_ref)
    }

    /// The value of `key` as it is kept.
    pub fn buffer(&self, key: &[u8]) -> Option<&B> {
        match self.find(key) {
            Place::Found(at) => self.slots.as_ref().get(at)?.value(),
            Place::Free(_) | Place::Full => None,
        }
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// If it exceeds a bound, or the key is preset. The key then has the value it had.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), CacheRefused> {
        self.put(key, value, false).map(|_| ())
    }

    /// Deletes `key`, and says whether it was there.
    ///
    /// # Errors
    /// If the key is preset; it then stays.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, CacheRefused> {
        let Place::Found(at) = self.find(key) else {
            return Ok(false);
        };
        if self.slots.as_ref().get(at).is_some_and(Entry::is_preset) {
            return Err(CacheRefused::Preset);
        }
        self.bytes -= table::remove(self.slots.as_mut(), at);
        self.len -= 1;
        Ok(true)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it keeps at most.
    pub fn limits(&self) -> CacheLimits {
        self.limits
    }

    /// Sets a value; where it lies.
    fn put(&mut self, key: &[u8], value: &[u8], preset: bool) -> Result<usize, CacheRefused> {
        if key.len() > self.limits.key || value.len() > self.limits.value {
            return Err(CacheRefused::TooLarge);
        }
        let place = self.find(key);
        let at = match place {
            Place::Found(at) => at,
            Place::Free(at) if self.len < self.limits.entries => at,
            Place::Free(_) | Place::Full => return Err(CacheRefused::Full),
        };
        let slot = self.slots.as_mut().get_mut(at).ok_or(CacheRefused::Full)?;
        if slot.is_preset() && !preset {
            return Err(CacheRefused::Preset);
        }
        let bytes = (self.bytes - slot.bytes()).saturating_add(key.len()).saturating_add(value.len());
        if bytes > self.limits.bytes {
            return Err(CacheRefused::Full);
        }
        slot.fill(upper(self.hash.hash(key)), key, value, preset).ok_or(CacheRefused::TooLarge)?;
        self.bytes = bytes;
        if let Place::Free(_) = place {
            self.len += 1;
        }
        Ok(at)
    }

    fn find(&self, key: &[u8]) -> Place {
        table::find(self.slots.as_ref(), upper(self.hash.hash(key)), key)
    }
}

/// Why a value was not set, or not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheRefused {
    /// The key is preset by the cache's owner.
    Preset,
    /// There are as many entries, or bytes, as the cache may keep.
    Full,
    /// The key or the value is longer than one may be.
    TooLarge,
}

impl fmt::Display for CacheRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preset => "the key is preset and cannot be changed",
            Self::Full => "the cache is full",
            Self::TooLarge => "the key or the value is too large for the cache",
        })
    }
}

impl core::error::Error for CacheRefused {}

const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
