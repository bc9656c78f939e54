//! A worker: takes tasks from a master, calls functions, sends the results back.

mod call;
mod connection;
mod function;
mod pool;
mod run;

use std::fmt::{self, Display};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use mio::{Poll, Waker};

use crate::peer::{BuildError, PeerOptions};
pub use call::{Call, Results};
pub use connection::{Task, WorkerConnection, WorkerEvent};
use function::{Function, Functions};
use pool::Shared;
pub use run::{Counters, Report};
use run::{Runner, WAKE};

/// A worker, ready to [`run`](Self::run).
///
/// # Examples
/// ```
/// use palm_transport_tcp::{Call, Results, Worker};
///
/// let worker = Worker::builder("tcp://127.0.0.1:5560")
///     .name("texts")
///     .jobs(8)
///     .function("file", |call: Call| std::fs::read(String::from_utf8_lossy(call.payload()).as_ref()))
///     // The client put a key of the cache beside the payload.
///     .function("lookup", |call: Call| match call.cache().get(call.user_data()) {
///         Ok(found) => found.map(|found| found.value).ok_or(String::from("nothing there")),
///         Err(error) => Err(error.to_string()),
///     })
///     .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
///     .yielding_function("lines", |call: Call, results: Results| {
///         let text = String::from_utf8_lossy(call.payload()).into_owned();
///         for (count, line) in text.lines().enumerate() {
///             if call.is_cancelled() {
///                 return Err("cancelled");
///             }
///             call.progress(500, format!("{count} lines"));
///             results.send(line.to_owned());
///         }
///         Ok("the end")
///     })
///     .build()?;
/// let handle = worker.handle();
/// let running = std::thread::spawn(move || worker.run());
/// // When it is time, on SIGTERM say:
/// handle.shutdown();
/// let report = running.join().expect("a worker does not panic")?;
/// println!("{} results, {} failures", report.counters.results, report.counters.failures);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Worker {
    name: String,
    runner: Runner,
}

impl Worker {
    /// Starts to describe a worker of the master at this [`Address`](crate::Address).
    pub fn builder(address: impl Into<String>) -> WorkerBuilder {
        WorkerBuilder {
            options: PeerOptions::new(address),
            functions: Functions::default(),
            jobs: 1,
            timeout: Duration::from_secs(5),
            grace: Duration::from_secs(10),
        }
    }

    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stops the worker from elsewhere.
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle { shared: Arc::clone(&self.runner.shared) }
    }

    /// Works, with this thread for the connection, until it is told to stop or the master wants no more of it, and then says what
    /// it has done.
    ///
    /// It looks for the master for as long as it takes, and again when the master is gone; results that are made in between are sent
    /// then. Told to stop, it takes no more to do, gives back what has not begun, and ends when everything is done and has left the
    /// process, or the time of grace is over.
    ///
    /// # Errors
    /// If the operating system gives no threads, or does not let it wait for events.
    pub fn run(self) -> io::Result<Report> {
        self.runner.run()
    }
}

/// Stops a worker, and looks after it, from elsewhere.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    shared: Arc<Shared>,
}

impl WorkerHandle {
    /// Has the worker end what it is doing and stop. A second call changes nothing.
    pub fn shutdown(&self) {
        self.shared.stop();
    }

    /// Whether it has a connection to its master.
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Tasks that it has answered, with a result or a failure.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Has the worker look for its master at another [`Address`](crate::Address), at once if it has no connection, and else when
    /// it has lost that. It stays who it is, and keeps what it works on: a master that knows of that hears that it is here.
    ///
    /// # Errors
    /// If the address is none.
    pub fn relocate(&self, address: impl Into<String>) -> Result<(), BuildError> {
        self.shared.relocate(PeerOptions::new(address).check()?);
        Ok(())
    }
}

/// Describes a worker.
pub struct WorkerBuilder {
    options: PeerOptions,
    functions: Functions,
    jobs: usize,
    timeout: Duration,
    grace: Duration,
}

impl WorkerBuilder {
    /// The worker's name in logs; a UUID unless given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// What the master wants to be shown.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = token.into();
        self
    }

    /// Number of threads, and so of functions that run at the same time; 1 unless given.
    pub fn jobs(mut self, threads: usize) -> Self {
        self.jobs = threads.max(1);
        self
    }

    /// Most tasks that the worker has at once, those that run and those that wait for a thread; 1024 unless given, and 8192 at
    /// most. The master gives it fewer if it is slow.
    pub fn window(mut self, tasks: u32) -> Self {
        self.options.window = tasks.clamp(1, 8_192);
        self
    }

    /// Longest task that the worker takes, in bytes; 64 MiB unless given.
    pub fn max_message(mut self, bytes: u32) -> Self {
        self.options.max_message = bytes;
        self
    }

    /// How long a handshake, and a request to the cache, may take; 5 s unless given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self.timeout = timeout;
        self
    }

    /// How long the worker may take to stop; 10 s unless given.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Answers `method` with a function that runs on one of the worker's threads. An error's text goes to the client with the
    /// failure.
    pub fn function<F, T, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        self.with(method, Function::pooled(function))
    }

    /// Answers `method` with a function that has several results, each sent on its own as soon as it is handed in; what it returns is
    /// the last. It runs on one of the worker's threads.
    pub fn yielding_function<F, T, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call, Results) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        self.with(method, Function::yielding(function))
    }

    /// Answers `method` with a function that takes microseconds, run between receiving one task and the next: the least overhead,
    /// and nothing else happens while it runs.
    pub fn inline_function<F, T, E>(self, method: impl Into<String>, function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        self.with(method, Function::inline(function))
    }

    /// The worker.
    ///
    /// # Errors
    /// If the address is none, or the token is too long.
    pub fn build(self) -> Result<Worker, BuildError> {
        let Self { options, functions, jobs, timeout, grace } = self;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let connection = WorkerConnection::new(&options)?;
        let shared = Arc::new(Shared::new(waker, functions, options.window as usize, timeout));
        Ok(Worker { name: options.name, runner: Runner::new(connection, poll, shared, jobs, grace) })
    }

    fn with(mut self, method: impl Into<String>, function: Function) -> Self {
        self.functions.insert(method.into(), function);
        self
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<_> = self.functions.names().collect();
        f.debug_struct("WorkerBuilder").field("options", &self.options).field("functions", &functions).finish()
    }
}
