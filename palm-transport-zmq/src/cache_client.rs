//! The cache of a master, hub or server, seen from a client or a worker (PALM, section 3).

use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex as Lock, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::{MessageWriter, Reminder};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::clock::Clock;
use crate::discovery;
use crate::socket::{HEARTBEAT, MAX_MESSAGE, Options, ReqSocket, SocketError, Told};

/// How long a connection that nobody uses is kept, and how often that is looked at: it ends before the cache's server would give up who
/// does not answer.
const IDLE: Duration = Duration::from_secs(1);

/// The rest before a cache that is not there is called again.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection to a cache: get, set and delete values by key.
///
/// Clones share the connection, which answers one request at a time. It is made on the first request, and again after any
/// error, so a cache that was away is found again by asking again. It ends when nothing is asked for two seconds.
#[derive(Clone)]
pub struct CacheClient {
    inner: Arc<Inner>,
    /// Whether a cache that is not there is waited for.
    waits: bool,
}

struct Inner {
    address: String,
    /// Word before the dot in the function of a request; caches do not look at it.
    server: String,
    options: Options,
    place: Mutex<Place>,
    /// Why the last try to connect was in vain, if it was.
    in_vain: Lock<Option<String>>,
}

/// Where the connection is between two requests.
#[derive(Default)]
struct Place {
    /// With when it was used last. Empty before the first request, and after one that did not get its answer.
    kept: Option<(ReqSocket, Instant)>,
    /// Somebody looks whether it is used.
    watched: bool,
}

impl CacheClient {
    /// The cache at `address`; a request that is not answered within `timeout`, the connection included, fails.
    pub fn new(address: impl Into<String>, timeout: Duration) -> Self {
        Self::with_server(address, "cache", timeout)
    }

    pub(crate) fn with_server(address: impl Into<String>, server: impl Into<String>, timeout: Duration) -> Self {
        Self::with_options(
            address,
            server,
            Options { patience: timeout, heartbeat: HEARTBEAT, max_message: MAX_MESSAGE },
        )
    }

    pub(crate) fn with_options(address: impl Into<String>, server: impl Into<String>, options: Options) -> Self {
        let (address, server, place) = (address.into(), server.into(), Mutex::default());
        Self { inner: Arc::new(Inner { address, server, options, place, in_vain: Lock::default() }), waits: true }
    }

    /// The same connection, for those who try again themselves: where nobody listens, the request fails at once. Otherwise it waits for the
    /// cache as long as there is time.
    pub fn without_waiting(&self) -> Self {
        Self { inner: self.inner.clone(), waits: false }
    }

    /// Address of the cache.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// The value of `key`; empty if there is none, which the protocol does not tell from an empty value.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn get(&self, key: &str) -> Result<Bytes, CacheError> {
        self.request("get", "", key.as_bytes()).await
    }

    /// Where the server takes native peers; `None` if it does not say.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn native_address(&self) -> Result<Option<String>, CacheError> {
        let address = self.told().await?.native_address;
        Ok(address.map(|address| discovery::reachable(&address, self.address())))
    }

    /// Whether the server knows our extension fields, as it says when it shakes hands.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn extensions(&self) -> Result<bool, CacheError> {
        Ok(self.told().await?.extensions)
    }

    /// The longest message that the server takes, in bytes; `None` if it does not say.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn max_message(&self) -> Result<Option<usize>, CacheError> {
        Ok(self.told().await?.max_message)
    }

    /// Sets `key` to `value`. With an empty key the cache makes one. Returns the key.
    ///
    /// # Errors
    /// If the cache does not answer, or refuses the value: it has no room for it.
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<String, CacheError> {
        let key = text(self.request("set", key, value).await?)?;
        // The key of a value that is kept is never empty.
        if key.is_empty() { Err(CacheError::Refused) } else { Ok(key) }
    }

    /// Deletes `key`. Returns the key. A Python cache dies of a key that it does not have.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub async fn delete(&self, key: &str) -> Result<String, CacheError> {
        text(self.request("delete", "", key.as_bytes()).await?)
    }

    async fn request(&self, method: &str, key: &str, payload: &[u8]) -> Result<Bytes, CacheError> {
        let mut message = BytesMut::with_capacity(key.len() + payload.len() + self.inner.server.len() + 32);
        let _ = MessageWriter::new(&mut message)
            .function(&format!("{}.{method}", self.inner.server))
            .cache(key)
            .payload(payload)
            .finish();
        self.in_time(self.exchange(message.freeze())).await
    }

    /// What the server tells of itself when it shakes hands: nobody but its process can say that, and a stock server, which says
    /// nothing, is not asked for what it lacks.
    async fn told(&self) -> Result<Told, CacheError> {
        let connected = async {
            let mut place = self.inner.place.lock().await;
            place.kept = None;
            let socket = self.connect().await?;
            let told = socket.told().clone();
            self.keep(&mut place, socket);
            Ok(told)
        };
        self.in_time(connected).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, CacheError>>) -> Result<T, CacheError> {
        match tokio::time::timeout(self.inner.options.patience, work).await {
            Ok(answer) => answer,
            Err(_) => Err(self.failed(SocketError::TimedOut { after: self.inner.options.patience })),
        }
    }

    /// One request and its reply. Whoever drops this on the way drops the socket with it: nothing is ever read or sent on one
    /// that is in the middle of a request.
    async fn exchange(&self, request: Bytes) -> Result<Bytes, CacheError> {
        let mut place = self.inner.place.lock().await;
        // A connection that was good for the last request may have died since; that shows only when it is used.
        if let Some((mut socket, _)) = place.kept.take()
            && let Ok(answer) = socket.ask(request.clone()).await
        {
            self.keep(&mut place, socket);
            return Ok(answer);
        }
        let mut socket = self.connect().await?;
        let answer = socket.ask(request).await.map_err(|error| self.failed(error))?;
        self.keep(&mut place, socket);
        Ok(answer)
    }

    /// Connects; a cache that is not there yet may come as long as there is time.
    async fn connect(&self) -> Result<ReqSocket, CacheError> {
        let (clock, address) = (Clock::start(), &self.inner.address);
        let mut reminder = Reminder::after(clock.now());
        self.note(None);
        loop {
            match ReqSocket::connect(address, &self.inner.options).await {
                Err(SocketError::Io(error))
                    if self.waits && matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
                {
                    if reminder.is_due(clock.now()) {
                        warn!("cannot reach the cache at {address}: {error}; trying again");
                    }
                    self.note(Some(error.to_string()));
                    tokio::time::sleep(PAUSE).await;
                }
                connected => {
                    self.note(None);
                    return connected.map_err(|error| self.failed(error));
                }
            }
        }
    }

    fn note(&self, why: Option<String>) {
        *self.inner.in_vain.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Keeps a connection for the next request, for a while.
    fn keep(&self, place: &mut Place, socket: ReqSocket) {
        place.kept = Some((socket, Instant::now()));
        if !place.watched {
            place.watched = true;
            tokio::spawn(close_idle(Arc::downgrade(&self.inner)));
        }
    }

    fn failed(&self, source: SocketError) -> CacheError {
        let address = self.inner.address.clone();
        match source {
            SocketError::TimedOut { after } => {
                let cause = self.inner.in_vain.lock().unwrap_or_else(PoisonError::into_inner).take();
                CacheError::TimedOut { address, after, cause }
            }
            source => CacheError::Connection { address, source },
        }
    }
}

/// Ends the connection when it is not used any more. Between requests nobody reads it, and so nobody would answer a server that asks
/// whether somebody is there.
async fn close_idle(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut place = inner.place.lock().await;
        if place.kept.as_ref().is_none_or(|(_, used)| used.elapsed() >= IDLE) {
            *place = Place::default();
            return;
        }
    }
}

fn text(key: Bytes) -> Result<String, CacheError> {
    String::from_utf8(key.into()).map_err(|_| CacheError::NotText)
}

impl fmt::Debug for CacheClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheClient").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

/// Why a cache did not answer a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum CacheError {
    /// No answer in time.
    TimedOut {
        /// Address of the cache.
        address: String,
        /// The limit.
        after: Duration,
        /// Why there was no connection, if there was none.
        cause: Option<String>,
    },
    /// No connection, or it broke before the answer.
    Connection {
        /// Address of the cache.
        address: String,
        /// What the socket said.
        source: SocketError,
    },
    /// The cache keeps no such value: key, value or cache are too large.
    Refused,
    /// The key in the answer is not UTF-8.
    NotText,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { address, after, cause } => {
                write!(f, "the cache at {address} did not answer within {} ms", after.as_millis())?;
                cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
            Self::Connection { address, source } => write!(f, "cannot reach the cache at {address}: {source}"),
            Self::Refused => f.write_str("the cache has no room for the value"),
            Self::NotText => f.write_str("the cache answered with a key that is not UTF-8"),
        }
    }
}

// The texts above are those of the causes, too, so that none is printed twice.
impl std::error::Error for CacheError {}
