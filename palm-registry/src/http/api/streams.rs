//! Live streams, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use super::extract::Query;
use super::{Operation, operation};
use crate::api::logs::{Asked, Line};
use crate::http::access::permission::Action;
use crate::http::access::{Caller, ClusterFor, SEE};
use crate::http::app::App;
use crate::http::hub::Snapshot;
use crate::http::problem::Problem;
use crate::http::shares::Place;
use crate::store::{LogSearch, is_all};

/// How often it is asked whether a stream's caller may still see it.
const AGAIN: Duration = Duration::from_secs(2);
/// Lines that are read at a time.
const LINES: u32 = 200;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/v1/clusters/{id}/events", state)
            .says("The cluster's state, now and whenever it is another: events `status`")
            .text("text/event-stream"),
        operation(Method::GET, "/api/v1/clusters/{id}/logs/follow", follow)
            .says("Lines as they come: events `line`; after `after`, or the header `Last-Event-ID`")
            .query::<Asked>()
            .text("text/event-stream"),
    ]
}

/// A stream that somebody reads.
pub(crate) struct Reader {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) ended: watch::Receiver<bool>,
    /// Lines that are looked for, after the last that was sent; `None`: the state.
    pub(crate) lines: Option<LogSearch>,
    /// Only that the state is another is told.
    pub(crate) is_brief: bool,
    pub(crate) events: VecDeque<Event>,
    /// Held.
    pub(in crate::http) _place: Place,
}

type Events =
    Sse<axum::response::sse::KeepAliveStream<std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>>>;

pub(crate) async fn state(State(app): State<App>, cluster: ClusterFor<SEE>) -> Result<Events, Problem> {
    events(app, cluster, None, false)
}

/// As [`state`], for whoever asks for a page anew: the state of a large cluster is long.
pub(crate) async fn changes(State(app): State<App>, cluster: ClusterFor<SEE>) -> Result<Events, Problem> {
    events(app, cluster, None, true)
}

pub(crate) async fn follow(
    State(app): State<App>,
    cluster: ClusterFor<SEE>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Events, Problem> {
    let last = headers.get("Last-Event-ID").and_then(|id| id.to_str().ok()?.parse().ok());
    let mut search = asked.search(LINES, LINES);
    search.after = match last.or(asked.after) {
        Some(after) => Some(after),
        None => Some(app.store.last_line(&cluster.found.row.key).await?),
    };
    search.before = None;
    events(app, cluster, Some(search), false)
}

fn events(
    app: App,
    ClusterFor { caller, found }: ClusterFor<SEE>,
    lines: Option<LogSearch>,
    is_brief: bool,
) -> Result<Events, Problem> {
    let _place = app.places.stream(caller.user.id)?;
    let mut snapshot = app.hub.watch(&app.store, &found.row.key);
    // What is known now is news to this reader.
    snapshot.mark_changed();
    let (id, key, ended) = (found.row.id, found.row.key, app.hub.ended());
    let reader = Reader { app, caller, id, key, snapshot, ended, lines, is_brief, events: VecDeque::new(), _place };
    let stream = unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    let stream: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

impl Reader {
    /// What is sent next; `None`: nothing any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let changed = tokio::select! {
                changed = tokio::time::timeout(AGAIN, self.snapshot.changed()) => changed,
                _ = self.ended.wait_for(|ended| *ended) => return None,
            };
            // Before each thing that is sent, and at times when nothing is.
            self.caller = self.caller.again(&self.app.store).await.ok()??;
            self.caller.cluster(&self.app.store, &self.id, Action::See).await.ok()?;
            if matches!(changed, Ok(Ok(()))) {
                self.fill().await?;
            }
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let snapshot = self.snapshot.borrow_and_update().clone();
        let Some(search) = &mut self.lines else {
            if !snapshot.status.is_empty() {
                let data = if self.is_brief { "changed" } else { &*snapshot.status };
                self.events.push_back(Event::default().event("status").data(data));
            }
            return Some(());
        };
        if search.after >= Some(snapshot.last_line) {
            return Some(());
        }
        let lines = self.app.store.search_logs(&self.key, search).await.ok()?;
        let is_all = is_all(lines.iter().map(|line| line.text.as_str()), LINES);
        let last = lines.last().map(|line| line.id);
        // Those that were left out on the way need not be looked at again.
        search.after = if is_all { last.max(Some(snapshot.last_line)) } else { last };
        if !is_all {
            self.snapshot.mark_changed();
        }
        for line in lines {
            let event = Event::default().event("line").id(line.id.to_string());
            self.events.extend(event.json_data(Line::from(line)));
        }
        Some(())
    }
}
