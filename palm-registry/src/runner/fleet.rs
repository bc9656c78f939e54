//! All processes of a node: carries what the registry wants to their supervisors, does what those say, and reports.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::child::{Child, Happened, Surroundings};
use super::output::Source;
use super::over::{Ended, Over};
use super::sender::Dialect;
use super::supervisor::{Action, Supervisor};
use super::told::Told;
use super::{Order, RunnerError, Standing, python, stopping};
use crate::client::{Client, ClientError};
use crate::cluster::wrong_name;
use crate::plan::NodeOffer;
use crate::store::now;
use crate::wire::{State, Stream, Wanted};

/// The rest before a registry that did not answer is asked again.
const REST: Duration = Duration::from_secs(1);
/// The rest before a change is reported, so that several are in one report.
const GATHER: Duration = Duration::from_millis(50);
/// Longest rest before a registry that refuses the node is asked again.
const REST_MAX: Duration = Duration::from_secs(15);
/// The rest before it is said again that it does.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long the last word to the registry may take.
const LAST_WORD: Duration = Duration::from_secs(2);

/// A component, and which of its copies.
type Key = (String, u32);

enum Event {
    Process { key: Key, number: u64, happened: Happened },
    Answer(Result<Answer, ClientError>),
}

enum Answer {
    Wanted(Wanted),
    Lines(Vec<String>),
}

struct Entry {
    supervisor: Supervisor,
    /// The number of the start that is or was last: what is told of an earlier one is old.
    number: u64,
    child: Option<Child>,
    /// What its process has told of itself, also one that has ended.
    told: Option<Arc<Mutex<Told>>>,
    /// When it has ended, if that was before this runner began, in microseconds since 1970.
    ended_at: Option<i64>,
}

pub(super) struct Fleet {
    client: Client,
    node: NodeOffer,
    /// What the registry calls it.
    name: watch::Sender<String>,
    around: Arc<Surroundings>,
    dialect: watch::Sender<Dialect>,
    standing: Option<watch::Sender<Standing>>,
    over: Over,
    /// The id of the cluster, if its registry tells it.
    cluster: Option<String>,
    run: Uuid,
    entries: BTreeMap<Key, Entry>,
    /// In the order in which they are started.
    order: Vec<Key>,
    began: (Instant, i64),
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    starts: u64,
    /// When the registry is asked next; `None`: never again.
    ask_at: Option<Instant>,
    is_asking: bool,
    is_away: bool,
    /// How often in a row the registry has refused the node, and when that was said last.
    denials: u32,
    said_at: Option<Instant>,
    /// The states as they were noticed last, and whether all is over.
    noticed: (Vec<(Key, State)>, bool),
    /// The states that the registry was told last, and those that its last answer is about.
    told: Vec<(Key, State)>,
    answered: Vec<(Key, State)>,
    ending: Option<Result<(), RunnerError>>,
}

impl Fleet {
    pub(super) fn new(
        client: Client,
        (node, name): (NodeOffer, watch::Sender<String>),
        around: Arc<Surroundings>,
        dialect: watch::Sender<Dialect>,
        standing: Option<watch::Sender<Standing>>,
        over: Over,
    ) -> Self {
        Self {
            client,
            node,
            name,
            around,
            dialect,
            standing,
            over,
            cluster: None,
            run: Uuid::new_v4(),
            entries: BTreeMap::new(),
            order: Vec::new(),
            began: (Instant::now(), now()),
            events: mpsc::unbounded_channel(),
            starts: 0,
            ask_at: Some(Instant::now()),
            is_asking: false,
            is_away: false,
            denials: 0,
            said_at: None,
            noticed: (Vec::new(), false),
            told: Vec::new(),
            answered: Vec::new(),
            ending: None,
        }
    }

    pub(super) async fn run(mut self, mut orders: watch::Receiver<Order>) -> Result<(), RunnerError> {
        let mut may_be_told = true;
        loop {
            self.act();
            self.notice_changes();
            if self.ending.is_some() && !self.end_more() {
                break;
            }
            let timeout = self.entries.values().filter_map(|entry| entry.supervisor.poll_timeout()).min();
            let timeout = timeout.map(|at| self.began.0 + at);
            let ask_at = self.ask_at.filter(|_| !self.is_asking);
            tokio::select! {
                Some(event) = self.events.1.recv() => self.on_event(event),
                () = sleep_until(timeout) => {
                    let now = self.now();
                    self.entries.values_mut().for_each(|entry| entry.supervisor.handle_timeout(now));
                }
                () = sleep_until(ask_at) => self.ask(false),
                told = orders.changed(), if may_be_told => {
                    may_be_told = told.is_ok();
                    let order = *orders.borrow_and_update();
                    self.on_order(if may_be_told { order } else { Order::Stop });
                }
            }
        }
        if *self.dialect.borrow() == Dialect::Palm {
            let _ = tokio::time::timeout(LAST_WORD, self.client.sync(&self.report(true))).await;
        }
        self.ending.unwrap_or(Ok(()))
    }

    /// Since it began.
    fn now(&self) -> Duration {
        self.began.0.elapsed()
    }

    /// Does what the supervisors say.
    fn act(&mut self) {
        for (key, entry) in &mut self.entries {
            while let Some(action) = entry.supervisor.poll_action() {
                match action {
                    Action::Start => {
                        self.starts += 1;
                        let (number, key) = (self.starts, key.clone());
                        entry.number = number;
                        entry.ended_at = None;
                        let tell = move |happened| Event::Process { key: key.clone(), number, happened };
                        let started = Child::start(entry.supervisor.wanted(), &self.around, &self.events.0, tell);
                        let now = self.began.0.elapsed();
                        match started {
                            Ok(child) => {
                                entry.told = child.told.clone();
                                entry.child = Some(child);
                                entry.supervisor.handle_started(now);
                            }
                            Err(reason) => entry.supervisor.handle_not_started(now, &reason, dice()),
                        }
                    }
                    Action::Terminate => entry.child.iter().for_each(Child::terminate),
                    Action::Kill => entry.child.iter().for_each(Child::kill),
                    Action::Note(text) => {
                        let (component, copy) = key.clone();
                        self.around.output.put_now(&Source { component, copy, stream: Stream::Runner }, text);
                    }
                }
            }
        }
        self.entries.retain(|_, entry| !entry.supervisor.is_gone());
        self.order.retain(|key| self.entries.contains_key(key));
        // Those that end because the runner does are not over.
        if self.ending.is_none() {
            self.remember();
        }
    }

    /// Writes down what is over.
    fn remember(&mut self) {
        let ended = self.entries.values().filter(|entry| entry.supervisor.has_ended());
        let ended = ended.filter_map(|entry| {
            let supervisor = &entry.supervisor;
            let (wanted, exit, restarts) = (supervisor.wanted().clone(), supervisor.exit()?, supervisor.restarts());
            Some(Ended { wanted, exit, restarts, at: self.since(entry) })
        });
        let ended = ended.collect();
        self.over.keep(self.cluster.as_deref(), ended);
    }

    /// Since when something is in its state, in microseconds since 1970.
    fn since(&self, entry: &Entry) -> i64 {
        let (_, since) = entry.supervisor.state();
        let here = self.began.1 + i64::try_from(since.as_micros()).unwrap_or(0);
        entry.ended_at.filter(|_| entry.supervisor.has_ended()).unwrap_or(here)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Process { key, number, happened } => {
                let now = self.now();
                let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.number == number) else { return };
                match happened {
                    Happened::Ready => entry.supervisor.handle_ready(now),
                    Happened::Exited { exit, left } => {
                        entry.child = None;
                        if left > 0 {
                            let (component, copy) = key;
                            let source = Source { component, copy, stream: Stream::Runner };
                            let processes = if left == 1 { "process" } else { "processes" };
                            self.around.output.put_now(
                                &source,
                                format!("{left} {processes} that it had left in the background ended with it; what is to run on stays in the foreground"),
                            );
                        }
                        entry.supervisor.handle_exit(now, exit, dice());
                    }
                }
            }
            Event::Answer(answer) => {
                self.is_asking = false;
                self.ask_at = Some(Instant::now() + REST);
                match answer {
                    Ok(answer) => self.on_answer(answer),
                    Err(error) => self.on_failure(error),
                }
            }
        }
    }

    fn on_answer(&mut self, answer: Answer) {
        (self.denials, self.said_at) = (0, None);
        self.answered = std::mem::take(&mut self.told);
        if std::mem::take(&mut self.is_away) {
            tracing::info!("the registry answers again");
        }
        let wanted = match answer {
            Answer::Wanted(wanted) => {
                self.take_name(wanted.node.as_deref());
                self.is_of(Dialect::Palm);
                self.ask_at = Some(Instant::now() + Duration::from_millis(wanted.interval_ms.clamp(100, 60_000)));
                wanted
            }
            Answer::Lines(lines) => {
                self.is_of(Dialect::Python);
                // Asked again, it would hand out more.
                self.ask_at = None;
                if lines.is_empty() {
                    self.end(Err(RunnerError::Nothing));
                }
                python::wanted(&lines)
            }
        };
        if self.ending.is_none() {
            self.make(wanted);
        }
    }

    /// Takes the name by which the registry knows this node.
    fn take_name(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|&name| name != self.node.name && wrong_name(name).is_none()) {
            tracing::info!("there is another node {}: this one is called {name}", self.node.name);
            name.clone_into(&mut self.node.name);
            self.name.send_replace(name.to_owned());
        }
    }

    fn is_of(&mut self, dialect: Dialect) {
        self.dialect.send_if_modified(|known| {
            let is_new = *known == Dialect::Unknown;
            if is_new {
                let whose = if dialect == Dialect::Python { ", which is Python's" } else { "" };
                tracing::info!("running what the registry at {} wants{whose}", self.client.url());
                *known = dialect;
            }
            is_new
        });
    }

    /// Has the supervisors know what is wanted.
    fn make(&mut self, wanted: Wanted) {
        let (now, wanted_cluster) = (self.now(), wanted.cluster);
        self.cluster.clone_from(&wanted_cluster);
        let key = |component: &str, copy| (component.to_owned(), copy);
        let keys: Vec<Key> = wanted.wanted.iter().map(|wanted| key(&wanted.component, wanted.copy)).collect();
        for (other, entry) in &mut self.entries {
            if !keys.contains(other) {
                entry.supervisor.handle_dismissed(now);
            }
        }
        for wanted in wanted.wanted {
            match self.entries.get_mut(&key(&wanted.component, wanted.copy)) {
                Some(entry) => entry.supervisor.handle_wanted(now, wanted),
                None => {
                    let entry_key = key(&wanted.component, wanted.copy);
                    let ended = self.over.of(wanted_cluster.as_deref(), &wanted);
                    let ended_at = ended.map(|ended| ended.at);
                    let supervisor = match ended {
                        Some(ended) => Supervisor::over(now, wanted, ended.exit, ended.restarts),
                        None => Supervisor::new(now, wanted),
                    };
                    self.entries.insert(entry_key, Entry { supervisor, number: 0, child: None, told: None, ended_at });
                }
            }
        }
        // What is on its way out ends after what stays.
        let leaving: Vec<_> = self.order.iter().filter(|key| !keys.contains(key)).cloned().collect();
        self.order = keys.into_iter().chain(leaving).collect();
    }

    fn on_failure(&mut self, error: ClientError) {
        let dialect = *self.dialect.borrow();
        match error.status() {
            // It has no such interface: it is Python's, which knows no tokens.
            Some(404) if dialect == Dialect::Unknown && !self.client.is_by_token() => self.ask(true),
            // It never took this node.
            Some(400 | 401 | 403 | 404) if dialect == Dialect::Unknown => self.end(Err(RunnerError::Refused(error))),
            Some(400 | 401 | 403 | 404) => self.on_denial(&error),
            // The cluster was deleted.
            Some(410) => self.end(Err(RunnerError::Refused(error))),
            // One before this may have been killed: that is forgotten soon. But if another came, all runs there.
            Some(409) if dialect == Dialect::Palm => self.end(Err(RunnerError::Refused(error))),
            _ => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!("{error}; trying again");
                }
            }
        }
    }

    /// The registry refuses a node that it took before: so does one that was started with another store. It is no reason to end what runs.
    fn on_denial(&mut self, error: &ClientError) {
        self.is_away = true;
        let (now, rest) = (Instant::now(), REST * (1 << self.denials.min(4)));
        self.denials += 1;
        self.ask_at = Some(now + rest.min(REST_MAX));
        if self.said_at.is_none_or(|at| now.duration_since(at) >= SAY_AGAIN) {
            self.said_at = Some(now);
            tracing::warn!("{error}; what runs goes on as it is, and the registry is asked again");
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Run => {}
            Order::Stop => self.end(Ok(())),
            Order::Kill => {
                self.end(Ok(()));
                let now = self.now();
                for entry in self.entries.values_mut() {
                    entry.supervisor.handle_dismissed(now);
                    entry.child.iter().for_each(Child::kill);
                }
            }
        }
    }

    fn end(&mut self, result: Result<(), RunnerError>) {
        if self.ending.is_some() {
            return;
        }
        if let Err(error) = &result {
            tracing::error!("ending all processes: {error}");
        }
        self.ending = Some(result);
        let now = self.now();
        for entry in self.entries.values_mut().filter(|entry| !entry.supervisor.is_alive()) {
            entry.supervisor.handle_dismissed(now);
        }
    }

    /// Ends what nothing waits for that still runs; `false`: there is none.
    fn end_more(&mut self) -> bool {
        let now = self.now();
        let left = self.order.iter().filter_map(|key| self.entries.get_key_value(key));
        let left = left.map(|(key, entry)| (key.0.as_str(), entry.supervisor.wanted().level));
        let next: BTreeSet<String> = stopping::next(left).into_iter().map(str::to_owned).collect();
        for ((component, _), entry) in &mut self.entries {
            if next.contains(component) {
                entry.supervisor.handle_dismissed(now);
            }
        }
        self.act();
        !self.entries.is_empty()
    }

    /// Asks the registry what is wanted.
    fn ask(&mut self, as_python: bool) {
        self.is_asking = true;
        let (client, events, node) = (self.client.clone(), self.events.0.clone(), self.node.clone());
        let said = self.report(false);
        self.told = self.states();
        tokio::spawn(async move {
            let answer = if as_python {
                client.node_config(&node).await.map(Answer::Lines)
            } else {
                client.sync(&said).await.map(Answer::Wanted)
            };
            let _ = events.send(Event::Answer(answer));
        });
    }
}

/// A random number.
fn dice() -> u32 {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
