//! Getting a connection: one address after the other, without blocking once a name is looked up.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::address::Address;
use crate::serial::open_line;
use crate::stream::{Liveness, Stream};

/// A connection on its way.
#[derive(Debug)]
pub(crate) struct Connecting {
    stream: Stream,
    /// What else the name stands for.
    further: VecDeque<SocketAddr>,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Established {
    Yes(Stream),
    NotYet(Connecting),
}

impl Connecting {
    /// Begins. A host's name is looked up here, which blocks. Both sides' events are told under `token`.
    pub(crate) fn begin(address: &Address, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut further = VecDeque::new();
        let mut stream = match address {
            Address::Tcp { host, port } => {
                further.extend((host.as_str(), *port).to_socket_addrs()?);
                Stream::Tcp(next_of(&mut further, None)?)
            }
            Address::Unix { path } => Stream::Unix(UnixStream::connect(path)?),
            Address::Serial { path, baud } => Stream::Serial(open_line(path, *baud)?),
        };
        stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, further })
    }

    /// To be called after each event, and straight after the beginning.
    ///
    /// # Errors
    /// If no address is left to try.
    pub(crate) fn check(mut self, registry: &Registry, token: Token, liveness: Liveness) -> io::Result<Established> {
        match self.progress() {
            Ok(true) => {
                self.stream.set_liveness(liveness)?;
                Ok(Established::Yes(self.stream))
            }
            Ok(false) => Ok(Established::NotYet(self)),
            Err(error) => {
                let mut stream = Stream::Tcp(next_of(&mut self.further, Some(error))?);
                stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
                Ok(Established::NotYet(Self { stream, further: self.further }))
            }
        }
    }

    fn progress(&self) -> io::Result<bool> {
        let (error, peer) = match &self.stream {
            Stream::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Serial(_) => return Ok(true),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }
}

/// Begins to connect to the first of the addresses for which that can be begun.
fn next_of(addresses: &mut VecDeque<SocketAddr>, failed: Option<io::Error>) -> io::Result<TcpStream> {
    let mut failed = failed;
    while let Some(address) = addresses.pop_front() {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
}
