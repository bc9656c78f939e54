//! A worker on ZeroMQ: takes messages from a master, calls functions, sends the results back.

mod call;
mod function;
mod limited;
mod outbox;
mod run;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::cache_client::CacheClient;
use crate::socket::{HEARTBEAT, MAX_MESSAGE, Options};
pub use call::{Call, Results};
use function::Function;
pub use run::Report;

/// A worker, ready to [`run`](Self::run).
///
/// # Examples
/// ```
/// use palm_transport_zmq::{Call, Results, Worker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let worker = Worker::builder()
///     .name("texts")
///     .cache_address("tcp://127.0.0.1:5559")
///     .concurrency(8)
///     // The client put a key of the cache into the message.
///     .function("lookup", async |call: Call| call.cache().get(call.user_data()).await)
///     .blocking_function("file", |call: Call| std::fs::read(String::from_utf8_lossy(call.payload()).as_ref()))
///     .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
///     .yielding_function("lines", async |call: Call, results: Results| {
///         for line in std::str::from_utf8(call.payload())?.lines() {
///             results.send(line.to_owned()).await;
///         }
///         Ok::<_, std::str::Utf8Error>(())
///     })
///     .build()?;
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run());
/// // When it is time, on SIGTERM say:
/// handle.shutdown();
/// let report = running.await?;
/// println!("{} results, {} failures", report.counters.results, report.counters.failures);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    config: Config,
    functions: HashMap<String, Function>,
    cache: CacheClient,
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
struct Config {
    name: String,
    cache_address: Option<String>,
    pull_address: Option<String>,
    push_address: Option<String>,
    concurrency: usize,
    queue: usize,
    timeout: Duration,
    heartbeat: Duration,
    max_message: usize,
    grace: Duration,
}

impl Config {
    fn sockets(&self) -> Options {
        Options { patience: self.timeout, heartbeat: self.heartbeat, max_message: self.max_message }
    }
}

impl Worker {
    /// Starts to describe a worker.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder {
            config: Config {
                name: Uuid::new_v4().to_string(),
                cache_address: None,
                pull_address: None,
                push_address: None,
                concurrency: 1,
                queue: 64,
                timeout: Duration::from_secs(5),
                heartbeat: HEARTBEAT,
                max_message: MAX_MESSAGE,
                grace: Duration::from_secs(10),
            },
            functions: HashMap::new(),
        }
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Stops the worker from elsewhere.
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle { stop: self.stop.clone(), answered: self.answered.clone() }
    }

    /// Works until it is told to stop, and then says what it has done.
    ///
    /// It looks for the master for as long as it takes, and again when the master is gone. Told to stop, it takes no more to
    /// do, gives back undone what has not begun (to a master that knows how; else it does it), and ends when everything is done
    /// and has left the process, or the time of grace is over.
    pub async fn run(self) -> Report {
        run::run(self).await
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<_> = self.functions.keys().collect();
        f.debug_struct("Worker").field("name", &self.config.name).field("functions", &functions).finish_non_exhaustive()
    }
}

/// Stops a worker, and looks after it, from elsewhere.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
}

impl WorkerHandle {
    /// Has the worker end what it is doing and stop. A second call changes nothing.
    pub fn shutdown(&self) {
        self.stop.send_replace(true);
    }

    /// Results and failures that it has given: one a message, unless a function gives several.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Describes a worker.
pub struct WorkerBuilder {
    config: Config,
    functions: HashMap<String, Function>,
}

impl WorkerBuilder {
    /// The worker's name in logs; a UUID unless given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The master's cache, which knows where its other sockets are.
    pub fn cache_address(mut self, address: impl Into<String>) -> Self {
        self.config.cache_address = Some(address.into());
        self
    }

    /// Where to take messages from: the master's push-to-workers socket. Asked from the cache unless given.
    pub fn pull_address(mut self, address: impl Into<String>) -> Self {
        self.config.pull_address = Some(address.into());
        self
    }

    /// Where to send results to: the master's pull-from-workers socket. Asked from the cache unless given.
    pub fn push_address(mut self, address: impl Into<String>) -> Self {
        self.config.push_address = Some(address.into());
        self
    }

    /// Number of calls that run at the same time; 1 unless given.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.config.concurrency = calls.max(1);
        self
    }

    /// Number of messages that are received before they can begin; 64 unless given.
    pub fn queue(mut self, messages: usize) -> Self {
        self.config.queue = messages;
        self
    }

    /// How long a try to connect, and a request to the cache, may take; 5 s unless given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Silence after which the master is asked whether it lives; after twice as much more it is lost, and looked for anew. 5 s unless
    /// given; zero: never.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.config.heartbeat = heartbeat;
        self
    }

    /// Longest message that is taken from the master, in bytes; 256 MiB unless given. A longer one ends the connection.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.config.max_message = bytes;
        self
    }

    /// How long the worker may take to stop; 10 s unless given.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// Answers `method` with an async function, run as a task of its own. An error's text goes to the client with the failure.
    pub fn function<F, R, T, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        self.with(method, Function::from_async(function))
    }

    /// Answers `method` with an async function that has several results, each sent on its own as soon as it is handed in. If
    /// it fails after some of them, the failure is one more. A master that counts on an answer never sees the end of a
    /// message that has none.
    pub fn yielding_function<F, R, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call, Results) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.with(method, Function::from_yielding(function))
    }

    /// Answers `method` with a function that blocks or computes for long, run on a thread for such.
    pub fn blocking_function<F, T, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        self.with(method, Function::from_blocking(function))
    }

    /// Answers `method` with a function that takes microseconds, run between receiving one message and the next: the least
    /// overhead, and nothing else happens while it runs.
    pub fn inline_function<F, T, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        self.with(method, Function::from_inline(function))
    }

    /// The worker.
    ///
    /// # Errors
    /// If it has neither a cache address nor both of the others.
    pub fn build(self) -> Result<Worker, BuildError> {
        let Self { config, functions } = self;
        if config.cache_address.is_none() && (config.pull_address.is_none() || config.push_address.is_none()) {
            return Err(BuildError::NoAddress);
        }
        let cache =
            CacheClient::with_options(config.cache_address.clone().unwrap_or_default(), "cache", config.sockets());
        Ok(Worker { config, functions, cache, stop: watch::Sender::new(false), answered: Arc::default() })
    }

    fn with(mut self, method: impl Into<String>, function: Function) -> Self {
        self.functions.insert(method.into(), function);
        self
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<_> = self.functions.keys().collect();
        f.debug_struct("WorkerBuilder").field("config", &self.config).field("functions", &functions).finish()
    }
}

/// A worker or a client cannot be made of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// Neither a cache address, nor both of the others.
    NoAddress,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither the cache's address is given, nor both of the others")
    }
}

impl std::error::Error for BuildError {}

/// Used by what runs the worker.
type Functions = Arc<HashMap<String, Function>>;
