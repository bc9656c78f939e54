//! A client: submits tasks and gives their results back.

mod connection;
mod failure;
mod inbox;
mod job;
mod pending;
mod run;
mod tasks;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Poll;

use crate::peer::{BuildError, Cache, PeerOptions};
pub use connection::{ClientConnection, ClientEvent};
pub use failure::Failure;
pub use inbox::{Outcome, Progress};
pub use job::{Job, JobOptions};
pub use pending::Pending;
use run::{Command, Shared, Standing};
use tasks::Like;
pub use tasks::{Submission, TaskKey};

/// Tasks under way of [`Client::submit_all`]: as many as keep master and workers busy while a batch of results comes back.
const BATCH: u32 = 4_096;

/// A client of one master, for threads that wait. Clones share the connection, which has a thread of its own.
///
/// # Examples
/// ```
/// use palm_transport_tcp::{Call, Client, JobOptions, Master, MasterConfig, Worker};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let master = Master::bind(MasterConfig::on_free_port("texts"))?;
/// # let address = master.addresses()[0].to_string();
/// # let stop = master.handle();
/// # let running = std::thread::spawn(move || master.run());
/// # let worker = Worker::builder(&address).inline_function("shout", |call: Call| {
/// #     std::str::from_utf8(call.payload()).map(str::to_uppercase)
/// # }).build()?;
/// # std::thread::spawn(move || worker.run());
/// let client = Client::builder(address).connect()?;
/// assert_eq!(client.eval("shout", "hello")?, "HELLO");
///
/// // One that is waited for later.
/// let pending = client.submit("shout", "later");
/// assert_eq!(pending.wait()?, "LATER");
///
/// // Many, with the results in the order of the inputs.
/// let results: Result<Vec<_>, _> = client.submit_all("shout", ["a", "b", "c"]).collect();
/// assert_eq!(results?, ["A", "B", "C"]);
///
/// // Or as they come, with a limit to the time that each may take.
/// let options = JobOptions { timeout: Some(std::time::Duration::from_secs(60)), ..JobOptions::default() };
/// for outcome in client.job("shout", ["a", "b", "c"], &options) {
///     println!("input {}: {:?}", outcome.sequence, outcome.result);
/// }
///
/// let version = client.cache().set("greeting", "hello")?;
/// assert_eq!(client.cache().get("greeting")?.map(|found| (found.value, found.version)), Some(("hello".into(), version)));
/// # drop(client);
/// # stop.shutdown();
/// # running.join().expect("a master does not panic")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Keeps the thread going that a client and its jobs need.
struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    master: Arc<str>,
    cache: Cache,
    /// The function that was asked for last on its own, and what the task was.
    last: Mutex<Option<(Box<str>, Arc<Like>)>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // It may have ended before.
        self.shared.push(Command::Bye);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("a client's thread has panicked");
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("master", &self.master).finish_non_exhaustive()
    }
}

impl Client {
    /// Starts to describe a client of the master at this [`Address`](crate::Address).
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        let options = PeerOptions { window: 16_384, ..PeerOptions::new(address) };
        ClientBuilder { options, timeout: Duration::from_secs(5), patience: None }
    }

    /// Submits one task and waits for its result, for as long as it takes. `function` is `server.method`, or `method` for one of
    /// the client's master.
    ///
    /// # Errors
    /// If the function failed, or there was none to call.
    pub fn eval(&self, function: &str, payload: impl Into<Bytes>) -> Result<Bytes, Failure> {
        self.submit(function, payload).wait()
    }

    /// Submits one task, to be waited for later. See [`eval`](Self::eval) for `function`.
    pub fn submit(&self, function: &str, payload: impl Into<Bytes>) -> Pending {
        self.submit_with(function, payload, &JobOptions::default())
    }

    /// Submits one task with a time limit, a priority or user data; window and order make no difference here.
    pub fn submit_with(&self, function: &str, payload: impl Into<Bytes>, options: &JobOptions) -> Pending {
        Pending::new(Arc::clone(&self.handle), self.like(function, options), payload.into())
    }

    /// What a task for `function` is with `options`: most are like the one before.
    fn like(&self, function: &str, options: &JobOptions) -> Arc<Like> {
        let mut last = self.handle.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, like)) = &*last
            && **asked == *function
            && options.are_of(like)
        {
            return Arc::clone(like);
        }
        let like = Arc::new(options.like(self.qualified(function)));
        *last = Some((function.into(), Arc::clone(&like)));
        like
    }

    /// Submits a task for each input, and gives their results in the same order: the way to get through many small ones, as
    /// inputs and results change threads in batches.
    pub fn submit_all<I>(&self, function: &str, inputs: I) -> impl Iterator<Item = Result<Bytes, Failure>> + use<I>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        let options = JobOptions { window: BATCH, ordered: true, ..JobOptions::default() };
        self.job(function, inputs, &options).filter(|outcome| outcome.last).map(|outcome| outcome.result)
    }

    /// Submits a task for each input, and gives their outcomes. See [`eval`](Self::eval) for `function`. Inputs are taken in the
    /// thread that asks for outcomes, so that one that waits for its next input gives none.
    pub fn job<I>(&self, function: &str, inputs: I, options: &JobOptions) -> Job<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        Job::new(Arc::clone(&self.handle), self.qualified(function), inputs.into_iter(), options)
    }

    /// The master's cache.
    pub fn cache(&self) -> &Cache {
        &self.handle.cache
    }

    /// The master's name.
    pub fn master(&self) -> &str {
        &self.handle.master
    }

    /// A function's name, with the master's in front if it has none.
    fn qualified(&self, function: &str) -> Arc<str> {
        if function.contains('.') { function.into() } else { format!("{}.{function}", self.handle.master).into() }
    }
}

/// Describes a client.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    options: PeerOptions,
    timeout: Duration,
    patience: Option<Duration>,
}

impl ClientBuilder {
    /// The client's name, for people; a UUID unless given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// What the master wants to be shown.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = token.into();
        self
    }

    /// Most tasks of all jobs together that the master is given before they have a result; 16384 unless given. Others wait here.
    pub fn window(mut self, tasks: u32) -> Self {
        self.options.window = tasks;
        self
    }

    /// Longest result that the client takes, in bytes; 64 MiB unless given.
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

    /// How long to try to connect at first; for ever unless given. Once it has been connected, a client never gives up.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Connects, trying for as long as it has patience.
    ///
    /// # Errors
    /// If the options cannot work, the master does not want this client, or patience runs out.
    pub fn connect(self) -> Result<Client, ConnectError> {
        let Self { options, timeout, patience } = self;
        let poll = Poll::new().map_err(BuildError::Io)?;
        let connection = ClientConnection::new(&options)?;
        let shared = Arc::new(Shared::new(&poll).map_err(BuildError::Io)?);
        let thread = {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("palm-client".into());
            thread.spawn(move || run::run(connection, poll, &shared)).map_err(BuildError::Io)?
        };
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        let standing = shared.wait(until);
        let mut handle = Handle {
            cache: Cache::new(Arc::<Shared>::clone(&shared), timeout),
            shared,
            thread: Some(thread),
            master: "".into(),
            last: Mutex::default(),
        };
        match standing {
            Standing::Connected { master } => {
                handle.master = master;
                Ok(Client { handle: Arc::new(handle) })
            }
            Standing::Ended { why } => Err(ConnectError::Refused { why: why.to_string() }),
            Standing::Connecting => {
                Err(ConnectError::TimedOut { address: options.address, after: patience.unwrap_or_default() })
            }
        }
    }
}

/// Why a client has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// It cannot be made of what was given.
    Build(BuildError),
    /// The master does not want it.
    Refused {
        /// Why.
        why: String,
    },
    /// No connection for as long as the client was to try.
    TimedOut {
        /// Where the master should be.
        address: String,
        /// The limit.
        after: Duration,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Refused { why } => f.write_str(why),
            Self::TimedOut { address, after } => {
                write!(f, "no connection to {address} within {} s", after.as_secs_f64())
            }
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Build(error) => std::error::Error::source(error),
            Self::Refused { .. } | Self::TimedOut { .. } => None,
        }
    }
}

impl From<BuildError> for ConnectError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}
