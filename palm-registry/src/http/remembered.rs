//! What was seen a while ago, as far as there is room.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is remembered at most: of more, what was seen last.
const MOST: usize = 10_000;

/// Texts, and when each was seen last.
#[derive(Debug)]
pub(super) struct Remembered {
    lasts: Duration,
    seen: Mutex<HashMap<String, Instant>>,
}

impl Remembered {
    /// Each is remembered for so long.
    pub(super) fn new(lasts: Duration) -> Self {
        Self { lasts, seen: Mutex::default() }
    }

    /// Whether it was seen.
    pub(super) fn has(&self, text: &str) -> bool {
        self.lock().get(text).is_some_and(|seen| seen.elapsed() < self.lasts)
    }

    /// It is seen now.
    pub(super) fn see(&self, text: &str) {
        let mut seen = self.lock();
        if seen.len() >= MOST && !seen.contains_key(text) {
            // Half of them go at once, so that not each that comes has all looked through.
            let mut times: Vec<Instant> = seen.values().copied().collect();
            let middle = times.len() / 2;
            let median = *times.select_nth_unstable(middle).1;
            seen.retain(|_, at| *at > median);
        }
        seen.insert(text.to_owned(), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_last_is_remembered() {
        let remembered = Remembered::new(Duration::from_secs(3600));
        (0..MOST + 5).for_each(|index| remembered.see(&index.to_string()));
        assert!(remembered.lock().len() <= MOST && remembered.has(&(MOST + 4).to_string()));
        assert!(!remembered.has("0") && !remembered.has("x"));
        let short = Remembered::new(Duration::ZERO);
        short.see("x");
        assert!(!short.has("x"), "it was seen too long ago");
    }
}
