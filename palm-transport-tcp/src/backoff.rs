//! How long to wait before the next try to connect.

use std::time::Duration;

use palm_proto::{Random, Seed};

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);

/// Doubling waits up to a limit, each shortened by a random part of up to a half, so that the peers of a master that
/// restarts do not all come back in the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: Random,
}

impl Backoff {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self { next: FIRST, random: Random::new(seed) }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        let half = u32::try_from((whole / 2).as_micros()).unwrap_or(u32::MAX);
        whole - Duration::from_micros(u64::from(self.random.below(half)))
    }

    /// A connection was established: the next wait is the shortest again.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_are_never_short() {
        let mut backoff = Backoff::new(Seed::from_u64(1));
        let mut whole = FIRST;
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(wait <= whole && wait >= whole / 2, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
        assert_eq!(whole, LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
