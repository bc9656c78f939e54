//! The thread that has a worker's connection.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use palm_proto::Status;

use super::call::Call;
use super::connection::{Task, WorkerConnection, WorkerEvent};
use super::function::Function;
use super::pool::{Answer, IS_CONNECTION, Shared, start};
use crate::poll::wait;

pub(super) const WAKE: Token = Token(1);
const CONNECTION: Token = Token(0);
/// Events taken at a time: there are two sources.
const EVENTS: usize = 8;
/// Tasks that are done inline before what they gave is sent.
const INLINE_A_TURN: usize = 256;

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Tasks that came.
    pub tasks: u64,
    /// Those that were done.
    pub results: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were handed back undone.
    pub handed_back: u64,
    /// Times that a connection was established.
    pub connections: u64,
}

/// How a worker ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What it has done.
    pub counters: Counters,
    /// Tasks that had no result when the time of grace was over, or the master wanted no more of the worker.
    pub left: usize,
    /// Why the master wanted no more of it; `None` if the worker was stopped.
    pub refused: Option<String>,
}

#[derive(Debug)]
pub(super) struct Runner {
    pub(super) connection: WorkerConnection,
    pub(super) poll: Poll,
    pub(super) shared: Arc<Shared>,
    pub(super) jobs: usize,
    pub(super) grace: Duration,
    report: Report,
    /// Tasks that are with the threads, or wait for one.
    under_way: usize,
    calls: Vec<Call>,
    inline: VecDeque<Call>,
    /// The name of the function that the last task was for, and its number.
    last: Option<(Arc<str>, Option<usize>)>,
    tickets: u64,
    /// When the time of grace is over.
    until: Option<Instant>,
}

impl Runner {
    pub(super) fn new(
        connection: WorkerConnection,
        poll: Poll,
        shared: Arc<Shared>,
        jobs: usize,
        grace: Duration,
    ) -> Self {
        Self {
            connection,
            poll,
            shared,
            jobs,
            grace,
            report: Report::default(),
            under_way: 0,
            calls: Vec::new(),
            inline: VecDeque::new(),
            last: None,
            tickets: 0,
            until: None,
        }
    }

    pub(super) fn run(mut self) -> io::Result<Report> {
        IS_CONNECTION.set(true);
        let threads = start(&self.shared, self.jobs)?;
        let served = self.serve();
        self.show();
        IS_CONNECTION.set(false);
        self.under_way -= self.shared.take_back().len();
        self.shared.end();
        if self.under_way == 0 {
            threads.into_iter().for_each(join);
        }
        served.map(|()| self.report)
    }

    /// Shows the handle what is done.
    fn show(&self) {
        let Counters { results, failures, .. } = self.report.counters;
        self.shared.answered.store(results + failures, Ordering::Relaxed);
    }

    fn serve(&mut self) -> io::Result<()> {
        self.connection.register(self.poll.registry(), CONNECTION)?;
        let mut events = Events::with_capacity(EVENTS);
        let (mut answers, mut requests) = (Vec::new(), Vec::new());
        loop {
            self.connection.turn();
            while let Some(event) = self.connection.poll_event() {
                self.on_event(event);
            }
            self.shared.push_tasks(&mut self.calls);
            self.do_inline();
            self.show();
            self.shared.set_unsent(self.connection.unsent());
            if self.connection.is_over() {
                self.report.left = self.under_way;
                return Ok(());
            }
            let mut timeout = self.connection.next_timeout().filter(|_| self.inline.is_empty());
            if !self.inline.is_empty() {
                timeout = Some(Duration::ZERO);
            }
            if let Some(until) = self.until {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    tracing::warn!("stopped with {} tasks under way: the time of grace is over", self.under_way);
                    self.report.left = self.under_way;
                    self.connection.bye();
                    self.connection.turn();
                    return Ok(());
                }
                timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
            }
            let (stop, address) = self.shared.take(&mut answers, &mut requests, timeout != Some(Duration::ZERO));
            if let Some(address) = address {
                self.connection.relocate(address);
                timeout = Some(Duration::ZERO);
            }
            if stop && self.until.is_none() {
                self.stop();
                timeout = Some(Duration::ZERO);
            }
            if !answers.is_empty() || !requests.is_empty() {
                timeout = Some(Duration::ZERO);
                answers.drain(..).for_each(|answer| self.on_answer(answer));
                requests.drain(..).for_each(|request| self.connection.ask_cache(request));
                // What they are sent with is one turn, and events have theirs after it.
                self.connection.turn();
            }
            self.leave();
            if self.connection.has_event() {
                // It came with a turn that was for what was said, and no other event tells of it.
                timeout = Some(Duration::ZERO);
            }
            wait(&mut self.poll, &mut events, timeout)?;
            for event in events.iter().filter(|event| event.token() == CONNECTION) {
                self.connection.on_ready(event);
            }
        }
    }

    fn on_event(&mut self, event: WorkerEvent) {
        if let WorkerEvent::Connected { .. } | WorkerEvent::Disconnected { .. } | WorkerEvent::Ended { .. } = event {
            self.shared.connected.store(self.connection.is_connected(), Ordering::Relaxed);
        }
        match event {
            WorkerEvent::Task(task) => self.on_task(task),
            WorkerEvent::Cancelled { id } => {
                if let Some(call) = self.shared.take_back_one(id) {
                    self.under_way -= 1;
                    self.connection.failed(call.task.id, Status::Failed, "cancelled");
                }
                // Its ticket is that of the place's last task.
                if let Some(place) = self.shared.board.get(id.index()) {
                    place.store(place.load(Ordering::Relaxed) & !PENDING, Ordering::Relaxed);
                }
            }
            WorkerEvent::Connected { master, resumed } => {
                self.report.counters.connections += 1;
                tracing::info!("connected to master {master}{}", if resumed { " again" } else { "" });
            }
            WorkerEvent::Disconnected { why } => {
                tracing::warn!("the connection is lost: {why}; looking for the master")
            }
            WorkerEvent::Ended { why } => {
                if !why.is_empty() {
                    tracing::warn!("no connection any more: {why}");
                    self.report.refused = Some(why);
                }
            }
        }
    }

    fn on_task(&mut self, task: Task) {
        self.report.counters.tasks += 1;
        if self.until.is_some() {
            // It crossed the word that no more are taken.
            self.report.counters.handed_back += 1;
            return self.connection.hand_back(task.id);
        }
        self.tickets += 1;
        let function = self.function_of(&task);
        let call = Call { task, function, ticket: self.tickets, shared: Arc::clone(&self.shared) };
        if let Some(place) = self.shared.board.get(call.task.id.index()) {
            place.store(self.tickets | PENDING, Ordering::Relaxed);
        }
        match function.and_then(|number| self.shared.functions.by_number(number)) {
            Some(Function::Inline(_)) | None => self.inline.push_back(call),
            Some(Function::Pooled(_)) => {
                self.under_way += 1;
                self.calls.push(call);
            }
        }
    }

    /// The number of the function that a task is for. Many tasks for the same one, whose name they share, are the rule.
    fn function_of(&mut self, task: &Task) -> Option<usize> {
        let name = task.function.as_ref()?;
        if let Some((last, number)) = &self.last
            && Arc::ptr_eq(last, name)
        {
            return *number;
        }
        let method = name.split_once('.').map_or(&**name, |(_, method)| method);
        let number = self.shared.functions.number_of(method);
        self.last = Some((Arc::clone(name), number));
        number
    }

    /// Does what runs in this thread.
    fn do_inline(&mut self) {
        let count = self.inline.len().min(INLINE_A_TURN);
        if count == 0 {
            return;
        }
        for _ in 0..count {
            let Some(call) = self.inline.pop_front() else { break };
            let answer = self.shared.call(call);
            self.say(answer);
        }
        self.connection.turn();
    }

    fn on_answer(&mut self, answer: Answer) {
        if let Answer::Done(..) | Answer::Failed(..) = answer {
            self.under_way -= 1;
        }
        self.say(answer);
    }

    fn say(&mut self, answer: Answer) {
        match answer {
            Answer::Done(id, result) => {
                self.report.counters.results += 1;
                self.connection.done(id, result);
            }
            Answer::Failed(id, status, text) => {
                self.report.counters.failures += 1;
                self.connection.failed(id, status, text);
            }
            Answer::Partial(id, result) => self.connection.partial(id, result),
            Answer::Progress(id, permille, text) => self.connection.progress(id, permille, text),
        }
    }

    /// Takes nothing more, and gives back what has not begun.
    fn stop(&mut self) {
        self.until = Some(Instant::now() + self.grace);
        self.connection.drain();
        for call in self.shared.take_back() {
            self.under_way -= 1;
            self.report.counters.handed_back += 1;
            self.connection.hand_back(call.task.id);
        }
    }

    /// Says goodbye when there is nothing left to do or to say.
    fn leave(&mut self) {
        let idle = self.under_way == 0 && self.inline.is_empty();
        // Without a connection there is nobody to hand back to; results wait for one.
        if self.until.is_some() && idle && (self.connection.is_connected() || self.connection.unsent() == 0) {
            self.connection.bye();
            self.connection.turn();
        }
    }
}

/// A bit that no ticket has: the task at a place of the board is not cancelled.
const PENDING: u64 = 1 << 63;

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the worker has panicked");
    }
}
