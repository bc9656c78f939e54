//! The threads that do a worker's tasks, and what goes to them and comes from them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Waker;
use palm_proto::Status;
use palm_proto::native::HeldId;

use super::call::Call;
use super::function::Functions;
use crate::address::Address;
use crate::peer::{CacheDoor, CacheRequest};

/// Tasks that a thread takes at once, if they are quick, and what quick is.
const BATCH: usize = 64;
const QUICK: Duration = Duration::from_micros(100);
/// Bytes that may not have left before functions with several results wait.
const UNSENT_MAX: usize = 64 << 20;

/// What comes from a function.
#[derive(Debug)]
pub(super) enum Answer {
    Done(HeldId, Bytes),
    Failed(HeldId, Status, String),
    Partial(HeldId, Bytes),
    Progress(HeldId, u16, String),
}

/// What the worker's threads share with the one that has the connection.
pub(super) struct Shared {
    waker: Waker,
    pub(super) functions: Functions,
    tasks: Mutex<Tasks>,
    more_tasks: Condvar,
    answers: Mutex<Answers>,
    room: Condvar,
    /// By [`HeldId::index`]: the ticket of the last task there that was cancelled.
    pub(super) board: Box<[AtomicU64]>,
    /// Whether there is a connection.
    pub(super) connected: AtomicBool,
    /// Tasks that were answered, as of the last turn.
    pub(super) answered: AtomicU64,
    /// How long a request to the cache may take.
    pub(super) timeout: Duration,
}

#[derive(Debug, Default)]
struct Tasks {
    queue: VecDeque<Call>,
    /// Threads are to end when there is nothing more.
    over: bool,
}

#[derive(Debug, Default)]
struct Answers {
    answers: Vec<Answer>,
    requests: Vec<CacheRequest>,
    /// The thread with the connection waits for events, and has to be woken.
    asleep: bool,
    /// The worker is to stop.
    stop: bool,
    /// Where the master is now.
    address: Option<Address>,
    /// Nobody takes answers any more.
    closed: bool,
    /// Bytes that have not left.
    unsent: usize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// For tasks of which so many are there at once.
    pub(super) fn new(waker: Waker, functions: Functions, window: usize, timeout: Duration) -> Self {
        Self {
            waker,
            functions,
            tasks: Mutex::default(),
            more_tasks: Condvar::new(),
            answers: Mutex::default(),
            room: Condvar::new(),
            connected: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            board: (0..window).map(|_| AtomicU64::new(0)).collect(),
            timeout,
        }
    }

    /// Has tasks done.
    pub(super) fn push_tasks(&self, calls: &mut Vec<Call>) {
        if calls.is_empty() {
            return;
        }
        let several = calls.len() > 1;
        lock(&self.tasks).queue.extend(calls.drain(..));
        if several {
            self.more_tasks.notify_all();
        } else {
            self.more_tasks.notify_one();
        }
    }

    /// Takes back what has not been begun.
    pub(super) fn take_back(&self) -> VecDeque<Call> {
        std::mem::take(&mut lock(&self.tasks).queue)
    }

    /// Takes back one that has not been begun.
    pub(super) fn take_back_one(&self, id: HeldId) -> Option<Call> {
        let mut tasks = lock(&self.tasks);
        let at = tasks.queue.iter().position(|call| call.task.id == id)?;
        tasks.queue.remove(at)
    }

    /// Has the threads end when they have done what there is.
    pub(super) fn end(&self) {
        lock(&self.tasks).over = true;
        self.more_tasks.notify_all();
        let mut answers = lock(&self.answers);
        answers.closed = true;
        answers.unsent = 0;
        drop(answers);
        self.room.notify_all();
    }

    /// Hands in an answer.
    pub(super) fn answer(&self, answer: Answer) {
        self.wake(|answers| answers.answers.push(answer));
    }

    pub(super) fn stop(&self) {
        self.wake(|answers| answers.stop = true);
    }

    pub(super) fn relocate(&self, address: Address) {
        self.wake(|answers| answers.address = Some(address));
    }

    /// Waits until enough has left for another result.
    pub(super) fn wait_for_room(&self) {
        let mut answers = lock(&self.answers);
        while answers.unsent > UNSENT_MAX && !answers.closed {
            answers = self.room.wait(answers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says how many bytes have not left.
    pub(super) fn set_unsent(&self, unsent: usize) {
        let mut answers = lock(&self.answers);
        let had_room = answers.unsent <= UNSENT_MAX;
        answers.unsent = unsent;
        if !had_room && unsent <= UNSENT_MAX {
            self.room.notify_all();
        }
    }

    /// Takes what has come, or says that the thread has to be woken from now on. Whether the worker is to stop,
    /// and where the master is if that has changed.
    pub(super) fn take(
        &self,
        into: &mut Vec<Answer>,
        requests: &mut Vec<CacheRequest>,
        may_sleep: bool,
    ) -> (bool, Option<Address>) {
        let mut answers = lock(&self.answers);
        into.append(&mut answers.answers);
        requests.append(&mut answers.requests);
        let address = answers.address.take();
        answers.asleep = may_sleep && into.is_empty() && requests.is_empty() && address.is_none();
        (answers.stop, address)
    }

    fn wake(&self, change: impl FnOnce(&mut Answers)) {
        let mut answers = lock(&self.answers);
        change(&mut answers);
        let asleep = std::mem::take(&mut answers.asleep);
        drop(answers);
        if asleep && let Err(error) = self.waker.wake() {
            tracing::warn!("cannot wake the worker: {error}");
        }
    }

    /// Answers a task, or finds that nobody can.
    pub(super) fn call(&self, call: Call) -> Answer {
        let id = call.task.id;
        if call.is_cancelled() {
            return Answer::Failed(id, Status::Failed, String::from("cancelled"));
        }
        match call.function.and_then(|number| self.functions.by_number(number)) {
            Some(function) => function.call(call),
            None => Answer::Failed(id, Status::NoSuchFunction, format!("no function {}", call.method())),
        }
    }

    /// What each thread does.
    fn work(&self) {
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        let mut batch = 1;
        while self.next_calls(&mut calls, batch) {
            let (begun, count) = (Instant::now(), calls.len());
            for call in calls.drain(..) {
                answers.push(self.call(call));
            }
            let quick = begun.elapsed() < QUICK;
            batch = if quick { (batch * 2).min(BATCH) } else { count.div_ceil(2).min(batch) };
            self.wake(|all| all.answers.append(&mut answers));
        }
    }

    /// Waits for tasks, and takes a few. `false` if no more come.
    fn next_calls(&self, calls: &mut Vec<Call>, most: usize) -> bool {
        let mut tasks = lock(&self.tasks);
        loop {
            if !tasks.queue.is_empty() {
                let count = most.min(tasks.queue.len());
                calls.extend(tasks.queue.drain(..count));
                return true;
            }
            if tasks.over {
                return false;
            }
            tasks = self.more_tasks.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl CacheDoor for Shared {
    fn ask(&self, request: CacheRequest) -> bool {
        if lock(&self.answers).closed || IS_CONNECTION.get() {
            return false;
        }
        self.wake(|answers| answers.requests.push(request));
        true
    }
}

std::thread_local! {
    /// Whether this is a thread that has a worker's connection, and so must not wait for it.
    pub(super) static IS_CONNECTION: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts threads.
pub(super) fn start(shared: &Arc<Shared>, threads: usize) -> std::io::Result<Vec<JoinHandle<()>>> {
    let start_one = |index| {
        let shared = Arc::clone(shared);
        std::thread::Builder::new().name(format!("palm-job-{index}")).spawn(move || shared.work())
    };
    (0..threads).map(start_one).collect()
}
