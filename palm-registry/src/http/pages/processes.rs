//! A cluster's processes, a page at a time.

use std::collections::HashSet;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;

use super::cluster::Head;
use super::explain::encoded;
use super::frame::{Frame, page};
use super::paging::Pages;
use super::show;
use super::tone::{Tone, WORDS};
use super::view::{silent, tone_of};
use crate::api::status::{ComponentStatus, ProcessStatus, Status};
use crate::http::access::{ClusterFor, SEE};
use crate::http::api::status;
use crate::http::app::App;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<App> {
    Router::new().route("/clusters/{id}/processes", get(see)).route("/clusters/{id}/processes/list", get(part))
}

/// A process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) component: String,
    pub(super) copy: u32,
    pub(super) node: String,
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    pub(super) since: i64,
    pub(super) pid: String,
    pub(super) restarts: u64,
    pub(super) exit: String,
    pub(super) messages: String,
    pub(super) rate: String,
    pub(super) cpu: String,
    pub(super) memory: String,
}

impl Row {
    pub(super) fn new(component: &ComponentStatus, process: &ProcessStatus, silent: &HashSet<&str>) -> Self {
        let (word, tone) = tone_of(component, process, silent);
        let exit = match (process.exit_code, process.exit_signal) {
            (Some(code), _) => format!("code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => String::new(),
        };
        Self {
            component: component.name.clone(),
            copy: process.copy,
            node: process.node.clone().unwrap_or_default(),
            word,
            tone,
            since: process.since.unwrap_or_default(),
            pid: process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            restarts: process.restarts,
            exit,
            messages: process.messages.map(show::count).unwrap_or_default(),
            rate: process.rate.map(show::rate).unwrap_or_default(),
            cpu: show::seconds(process.cpu_seconds),
            memory: show::bytes(process.memory_bytes),
        }
    }
    pub(super) fn machine(&self) -> String {
        show::machine(self.since)
    }
    pub(super) fn instant(&self) -> String {
        show::instant(self.since)
    }
}

/// Which processes are asked for; what is empty says nothing.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    component: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    page: String,
}

impl Asked {
    /// The same as a query, up to the number of a page.
    fn query(&self) -> String {
        let parts = [("component", &self.component), ("node", &self.node), ("state", &self.state)];
        let parts = parts.iter().filter(|(_, value)| !value.is_empty());
        parts.map(|(name, value)| format!("{name}={}&", encoded(value))).collect::<String>() + "page="
    }

    /// The page of them.
    fn list(&self, status: &Status) -> (Vec<Row>, Pages) {
        let silent = silent(status);
        let components = status.components.iter();
        let components = components.filter(|component| self.component.is_empty() || component.name == self.component);
        let all = components.flat_map(|component| component.processes.iter().map(move |process| (component, process)));
        let node = self.node.trim();
        let found: Vec<_> = all
            .filter(|(_, process)| node.is_empty() || process.node.as_deref() == Some(node))
            .filter(|(component, process)| {
                self.state.is_empty() || tone_of(component, process, &silent).0 == self.state
            })
            .collect();
        let pages = Pages::new(&self.page, found.len(), format!("?{}", self.query()));
        let shown = found.get(pages.range()).unwrap_or_default();
        (shown.iter().map(|(component, process)| Row::new(component, process, &silent)).collect(), pages)
    }
}

#[derive(Template)]
#[template(path = "processes.html")]
struct Page {
    frame: Frame,
    head: Head,
    asked: Asked,
    components: Vec<String>,
    query: String,
    list: String,
}

impl Page {
    fn words(&self) -> [&'static str; WORDS.len()] {
        WORDS
    }
}

#[derive(Template)]
#[template(path = "process_list.html")]
struct List<'a> {
    head: &'a Head,
    rows: Vec<Row>,
    pages: Pages,
}

async fn see(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (head, query) = (Head::new(&caller, &found, "processes"), format!("{}{}", asked.query(), encoded(&asked.page)));
    let frame = head.frame(&caller, "Processes");
    let made = status::with(&app.store, &found.row, move |status| {
        let (rows, pages) = asked.list(&status);
        let list = List { head: &head, rows, pages }.render().unwrap_or_default();
        let components = status.components.into_iter().map(|component| component.name).collect();
        Page { frame, head, asked, components, query, list }
    });
    Ok(page(&made.await?))
}

/// The part of the page that changes by itself.
async fn part(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let head = Head::new(&caller, &found, "processes");
    let made = status::with(&app.store, &found.row, move |status| {
        let (rows, pages) = asked.list(&status);
        List { head: &head, rows, pages }.render().unwrap_or_default()
    });
    Ok(Html(made.await?).into_response())
}
