//! Log lines: as PALM's components write them, or as JSON.

mod queue;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::str::FromStr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output::{harmless_json, is_harmful, progress};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `2017-02-01 10:11:41,485 - root - INFO - Starting the router`
    Text,
    /// One JSON object a line
    Json,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Components, whose runner reads nothing else.
    Stdout,
    /// Everything that has data to print.
    Stderr,
}

/// Which events are logged.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Targets);

impl Filter {
    /// Everything from this level on.
    pub(crate) fn at(level: LevelFilter) -> Self {
        Self(Targets::new().with_default(level))
    }

    /// Warnings, and what has this target from INFO on.
    pub(crate) fn warnings_and(target: &'static str) -> Self {
        Self(Targets::new().with_default(LevelFilter::WARN).with_target(target, LevelFilter::INFO))
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // `Targets` takes any word without `=` that is no level for the name of a module, so a misspelt level would pass.
        for word in text.split(',') {
            let level = word.rsplit_once('=').map_or(word, |(_, level)| level);
            if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                return Err(format!("`{level}` is no level; use off, error, warn, info, debug or trace"));
            }
        }
        Targets::from_str(text).map(Self).map_err(|error| error.to_string())
    }
}

/// Has every event from now on written to `target`, under the name of `logger`; without a name if that is empty.
///
/// # Errors
/// If the system has no thread to write it.
pub(crate) fn start(format: Format, filter: &Filter, logger: &str, target: Target) -> io::Result<()> {
    if target == Target::Stdout {
        queue::start()?;
    }
    let lines = Lines { format, logger: one_line(logger).into_owned() };
    // A log that nobody reads any more must not stop, or even trouble, the component that writes it.
    let layer = tracing_subscriber::fmt::layer()
        .event_format(lines)
        .with_writer(target)
        .log_internal_errors(false)
        .with_ansi(false);
    // `Err` only if somebody has set a subscriber before, which then stays.
    let _ = tracing_subscriber::registry().with(filter.0.clone()).with(layer).try_init();
    Ok(())
}

/// Waits, for a bounded time, until what was logged is written.
pub(crate) fn flush() {
    queue::flush();
}

impl<'a> MakeWriter<'a> for Target {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter(*self)
    }
}

/// Writes one line.
pub(crate) struct LineWriter(Target);

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0 {
            Target::Stdout => queue::put(line),
            // Past the progress bar.
            Target::Stderr => progress::suspended(|| io::stderr().write_all(line))?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The layout of a line.
struct Lines {
    format: Format,
    logger: String,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = jiff::ZonedDateTime::now();
        let level = level_name(*event.metadata().level());
        let mut fields = Fields::default();
        event.record(&mut fields);
        match self.format {
            Format::Text => {
                let time = now.strftime("%Y-%m-%d %H:%M:%S");
                let millis = now.subsec_nanosecond() / 1_000_000;
                write!(writer, "{time},{millis:03} - ")?;
                if !self.logger.is_empty() {
                    write!(writer, "{} - ", self.logger)?;
                }
                write!(writer, "{level} - {}", one_line(&fields.message))?;
                for (name, value) in &fields.others {
                    match value {
                        // A worker's name, say, which the line has already.
                        Value::String(text) if *text == self.logger => {}
                        Value::String(text) => write!(writer, " {name}={}", one_line(text))?,
                        value => write!(writer, " {name}={value}")?,
                    }
                }
                writeln!(writer)
            }
            Format::Json => {
                let mut object = Map::new();
                object.insert("time".to_owned(), now.timestamp().to_string().into());
                object.insert("logger".to_owned(), self.logger.clone().into());
                object.insert("level".to_owned(), level.into());
                object.insert("target".to_owned(), event.metadata().target().into());
                object.insert("message".to_owned(), fields.message.into());
                object.extend(fields.others);
                writeln!(writer, "{}", harmless_json(&Value::Object(object).to_string()))
            }
        }
    }
}

/// Level names as the Python components write them.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// The text without what would break the line or drive a terminal: what peers and programs say ends up here.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    Cow::Owned(line)
}

/// Collects an event's message and fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a `String` does not fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.add(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message.push_str(value) } else { self.add(field, value.into()) }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        for text in ["info", "OFF", "info,palm_proto=trace", "palm_proto=debug"] {
            assert!(Filter::from_str(text).is_ok(), "{text}");
        }
        for text in ["loud", "", "info,palm_proto=loud", "palm_proto"] {
            assert!(Filter::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn text_from_outside_cannot_break_a_line() {
        assert_eq!(one_line("a\nb\x1b[2Jc\td\u{202e}e\u{9d}"), "a\\nb\\u{1b}[2Jc\td\\u{202e}e\\u{9d}");
    }
}
