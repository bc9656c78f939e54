//! What components have printed.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};

use super::extract::Query;
use super::{Operation, operation};
use crate::api::logs::{Asked, Level, Line};
use crate::http::access::permission::Action;
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::app::App;
use crate::http::level::level;
use crate::http::paged::{self, Pages};
use crate::http::problem::Problem;
use crate::store::{LogLine, LogSearch, StoreError};

/// Lines that an answer has at most, and if nothing is said.
pub(crate) const LIMIT_MAX: u32 = 5000;
pub(crate) const LIMIT: u32 = 500;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters/{id}/logs", search)
            .says("Lines of a cluster, in the order in which they came: the last of them, unless `after` is given")
            .query::<Asked>()
            .answers::<Vec<Line>>(),
        operation(Method::GET, "/api/v1/clusters/{id}/logs/download", download)
            .says("The same lines as text: all of them, unless `limit` is given")
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

/// Lines as text.
struct Text {
    app: App,
    caller: Caller,
    /// The cluster's id, and by what the store knows it.
    id: String,
    key: String,
    search: LogSearch,
}

impl Pages for Text {
    async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let lines = self.app.store.next_found(&self.key, &mut self.search).await?;
        Ok((!lines.is_empty()).then(|| lines.into_iter().map(written).collect()))
    }

    async fn is_allowed(&mut self) -> bool {
        let store = &self.app.store;
        let Ok(Some(caller)) = self.caller.again(store).await else { return false };
        self.caller = caller;
        self.caller.cluster(store, &self.id, Action::See).await.is_ok()
    }
}

fn written(line: LogLine) -> String {
    let at = jiff::Timestamp::from_microsecond(line.at).map(|at| at.to_string()).unwrap_or_default();
    let from = line.origin.map(|origin| format!(" {}/{} {}", origin.component, origin.copy, origin.stream.name()));
    format!("{at}{} {}\n", from.unwrap_or_default(), line.text)
}

pub(crate) async fn download(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (key, id) = (found.row.key, found.row.id);
    let search = app.store.begin_search(&key, asked.search(u32::MAX, u32::MAX)).await?;
    let text = paged::body(Text { app, caller, id: id.clone(), key, search }).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.log\"")),
    ];
    Ok((headers, text).into_response())
}
