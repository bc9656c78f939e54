//! Sockets that take connections.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use palm_host::SocketFile;
use palm_proto::endpoint;

use crate::address::{Address, AddressError};
use crate::stream::{Liveness, Stream};

/// Why a master cannot be bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// An address that is none.
    Address(AddressError),
    /// The operating system refuses.
    Io {
        /// The address.
        address: Address,
        /// What it said.
        error: io::Error,
    },
    /// The configuration cannot work.
    Config {
        /// Why.
        why: &'static str,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Io { address, error } => write!(f, "{address}: {error}"),
            Self::Config { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Address(_) | Self::Config { .. } => None,
        }
    }
}

impl From<AddressError> for BindError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

impl Listener {
    /// Binds a port, and gives the address with the one that was chosen.
    pub(crate) fn bind_tcp(host: &str, port: u16) -> io::Result<(Self, Address)> {
        if let Some(address) = palm_host::local_address(host, port)? {
            let listener = TcpListener::bind(address)?;
            let bound = listener.local_addr()?;
            // Peers on other hosts do not know the name of the interface.
            let host = match bound.to_string().rsplit_once(':') {
                Some((host, _)) => host.trim_matches(['[', ']']).to_owned(),
                None => host.into(),
            };
            return Ok((Self::Tcp(listener), Address::Tcp { host, port: bound.port() }));
        }
        let bound = if host == "*" { "0.0.0.0" } else { host };
        let mut failed = None;
        for address in (bound, port).to_socket_addrs().map_err(|error| palm_host::unknown_host(host, error))? {
            match TcpListener::bind(address) {
                Ok(listener) => {
                    let port = listener.local_addr()?.port();
                    return Ok((Self::Tcp(listener), Address::Tcp { host: host.into(), port }));
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
    }

    /// Binds a Unix socket; takes the place of one that a process left behind which is no more.
    pub(crate) fn bind_unix(path: &Path) -> io::Result<Self> {
        let (listener, file) = palm_host::bind_unix(path, |path| UnixListener::bind(path))?;
        Ok(Self::Unix { listener, _file: file })
    }

    /// The next connection, and where it comes from; `None` if there is none before the next event.
    pub(crate) fn accept(&self, liveness: Liveness) -> io::Result<Option<(Stream, endpoint::Source)>> {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().map(|(stream, peer)| (Stream::Tcp(stream), peer.ip().into())),
                Self::Unix { listener, .. } => {
                    listener.accept().map(|(stream, _)| (Stream::Unix(stream), endpoint::Source::LOCAL))
                }
            };
            return match accepted {
                Ok(accepted) => match accepted.0.set_liveness(liveness) {
                    Ok(()) => Ok(Some(accepted)),
                    // It is gone again.
                    Err(_) => continue,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => Err(error),
            };
        }
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.register(registry, token, interests),
            Self::Unix { listener, .. } => listener.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.reregister(registry, token, interests),
            Self::Unix { listener, .. } => listener.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.deregister(registry),
            Self::Unix { listener, .. } => listener.deregister(registry),
        }
    }
}
