//! Time as the machines see it: a number that the caller hands in.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time in microseconds since an origin that the caller chooses.
///
/// Machines never read a clock. A driver takes the time since its own start; a simulator hands in whatever it likes, as
/// long as it never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time, which no deadline then ever reaches.
    fn add(self, after: Duration) -> Self {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<Self> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_and_subtracts_without_wrapping() {
        let at = Instant::from_millis(5);
        assert_eq!(at + Duration::from_micros(7), Instant::from_micros(5_007));
        assert_eq!(Instant::ZERO - at, Duration::ZERO);
        assert_eq!(at - Instant::ZERO, Duration::from_millis(5));
        assert_eq!(at + Duration::MAX, Instant::from_micros(u64::MAX));
    }
}
