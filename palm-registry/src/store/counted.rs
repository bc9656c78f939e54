//! What was counted last, for those who ask while that may be relied on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many there are of each.
pub type Counts = BTreeMap<&'static str, u64>;

/// How long counts may be relied on at least.
const FRESH: Duration = Duration::from_secs(1);
/// And for how many times as long as it took to count.
const TIMES: u32 = 9;

/// Counts, and until when they may be relied on.
#[derive(Debug, Default)]
pub(super) struct Counted(Option<(Counts, Instant)>);

impl Counted {
    /// What was counted, if that may be relied on at an instant.
    pub(super) fn at(&self, now: Instant) -> Option<Counts> {
        self.0.as_ref().filter(|(_, until)| now < *until).map(|(counts, _)| counts.clone())
    }

    /// It was counted from one instant to another.
    pub(super) fn keep(&mut self, counts: Counts, begun: Instant, ended: Instant) {
        self.0 = Some((counts, ended + FRESH.max((ended - begun) * TIMES)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_counted_less_often() {
        let mut counted = Counted::default();
        let (begun, counts) = (Instant::now(), Counts::from([("ready", 3)]));
        assert!(counted.at(begun).is_none());
        for (took, fresh) in [(1, 1000), (100, 1000), (2000, 18_000)] {
            let ended = begun + Duration::from_millis(took);
            counted.keep(counts.clone(), begun, ended);
            assert_eq!(counted.at(ended + Duration::from_millis(fresh - 1)).as_ref(), Some(&counts));
            assert!(counted.at(ended + Duration::from_millis(fresh)).is_none());
        }
    }
}
