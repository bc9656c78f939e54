//! A bound on log lines that others can cause.

use std::time::{Duration, Instant};

/// Lines in an interval.
const LINES: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets through so many lines in an interval, and counts the others; says at its end how many the last interval left out.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether a line may be written at `now`, and how many were left out since the last that might.
    pub(crate) fn allows(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= INTERVAL) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Drop for LogLimit {
    fn drop(&mut self) {
        if self.left_out > 0 {
            tracing::warn!("further lines of this kind left out: {}", self.left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_left_out_and_counted() {
        let mut limit = LogLimit::default();
        let start = Instant::now();
        for _ in 0..LINES {
            assert_eq!(limit.allows(start), Some(0));
        }
        assert_eq!((limit.allows(start), limit.allows(start)), (None, None));
        assert_eq!(limit.allows(start + INTERVAL), Some(2));
        assert_eq!(limit.allows(start + INTERVAL), Some(0));
    }
}
