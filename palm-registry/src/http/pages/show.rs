//! Instants and amounts for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// An instant, in microseconds since 1970, as machines read it.
pub(super) fn machine(micros: i64) -> String {
    stamp(micros, "%Y-%m-%dT%H:%M:%SZ")
}

/// An instant as people read it where there is no script that knows their zone.
pub(super) fn instant(micros: i64) -> String {
    stamp(micros, "%Y-%m-%d %H:%M:%S UTC")
}

/// The time of a line's day, to the millisecond.
pub(super) fn clock(micros: i64) -> String {
    stamp(micros, "%H:%M:%S%.3f")
}

fn stamp(micros: i64, format: &str) -> String {
    let at = Timestamp::from_microsecond(micros).map(|at| at.to_zoned_datetime(TimeZone::UTC));
    at.map_or_else(|_| String::new(), |at| at.strftime(format).to_string())
}

/// Bytes.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && amount < 10.0);
    format!("{amount:.digits$} {}", UNITS[unit])
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many there are a second.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        r if r >= 10.0 => format!("{}/s", count(r.round() as u64)),
        r if r > 0.0 && r < 0.1 => "<0.1/s".to_owned(),
        r => format!("{}/s", (r * 10.0).round() / 10.0),
    }
}

/// Seconds.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        short if short < 60.0 => format!("{short:.1} s"),
        long if long < 3600.0 => format!("{:.0} min", long / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!((bytes(0), bytes(1536), bytes(20 << 20)), ("0 B".into(), "1.5 KiB".into(), "20 MiB".into()));
        assert_eq!((seconds(1.25), seconds(90.0), seconds(7200.0)), ("1.2 s".into(), "2 min".into(), "2.0 h".into()));
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let rates = [0.0, 0.01, 0.25, 2.0, 9.96, 12.4, 25_000.4];
        assert_eq!(rates.map(rate), ["0/s", "<0.1/s", "0.3/s", "2/s", "10/s", "12/s", "25,000/s"]);
        assert_eq!(instant(1_000_000), "1970-01-01 00:00:01 UTC");
        assert_eq!((machine(0), clock(1_500)), ("1970-01-01T00:00:00Z".into(), "00:00:00.001".into()));
        assert_eq!(instant(i64::MAX), "");
    }
}
