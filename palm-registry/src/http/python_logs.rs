//! The lines that Python's `pylm.registry` clients and `pylm-runner` send and ask for (`docs/registry.md`, section 3).

use std::mem;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use prost::Message as _;
use serde::Deserialize;
use serde_json::json;

use super::compat::{gone, known};
use super::error::Refused;
use super::paged::{self, Pages};
use super::time;
use crate::store::{LogPosition, Period, Presented, Saved, Store, StoreError};
use crate::wire::{LogMessages, TEXT_MAX};

/// Lines that a request may have.
const LINES_MAX: usize = 20_000;

pub(super) fn router() -> Router<Store> {
    Router::new().route("/logs", get(download).post(upload))
}

#[derive(Debug, Deserialize)]
struct AskedLogs {
    cluster: Option<String>,
    fr: Option<String>,
    to: Option<String>,
}

async fn upload(State(store): State<Store>, Query(asked): Query<AskedLogs>, request: Request) -> Result<(), Refused> {
    let cluster = asked.cluster.ok_or_else(|| Refused::bad("expected cluster=KEY"))?;
    // Before what somebody sends is read whom nobody knows.
    let key = known(&store, &cluster).await?;
    let body = Bytes::from_request(request, &()).await.map_err(|error| Refused(error.status(), error.body_text()))?;
    let lines = match LogMessages::decode(body.clone()) {
        Ok(messages) => messages.messages,
        // Python's LogClient sends a line as it is.
        Err(_) => vec![String::from_utf8_lossy(&body).into_owned()],
    };
    if lines.len() > LINES_MAX {
        return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("expected {LINES_MAX} lines at most")));
    }
    // A database has no place for a zero byte.
    let lines: Vec<_> = lines.into_iter().flat_map(|line| pieces(&line.replace('\0', "\u{fffd}"))).collect();
    match store.add_logs(&key, &lines).await? {
        Saved::Yes => Ok(()),
        Saved::Conflict => Err(gone()),
    }
}

/// A line, in pieces if it is longer than one may be.
fn pieces(mut line: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    while line.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(TEXT_MAX);
        let (piece, rest) = line.split_at(end);
        pieces.push(piece.to_owned());
        line = rest;
    }
    pieces.push(line.to_owned());
    pieces
}

/// The lines of a period, as a JSON list.
struct List {
    store: Store,
    /// By what the cluster was known, and by what the store knows it.
    presented: String,
    key: String,
    position: LogPosition,
    /// What comes before the next line.
    before: &'static str,
    is_done: bool,
}

impl Pages for List {
    async fn next(&mut self) -> Result<Option<String>, StoreError> {
        if self.is_done {
            return Ok(None);
        }
        let lines = self.store.next_logs(&self.key, &mut self.position).await?;
        let mut text = String::new();
        for line in &lines {
            text += mem::replace(&mut self.before, ",");
            text += &json!({ "when": time::iso(line.at), "text": line.text }).to_string();
        }
        if lines.is_empty() {
            self.is_done = true;
            text += if self.before == "[" { "[]" } else { "]" };
        }
        Ok(Some(text))
    }

    async fn is_allowed(&mut self) -> bool {
        matches!(self.store.presented(&self.presented).await, Ok(Presented::Current(key)) if key == self.key)
    }
}

async fn download(State(store): State<Store>, Query(asked): Query<AskedLogs>) -> Result<Body, Refused> {
    let presented = asked.cluster.ok_or_else(|| Refused::bad("expected cluster=KEY"))?;
    let instant = |text: Option<String>, otherwise| match text {
        None => Ok(otherwise),
        Some(text) => time::parse(&text)
            .ok_or_else(|| Refused::bad(format!("expected a time like 2017-02-01T10:11:41.485000, found `{text}`"))),
    };
    let period = Period { from: instant(asked.fr, Period::ALL.from)?, to: instant(asked.to, Period::ALL.to)? };
    // Of a cluster that is not there nothing is kept.
    let Presented::Current(key) = store.presented(&presented).await? else { return Ok("[]".into()) };
    let position = store.log_position(&key, period).await?;
    Ok(paged::body(List { store, presented, key, position, before: "[", is_done: false }).await?)
}
