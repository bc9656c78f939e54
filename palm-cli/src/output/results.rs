//! Results of a job: to standard output, or into a folder.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::folder::Folder;
use crate::launch::ledger::Arrived;

/// Bytes of results that are worth a write of their own.
const ENOUGH: usize = 1 << 16;

/// What results look like on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// The bytes, with nothing between one result and the next
    Raw,
    /// The bytes, and a line break after each result that does not end in one; a terminal is shown control characters as ^[ and the like
    Lines,
    /// An object a line: sequence, input, status, latency in milliseconds, and payload (payload_base64 if it is no text)
    Json,
    /// Nothing
    None,
    /// As Python shows bytes, a line for each result: b'...'
    Python,
}

/// One result, or the failure in its place.
pub(crate) struct Record<'a> {
    /// What the ledger knows.
    pub(crate) arrived: &'a Arrived,
    /// Payload, or status and text.
    pub(crate) result: Result<&'a [u8], (&'a str, &'a str)>,
}

impl Style {
    /// Appends the record to what is to be printed. Only JSON has a place for failures.
    pub(crate) fn append(self, out: &mut Vec<u8>, record: &Record<'_>) {
        match (self, record.result) {
            (Self::Raw, Ok(payload)) => out.extend_from_slice(payload),
            (Self::Lines, Ok(payload)) => {
                out.extend_from_slice(payload);
                if !payload.ends_with(b"\n") {
                    out.push(b'\n');
                }
            }
            (Self::Json, result) => {
                let object = json(record, result).to_string();
                out.extend_from_slice(super::harmless_json(&object).as_bytes());
                out.push(b'\n');
            }
            (Self::Python, Ok(payload)) => {
                out.extend_from_slice(python(payload).as_bytes());
                out.push(b'\n');
            }
            (Self::Raw | Self::Lines | Self::None | Self::Python, _) => {}
        }
    }
}

/// Bytes as Python shows them.
fn python(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for &byte in bytes {
        match char::from(byte) {
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\\' => text.push_str("\\\\"),
            char if char == quote => text.extend(['\\', quote]),
            char @ ' '..='~' => text.push(char),
            // Writing to a `String` does not fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text.push(quote);
    text
}

fn json(record: &Record<'_>, result: Result<&[u8], (&str, &str)>) -> Value {
    let mut object = Map::new();
    object.insert("sequence".to_owned(), record.arrived.number.into());
    object.insert("input".to_owned(), record.arrived.label.to_string().into());
    object.insert("result".to_owned(), record.arrived.index.into());
    let (status, error) = result.err().unwrap_or(("done", ""));
    object.insert("status".to_owned(), status.into());
    let micros = record.arrived.latency.as_micros();
    #[expect(clippy::cast_precision_loss, reason = "a time in milliseconds, to the microsecond")]
    let millis = micros as f64 / 1e3;
    object.insert("latency_ms".to_owned(), millis.into());
    match result.map(|payload| (payload, std::str::from_utf8(payload))) {
        Ok((_, Ok(text))) => object.insert("payload".to_owned(), text.into()),
        Ok((bytes, Err(_))) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            object.insert("payload_base64".to_owned(), text.into())
        }
        Err(_) => object.insert("error".to_owned(), error.into()),
    };
    Value::Object(object)
}

/// Where results go: collects them, and writes them in one go when told to.
pub(crate) enum Sink {
    /// To standard output; failures only in JSON.
    Stdout { style: Style, pending: Vec<u8> },
    /// Into files; failures leave none.
    Folder { folder: Arc<Folder>, pending: Vec<(PathBuf, Bytes)>, bytes: usize },
}

impl Sink {
    /// Results are printed like this.
    pub(crate) const fn stdout(style: Style) -> Self {
        Self::Stdout { style, pending: Vec::new() }
    }

    /// Results are written into this folder.
    pub(crate) fn folder(folder: Folder) -> Self {
        Self::Folder { folder: Arc::new(folder), pending: Vec::new(), bytes: 0 }
    }

    /// Takes a result, or the failure in its place.
    pub(crate) fn put(&mut self, arrived: &Arrived, result: Result<Bytes, (&str, &str)>) {
        match self {
            Self::Stdout { style, pending } => {
                style.append(pending, &Record { arrived, result: result.as_ref().map(Bytes::as_ref).map_err(|e| *e) });
            }
            Self::Folder { folder, pending, bytes } => {
                if let Ok(payload) = result {
                    *bytes += payload.len();
                    pending.push((folder.place(arrived), payload));
                }
            }
        }
    }

    /// Whether so much is collected that it should be written before more is taken.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Stdout { pending, .. } => pending.len() >= ENOUGH,
            Self::Folder { pending, bytes, .. } => *bytes >= ENOUGH || pending.len() >= 64,
        }
    }

    /// Writes what is collected, on a thread where that may take its time: a reader may pause, and Ctrl-C must still work.
    ///
    /// # Errors
    /// [`ClosedPipe`](super::ClosedPipe), or that something cannot be written.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        let write: Box<dyn FnOnce() -> anyhow::Result<()> + Send> = match self {
            Self::Stdout { style, pending } if !pending.is_empty() => {
                let (style, pending) = (*style, std::mem::take(pending));
                // Whoever asks for the bytes gets them.
                let write = if style == Style::Lines { super::text } else { super::data };
                Box::new(move || super::progress::suspended(|| write(&pending)))
            }
            Self::Folder { folder, pending, bytes } if !pending.is_empty() => {
                *bytes = 0;
                let (folder, pending) = (Arc::clone(folder), std::mem::take(pending));
                Box::new(move || pending.iter().try_for_each(|(path, payload)| folder.write(path, payload)))
            }
            Self::Stdout { .. } | Self::Folder { .. } => return Ok(()),
        };
        tokio::task::spawn_blocking(write).await.context("the writing thread panicked")?
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::launch::Label;

    fn arrived(label: Label, index: u32) -> Arrived {
        Arrived { number: 3, label, latency: Duration::from_micros(1500), index }
    }

    fn printed(style: Style, result: Result<&[u8], (&str, &str)>) -> String {
        let mut out = Vec::new();
        style.append(&mut out, &Record { arrived: &arrived(Label::Line(4), 0), result });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn styles() {
        assert_eq!(printed(Style::Raw, Ok(b"ab")), "ab");
        assert_eq!(printed(Style::Lines, Ok(b"ab")), "ab\n");
        assert_eq!(printed(Style::Lines, Ok(b"ab\n")), "ab\n", "it has its line break already");
        assert_eq!(printed(Style::Lines, Ok(b"")), "\n", "a line for each result");
        assert_eq!(printed(Style::Raw, Ok(b"ab\n")), "ab\n");
        assert_eq!(printed(Style::Lines, Err(("failed", "x"))), "");
        assert_eq!(printed(Style::None, Ok(b"ab")), "");
        assert_eq!(printed(Style::Python, Ok(b"a b'\"\\\t\n\0\xff")), "b'a b\\'\"\\\\\\t\\n\\x00\\xff'\n");
        assert_eq!(printed(Style::Python, Ok(b"it's")), "b\"it's\"\n");
        assert_eq!(printed(Style::Python, Err(("failed", "x"))), "");
        let read = |line: String| serde_json::from_str::<Value>(&line).unwrap();
        let base = serde_json::json!({"sequence": 3, "input": "line 4", "result": 0, "latency_ms": 1.5});
        let with = |pairs: &[(&str, &str)]| {
            let mut object = base.clone();
            pairs.iter().for_each(|(key, value)| object[*key] = (*value).into());
            object
        };
        assert_eq!(read(printed(Style::Json, Ok(b"a\"b"))), with(&[("status", "done"), ("payload", "a\"b")]));
        assert_eq!(read(printed(Style::Json, Ok(b"\xff"))), with(&[("status", "done"), ("payload_base64", "/w==")]));
        let rude = printed(Style::Json, Ok("\x1b[2J\u{202e}".as_bytes()));
        assert!(rude.contains(r"\u001b[2J\u202e"), "{rude}");
        assert_eq!(read(rude), with(&[("status", "done"), ("payload", "\x1b[2J\u{202e}")]));
        assert_eq!(read(printed(Style::Json, Err(("failed", "x")))), with(&[("status", "failed"), ("error", "x")]));
    }
}
