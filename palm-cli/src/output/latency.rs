//! Latencies: recorded in fixed memory, reported as percentiles.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told apart, in microseconds: a day.
const LONGEST: u64 = 86_400_000_000;

/// A distribution of latencies, exact to 0.1 %, in memory that does not depend on their number.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("invariant: the bounds above are in order"))
    }

    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST).min(LONGEST));
    }

    /// The latency that the share `quantile` (0 to 1) does not exceed; zero if there are none.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile).min(self.0.max()))
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [0.5, 0.99].map(|quantile| Short(self.quantile(quantile)));
        write!(f, "latency p50 {p50}, p99 {p99}, max {}", Short(self.max()))
    }
}

/// A time in three digits and a unit.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (value, unit) = match seconds {
            s if s < 1e-3 => (s * 1e6, "us"),
            s if s < 1.0 => (s * 1e3, "ms"),
            s if s < 120.0 => (s, "s"),
            s if s < 7200.0 => (s / 60.0, "min"),
            s => (s / 3600.0, "h"),
        };
        let digits = if unit == "us" || value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        write!(f, "{value:.digits$} {unit}")
    }
}

/// How many there were each second.
pub(crate) fn rate(count: u64, time: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
    let rate = count as f64 / time.as_secs_f64().max(1e-6);
    a_second(rate)
}

/// A number each second, in three digits or whole.
pub(crate) fn a_second(rate: f64) -> String {
    match rate {
        r if r >= 100.0 => format!("{r:.0}/s"),
        r => format!("{r:.1}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        assert_eq!(latencies.to_string(), "latency p50 500 ms, p99 990 ms, max 1.00 s");
        latencies.record(Duration::MAX);
        assert!(latencies.max() >= Duration::from_secs(86_000));
    }

    #[test]
    fn three_digits() {
        for (micros, text) in [
            (7, "7 us"),
            (999, "999 us"),
            (1_234, "1.23 ms"),
            (45_678, "45.7 ms"),
            (90_000_000, "90.0 s"),
            (600_000_000, "10.0 min"),
        ] {
            assert_eq!(Short(Duration::from_micros(micros)).to_string(), text);
        }
        assert_eq!(rate(5, Duration::from_secs(2)), "2.5/s");
        assert_eq!(rate(500_000, Duration::from_secs(2)), "250000/s");
    }
}
