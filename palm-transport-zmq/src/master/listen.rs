//! Binding a socket, and taking connections to it.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use palm_host::SocketFile;
use palm_proto::endpoint::Source;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::Stream;

/// A socket could not be bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address is none.
    BadAddress {
        /// What was given.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The operating system refused it.
    Io {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The configuration cannot work.
    Config {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress { address, why } => write!(f, "cannot bind {address}: {why}"),
            Self::Io { address, error } => write!(f, "cannot bind {address}: {error}"),
            Self::Config { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::BadAddress { .. } | Self::Config { .. } => None,
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    /// The address under which peers reach it.
    pub(super) advertised: String,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// How long a peer may leave what it was sent unacknowledged before the operating system gives the connection up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    pub(super) heartbeat: Duration,
    pub(super) unacknowledged: Duration,
}

impl Listener {
    /// Binds `address`. A wildcard host is advertised as `advertise`, or else as loopback.
    pub(super) async fn bind(address: &str, advertise: Option<&str>) -> Result<Self, BindError> {
        let bad = |why| BindError::BadAddress { address: address.into(), why };
        let failed = |error| BindError::Io { address: address.into(), error };
        if let Some(path) = address.strip_prefix("ipc://").or_else(|| address.strip_prefix("unix://")) {
            if path.is_empty() {
                return Err(bad("the path is missing: use ipc:///run/palm/pull.sock"));
            }
            let bind = |path: &Path| UnixListener::bind(path);
            let (listener, file) = palm_host::bind_unix(Path::new(path), bind).map_err(failed)?;
            return Ok(Self { socket: Socket::Unix { listener, _file: file }, advertised: address.into() });
        }
        let Some(rest) = address.strip_prefix("tcp://") else {
            return Err(bad("use tcp://HOST:PORT or ipc://PATH"));
        };
        let Some((host, port)) = rest.rsplit_once(':') else {
            return Err(bad("the port is missing: use tcp://HOST:PORT"));
        };
        let port: u16 = match port {
            "*" => 0,
            digits => digits.parse().map_err(|_| bad("the port is not a number from 0 to 65535"))?,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Some(local) = palm_host::local_address(bare, port).map_err(failed)? {
            let socket = TcpListener::bind(local).await.map_err(failed)?;
            // Peers on other hosts do not know the name of the interface.
            let advertised = format!("tcp://{}", socket.local_addr().map_err(failed)?);
            return Ok(Self { socket: Socket::Tcp(socket), advertised });
        }
        let wildcard = matches!(bare, "*" | "0.0.0.0" | "::");
        let bound = if bare == "*" { "0.0.0.0" } else { bare };
        let socket =
            TcpListener::bind((bound, port)).await.map_err(|error| failed(palm_host::unknown_host(bare, error)))?;
        let port = socket.local_addr().map_err(failed)?.port();
        let host = match (wildcard, advertise) {
            (true, Some(advertised)) => advertised,
            (true, None) => {
                tracing::warn!(
                    "{address} is bound to all interfaces and advertised as 127.0.0.1: say what other hosts should use \
                     with --advertise"
                );
                "127.0.0.1"
            }
            (false, _) => host,
        };
        Ok(Self { socket: Socket::Tcp(socket), advertised: format!("tcp://{host}:{port}") })
    }

    /// The next connection, and where it comes from.
    pub(super) async fn accept(&self, liveness: Liveness) -> io::Result<(Stream, Source)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new()
                    .with_time(liveness.heartbeat.max(Duration::from_secs(1)))
                    .with_interval(liveness.heartbeat.max(Duration::from_secs(1)))
                    .with_retries(2);
                let options = SockRef::from(&stream);
                options.set_tcp_keepalive(&keepalive)?;
                #[cfg(target_os = "linux")]
                options.set_tcp_user_timeout(Some(liveness.unacknowledged))?;
                Ok((Stream::Tcp(stream), peer.ip().into()))
            }
            Socket::Unix { listener, .. } => Ok((Stream::Unix(listener.accept().await?.0), Source::LOCAL)),
        }
    }
}
