//! The cache of a master, hub or server, seen from a client or a worker (PALM, section 3).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::MessageWriter;
use tokio::sync::Mutex;
use zeromq::{ReqSocket, SocketRecv, SocketSend, ZmqError, ZmqMessage};

use crate::{discovery, socket};

/// A connection to a cache: get, set and delete values by key.
///
/// Clones share the connection, which answers one request at a time. It is made on the first request, and again after any
/// error, so a cache that was away is found again by asking again.
#[derive(Clone)]
pub struct CacheClient {
    inner: Arc<Inner>,
}

struct Inner {
    address: String,
    /// Word before the dot in the function of a request; caches do not look at it.
    server: String,
    timeout: Duration,
    /// Empty before the first request, and after one that did not get its answer.
    socket: Mutex<Option<ReqSocket>>,
}

impl CacheClient {
    /// The cache at `address`; a request that is not answered within `timeout`, the connection included, fails.
    pub fn new(address: impl Into<String>, timeout: Duration) -> Self {
        Self::with_server(address, "cache", timeout)
    }

    pub(crate) fn with_server(address: impl Into<String>, server: impl Into<String>, timeout: Duration) -> Self {
        let inner = Inner { address: address.into(), server: server.into(), timeout, socket: Mutex::new(None) };
        Self { inner: Arc::new(inner) }
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
        let value = self.get(discovery::NATIVE_ADDRESS).await?;
        let text = std::str::from_utf8(&value).ok().filter(|text| !text.is_empty());
        Ok(text.map(|text| discovery::reachable(text, self.address())))
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
        let exchange = self.exchange(message.freeze());
        match tokio::time::timeout(self.inner.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CacheError::TimedOut { address: self.inner.address.clone(), after: self.inner.timeout }),
        }
    }

    /// One request and its reply. Whoever drops this on the way drops the socket with it: nothing is ever read or sent on one
    /// that is in the middle of a request.
    async fn exchange(&self, request: Bytes) -> Result<Bytes, CacheError> {
        let failed = |source| {
            let address = self.inner.address.clone();
            match source {
                ZmqError::ConnectTimeout(_) => CacheError::TimedOut { address, after: self.inner.timeout },
                source => CacheError::Connection { address, source },
            }
        };
        let mut place = self.inner.socket.lock().await;
        // A connection that was good for the last request may have died since; that shows only when it is used.
        if let Some(kept) = place.take()
            && let Ok((socket, answer)) = round_trip(kept, request.clone()).await
        {
            *place = Some(socket);
            return Ok(answer);
        }
        let (socket, _) =
            socket::connect::<ReqSocket>(&self.inner.address, self.inner.timeout).await.map_err(failed)?;
        let (socket, answer) = round_trip(socket, request).await.map_err(failed)?;
        *place = Some(socket);
        Ok(answer)
    }
}

async fn round_trip(mut socket: ReqSocket, request: Bytes) -> Result<(ReqSocket, Bytes), ZmqError> {
    socket.send(ZmqMessage::from(request)).await?;
    let answer = socket.recv().await?;
    Ok((socket, answer.into_vecdeque().pop_front().unwrap_or_default()))
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
    },
    /// No connection, or it broke before the answer.
    Connection {
        /// Address of the cache.
        address: String,
        /// What the socket said.
        source: ZmqError,
    },
    /// The cache keeps no such value: key, value or cache are too large.
    Refused,
    /// The key in the answer is not UTF-8.
    NotText,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { address, after } => {
                write!(f, "the cache at {address} did not answer within {} ms", after.as_millis())
            }
            Self::Connection { address, .. } => write!(f, "no connection to the cache at {address}"),
            Self::Refused => f.write_str("the cache has no room for the value"),
            Self::NotText => f.write_str("the cache answered with a key that is not UTF-8"),
        }
    }
}

impl std::error::Error for CacheError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection { source, .. } => Some(source),
            Self::TimedOut { .. } | Self::Refused | Self::NotText => None,
        }
    }
}
