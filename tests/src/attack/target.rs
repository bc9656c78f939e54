//! The master that is attacked: where its sockets are, and how far attacks go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Broken, Outcome};
use crate::Addresses;
use crate::raw;
use crate::zmtp::Peer;

/// How much of something an attack uses.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long an honest peer waits before it is not served.
    pub patience: Duration,
    /// Connections that are held at the same time.
    pub connections: usize,
    /// Subscriptions on one connection.
    pub subscriptions: usize,
    /// Messages of a flood, and results that wait for late clients.
    pub messages: usize,
    /// Keys that are set in the cache.
    pub keys: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(20),
            connections: 4_200,
            subscriptions: 16_384,
            messages: 20_000,
            keys: 70_000,
        }
    }
}

/// A running master.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its five sockets.
    pub addresses: Addresses,
    /// Its listener of the native protocol.
    pub native: Option<Native>,
    /// Whether its cache says that it is one of ours.
    pub ours: bool,
    /// How far attacks go.
    pub bounds: Bounds,
    /// The function that honest clients call; a worker that is not the suite's must answer with what it was sent.
    pub method: String,
}

/// A listener of the native protocol.
#[derive(Clone, Debug)]
pub struct Native {
    /// `HOST:PORT`.
    pub address: String,
    /// What honest peers show.
    pub token: Vec<u8>,
}

impl Target {
    /// Asks the cache at `tcp://HOST:PORT` for the name and the other sockets of its master.
    ///
    /// # Errors
    /// If it does not answer, or names places that are not of this machine although `abroad` is not set.
    pub fn discover(cache: &str, bounds: Bounds, abroad: bool) -> Outcome<Self> {
        let checked = |address: String| {
            let is_local = resolve(&address)?.ip().is_loopback();
            if is_local || abroad { Ok(address) } else { Err(Broken(format!("{address} is not of this machine"))) }
        };
        let cache = checked(cache.to_owned())?;
        let ask = |key: &str| -> Outcome<String> {
            let value = raw::cache(&cache, "get", key, b"", bounds.patience);
            let value = value.map_err(|cause| Broken(format!("the cache at {cache} does not answer: {cause}")))?;
            Ok(String::from_utf8_lossy(&value).into_owned())
        };
        let host = host(&cache).to_owned();
        let place = |key: &str| -> Outcome<String> {
            let address = ask(key)?;
            let wild = ["*", "0.0.0.0", "[::]"].contains(&self::host(&address));
            checked(if wild { format!("tcp://{host}:{}", port(&address)) } else { address })
        };
        let addresses = Addresses {
            pull: place("pull_address")?,
            publish: place("pub_address")?,
            worker_push: place("worker_push_address")?,
            worker_pull: place("worker_pull_address")?,
            cache: cache.clone(),
        };
        let (name, ours) = (ask("name")?, ask("palm_extensions")? == "1");
        Ok(Self { name, addresses, native: None, ours, bounds, method: "echo".to_owned() })
    }

    /// With a listener of the native protocol, at `HOST:PORT`.
    ///
    /// # Errors
    /// If that is not of this machine although `abroad` is not set.
    pub fn with_native(mut self, address: &str, token: &[u8], abroad: bool) -> Outcome<Self> {
        let address = address.strip_prefix("tcp://").unwrap_or(address).to_owned();
        if !resolve(&address)?.ip().is_loopback() && !abroad {
            return Err(Broken(format!("{address} is not of this machine")));
        }
        self.native = Some(Native { address, token: token.to_vec() });
        Ok(self)
    }

    /// What honest clients call, as it stands in a message.
    pub fn call(&self) -> String {
        format!("{}.{}", self.name, self.method)
    }

    /// A stranger's connection to an address. On this machine it comes from 127.0.0.2 or so, as the honest ones come from
    /// 127.0.0.1: a master may give each address a share.
    ///
    /// # Errors
    /// If nobody takes it in time.
    pub fn dial(&self, address: &str) -> io::Result<TcpStream> {
        dial_from(address, stranger(2), self.bounds.patience)
    }

    /// A stranger's connection after its handshake, as ZMTP 3.`minor`.
    ///
    /// # Errors
    /// If there is no handshake in time.
    pub fn peer(&self, address: &str, socket_type: &str, minor: u8) -> io::Result<Peer> {
        Peer::handshake(self.dial(address)?, socket_type, minor)
    }

    /// An honest peer's connection after its handshake, as ZMTP 3.`minor`.
    ///
    /// # Errors
    /// If there is no handshake in time.
    pub fn honest_peer(&self, address: &str, socket_type: &str, minor: u8) -> io::Result<Peer> {
        let stream = self.honest_dial(address)?;
        Peer::handshake(stream, socket_type, minor)
    }

    /// An honest peer's connection.
    ///
    /// # Errors
    /// If nobody takes it in time.
    pub fn honest_dial(&self, address: &str) -> io::Result<TcpStream> {
        dial_from(address, None, self.bounds.patience)
    }

    /// One cache command of an honest peer, on a connection of its own.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub fn cache(&self, verb: &str, key: &str, value: &[u8]) -> io::Result<Vec<u8>> {
        raw::cache(&self.addresses.cache, verb, key, value, self.bounds.patience)
    }
}

/// An address of this machine that no honest peer uses.
pub(super) fn stranger(number: u8) -> Option<IpAddr> {
    cfg!(target_os = "linux").then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, number)))
}

fn dial_from(address: &str, from: Option<IpAddr>, patience: Duration) -> io::Result<TcpStream> {
    let to = resolve(address)?;
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(from) = from.filter(|from| to.ip().is_loopback() && from.is_ipv4() == to.is_ipv4()) {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), patience)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    let place = address.strip_prefix("tcp://").unwrap_or(address);
    let found = place.to_socket_addrs().map_err(|cause| io::Error::other(format!("{address}: {cause}")))?.next();
    found.ok_or_else(|| io::Error::other(format!("{address} is no address")))
}

fn host(address: &str) -> &str {
    let place = address.strip_prefix("tcp://").unwrap_or(address);
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}
