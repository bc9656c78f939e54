//! What a component with nothing but a cache address learns from the cache (PALM, section 2).

use std::fmt;

use crate::cache_client::{CacheClient, CacheError};

/// Bytes of the longest address that is taken from a cache, which anybody may have set.
const LONGEST_ADDRESS: usize = 1024;

/// What a client has to know.
#[derive(Clone, Debug)]
pub(crate) struct ClientAddresses {
    pub(crate) push: String,
    pub(crate) subscribe: String,
    /// The server's own publisher, if results are taken elsewhere.
    pub(crate) watch: Option<String>,
}

/// What a worker has to know.
#[derive(Clone, Debug)]
pub(crate) struct WorkerAddresses {
    pub(crate) pull: String,
    pub(crate) push: String,
}

/// Why a component could not be found.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The cache did not answer.
    Cache(CacheError),
    /// A server of another name is there.
    WrongServer {
        /// The name asked for.
        expected: String,
        /// The name that the server gives itself.
        found: String,
    },
    /// The server does not say where its sockets are.
    NoAddress {
        /// The cache key that is empty, no text, or too long.
        key: &'static str,
    },
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(error) => error.fmt(f),
            Self::WrongServer { expected, found } => {
                write!(f, "the server is named {found:?}, not {expected:?}")
            }
            Self::NoAddress { key } => {
                write!(f, "the server's cache has no address of up to {LONGEST_ADDRESS} bytes under the key {key}")
            }
        }
    }
}

// The texts above are those of the causes, too, so that none is printed twice.
impl std::error::Error for DiscoveryError {}

impl From<CacheError> for DiscoveryError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

/// Compares the server's name.
pub(crate) async fn check_name(cache: &CacheClient, expected: &str) -> Result<(), DiscoveryError> {
    let found = cache.get("name").await?;
    if found == expected.as_bytes() {
        return Ok(());
    }
    // Anybody may have set it, to anything.
    let shown = found.get(..LONGEST_ADDRESS).unwrap_or(&found);
    let found = String::from_utf8_lossy(shown).into_owned();
    Err(DiscoveryError::WrongServer { expected: expected.to_owned(), found })
}

/// The address under `key`. One that a server bound to a wildcard gives, taken literally, leads nowhere: the host that its
/// cache was reached at takes the wildcard's place.
pub(crate) async fn address(cache: &CacheClient, key: &'static str) -> Result<String, DiscoveryError> {
    let value = cache.get(key).await?;
    match std::str::from_utf8(&value) {
        Ok(text) if (1..=LONGEST_ADDRESS).contains(&text.len()) => Ok(reachable(text, cache.address())),
        _ => Err(DiscoveryError::NoAddress { key }),
    }
}

/// `address`, with the host of `known` for a wildcard.
pub(crate) fn reachable(address: &str, known: &str) -> String {
    let host_and_port = |address: &str| {
        address.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':')).map(|(h, p)| (h.to_owned(), p.to_owned()))
    };
    match (host_and_port(address), host_and_port(known)) {
        (Some((host, port)), Some((known_host, _))) if matches!(host.as_str(), "*" | "0.0.0.0" | "[::]") => {
            format!("tcp://{known_host}:{port}")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_where_its_cache_is() {
        assert_eq!(reachable("tcp://*:5555", "tcp://node:5559"), "tcp://node:5555");
        assert_eq!(reachable("tcp://0.0.0.0:5555", "tcp://10.0.0.7:5559"), "tcp://10.0.0.7:5555");
        assert_eq!(reachable("tcp://10.0.0.8:5555", "tcp://10.0.0.7:5559"), "tcp://10.0.0.8:5555");
        assert_eq!(reachable("ipc:///tmp/a", "tcp://10.0.0.7:5559"), "ipc:///tmp/a");
        assert_eq!(reachable("tcp://*:5555", "ipc:///tmp/cache"), "tcp://*:5555");
    }
}
