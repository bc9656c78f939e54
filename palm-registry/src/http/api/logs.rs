//! What components have printed.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};

use super::extract::Query;
use super::{Operation, operation};
use crate::api::logs::{Asked, Level, Line};
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

impl Asked {
    pub(crate) fn search(&self, most: u32, otherwise: u32) -> LogSearch {
        let asked = self.clone();
        let words: &[&str] = match asked.level {
            None => &[],
            Some(Level::Error) => &["ERROR", "CRITICAL", "FATAL", "panicked"],
            Some(Level::Warning) => &["ERROR", "CRITICAL", "FATAL", "panicked", "WARN"],
            Some(Level::Info) => &["ERROR", "CRITICAL", "FATAL", "panicked", "WARN", "INFO"],
        };
        // A database has no place for it, and so no line has it; but a text without it may be in one.
        let text = |text: Option<String>| text.map(|text| text.replace('\0', "\u{fffd}"));
        LogSearch {
            component: text(asked.component),
            node: text(asked.node),
            stream: asked.stream.map(|stream| stream.name().to_owned()),
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

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        let (id, at, level, text) = (line.id, line.at, level(&line.text).into(), line.text);
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
