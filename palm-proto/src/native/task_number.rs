//! The numbers by which a worker's frames name its tasks (`docs/spec.md`, section 9.6).

use serde::{Deserialize, Serialize};

/// The place of a task in the order in which a connection's tasks were sent, modulo 16,384, so that it takes two bytes at
/// most.
///
/// The first task of a connection has the count 0; those that a worker announced to hold come before those that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct TaskNumber(u16);

impl TaskNumber {
    /// Number of different numbers. A connection has no more than half as many tasks out, so that no two have the same.
    pub const MODULUS: u16 = 1 << 14;

    /// The number of the task that `count` tasks of its connection came before.
    #[inline]
    pub const fn of(count: u64) -> Self {
        Self((count % Self::MODULUS as u64) as u16)
    }

    /// The count of which this is the number: the only one from `oldest` on, that of the oldest task that is out, up to
    /// a modulus further.
    #[inline]
    pub const fn count(self, oldest: u64) -> u64 {
        let ahead = (self.0 as u64).wrapping_sub(oldest) % Self::MODULUS as u64;
        oldest.wrapping_add(ahead)
    }
}

impl From<TaskNumber> for u16 {
    fn from(number: TaskNumber) -> Self {
        number.0
    }
}

impl TryFrom<u16> for TaskNumber {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        if number < Self::MODULUS { Ok(Self(number)) } else { Err("not below the modulus") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_again() {
        for oldest in [0, 1, 8191, 16_383, 16_384, 1 << 40] {
            for ahead in [0, 1, 8191, 16_383] {
                assert_eq!(TaskNumber::of(oldest + ahead).count(oldest), oldest + ahead);
            }
        }
    }
}
