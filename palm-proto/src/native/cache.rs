//! Fields of the cache's frames (`docs/spec.md`, section 9.8).

use serde::{Deserialize, Serialize};

use crate::cache::CacheRefused;

/// On what condition a value is set or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// On none.
    Always,
    /// If the key has no value.
    Absent,
    /// If the key's value has this version.
    Version(u64),
}

/// Why the cache did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
#[non_exhaustive]
pub enum CacheRefusalCode {
    /// The key is preset by the cache's owner.
    Preset,
    /// There are as many entries, or bytes, as the cache may keep.
    Full,
    /// The key or the value is longer than one may be.
    TooLarge,
    /// One of a later version of the protocol.
    Other(u32),
}

impl From<u32> for CacheRefusalCode {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Preset,
            1 => Self::Full,
            2 => Self::TooLarge,
            _ => Self::Other(number),
        }
    }
}

impl From<CacheRefusalCode> for u32 {
    fn from(code: CacheRefusalCode) -> Self {
        match code {
            CacheRefusalCode::Preset => 0,
            CacheRefusalCode::Full => 1,
            CacheRefusalCode::TooLarge => 2,
            CacheRefusalCode::Other(number) => number,
        }
    }
}

impl From<CacheRefused> for CacheRefusalCode {
    fn from(refused: CacheRefused) -> Self {
        match refused {
            CacheRefused::Preset => Self::Preset,
            CacheRefused::Full => Self::Full,
            CacheRefused::TooLarge => Self::TooLarge,
        }
    }
}
