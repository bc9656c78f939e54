//! The master: its listeners, and all connections, in one thread.

mod config;
mod connection;
mod connections;
mod line;
mod log;
mod run;
mod shared;
mod stopping;
mod turn;

use std::fmt;
use std::io;
use std::sync::Arc;

use mio::{Interest, Poll, Token, Waker};
use palm_proto::Seed;
use palm_proto::endpoint::{Endpoint, heap_tables};

use crate::address::Address;
use crate::clock::Clock;
use crate::listener::{BindError, Listener};
use crate::stream::Liveness;
pub use config::MasterConfig;
use connections::{Carrier, Connections};
use line::Line;
use run::{Driver, WAKE};
pub use shared::Counters;
use shared::{Shared, counters};
use stopping::Stopping;

/// How a master ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Messages that were not done within the grace time; their clients were sent [`Status::Unavailable`].
    ///
    /// [`Status::Unavailable`]: palm_proto::Status::Unavailable
    pub left: usize,
    /// Results that nobody had taken.
    pub results_left: usize,
    /// What it has done.
    pub counters: Counters,
}

/// A master with its sockets bound.
///
/// ```
/// use palm_transport_tcp::{Master, MasterConfig};
///
/// let master = Master::bind(MasterConfig::on_free_port("sums"))?;
/// println!("workers and clients connect to {}", master.addresses()[0]);
/// let handle = master.handle();
/// let running = std::thread::spawn(move || master.run());
/// // When it is time, on SIGTERM say:
/// handle.shutdown();
/// let report = running.join().expect("a master does not panic")?;
/// assert_eq!((report.left, handle.counters().connections), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Master {
    driver: Driver,
    addresses: Vec<Address>,
    stopping: Stopping,
}

/// Stops a master, and looks at what it does.
#[derive(Clone)]
pub struct MasterHandle {
    shared: Arc<Shared>,
}

impl fmt::Debug for MasterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterHandle")
    }
}

impl MasterHandle {
    /// Has [`Master::run`] finish what is out, within the grace time, and end.
    pub fn shutdown(&self) {
        self.shared.stop();
    }

    /// What the master has done, and what it holds.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }
}

impl Master {
    /// Binds the sockets. Peers can connect from then on, and are served once it [`run`](Self::run)s. Devices of serial lines are
    /// opened there, and again whenever they were gone.
    ///
    /// # Errors
    /// If an address is none, or is taken, or the configuration cannot work.
    pub fn bind(config: MasterConfig) -> Result<Self, BindError> {
        if config.name.is_empty() {
            return Err(BindError::Config { why: "a master needs a name" });
        }
        if config.listen.is_empty() {
            return Err(BindError::Config { why: "a master needs an address to listen at" });
        }
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        let tables = heap_tables(&config.sizes(), config.cache_limits.entries).with_native(&config.sizes());
        let mut endpoint = Endpoint::new(&config.name, &config.endpoint(), tables, Seed::from_words([seed.0, seed.1]))
            .map_err(|_| BindError::Config { why: "the master's name is too long" })?;
        if !endpoint.set_token(config.token.as_bytes()) {
            return Err(BindError::Config { why: "the token is longer than 255 bytes" });
        }
        let (mut listeners, mut lines, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for text in &config.listen {
            let address: Address = text.parse()?;
            let failed = |error| BindError::Io { address: address.clone(), error };
            match &address {
                Address::Tcp { host, port } => {
                    let (listener, bound) = Listener::bind_tcp(host, *port).map_err(failed)?;
                    listeners.push(listener);
                    addresses.push(bound);
                }
                Address::Unix { path } => {
                    listeners.push(Listener::bind_unix(path).map_err(failed)?);
                    addresses.push(address);
                }
                Address::Serial { path, baud } => {
                    lines.push(Line::new(path.clone(), *baud, config.max_message, config.heartbeat));
                    addresses.push(address);
                }
            }
        }
        let (poll, shared) = watch(&mut listeners)
            .map_err(|error| BindError::Io { address: addresses.first().cloned().expect("there is one"), error })?;
        let mut connections = Connections::default();
        for line in lines {
            connections.insert(Carrier::Line(Box::new(line)));
        }
        let liveness =
            Liveness { unacknowledged: config.keep.max(config.heartbeat * 3), ..Liveness::of(config.heartbeat) };
        Ok(Self {
            driver: Driver::new(poll, endpoint, Clock::start(), listeners, connections, liveness, shared),
            addresses,
            stopping: Stopping::new(config.grace),
        })
    }

    /// Where it listens, with the ports that were chosen, in the order of the configuration.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Stops it, and looks at what it does, from elsewhere.
    pub fn handle(&self) -> MasterHandle {
        MasterHandle { shared: Arc::clone(&self.driver.shared) }
    }

    /// Serves, in the caller's thread, until [`MasterHandle::shutdown`] is called. Then takes nothing more from clients, finishes
    /// what is out within the grace time, gives the rest back to its clients, and hands over what results still can be.
    ///
    /// # Errors
    /// If the operating system does not let it wait for events.
    pub fn run(mut self) -> io::Result<Report> {
        self.driver.run(&mut self.stopping)?;
        let counters = counters(&self.driver.endpoint);
        self.driver.shared.publish(Counters { connections: 0, ..counters });
        Ok(Report { left: self.stopping.left, results_left: counters.now.results, counters })
    }
}

fn watch(listeners: &mut [Listener]) -> io::Result<(Poll, Arc<Shared>)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    for (index, listener) in listeners.iter_mut().enumerate() {
        poll.registry().register(listener, Token(WAKE.0 + 1 + index), Interest::READABLE)?;
    }
    Ok((poll, Arc::new(Shared::new(waker))))
}
