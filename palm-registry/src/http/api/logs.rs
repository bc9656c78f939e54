//! What components have printed.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Query;
use super::{Operation, operation};
use crate::http::access::{ClusterFor, SEE};
use crate::http::app::App;
use crate::http::level::level;
use crate::http::problem::Problem;
use crate::store::{LogLine, LogSearch};

/// Lines that an answer has at most, and if nothing is said.
pub(crate) const LIMIT_MAX: u32 = 5000;
pub(crate) const LIMIT: u32 = 500;
/// Lines that a download has at most.
pub(crate) const DOWNLOAD_MAX: u32 = 100_000;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters/{id}/logs", search)
            .says("Lines of a cluster, in the order in which they came: the last of them, unless `after` is given")
            .query::<Asked>()
            .answers::<Vec<Line>>(),
        operation(Method::GET, "/api/v1/clusters/{id}/logs/download", download)
            .says("The same lines as text, at most 100,000")
            .query::<Asked>()
            .text("text/plain"),
    ]
}

/// Which lines.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Asked {
    /// Of this component only.
    pub(crate) component: Option<String>,
    /// Of this node only.
    pub(crate) node: Option<String>,
    /// Of this stream only.
    pub(crate) stream: Option<Stream>,
    /// At least as severe as this, as the words in the line tell.
    pub(crate) level: Option<Level>,
    /// Printed at this instant or later, in microseconds since 1970.
    pub(crate) from: Option<i64>,
    /// Printed before this instant.
    pub(crate) to: Option<i64>,
    /// With this in them, in the same case.
    pub(crate) text: Option<String>,
    /// How many, from 1 to 5000; left out: 500, or of a download 100,000.
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<u32>,
    /// The lines that follow the one with this `id`.
    pub(crate) after: Option<i64>,
    /// The lines before the one with this `id`.
    pub(crate) before: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stream {
    Out,
    Err,
    Runner,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
}

impl Asked {
    pub(crate) fn search(&self, most: u32, otherwise: u32) -> LogSearch {
        let asked = self.clone();
        let words: &[&str] = match asked.level {
            None => &[],
            Some(Level::Error) => &["ERROR", "CRITICAL", "FATAL", "panicked"],
            Some(Level::Warning) => &["ERROR", "CRITICAL", "FATAL", "panicked", "WARN"],
            Some(Level::Info) => &["ERROR", "CRITICAL", "FATAL", "panicked", "WARN", "INFO"],
        };
        let stream = asked.stream.map(|stream| match stream {
            Stream::Out => "out",
            Stream::Err => "err",
            Stream::Runner => "runner",
        });
        // A database has no place for it, and so no line has it; but a text without it may be in one.
        let text = |text: Option<String>| text.map(|text| text.replace('\0', "\u{fffd}"));
        LogSearch {
            component: text(asked.component),
            node: text(asked.node),
            stream: stream.map(str::to_owned),
            any_of: words.to_vec(),
            text: text(asked.text),
            from: asked.from,
            to: asked.to,
            after: asked.after,
            before: asked.before,
            limit: asked.limit.unwrap_or(otherwise).clamp(1, most),
        }
    }
}

/// A line.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Line {
    /// Its number: greater than those of all that came before.
    pub(crate) id: i64,
    /// When it was printed, in microseconds since 1970.
    pub(crate) at: i64,
    /// The component; null: it came by a runner of Python's, which does not say.
    pub(crate) component: Option<String>,
    /// Which of the component's copies.
    pub(crate) copy: Option<u32>,
    /// The node.
    pub(crate) node: Option<String>,
    /// out, err or runner.
    pub(crate) stream: Option<String>,
    /// What it says of itself: error, warning, info or debug; empty: nothing.
    pub(crate) level: &'static str,
    /// Itself.
    pub(crate) text: String,
}

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        let (id, at, level, text) = (line.id, line.at, level(&line.text), line.text);
        let Some(origin) = line.origin else {
            return Self { id, at, component: None, copy: None, node: None, stream: None, level, text };
        };
        let (copy, stream) = (Some(origin.copy), Some(origin.stream.name().to_owned()));
        Self { id, at, component: Some(origin.component), copy, node: Some(origin.node), stream, level, text }
    }
}

pub(crate) async fn search(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<SEE>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Line>>, Problem> {
    let lines = app.store.search_logs(&found.row.key, &asked.search(LIMIT_MAX, LIMIT)).await?;
    Ok(Json(lines.into_iter().map(Line::from).collect()))
}

pub(crate) async fn download(
    State(app): State<App>,
    ClusterFor { found, .. }: ClusterFor<SEE>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let search = asked.search(DOWNLOAD_MAX, DOWNLOAD_MAX);
    let mut text = String::new();
    for line in app.store.search_logs(&found.row.key, &search).await? {
        let at = jiff::Timestamp::from_microsecond(line.at).map(|at| at.to_string()).unwrap_or_default();
        let from = line.origin.map(|origin| format!(" {}/{} {}", origin.component, origin.copy, origin.stream.name()));
        text += &format!("{at}{} {}\n", from.unwrap_or_default(), line.text);
    }
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.log\"", found.row.id)),
    ];
    Ok((headers, text).into_response())
}
