//! The numbers by which a worker's frames name its tasks (`docs/spec.md`, section 9.6).

use serde::{Deserialize, Serialize};

/// What a task is called in one connection: its place in the order in which the tasks are sent, modulo 16,384, so that it
/// takes two bytes at most.
///
/// Tasks do not carry it; both sides count. The first has the number 0, or, if the worker announced tasks that it holds,
/// that of the first behind those. A master that comes to a number which a task of long ago still has leaves it out, and says
/// so ([`Skip`](super::ToPeer::Skip)): so no two tasks that are out have the same, and a ring of places finds each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct TaskNumber(u16);

impl TaskNumber {
    /// How many there are.
    pub const MODULUS: u16 = 1 << 14;

    /// That of the first task.
    pub const FIRST: Self = Self(0);

    /// The one that comes `more` after this one.
    #[inline]
    pub const fn plus(self, more: u32) -> Self {
        Self((self.0 as u32).wrapping_add(more) as u16 % Self::MODULUS)
    }

    /// It as a number, below [`TaskNumber::MODULUS`].
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
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
    fn numbers_go_round() {
        let last = TaskNumber::FIRST.plus(16_383);
        assert_eq!((last.number(), last.plus(1)), (16_383, TaskNumber::FIRST));
        assert_eq!(last.plus(u32::MAX), TaskNumber::FIRST.plus(16_382), "one back");
        assert_eq!(TaskNumber::FIRST.plus(1_000_000).number(), (1_000_000 % 16_384) as u16);
    }
}
