//! The cache: the key-value store of a master, hub or server, seen by its clients and workers (`docs/spec.md`, section 3).
//!
//! [`Cache::handle_request`] answers a peer; [`Cache::preset`], [`Cache::set`], [`Cache::get`] and [`Cache::delete`] are the
//! owner's own access. What the owner presets (the addresses that discovery hands out) no peer can change.
//! [`Cache::get_at`], [`Cache::set_when`] and [`Cache::delete_when`] are for peers that know of versions and lifetimes.
//!
//! It keeps at most [`CacheLimits::entries`] entries of at most [`CacheLimits::bytes`] bytes together. A call hashes the key
//! and compares it, as a rule, with at most one other; in a [`FixedCache`] that is nearly full it may look at all places of
//! its index. A lifetime adds O(log n) to that, n being the entries that have one. A set, and [`Cache::handle_timeout`], also
//! drop up to 32 entries whose lifetime is over.

mod conditional;
mod lifetimes;
mod request;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;

pub use conditional::{DeleteRefused, SetRefused};
use lifetimes::{Lifetimes, NEVER, Node};
pub use request::{CacheOutcome, CacheReply};

use crate::buffer::Buffer;
#[cfg(feature = "alloc")]
use crate::collections::HeapTable;
use crate::collections::{Index, Place, Slab, Slot, Table};
use crate::hash::KeyedHash;
use crate::random::{Random, Seed};
use crate::time::Instant;

/// Entries whose lifetime is over that one call drops at most.
const SWEEP: usize = 32;
/// So long after its lifetime an entry may still take up room, so that a driver is woken for many at once.
const SWEEP_DELAY: Duration = Duration::from_millis(100);

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

/// The cache. `B` holds a key or a value, `S` and `P` are its tables.
#[derive(Debug)]
pub struct Cache<B, S, P> {
    entries: Slab<Entry<B>, S>,
    by_key: Index<P>,
    lifetimes: Lifetimes,
    limits: CacheLimits,
    hash: KeyedHash,
    random: Random,
    next_version: u64,
    bytes: usize,
    /// The last time that was told.
    now: Instant,
}

/// An entry of a cache; named only by storage types.
#[derive(Debug)]
pub struct Entry<B> {
    key: B,
    value: B,
    version: u64,
    /// When its lifetime is over, or [`NEVER`].
    expires: Instant,
    node: Node,
    /// Beside its node, since it would take four bytes inside.
    rank: u8,
    preset: bool,
}

/// A cache of at most `N` entries that lie in the cache itself.
pub type FixedCache<B, const N: usize> = Cache<B, heapless::Vec<Slot<Entry<B>>, N>, heapless::Vec<Place, N>>;

/// A cache with its tables on the heap.
#[cfg(feature = "alloc")]
pub type HeapCache = Cache<bytes::Bytes, HeapTable<Slot<Entry<bytes::Bytes>>>, HeapTable<Place>>;

impl<B: Buffer, const N: usize> FixedCache<B, N> {
    /// An empty cache. It keeps `N` entries at most, whatever `limits` say, and no key or value that a `B` cannot hold.
    pub fn new(limits: CacheLimits, seed: Seed) -> Self {
        Self::with_tables(heapless::Vec::new(), heapless::Vec::new(), limits, seed)
    }
}

#[cfg(feature = "alloc")]
impl HeapCache {
    /// An empty cache for `limits.entries` entries: 16 bytes for each at once, the rest as they come.
    ///
    /// # Panics
    /// If so much memory cannot be set aside: about 120 bytes for each entry.
    pub fn new(limits: CacheLimits, seed: Seed) -> Self {
        let places = HeapTable::new(limits.entries.saturating_mul(2));
        Self::with_tables(HeapTable::new(limits.entries), places, limits, seed)
    }
}

impl<B: Buffer, S: Table<Slot<Entry<B>>>, P: Table<Place>> Cache<B, S, P> {
    /// An empty cache in empty tables: one for the entries, and one that finds them, best with places for twice as many.
    pub fn with_tables(entries: S, places: P, limits: CacheLimits, seed: Seed) -> Self {
        Self {
            entries: Slab::new(entries),
            by_key: Index::new(places),
            lifetimes: Lifetimes::new(),
            limits,
            hash: KeyedHash::new(seed.derive("cache hash")),
            random: Random::new(seed.derive("cache keys")),
            next_version: Random::new(seed.derive("cache versions")).next_u64(),
            bytes: 0,
            now: Instant::ZERO,
        }
    }

    /// Sets a value that peers can read, and neither overwrite nor delete.
    ///
    /// # Errors
    /// If it exceeds a bound. The key then has the value it had.
    pub fn preset(&mut self, key: &[u8], value: &[u8]) -> Result<(), CacheRefused> {
        self.put(key, value, true).map(|_| ())
    }

    /// The value of `key`, unless its lifetime was over at the last time that the cache was told.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.buffer(key).map(AsRef::as_ref)
    }

    /// The value of `key` as it is kept, unless its lifetime was over at the last time that the cache was told.
    pub fn buffer(&self, key: &[u8]) -> Option<&B> {
        let entry = &self.entries[self.find(self.hash.hash(key), key)?];
        (!entry.is_over(self.now)).then_some(&entry.value)
    }

    /// Sets the value of `key`, without a lifetime.
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
        let hash = self.hash.hash(key);
        let Some(index) = self.find_live(hash, key) else {
            return Ok(false);
        };
        if self.entries[index].preset {
            return Err(CacheRefused::Preset);
        }
        self.remove(hash, index);
        Ok(true)
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called; `None`: no value has a lifetime.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lifetimes.first().map(|index| self.entries[index].expires + SWEEP_DELAY)
    }

    /// Drops up to 32 entries whose lifetime is over, so that their memory comes back; for readers they were gone before.
    /// Harmless when early. If there are more, [`poll_timeout`](Self::poll_timeout) says so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.sweep();
    }

    /// Number of entries, with those whose lifetime is over and that have not been dropped yet.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values of these entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it keeps at most.
    pub fn limits(&self) -> CacheLimits {
        self.limits
    }

    /// Sets a value without a lifetime; where its entry is.
    fn put(&mut self, key: &[u8], value: &[u8], preset: bool) -> Result<u32, CacheRefused> {
        self.sweep();
        let hash = self.hash.hash(key);
        let found = self.find_live(hash, key);
        self.store(hash, found, key, value, Terms { preset, expires: NEVER })
    }

    /// Sets the value of a key that has been looked for; where its entry is.
    fn store(
        &mut self,
        hash: u64,
        found: Option<u32>,
        key: &[u8],
        value: &[u8],
        terms: Terms,
    ) -> Result<u32, CacheRefused> {
        if key.len() > self.limits.key || value.len() > self.limits.value {
            return Err(CacheRefused::TooLarge);
        }
        let index = match found {
            Some(index) => self.replace(index, value, terms.preset).map(|()| index)?,
            None => self.add(hash, key, value, terms.preset)?,
        };
        self.entries[index].version = self.next_version;
        self.next_version = self.next_version.wrapping_add(1);
        self.lifetimes.set(&mut self.entries, index, terms.expires);
        Ok(index)
    }

    fn replace(&mut self, index: u32, value: &[u8], preset: bool) -> Result<(), CacheRefused> {
        let entry = &mut self.entries[index];
        if entry.preset && !preset {
            return Err(CacheRefused::Preset);
        }
        let bytes = self.limits.fit(self.bytes - entry.value.as_ref().len(), value.len())?;
        entry.value = B::copy_from(value).ok_or(CacheRefused::TooLarge)?;
        entry.preset |= preset;
        self.bytes = bytes;
        Ok(())
    }

    fn add(&mut self, hash: u64, key: &[u8], value: &[u8], preset: bool) -> Result<u32, CacheRefused> {
        if self.entries.len() >= self.limits.entries || self.entries.is_full() {
            return Err(CacheRefused::Full);
        }
        let bytes = self.limits.fit(self.bytes, key.len().saturating_add(value.len()))?;
        let (Some(key), Some(value)) = (B::copy_from(key), B::copy_from(value)) else {
            return Err(CacheRefused::TooLarge);
        };
        let entry = Entry { key, value, version: 0, expires: NEVER, node: Node::ALONE, rank: 0, preset };
        let index = self.entries.insert(entry).map_err(|_| CacheRefused::Full)?;
        if !self.by_key.insert(hash, index) {
            self.entries.remove(index);
            return Err(CacheRefused::Full);
        }
        self.bytes = bytes;
        Ok(index)
    }

    fn remove(&mut self, hash: u64, index: u32) {
        self.lifetimes.set(&mut self.entries, index, NEVER);
        self.by_key.remove(hash, index);
        self.bytes -= self.entries.remove(index).map_or(0, |entry| entry.bytes());
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn sweep(&mut self) {
        for _ in 0..SWEEP {
            let Some(index) = self.lifetimes.first() else { return };
            let entry = &self.entries[index];
            if !entry.is_over(self.now) {
                return;
            }
            self.remove(self.hash.hash(entry.key.as_ref()), index);
        }
    }

    /// Where the entry of `key` is, which goes if its lifetime is over.
    fn find_live(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let index = self.find(hash, key)?;
        if self.entries[index].is_over(self.now) {
            self.remove(hash, index);
            return None;
        }
        Some(index)
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.by_key.candidates(hash).find(|&index| self.entries[index].key.as_ref() == key)
    }
}

/// What a value is set with.
#[derive(Clone, Copy, Debug)]
struct Terms {
    preset: bool,
    expires: Instant,
}

impl<B> Entry<B> {
    fn is_over(&self, now: Instant) -> bool {
        self.expires != NEVER && self.expires <= now
    }
}

impl<B: Buffer> Entry<B> {
    /// Bytes of key and value.
    fn bytes(&self) -> usize {
        self.key.as_ref().len() + self.value.as_ref().len()
    }
}

impl CacheLimits {
    /// So many bytes, if they are not too many.
    fn fit(&self, kept: usize, more: usize) -> Result<usize, CacheRefused> {
        let bytes = kept.saturating_add(more);
        if bytes > self.bytes { Err(CacheRefused::Full) } else { Ok(bytes) }
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
