//! Reading with the version, and changing under a condition (`docs/spec.md`, sections 3.3 and 9.8).

use core::fmt;
use core::time::Duration;

use super::lifetimes::NEVER;
use super::{Cache, CacheRefused, Entry, Terms};
use crate::buffer::Buffer;
use crate::collections::{Place, Slot, Table};
use crate::native::When;
use crate::time::Instant;

impl<B: Buffer, S: Table<Slot<Entry<B>>>, P: Table<Place>> Cache<B, S, P> {
    /// The value of `key` as it is kept, and its version.
    pub fn get_at(&mut self, now: Instant, key: &[u8]) -> Option<(&B, u64)> {
        self.advance(now);
        let index = self.find_live(self.hash.hash(key), key)?;
        let entry = &self.entries[index];
        Some((&entry.value, entry.version))
    }

    /// Sets the value of `key` if `when` holds, and returns its version. It is gone when `ttl` has passed, to the microsecond;
    /// without one it stays.
    ///
    /// # Errors
    /// If `when` does not hold, the key is preset, or a bound is exceeded. The key then has the value it had, for as long as it
    /// had it.
    pub fn set_when(
        &mut self,
        now: Instant,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        when: When,
    ) -> Result<u64, SetRefused> {
        self.advance(now);
        self.sweep();
        let hash = self.hash.hash(key);
        let found = self.find_live(hash, key);
        match found {
            Some(index) => self.meet(index, when).map_err(SetRefused::Conflict)?,
            None if matches!(when, When::Version(_)) => return Err(SetRefused::Absent),
            None => {}
        }
        let expires = ttl.map_or(NEVER, |ttl| self.now + ttl);
        let index = self.store(hash, found, key, value, Terms { preset: false, expires })?;
        Ok(self.entries[index].version)
    }

    /// Deletes `key` if `when` holds.
    ///
    /// # Errors
    /// If there is no such key, whatever `when` is; if `when` does not hold, or the key is preset. It then stays.
    pub fn delete_when(&mut self, now: Instant, key: &[u8], when: When) -> Result<(), DeleteRefused> {
        self.advance(now);
        let hash = self.hash.hash(key);
        let index = self.find_live(hash, key).ok_or(DeleteRefused::Absent)?;
        self.meet(index, when).map_err(DeleteRefused::Conflict)?;
        if self.entries[index].preset {
            return Err(DeleteRefused::Preset);
        }
        self.remove(hash, index);
        Ok(())
    }

    /// Whether a value meets a condition; its version if not.
    fn meet(&self, index: u32, when: When) -> Result<(), u64> {
        let version = self.entries[index].version;
        let met = match when {
            When::Always => true,
            When::Absent => false,
            When::Version(wanted) => version == wanted,
        };
        if met { Ok(()) } else { Err(version) }
    }
}

/// Why [`Cache::set_when`] did not set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetRefused {
    /// A version is asked for, and the key has no value.
    Absent,
    /// The key has a value, of this version, which is not what is asked for.
    Conflict(u64),
    /// The key is preset by the cache's owner.
    Preset,
    /// There are as many entries, or bytes, as the cache may keep.
    Full,
    /// The key or the value is longer than one may be.
    TooLarge,
}

impl From<CacheRefused> for SetRefused {
    fn from(refused: CacheRefused) -> Self {
        match refused {
            CacheRefused::Preset => Self::Preset,
            CacheRefused::Full => Self::Full,
            CacheRefused::TooLarge => Self::TooLarge,
        }
    }
}

impl fmt::Display for SetRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => DeleteRefused::Absent.fmt(f),
            Self::Conflict(version) => DeleteRefused::Conflict(*version).fmt(f),
            Self::Preset => CacheRefused::Preset.fmt(f),
            Self::Full => CacheRefused::Full.fmt(f),
            Self::TooLarge => CacheRefused::TooLarge.fmt(f),
        }
    }
}

impl core::error::Error for SetRefused {}

/// Why [`Cache::delete_when`] did not delete a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRefused {
    /// The key has no value.
    Absent,
    /// The key has a value, of this version, which is not what is asked for.
    Conflict(u64),
    /// The key is preset by the cache's owner.
    Preset,
}

impl fmt::Display for DeleteRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the key has no value"),
            Self::Conflict(version) => write!(f, "the key has a value of another version, {version}"),
            Self::Preset => CacheRefused::Preset.fmt(f),
        }
    }
}

impl core::error::Error for DeleteRefused {}
