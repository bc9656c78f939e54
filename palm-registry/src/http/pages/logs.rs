//! What a cluster's components print: the newest of it, what comes, and what was.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::cluster::Head;
use super::explain::encoded;
use super::frame::{Frame, page};
use super::show;
use crate::api::logs::{Asked, Level, Line, Stream};
use crate::http::access::{ClusterFor, SEE};
use crate::http::api::extract;
use crate::http::api::logs::search;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::names;
use crate::store::is_all;

/// Lines of a page.
const LINES: u32 = 500;
/// Colours of components.
const COLOURS: usize = 8;

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}/logs", get(logs))
}

/// What a form asks for: fields that are empty ask for nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Filter {
    component: String,
    node: String,
    stream: String,
    level: String,
    text: String,
    /// A day and a time, in UTC.
    from: String,
    to: String,
    before: String,
}

impl Filter {
    fn asked(&self) -> Result<Asked, Problem> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(Asked {
            component: some(&self.component),
            node: some(&self.node),
            stream: match self.stream.as_str() {
                "out" => Some(Stream::Out),
                "err" => Some(Stream::Err),
                "runner" => Some(Stream::Runner),
                _ => None,
            },
            level: match self.level.as_str() {
                "error" => Some(Level::Error),
                "warning" => Some(Level::Warning),
                "info" => Some(Level::Info),
                _ => None,
            },
            text: some(&self.text),
            from: instant(&self.from)?,
            to: instant(&self.to)?,
            limit: Some(LINES),
            after: None,
            before: self.before.parse().ok(),
        })
    }

    /// The same, as the API is asked.
    fn query(&self, asked: &Asked) -> String {
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        let (from, to) = (number(asked.from), number(asked.to));
        self.pairs(&from, &to)
    }

    /// The same, as this page is asked.
    fn own(&self) -> String {
        self.pairs(&self.from, &self.to)
    }

    fn pairs(&self, from: &str, to: &str) -> String {
        let pairs = [
            ("component", self.component.as_str()),
            ("node", &self.node),
            ("stream", &self.stream),
            ("level", &self.level),
            ("text", &self.text),
            ("from", from),
            ("to", to),
        ];
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
    }

    fn is_narrow(&self) -> bool {
        !self.own().is_empty()
    }
}

/// An instant as a browser's field gives it.
fn instant(text: &str) -> Result<Option<i64>, Problem> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let at = text.trim().parse::<DateTime>().and_then(|at| at.to_zoned_datetime(TimeZone::UTC));
    let wrong = |_| Problem::invalid("expected a day and a time in UTC, as in 2026-01-31T12:00");
    at.map(|at| Some(at.timestamp().as_microsecond())).map_err(wrong)
}

#[derive(Template)]
#[template(path = "logs.html")]
struct Page {
    frame: Frame,
    head: Head,
    filter: Filter,
    components: Vec<String>,
    nodes: Vec<String>,
    lines: Vec<Line>,
    /// How the API is asked for the same.
    query: String,
    /// After which line it goes on.
    last: i64,
    /// Whether there may be older ones.
    is_full: bool,
}

impl Page {
    fn clock(&self, line: &Line) -> String {
        show::clock(line.at)
    }
    fn instant(&self, line: &Line) -> String {
        show::instant(line.at)
    }
    /// By which a component has its colour: that of its place in the file.
    fn colour(&self, line: &Line) -> usize {
        let known = |name: &String| self.components.iter().position(|component| component == name);
        line.component.as_ref().and_then(known).map_or(0, |index| index % COLOURS)
    }
    fn origin(&self, line: &Line) -> String {
        let Some(component) = &line.component else { return String::new() };
        match line.copy {
            Some(copy) if copy > 0 => format!("{component} {copy}"),
            _ => component.clone(),
        }
    }
    /// A line as it is, but that nothing of it hides or turns others.
    fn seen(&self, line: &Line) -> String {
        names::seen(&line.text)
    }
    fn names(&self) -> String {
        self.components.join("\n")
    }
    fn older(&self) -> String {
        let first = self.lines.first().map_or(0, |line| line.id);
        format!("?{}&before={first}", self.filter.own())
    }
}

async fn logs(
    State(app): State<App>,
    cluster: ClusterFor<SEE>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let head = Head::new(&cluster.caller, &cluster.found, "logs");
    let mut frame = head.frame(&cluster.caller, "Logs");
    let plan = &cluster.found.row.plan;
    let components = plan.cluster().components.iter().map(|component| component.name.clone()).collect();
    let nodes = plan.nodes().iter().map(|node| node.offer.name.clone()).collect();
    let asked = filter.asked().unwrap_or_else(|problem| {
        frame.trouble = problem.message;
        Asked::default()
    });
    // Before they are read: what comes meanwhile may be told twice, but is not lost.
    let newest = app.store.last_line(&cluster.found.row.key).await?;
    let query = filter.query(&asked);
    let lines = search(State(app), cluster, extract::Query(asked)).await?.0;
    let is_full = !is_all(lines.iter().map(|line| line.text.as_str()), LINES);
    let last = lines.last().map_or(newest, |line| line.id);
    Ok(page(&Page { frame, head, filter, components, nodes, lines, query, last, is_full }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_asked_for_and_told_alike() {
        let filter = Filter { text: "a&b".into(), from: "1970-01-01T00:00:01".into(), ..Filter::default() };
        let asked = filter.asked().unwrap();
        assert_eq!((asked.from, asked.component.clone()), (Some(1_000_000), None));
        assert_eq!(filter.query(&asked), "text=a%26b&from=1000000");
        assert_eq!(filter.own(), "text=a%26b&from=1970-01-01T00%3A00%3A01");
        assert!(Filter { to: "soon".into(), ..Filter::default() }.asked().is_err());
    }
}
