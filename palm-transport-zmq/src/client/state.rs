//! What a client's handles and tasks share: the jobs, and which of them a result belongs to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use palm_proto::client::{Config, Counters, HeapJob, Outcome, Reply};
use tokio::sync::Notify;

/// Longest run of sequence numbers that a job is given at once.
const LONGEST_RUN: u64 = 1 << 16;
/// Most messages that one job sends before another has its turn.
const TURN: usize = 32;

/// Names a job on its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct JobId(u64);

#[derive(Debug)]
pub(super) struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// No handle is left.
    closed: AtomicBool,
    /// Longest message that the server takes, in bytes.
    max_message: AtomicUsize,
    /// Some job has something to send.
    pub(super) transmit: Notify,
    /// Something is due earlier than it was.
    pub(super) timer: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<JobId, Entry>,
    /// Which job has which sequence numbers: by the first, the number after the last.
    runs: BTreeMap<u64, (u64, JobId)>,
    next_sequence: u64,
    next_job: u64,
    /// Jobs with something to send, in turn.
    sending: VecDeque<JobId>,
    /// Nothing is due before.
    due: Option<palm_proto::Instant>,
    /// Results that belong to no job: of one that was dropped, or of a client before this one.
    strays: u64,
}

#[derive(Debug)]
struct Entry {
    machine: HeapJob,
    waker: Option<Waker>,
    sending: bool,
}

/// A message for a job's machine.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) sequence: u64,
    pub(super) message: Bytes,
    /// Why it is not to be sent.
    pub(super) failure: Option<Reply<Bytes>>,
}

/// What a job's handle gets to know at one look.
pub(super) struct Look {
    /// How many more messages may be submitted.
    pub(super) room: usize,
    /// Whether nothing is under way.
    pub(super) idle: bool,
}

impl Shared {
    pub(super) fn new() -> Self {
        let (transmit, timer) = (Notify::new(), Notify::new());
        Self {
            origin: Instant::now(),
            state: Mutex::default(),
            closed: AtomicBool::new(false),
            max_message: AtomicUsize::new(usize::MAX),
            transmit,
            timer,
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn set_max_message(&self, bytes: usize) {
        self.max_message.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn max_message(&self) -> usize {
        self.max_message.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> palm_proto::Instant {
        palm_proto::Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The driver's time for a machine's.
    pub(super) fn at(&self, instant: palm_proto::Instant) -> Instant {
        self.origin + std::time::Duration::from_micros(instant.as_micros())
    }

    pub(super) fn begin(&self, config: Config) -> JobId {
        let machine = HeapJob::sized(config);
        let mut state = self.lock();
        let id = JobId(state.next_job);
        state.next_job += 1;
        state.jobs.insert(id, Entry { machine, waker: None, sending: false });
        id
    }

    /// Forgets a job, with the runs of sequence numbers that it had, by their first.
    pub(super) fn end(&self, id: JobId, runs: impl Iterator<Item = u64>) {
        let mut state = self.lock();
        state.jobs.remove(&id);
        for first in runs {
            state.runs.remove(&first);
        }
    }

    /// A run of at most `wanted` sequence numbers: the first, and how many.
    pub(super) fn sequences(&self, id: JobId, wanted: u64) -> (u64, u64) {
        let mut state = self.lock();
        let first = state.next_sequence;
        let count = wanted.clamp(1, LONGEST_RUN);
        state.next_sequence = first + count;
        match state.runs.last_entry() {
            Some(mut last) if *last.get() == (first, id) => last.get_mut().0 = first + count,
            _ => {
                state.runs.insert(first, (first + count, id));
            }
        }
        (first, count)
    }

    /// Submits messages for which there is room; a message that is refused after all is left in `messages`. One that cannot be
    /// sent has its outcome at once, in its turn.
    pub(super) fn submit(&self, id: JobId, messages: &mut VecDeque<Submission>) {
        let now = self.now();
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(&id) else { return };
        while let Some(Submission { sequence, message, failure }) = messages.pop_front() {
            if let Err(refused) = entry.machine.submit(now, sequence, message) {
                messages.push_front(Submission { sequence, message: refused.message, failure });
                break;
            }
            if let Some(failure) = failure {
                entry.machine.handle_reply(now, failure);
            }
        }
        self.settle(&mut state, id);
    }

    /// Moves outcomes that are ready into `outcomes`, and has `waker` woken when there are more.
    pub(super) fn outcomes(
        &self,
        id: JobId,
        most: usize,
        outcomes: &mut VecDeque<Outcome<Bytes>>,
        waker: &Waker,
    ) -> Look {
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(&id) else { return Look { room: 0, idle: true } };
        while outcomes.len() < most {
            let Some(outcome) = entry.machine.poll_event() else { break };
            outcomes.push_back(outcome);
        }
        match &mut entry.waker {
            Some(kept) => kept.clone_from(waker),
            None => entry.waker = Some(waker.clone()),
        }
        Look { room: entry.machine.room(), idle: entry.machine.pending() == 0 }
    }

    pub(super) fn counters(&self, id: JobId) -> Counters {
        self.lock().jobs.get(&id).map(|entry| *entry.machine.counters()).unwrap_or_default()
    }

    /// Moves up to `most` messages that are to be sent into `batch`.
    pub(super) fn take_batch(&self, most: usize, batch: &mut VecDeque<Bytes>) {
        let now = self.now();
        let mut state = self.lock();
        let state = &mut *state;
        while batch.len() < most {
            let Some(id) = state.sending.pop_front() else { return };
            let Some(entry) = state.jobs.get_mut(&id) else { continue };
            let end = (batch.len() + TURN).min(most);
            while batch.len() < end {
                let Some(transmit) = entry.machine.poll_transmit(now) else { break };
                batch.push_back(transmit.message.clone());
            }
            entry.sending = entry.machine.has_transmit();
            if entry.sending {
                state.sending.push_back(id);
            }
        }
    }

    /// Gives a result to its job.
    pub(super) fn on_reply(&self, reply: Reply<Bytes>) {
        let now = self.now();
        let mut state = self.lock();
        let sequence = reply.sequence().or_else(|| {
            // A component on the way dropped the number: the message that has waited longest is the best guess.
            state.jobs.values().filter_map(|entry| entry.machine.oldest_unanswered()).min()
        });
        let job = sequence.and_then(|sequence| {
            let (_, &(end, id)) = state.runs.range(..=sequence).next_back()?;
            (sequence < end).then_some(id)
        });
        let Some(id) = job else {
            state.strays += 1;
            return;
        };
        let Some(entry) = state.jobs.get_mut(&id) else {
            state.strays += 1;
            return;
        };
        entry.machine.handle_reply(now, reply);
        let waker = entry.waker.take();
        self.settle(&mut state, id);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has everything unanswered sent again: the connection is a new one.
    pub(super) fn on_reconnect(&self) {
        let now = self.now();
        let mut state = self.lock();
        let ids: Vec<_> = state.jobs.keys().copied().collect();
        for id in ids {
            if let Some(entry) = state.jobs.get_mut(&id) {
                entry.machine.handle_reconnect(now);
            }
            self.settle(&mut state, id);
        }
    }

    /// When something may be due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().due.map(|due| self.at(due))
    }

    /// Deals with what is due. Looks at every job.
    pub(super) fn on_timeout(&self) {
        let now = self.now();
        let mut state = self.lock();
        state.due = None;
        let ids: Vec<_> = state.jobs.keys().copied().collect();
        let mut wakers = Vec::new();
        for id in ids {
            if let Some(entry) = state.jobs.get_mut(&id)
                && entry.machine.poll_timeout().is_some_and(|due| due <= now)
            {
                entry.machine.handle_timeout(now);
                wakers.extend(entry.waker.take());
            }
            self.settle(&mut state, id);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// After a change to a job: has its messages sent, and looks after its time limits.
    fn settle(&self, state: &mut State, id: JobId) {
        let State { jobs, sending, due, .. } = state;
        let Some(entry) = jobs.get_mut(&id) else { return };
        if entry.machine.has_transmit() && !entry.sending {
            entry.sending = true;
            sending.push_back(id);
            self.transmit.notify_one();
        }
        if let Some(at) = entry.machine.poll_timeout()
            && due.is_none_or(|due| at < due)
        {
            *due = Some(at);
            self.timer.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
