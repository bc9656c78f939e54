//! Drives the worker's machine: sockets in, calls out, answers back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::collections::HeapTable;
use palm_proto::message::NoRoom;
use palm_proto::worker::{self as machine, Answer, CallId, Counters, Event, HeapWorker, Stop};
use palm_proto::{Backoff, Reminder, Status};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout_at;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::call::{Call, Part, Results};
use super::function::{End, Function};
use super::limited::Limited;
use super::outbox::{Outbox, send_all};
use super::{Config, Functions, Worker};
use crate::cache_client::CacheClient;
use crate::clock::{Clock, backoff};
use crate::discovery::{self, DiscoveryError, WorkerAddresses};
use crate::log_limit::LogLimit;
use crate::socket::{PullSocket, PushSocket, SocketError};

/// How long no message comes before a worker that stops takes it that none is on the way.
const QUIET: Duration = Duration::from_millis(100);

/// Results of calls that go on which may wait for the worker.
const PARTS: usize = 64;

/// What a worker has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Messages, results and failures.
    pub counters: Counters,
    /// Messages that had no result when the time of grace was over.
    pub left: usize,
    /// Whether every result has left the process.
    pub flushed: bool,
}

struct Runner {
    config: Config,
    functions: Functions,
    cache: CacheClient,
    machine: HeapWorker,
    /// Calls that run; without an answer ends one whose results were handed in before.
    calls: JoinSet<(CallId, End)>,
    /// Results of calls that go on.
    parts: (mpsc::Sender<Part>, mpsc::Receiver<Part>),
    outbox: Arc<Outbox>,
    log_limit: LogLimit,
    /// Waits before the next try to connect; what was done over a connection shortens them.
    backoff: Backoff,
    /// When to say again that there is no connection.
    reminder: Reminder,
    origin: Instant,
    clock: Clock,
    stop: watch::Receiver<bool>,
    /// What the handle shows.
    answered: Arc<AtomicU64>,
    /// Bytes of the longest result that the last master takes.
    longest: usize,
    /// When the time of grace is over, once the worker is told to stop.
    end: Option<tokio::time::Instant>,
}

/// The connections to one master.
struct Link {
    pull: PullSocket,
    sender: JoinHandle<Option<PushSocket>>,
    extensions: bool,
    /// Bytes of the longest message that the master takes, if it says so.
    longest: Option<usize>,
}

/// Why a link is not used any longer.
enum Over {
    Lost(SocketError),
    Stopped,
}

pub(super) async fn run(worker: Worker) -> Report {
    let Worker { config, functions, cache, stop, answered } = worker;
    let (capacity, clock) = (config.concurrency + config.queue, Clock::start());
    let concurrency = u32::try_from(config.concurrency).unwrap_or(u32::MAX);
    let mut runner = Runner {
        functions: Arc::new(functions),
        cache,
        machine: HeapWorker::new(machine::Config { concurrency }, HeapTable::new(capacity)),
        calls: JoinSet::new(),
        parts: mpsc::channel(PARTS),
        outbox: Arc::default(),
        log_limit: LogLimit::default(),
        backoff: backoff(),
        reminder: Reminder::after(clock.now()),
        origin: Instant::now(),
        clock,
        stop: stop.subscribe(),
        answered,
        longest: usize::MAX,
        end: None,
        config,
    };
    runner.run().await
}

impl Runner {
    async fn run(&mut self) -> Report {
        let mut lost = false;
        loop {
            let Some(mut link) = self.connect().await else {
                // What it has sent its master has had, if nothing is left.
                let idle = self.is_idle();
                return self.report(idle);
            };
            if lost {
                self.say(&"the master is back");
            }
            self.longest = link.longest.unwrap_or(usize::MAX);
            self.backoff.handle_connected(self.clock.now());
            match self.serve(&mut link).await {
                Over::Lost(error) => {
                    self.warn(&format_args!("the master is gone ({error}); looking for it"));
                    link.sender.abort();
                    // What it had not written is in the outbox again when it has ended.
                    if !link.sender.is_finished() {
                        let _ = link.sender.await;
                    }
                    lost = true;
                    self.pause().await;
                }
                Over::Stopped => {
                    let flushed = self.flush(link).await;
                    return self.report(flushed);
                }
            }
        }
    }

    /// Tries until there is a connection; `None` if the worker is told to stop, and gets none in the time of grace that its
    /// results have left.
    async fn connect(&mut self) -> Option<Link> {
        loop {
            let (config, cache) = (self.config.clone(), self.cache.without_waiting());
            let outbox = self.outbox.clone();
            let link = self.unless_over(async move { open(&config, &cache, &outbox).await }).await?;
            match link {
                Ok(link) => return Some(link),
                Err(error) if self.reminder.is_due(self.clock.now()) => {
                    warn!(worker = self.config.name, "{error}; trying again");
                }
                Err(error) => debug!(worker = self.config.name, %error, "no connection to the master yet"),
            }
            self.pause().await;
        }
    }

    /// The rest before the next try to connect; ends early when the worker is told to stop.
    async fn pause(&mut self) {
        let wait = self.backoff.wait(self.clock.now());
        let _ = self.unless_over(tokio::time::sleep(wait)).await;
    }

    /// What `work` comes to; `None` if the worker is told to stop and there is nothing more to do, or no more time for it.
    async fn unless_over<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            match self.end {
                Some(_) if self.is_idle() => return None,
                Some(end) => return timeout_at(end, work).await.ok(),
                None => tokio::select! {
                    done = &mut work => return Some(done),
                    () = stopped(&mut self.stop) => self.on_stop(false),
                },
            }
        }
    }

    /// Whether there is nothing to do and nothing to send.
    fn is_idle(&self) -> bool {
        self.machine.held() == 0 && self.outbox.len() == 0
    }

    /// Works on one link until it is lost or the worker is done.
    async fn serve(&mut self, link: &mut Link) -> Over {
        if self.end.is_some() {
            self.on_stop(link.extensions);
        }
        loop {
            self.step();
            let stopping = self.end.is_some();
            if self.end.is_some_and(|end| end <= tokio::time::Instant::now()) {
                return Over::Stopped;
            }
            if stopping && self.machine.held() == 0 {
                match self.take_last(link).await {
                    Ok(true) => continue,
                    Ok(false) => return Over::Stopped,
                    Err(error) => return Over::Lost(error),
                }
            }
            let wanted = self.machine.has_room();
            tokio::select! {
                Some(done) = self.calls.join_next(), if !self.calls.is_empty() => self.on_done(done),
                Some((id, result)) = self.parts.1.recv(), if self.outbox.has_room() => self.on_part(id, &result),
                received = link.pull.recv(wanted) => match received {
                    Ok(message) => self.on_message(message),
                    Err(error) => return Over::Lost(error),
                },
                () = self.outbox.room(), if !self.outbox.has_room() => {}
                _ = &mut link.sender => return Over::Lost(SocketError::Closed),
                () = stopped(&mut self.stop), if !stopping => self.on_stop(link.extensions),
                () = at(self.end), if stopping => return Over::Stopped,
            }
        }
    }

    /// Hands results on and begins calls, as many as there may be.
    fn step(&mut self) {
        self.make();
        let Counters { results, failures, .. } = *self.machine.counters();
        self.answered.store(results + failures, Ordering::Relaxed);
        while let Some(Event::Malformed(error)) = self.machine.poll_event() {
            self.warn(&format_args!("dropped what is no message: {error}"));
        }
    }

    fn make(&mut self) {
        loop {
            while self.outbox.has_room() && self.machine.has_transmit() {
                let mut result = Limited::new(self.longest);
                match self.machine.poll_transmit(&mut result) {
                    Some(Ok(_)) => self.outbox.put(result.freeze()),
                    // Its client is told instead.
                    Some(Err(NoRoom)) => self.warn_of_length(),
                    None => {}
                }
            }
            let now = palm_proto::Instant::from_micros(self.origin.elapsed().as_micros() as u64);
            let Some(id) = self.machine.poll_call(now) else { break };
            self.begin(id);
        }
    }

    fn begin(&mut self, id: CallId) {
        let Some(message) = self.machine.message(id).cloned() else { return };
        let Some(call) = self.machine.call(id) else { return };
        let function = self.functions.get(call.method).cloned();
        let deadline = call.expires.map(|at| self.origin + Duration::from_micros(at.as_micros()));
        let payload = message.slice_ref(call.message.payload);
        let text = function.is_none().then(|| format!("the worker has no function {:?}", call.method));
        let call = Call { payload, message, deadline, cache: self.cache.clone() };
        match function {
            Some(Function::Async(function)) => {
                let answer = function(call);
                self.calls.spawn(async move { (id, Some(answer.await)) });
            }
            Some(Function::Yielding(function)) => {
                let end = function(call, Results { id, results: self.parts.0.clone() });
                self.calls.spawn(async move { (id, end.await) });
            }
            Some(Function::Blocking(function)) => {
                self.calls.spawn_blocking(move || (id, Some(function(call))));
            }
            Some(Function::Inline(function)) => self.on_answer(id, function(call)),
            None => {
                let text = text.unwrap_or_default();
                self.warn(&text);
                self.on_answer(id, Answer::Failure(Status::NoSuchFunction, text.into()));
            }
        }
    }

    /// Says that something is well again.
    fn say(&mut self, text: &dyn std::fmt::Display) {
        if self.log_limit.allows(Instant::now()).is_some() {
            info!(worker = self.config.name, "{text}");
        }
    }

    /// Says what a message, a function or the master was the cause of, so often and no more.
    fn warn(&mut self, text: &dyn std::fmt::Display) {
        match self.log_limit.allows(Instant::now()) {
            Some(0) => warn!(worker = self.config.name, "{text}"),
            Some(left_out) => warn!(worker = self.config.name, left_out, "{text}"),
            None => {}
        }
    }

    fn on_message(&mut self, message: Bytes) {
        self.backoff.handle_useful();
        let now = palm_proto::Instant::from_micros(self.origin.elapsed().as_micros() as u64);
        let taken = self.machine.handle_message(now, message);
        debug_assert!(taken.is_ok(), "nothing is received without room for it");
    }

    fn on_done(&mut self, done: Result<(CallId, End), tokio::task::JoinError>) {
        // What the call handed in before it ended is here already.
        while let Ok((id, result)) = self.parts.1.try_recv() {
            self.on_part(id, &result);
        }
        match done {
            Ok((id, Some(answer))) => self.on_answer(id, answer),
            Ok((id, None)) => {
                let known = self.machine.handle_end(id);
                debug_assert!(known.is_ok(), "each call ends once");
            }
            // Panics are caught inside the task, so this is an abort, after which nobody asks any more.
            Err(_) => {}
        }
    }

    fn on_part(&mut self, id: CallId, payload: &[u8]) {
        let mut result = Limited::new(self.longest);
        match self.machine.write_result(id, payload, &mut result) {
            Some(Ok(_)) => self.outbox.put(result.freeze()),
            Some(Err(NoRoom)) => self.warn_of_length(),
            None => {}
        }
    }

    fn warn_of_length(&mut self) {
        let longest = self.longest;
        self.warn(&format_args!("a result is longer than the {longest} bytes that the master takes"));
    }

    fn on_answer(&mut self, id: CallId, answer: Answer<Bytes>) {
        if let Answer::Failure(Status::Failed, text) = &answer {
            let method = self.machine.call(id).map_or_else(String::new, |call| call.method.to_owned());
            self.warn(&format_args!("{method:?} failed: {}", String::from_utf8_lossy(text)));
        }
        let known = self.machine.handle_answer(id, answer);
        debug_assert!(known.is_ok(), "each call is answered once");
    }

    fn on_stop(&mut self, extensions: bool) {
        self.end.get_or_insert_with(|| tokio::time::Instant::now() + self.config.grace);
        self.machine.handle_shutdown(if extensions { Stop::HandBack } else { Stop::Finish });
    }

    /// Takes one more message that was on its way here when the worker was told to stop. A master that knows our extensions
    /// dispatches again what it does not get back; what any other has sent here is lost if it is not done, and all that can be
    /// known is whether more comes.
    async fn take_last(&mut self, link: &mut Link) -> Result<bool, SocketError> {
        let patience = if link.extensions { Duration::ZERO } else { QUIET };
        match tokio::time::timeout(patience, link.pull.recv(true)).await {
            Ok(received) => {
                self.on_message(received?);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Has everything leave the process before the messages' connection ends, which is when a master gives up on what is out.
    async fn flush(&mut self, link: Link) -> bool {
        let end = self.end.unwrap_or_else(tokio::time::Instant::now);
        self.calls.abort_all();
        self.outbox.close();
        let mut sender = link.sender;
        let flushed = match timeout_at(end, &mut sender).await {
            Ok(Ok(Some(push))) => {
                let left = end.saturating_duration_since(tokio::time::Instant::now()).max(Duration::from_millis(100));
                push.close(left).await
            }
            // The master went first. What it had not been sent is in the outbox again.
            Ok(_) => self.outbox.len() == 0,
            Err(_) => {
                sender.abort();
                let _ = sender.await;
                false
            }
        };
        link.pull.close(Duration::from_millis(100)).await;
        flushed
    }

    fn report(&self, flushed: bool) -> Report {
        let left = self.machine.held() + self.outbox.len();
        Report { counters: *self.machine.counters(), left, flushed }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Every handle is gone, and nobody can stop the worker.
        std::future::pending().await
    }
}

async fn at(end: Option<tokio::time::Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Why there is no connection to a master.
#[derive(Debug)]
enum OpenError {
    Discovery(DiscoveryError),
    Socket(String, SocketError),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Discovery(error) => error.fmt(f),
            Self::Socket(address, error) => write!(f, "cannot reach {address}: {error}"),
        }
    }
}

async fn open(config: &Config, cache: &CacheClient, outbox: &Arc<Outbox>) -> Result<Link, OpenError> {
    let addresses = discover(config, cache).await.map_err(OpenError::Discovery)?;
    let failed = |address: &str| {
        let address = address.to_owned();
        |error| OpenError::Socket(address, error)
    };
    // The only thing that a peer can say of itself: how many messages it works on at the same time, and which connections are its.
    // Nobody else can know the latter. Components other than our master do not look at it (`docs/spec.md`, section 7.4).
    let jobs = u32::try_from(config.concurrency).unwrap_or(u32::MAX);
    let identity = format!("palm;jobs={jobs};{}", Uuid::new_v4());
    let options = config.sockets();
    // The way out is open before the first message comes in.
    let push = PushSocket::connect(&addresses.push, &identity, &options).await.map_err(failed(&addresses.push))?;
    let pull = PullSocket::connect(&addresses.pull, &identity, &options).await.map_err(failed(&addresses.pull))?;
    // The names are from the master's side, as in the Python worker's log.
    info!(worker = config.name, "Got worker push address: {}", addresses.pull);
    info!(worker = config.name, "Got worker pull address: {}", addresses.push);
    // Who gives messages has to know what is handed back, and who takes results, too.
    let extensions = pull.told().extensions && push.told().extensions;
    let longest = push.told().max_message;
    let outbox = outbox.clone();
    let sender = tokio::spawn(async move { send_all(&outbox, push).await });
    Ok(Link { pull, sender, extensions, longest })
}

async fn discover(config: &Config, cache: &CacheClient) -> Result<WorkerAddresses, DiscoveryError> {
    let pull = match &config.pull_address {
        Some(address) => address.clone(),
        None => discovery::address(cache, "worker_push_address").await?,
    };
    let push = match &config.push_address {
        Some(address) => address.clone(),
        None => discovery::address(cache, "worker_pull_address").await?,
    };
    Ok(WorkerAddresses { pull, push })
}
