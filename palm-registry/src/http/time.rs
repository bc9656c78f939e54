//! Instants as Python writes them: local time, without a zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

/// An instant in microseconds since 1970, as `isoformat` has it.
pub(super) fn iso(micros: i64) -> String {
    let Ok(at) = Timestamp::from_microsecond(micros) else { return String::new() };
    at.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// An instant that a client gives: `2017-02-01T10:11:41.485000`, a blank in place of the `T`, without microseconds, or a day.
pub(super) fn parse(text: &str) -> Option<i64> {
    let at: DateTime = text.trim().parse().ok()?;
    let at = at.round(Unit::Microsecond).ok()?;
    Some(at.to_zoned_datetime(TimeZone::system()).ok()?.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for micros in [0, 1_485_943_901_485_000, 1_700_000_000_000_001] {
            assert_eq!(parse(&iso(micros)), Some(micros));
        }
        assert_eq!(parse("2020-01-01 00:00:00"), parse("2020-01-01T00:00:00.000000"));
        assert_eq!(parse("2020-01-01"), parse("2020-01-01T00:00:00"));
        assert!(parse("yesterday").is_none() && parse("").is_none());
    }
}
