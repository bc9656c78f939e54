//! Fields of Hello, Welcome and Refused (`docs/spec.md`, section 9.5).

use core::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::VERSION;
use crate::hash::siphash_2_4;

/// The bytes `PALM`, by which each side knows that the other speaks this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "[u8; 4]")]
pub struct Magic;

impl Magic {
    /// The bytes.
    pub const BYTES: [u8; 4] = *b"PALM";
}

impl From<Magic> for [u8; 4] {
    fn from(Magic: Magic) -> Self {
        Magic::BYTES
    }
}

impl<'de> Deserialize<'de> for Magic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if array(deserializer)? == Self::BYTES { Ok(Self) } else { Err(D::Error::custom("not PALM")) }
    }
}

/// The versions of the protocol that a peer speaks, all between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The lowest.
    pub min: u8,
    /// The highest.
    pub max: u8,
}

impl Versions {
    /// Those that this crate speaks.
    pub const OURS: Self = Self { min: VERSION, max: VERSION };

    /// The highest that both sides speak.
    pub fn common(self, other: Self) -> Option<u8> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

/// What a peer is to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It does tasks.
    Worker,
    /// It submits tasks and takes their results.
    Client,
}

/// The name that a process gives itself, at random, and keeps over its connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(#[serde(deserialize_with = "array")] pub [u8; 16]);

impl SessionId {
    /// Nobody's: under which a worker announces what nobody wants, or what it does not know the client of.
    pub const NOBODY: Self = Self([0; 16]);

    /// The *handle* by which workers, and all who speak ZeroMQ, know a client of this session (`docs/spec.md`, section 9.6): the same
    /// for each master, of no use as a session, and nobody learns the session from it.
    #[must_use]
    pub fn handle(self) -> Self {
        if self == Self::NOBODY {
            return self;
        }
        let mut handle = [0; 16];
        for (half, bytes) in handle.as_chunks_mut::<8>().0.iter_mut().zip([*b"handle 0", *b"handle 1"]) {
            *half = siphash_2_4(&self.0, bytes).to_le_bytes();
        }
        Self(handle)
    }
}

impl AsRef<[u8]> for SessionId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads an array of bytes in a loop; serde's own way takes code for each of them.
fn array<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    struct Bytes<const N: usize>;

    impl<'de, const N: usize> Visitor<'de> for Bytes<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<[u8; N], A::Error> {
            let mut array = [0; N];
            for (index, place) in array.iter_mut().enumerate() {
                *place = bytes.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
            }
            Ok(array)
        }
    }

    deserializer.deserialize_tuple(N, Bytes)
}

/// Why a master refuses a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
#[non_exhaustive]
pub enum RefusalCode {
    /// There is no version that both speak.
    Version,
    /// The token is not the right one.
    Token,
    /// It does not take peers of this role.
    Role,
    /// It has as many peers as it may have. Trying again later may help.
    Full,
    /// What the peer sent breaks the protocol.
    Malformed,
    /// The peer's name is one that it cannot have.
    Name,
    /// It stops. Trying again later may help.
    Stopping,
    /// On a line: there is no connection, or it broke. The peer begins one at once.
    NotConnected,
    /// Another connection has the same session now.
    Replaced,
    /// One of a later version of the protocol.
    Other(u32),
}

impl RefusalCode {
    /// Those that have a name, in the order of their numbers.
    const NAMED: [Self; 9] = [
        Self::Version,
        Self::Token,
        Self::Role,
        Self::Full,
        Self::Malformed,
        Self::Name,
        Self::Stopping,
        Self::NotConnected,
        Self::Replaced,
    ];
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("no common version"),
            Self::Token => f.write_str("wrong token"),
            Self::Role => f.write_str("no peers of this role"),
            Self::Full => f.write_str("full"),
            Self::Malformed => f.write_str("what was sent breaks the protocol"),
            Self::Name => f.write_str("a name that the peer cannot have"),
            Self::Stopping => f.write_str("the master stops"),
            Self::NotConnected => f.write_str("not connected"),
            Self::Replaced => f.write_str("another connection has the session"),
            Self::Other(number) => write!(f, "refusal {number}"),
        }
    }
}

impl From<u32> for RefusalCode {
    fn from(number: u32) -> Self {
        Self::NAMED.get(number as usize).copied().unwrap_or(Self::Other(number))
    }
}

impl From<RefusalCode> for u32 {
    fn from(code: RefusalCode) -> Self {
        match code {
            RefusalCode::Version => 0,
            RefusalCode::Token => 1,
            RefusalCode::Role => 2,
            RefusalCode::Full => 3,
            RefusalCode::Malformed => 4,
            RefusalCode::Name => 5,
            RefusalCode::Stopping => 6,
            RefusalCode::NotConnected => 7,
            RefusalCode::Replaced => 8,
            RefusalCode::Other(number) => number,
        }
    }
}

/// Whether a token is the expected one, in a time that depends on the length of the given one only.
pub fn token_matches(expected: &[u8], given: &[u8]) -> bool {
    let difference = expected.iter().cycle().zip(given).fold(0, |all, (&ours, &theirs)| {
        // Keeps the compiler from leaving off at the first difference.
        core::hint::black_box(all | (ours ^ theirs))
    });
    (difference == 0) & (expected.len() == given.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        let versions = |min, max| Versions { min, max };
        assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
        assert_eq!(versions(2, 5).common(versions(1, 3)), Some(3));
        assert_eq!(versions(1, 1).common(versions(2, 5)), None);
        assert_eq!(versions(3, 1).common(versions(1, 5)), None, "no version is in there");
    }

    #[test]
    fn tokens_match_as_a_whole() {
        for (expected, given, matches) in [
            ("", "", true),
            ("secret", "secret", true),
            ("secret", "Secret", false),
            ("secret", "secreT", false),
            ("secret", "secre", false),
            ("secret", "secretsecret", false),
            ("secret", "", false),
            ("", "s", false),
        ] {
            assert_eq!(token_matches(expected.as_bytes(), given.as_bytes()), matches, "{expected:?} {given:?}");
        }
    }

    #[test]
    fn refusals_keep_their_numbers() {
        for number in 0..20 {
            assert_eq!(u32::from(RefusalCode::from(number)), number);
        }
        assert_eq!(RefusalCode::from(9), RefusalCode::Other(9));
    }
}
