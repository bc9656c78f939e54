//! A client on ZeroMQ: sends messages to a server and gives their results back, each to its message.

mod connection;
mod inputs;
mod job;
mod state;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::cache_client::{CacheClient, CacheError};
use crate::discovery::DiscoveryError;
use crate::socket::{HEARTBEAT, MAX_MESSAGE, Options, SocketError};
pub use inputs::{FromChannel, FromIter, from_channel, from_iter};
pub use job::{Failure, Job, JobOptions, Outcome};
use state::Shared;

/// A client of one server. Clones share the connection; any number of jobs can be under way on it.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use palm_transport_zmq::{Client, JobOptions, from_channel};
/// # use palm_transport_zmq::{Call, Master, MasterConfig, Worker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let master = Master::bind(MasterConfig::on_free_ports("server")).await?;
/// # let cache_address = master.addresses().cache.clone();
/// # tokio::spawn(master.run());
/// # let echo = |call: Call| Ok::<_, String>(call.into_payload());
/// # tokio::spawn(Worker::builder().cache_address(&cache_address).inline_function("echo", echo).build()?.run());
/// let client = Client::builder("server", cache_address).session("today").connect().await?;
/// let key = client.set("weights", b"1 2 3").await?;
/// assert_eq!((key.as_str(), &client.get(&key).await?[..]), ("todayweights", &b"1 2 3"[..]));
///
/// // Inputs as they come, from elsewhere in the program.
/// let (inputs, receiver) = tokio::sync::mpsc::channel(16);
/// tokio::spawn(async move {
///     for number in 0..3 {
///         let _ = inputs.send(Bytes::from(format!("input {number}"))).await;
///     }
/// });
/// let options = JobOptions { ordered: true, cache: key, ..JobOptions::default() };
/// let mut job = client.job("echo", from_channel(receiver), &options);
/// while let Some(outcome) = job.next().await {
///     assert_eq!(outcome.result?, format!("input {}", outcome.sequence));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Keeps the tasks going that a client and its jobs need.
#[derive(Debug)]
struct Handle {
    config: Arc<Config>,
    cache: CacheClient,
    shared: Arc<Shared>,
    /// Where messages went, and results came from, at first.
    addresses: (String, String),
    _tasks: JoinSet<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[derive(Clone, Debug)]
struct Config {
    server: String,
    /// Id of the client, and topic of its results.
    id: String,
    pipeline: String,
    session: bool,
    push_address: Option<String>,
    sub_address: Option<String>,
    /// Whether the cache is asked for the server's name.
    ask: bool,
    timeout: Duration,
    heartbeat: Duration,
    max_result: usize,
    patience: Option<Duration>,
    settle: Duration,
}

impl Config {
    fn sockets(&self) -> Options {
        Options { patience: self.timeout, heartbeat: self.heartbeat, max_message: self.max_result }
    }

    /// A function's name, with the server's in front if it has none.
    fn qualified<'a>(&self, function: &'a str) -> Cow<'a, str> {
        if function.contains('.') { Cow::Borrowed(function) } else { Cow::Owned(format!("{}.{function}", self.server)) }
    }
}

impl Client {
    /// Starts to describe a client of the server of this name, whose cache is at this address.
    pub fn builder(server: impl Into<String>, cache_address: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            cache_address: cache_address.into(),
            config: Config {
                server: server.into(),
                id: Uuid::new_v4().to_string(),
                pipeline: Uuid::new_v4().to_string(),
                session: false,
                push_address: None,
                sub_address: None,
                ask: true,
                timeout: Duration::from_secs(5),
                heartbeat: HEARTBEAT,
                max_result: MAX_MESSAGE,
                patience: None,
                settle: Duration::from_millis(50),
            },
        }
    }

    /// Sends one message and waits for its result, for as long as it takes and without a retry. `function` is `server.method`,
    /// or `method` for one of the client's server, or several with spaces between them for a pipeline.
    ///
    /// # Errors
    /// If the function failed, or there was none to call.
    pub async fn eval(&self, function: &str, payload: impl Into<Bytes>) -> Result<Bytes, Failure> {
        self.eval_with(function, payload, &JobOptions::default()).await
    }

    /// Sends one message and waits for its result, with a time limit, retries or a cache field; how many results and in
    /// which order makes no difference here.
    ///
    /// # Errors
    /// If the function failed, there was none to call, or the time was up.
    pub async fn eval_with(
        &self,
        function: &str,
        payload: impl Into<Bytes>,
        options: &JobOptions,
    ) -> Result<Bytes, Failure> {
        let options = JobOptions { window: 1, results: 1, ordered: false, ..options.clone() };
        let mut job = self.job(function, from_iter([payload.into()]), &options);
        // A job of one input has one outcome.
        job.next().await.map_or_else(|| Ok(Bytes::new()), |outcome| outcome.result)
    }

    /// Sends a stream of messages and gives the stream of their results. See [`eval`](Self::eval) for `function`, and
    /// [`from_iter`] and [`from_channel`] for inputs that are no stream.
    pub fn job<I: Stream<Item = Bytes>>(&self, function: &str, inputs: I, options: &JobOptions) -> Job<I> {
        Job::new(self.handle.clone(), function, inputs, options)
    }

    /// The value of `key` in the server's cache; empty if there is none. In a named session, a key that was set in it
    /// begins with the session's name.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn get(&self, key: &str) -> Result<Bytes, CacheError> {
        self.handle.cache.get(key).await
    }

    /// Sets `key` in the server's cache; with an empty key the cache makes one. In a named session the session's name is put
    /// before a key. Returns the key that the value is kept under.
    ///
    /// # Errors
    /// If the cache does not answer, or has no room for the value.
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<String, CacheError> {
        let config = &self.handle.config;
        if config.session && !key.is_empty() {
            self.handle.cache.set(&format!("{}{key}", config.pipeline), value).await
        } else {
            self.handle.cache.set(key, value).await
        }
    }

    /// Deletes `key` from the server's cache. Returns the key.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn delete(&self, key: &str) -> Result<String, CacheError> {
        self.handle.cache.delete(key).await
    }

    /// Id of the client: the topic on which its results are published.
    pub fn id(&self) -> &str {
        &self.handle.config.id
    }

    /// Where the client pushed its messages to when it connected.
    pub fn push_address(&self) -> &str {
        &self.handle.addresses.0
    }

    /// Where the client subscribed to its results when it connected.
    pub fn sub_address(&self) -> &str {
        &self.handle.addresses.1
    }

    /// Longest message that the server takes, in bytes, as it said when the client connected; `usize::MAX` if it did not. A longer
    /// one fails with [`Status::TooLong`] and is not sent.
    ///
    /// [`Status::TooLong`]: palm_proto::Status::TooLong
    pub fn max_message(&self) -> usize {
        self.handle.shared.max_message()
    }

    /// Id of the stream that its messages belong to: the session's name, or a UUID.
    pub fn pipeline(&self) -> &str {
        &self.handle.config.pipeline
    }

    /// Name of the server.
    pub fn server(&self) -> &str {
        &self.handle.config.server
    }
}

/// Describes a client.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    cache_address: String,
    config: Config,
}

impl ClientBuilder {
    /// Names the session: the id of the stream, and the prefix of the keys that the client sets. A UUID unless given, and no
    /// prefix then.
    pub fn session(mut self, name: impl Into<String>) -> Self {
        self.config.pipeline = name.into();
        self.config.session = true;
        self
    }

    /// Where to send messages, if not to the address that the cache has.
    pub fn push_address(mut self, address: impl Into<String>) -> Self {
        self.config.push_address = Some(address.into());
        self
    }

    /// Where to take results, if not at the address that the cache has: at the last component of a pipeline, say.
    pub fn sub_address(mut self, address: impl Into<String>) -> Self {
        self.config.sub_address = Some(address.into());
        self
    }

    /// Whether to ask the cache for the server's name and compare it; without, and with both addresses given, the cache is not
    /// needed to connect. On unless given.
    pub fn check_name(mut self, check: bool) -> Self {
        self.config.ask = check;
        self
    }

    /// How long a try to connect, and a request to the cache, may take; 5 s unless given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Silence after which the server is asked whether it lives; after twice as much more it is lost, and looked for anew. 5 s unless
    /// given; zero: never.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.config.heartbeat = heartbeat;
        self
    }

    /// Longest result that is taken from the server, in bytes; 256 MiB unless given. A longer one ends the connection.
    pub fn max_result(mut self, bytes: usize) -> Self {
        self.config.max_result = bytes;
        self
    }

    /// How long to try to connect at first; for ever unless given. Once it has been connected, a client never gives up.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.config.patience = Some(patience);
        self
    }

    /// How long to wait for a subscription to take effect at a publisher that drops what nobody has subscribed to, as all but
    /// ours do; 50 ms unless given.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.config.settle = settle;
        self
    }

    /// Connects, trying for as long as it has patience.
    ///
    /// # Errors
    /// If a server of another name is there, or patience runs out: the error is then that of the last try.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let Self { cache_address, config } = self;
        let cache = CacheClient::with_options(cache_address, config.server.clone(), config.sockets());
        let mut trying = connection::Trying::new();
        let attempts = trying.open(&config, &cache, false);
        let link = match config.patience {
            None => attempts.await?,
            Some(patience) => match tokio::time::timeout(patience, attempts).await {
                Ok(link) => link?,
                Err(_) => {
                    let (server, cause) = (config.server.clone(), trying.in_vain);
                    return Err(ConnectError::TimedOut { server, after: patience, cause });
                }
            },
        };
        let (config, shared) = (Arc::new(config), Arc::new(Shared::new()));
        let addresses = link.addresses.clone();
        let tasks = connection::start(config.clone(), cache.clone(), shared.clone(), link, trying);
        Ok(Client { handle: Arc::new(Handle { config, cache, shared, addresses, _tasks: tasks }) })
    }
}

/// Why a client has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server was not found.
    Discovery(DiscoveryError),
    /// No connection to one of its sockets.
    Socket {
        /// Its address.
        address: String,
        /// What the socket said.
        source: SocketError,
    },
    /// No connection for as long as the client was to try.
    TimedOut {
        /// Name of the server.
        server: String,
        /// The limit.
        after: Duration,
        /// Why the last try failed that came to an end, if one did.
        cause: Option<String>,
    },
}

impl ConnectError {
    /// Whether trying again is of no use.
    fn is_final(&self) -> bool {
        matches!(self, Self::Discovery(DiscoveryError::WrongServer { .. }))
            || matches!(self, Self::Socket { source: SocketError::Address { .. }, .. })
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery(error) => error.fmt(f),
            Self::Socket { address, source } => write!(f, "cannot reach {address}: {source}"),
            Self::TimedOut { server, after, cause } => {
                write!(f, "no connection to {server} within {} s", after.as_secs_f64())?;
                cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
        }
    }
}

// The texts above are those of the causes, too, so that none is printed twice.
impl std::error::Error for ConnectError {}

impl From<DiscoveryError> for ConnectError {
    fn from(error: DiscoveryError) -> Self {
        Self::Discovery(error)
    }
}
