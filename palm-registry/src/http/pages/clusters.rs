//! Clusters at a glance, and a new one.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use super::explain::encoded;
use super::frame::{Done, Frame, page, page_with};
use super::paging::Pages;
use super::show;
use super::view::Glance;
use crate::api::clusters::{Create, check_text};
use crate::cluster::{Cluster, FileError};
use crate::http::access::permission::General;
use crate::http::access::{Caller, SignedForm};
use crate::http::api::clusters::{create, visible};
use crate::http::api::extract::Body;
use crate::http::api::status;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::{Found, Share};

pub(super) fn router() -> Router<App> {
    Router::new().route("/", get(see)).route("/list", get(part)).route("/clusters/new", get(new).post(add))
}

#[derive(Template)]
#[template(path = "clusters.html")]
struct ListPage {
    frame: Frame,
    list: String,
    may_add: bool,
    asked: String,
}

#[derive(Template)]
#[template(path = "cluster_list.html")]
struct ListPart {
    clusters: Vec<Entry>,
    pages: Pages,
    may_add: bool,
}

/// A cluster in the list.
struct Entry {
    id: String,
    name: String,
    owner: String,
    changed: i64,
    glance: Glance,
    shared: &'static str,
}

impl Entry {
    fn machine(&self) -> String {
        show::machine(self.changed)
    }
    fn instant(&self) -> String {
        show::instant(self.changed)
    }
}

/// Which page of a list is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) page: String,
}

/// What people call a cluster.
pub(super) fn name(found: &Found) -> String {
    found.row.alias.clone().unwrap_or_else(|| found.row.id.clone())
}

async fn see(
    State(app): State<App>,
    caller: Caller,
    Query(done): Query<Done>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let list = list(&app, &caller, &asked).await?;
    let may_add = caller.check(General::AddCluster).is_ok();
    let frame = Frame::new(&caller, "clusters", "Clusters").after(&done);
    Ok(page(&ListPage { frame, list, may_add, asked: encoded(&asked.page) }))
}

/// The part of the page that changes by itself.
async fn part(State(app): State<App>, caller: Caller, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    Ok(Html(list(&app, &caller, &asked).await?).into_response())
}

async fn list(app: &App, caller: &Caller, asked: &Asked) -> Result<String, Problem> {
    let found = visible(app, caller).await?;
    let pages = Pages::new(&asked.page, found.len(), "?page=".to_owned());
    let mut clusters = Vec::new();
    for found in found.get(pages.range()).unwrap_or_default() {
        let shared = match found.share {
            _ if found.row.owner == caller.user.id => "",
            Some(Share::Operate) => "shared, to operate",
            Some(Share::Read) => "shared, to read",
            None => "another's",
        };
        clusters.push(Entry {
            id: found.row.id.clone(),
            name: name(found),
            owner: found.owner.clone(),
            changed: found.row.changed,
            glance: status::with(&app.store, &found.row, |status| Glance::new(&status)).await?,
            shared,
        });
    }
    let may_add = caller.check(General::AddCluster).is_ok();
    Ok(ListPart { clusters, pages, may_add }.render().unwrap_or_default())
}

#[derive(Template)]
#[template(path = "new.html")]
struct NewPage {
    frame: Frame,
    alias: String,
    checked: Checked,
}

/// A file as somebody wrote it, and what is wrong with it.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) text: String,
    pub(super) error: Option<FileError>,
    /// The components that it has, if it was only checked.
    pub(super) components: Vec<String>,
    /// What is passed over in it, or read otherwise than it looks.
    pub(super) remarks: Vec<FileError>,
}

/// Reads a file as somebody wrote it.
pub(super) async fn checked(app: &App, caller: &Caller, text: String) -> Result<Checked, Problem> {
    check_text(&text).map_err(Problem::invalid)?;
    Ok(app.store.work.run(&caller.whose(), move || Checked::of(text)).await?)
}

/// Remarks that a page shows at most.
const REMARKS: usize = 100;

impl Checked {
    fn of(text: String) -> Self {
        match Cluster::from_text(&text) {
            Ok(cluster) => {
                let components = cluster.components.into_iter().map(|component| component.name).collect();
                let mut remarks = Cluster::remarks(&text);
                remarks.truncate(REMARKS);
                Self { text, error: None, components, remarks }
            }
            Err(error) => Self { text, error: Some(error), components: Vec::new(), remarks: Vec::new() },
        }
    }
    /// Lines with their numbers, of which one may be wrong; few around it.
    pub(super) fn around(&self) -> Vec<(usize, &str, bool)> {
        let Some(error) = &self.error else { return Vec::new() };
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line, index + 1 == error.line));
        numbered.filter(|(number, ..)| number.abs_diff(error.line) <= 2).collect()
    }
    /// The line that is wrong; 0: none.
    pub(super) fn line(&self) -> usize {
        self.error.as_ref().map_or(0, |error| error.line)
    }
}

/// What a new cluster's file may look like.
const EXAMPLE: &str = "\
[Master]
Script = palm master --name server
--pull = _1
--pub = _2
--workers-from = _3
--workers-to = _4
--db = _5
Role = Hands jobs to workers

[Worker]
Script = palm worker --demo
--db = _5
Connected = Master
Replicas = 2
";

async fn new(caller: Caller) -> Result<Response, Problem> {
    caller.check(General::AddCluster)?;
    let checked = Checked { text: EXAMPLE.to_owned(), ..Checked::default() };
    let frame = Frame::new(&caller, "clusters", "New cluster");
    Ok(page(&NewPage { frame, alias: String::new(), checked }))
}

#[derive(Deserialize)]
struct New {
    #[serde(default)]
    alias: String,
    file: String,
    #[serde(default)]
    what: String,
}

/// Texts of forms have their lines end as those of mails do.
pub(super) fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

async fn add(State(app): State<App>, SignedForm { caller, form }: SignedForm<New>) -> Result<Response, Problem> {
    caller.check(General::AddCluster)?;
    let frame = Frame::new(&caller, "clusters", "New cluster");
    let checked = checked(&app, &caller, unix(&form.file)).await?;
    let alias = form.alias.trim().to_owned();
    if form.what == "check" || checked.error.is_some() {
        let status = if checked.error.is_some() { 422 } else { 200 };
        let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
        return Ok(page_with(status, &NewPage { frame, alias, checked }));
    }
    let body = Create { file: checked.text.clone(), alias: Some(alias.clone()).filter(|alias| !alias.is_empty()) };
    match create(State(app), caller, Body(body)).await {
        Ok((_, made)) => Ok(Redirect::to(&format!("/clusters/{}?done=made", made.id)).into_response()),
        Err(problem) => Ok(page_with(problem.status, &NewPage { frame: frame.troubled(&problem), alias, checked })),
    }
}
