//! The master: five bound sockets, or only those of native peers, and a task for each connection.

mod config;
mod connection;
mod listen;
mod log;
mod shared;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use palm_proto::PooledBuffer;
use palm_proto::endpoint::{Endpoint, EndpointCounters, HeapEndpoint, Service, heap_tables};
use palm_proto::master::{Counters as MasterCounters, Gauges};
use palm_proto::random::Seed;
use palm_proto::zmtp::{EXTENSIONS, MAX_MESSAGE, NATIVE_ADDRESS};
use tokio::task::JoinSet;

pub use config::MasterConfig;
use connection::Connection;
pub use listen::BindError;
use listen::{Listener, Liveness};
use shared::Shared;

/// Pause after a connection could not be accepted, as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a master that stops looks whether all is done.
const STOP_TICK: Duration = Duration::from_millis(10);
/// Messages given back at a time when the grace time is over.
const ABANDON_AT_A_TIME: usize = 1_000;

/// Where a master's sockets are, as peers reach them. Those of ZeroMQ are empty if it speaks none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where clients push their messages.
    pub pull: String,
    /// Where clients subscribe to their results.
    pub publish: String,
    /// Where workers pull messages.
    pub worker_push: String,
    /// Where workers push results.
    pub worker_pull: String,
    /// Where clients and workers find the cache.
    pub cache: String,
    /// Where native clients and workers connect to.
    pub native: Vec<String>,
}

/// What a master has done, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages and results.
    pub messages: MasterCounters,
    /// Connections and the cache.
    pub peers: EndpointCounters,
    /// What is held now.
    pub now: Gauges,
    /// Connections open now.
    pub connections: usize,
}

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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use palm_transport_zmq::{Client, Master, MasterConfig, Worker};
///
/// let master = Master::bind(MasterConfig::on_free_ports("sums")).await?;
/// let cache = master.addresses().cache.clone();
/// let handle = master.handle();
/// let running = tokio::spawn(master.run());
///
/// let worker = Worker::builder()
///     .cache_address(&cache)
///     .function("double", |call: palm_transport_zmq::Call| async move {
///         let number: u64 = std::str::from_utf8(call.payload()).map_err(|e| e.to_string())?.parse().map_err(|_| "no number")?;
///         Ok::<bytes::Bytes, String>((2 * number).to_string().into())
///     })
///     .build()?;
/// let stop_worker = worker.handle();
/// let working = tokio::spawn(worker.run());
///
/// let client = Client::builder("sums", &cache).connect().await?;
/// assert_eq!(client.eval("sums.double", "21").await?, "42");
///
/// stop_worker.shutdown();
/// working.await?;
/// handle.shutdown();
/// assert_eq!(running.await?.left, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Master {
    shared: Arc<Shared>,
    listeners: Vec<(Service, Listener)>,
    addresses: Addresses,
    config: MasterConfig,
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
        self.shared.shutdown.notify_one();
    }

    /// What the master has done, and what it holds.
    pub fn counters(&self) -> Counters {
        let state = self.shared.lock();
        counters(&state.endpoint)
    }
}

fn counters(endpoint: &Endpoint<HeapEndpoint<PooledBuffer>>) -> Counters {
    Counters {
        messages: *endpoint.master().counters(),
        peers: *endpoint.counters(),
        now: endpoint.master().gauges(),
        connections: endpoint.connections(),
    }
}

impl Master {
    /// Binds the five sockets, unless it is to speak no ZeroMQ, and what native peers connect to. Peers can connect from then on, and are served once [`run`](Self::run) is polled.
    ///
    /// # Errors
    /// If an address is none, or is taken, or the configuration cannot work.
    pub async fn bind(config: MasterConfig) -> Result<Self, BindError> {
        if config.name.is_empty() {
            return Err(BindError::Config { why: "a master needs a name" });
        }
        let advertise = config.advertise.as_deref();
        let bind = |address| Listener::bind(address, advertise);
        let mut listeners = Vec::new();
        if config.zeromq {
            listeners.push((Service::Pull, bind(&config.pull).await?));
            listeners.push((Service::Publish, bind(&config.publish).await?));
            listeners.push((Service::WorkerPush, bind(&config.worker_push).await?));
            listeners.push((Service::WorkerPull, bind(&config.worker_pull).await?));
            listeners.push((Service::Cache, bind(&config.cache).await?));
        } else if config.native.is_empty() {
            return Err(BindError::Config { why: "a master without ZeroMQ needs an address for native peers" });
        }
        let [pull, publish, worker_push, worker_pull, cache] = [0, 1, 2, 3, 4].map(|index: usize| {
            listeners.get(index).map_or_else(String::new, |(_, listener)| listener.advertised.clone())
        });
        let mut native = Vec::new();
        for address in &config.native {
            let listener = bind(address).await?;
            native.push(listener.advertised.clone());
            listeners.push((Service::Native, listener));
        }
        let addresses = Addresses { pull, publish, worker_push, worker_pull, cache, native };
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let mut tables = heap_tables(&config.sizes(), config.cache_limits.entries);
        if !config.native.is_empty() {
            tables = tables.with_native(&config.sizes());
        }
        let mut endpoint = Endpoint::new(&config.name, &config.endpoint(), tables, Seed::from_words([high, low]))
            .map_err(|_| BindError::Config { why: "the master's name is too long" })?;
        let native = addresses.native.first().cloned().unwrap_or_default();
        let presets = [
            ("name", &config.name),
            ("db_address", &addresses.cache),
            ("pull_address", &addresses.pull),
            ("pub_address", &addresses.publish),
            ("worker_pull_address", &addresses.worker_pull),
            ("worker_push_address", &addresses.worker_push),
            ("palm_extensions", &String::from("1")),
            ("palm_max_message", &config.max_message.to_string()),
            ("palm_native_address", &native),
        ];
        if !endpoint.set_token(config.token.as_deref().unwrap_or_default().as_bytes()) {
            return Err(BindError::Config { why: "a token has at most 255 bytes" });
        }
        for (key, value) in presets {
            if value.is_empty() {
                continue;
            }
            endpoint
                .cache()
                .preset(key.as_bytes(), value.as_bytes())
                .map_err(|_| BindError::Config { why: "the cache's bounds leave no room for the addresses" })?;
        }
        // Peers of ours need not ask then, which a master that is not ours takes for a mistake.
        let told = [(EXTENSIONS, "1"), (MAX_MESSAGE, &config.max_message.to_string()), (NATIVE_ADDRESS, &native)];
        for (name, value) in told.into_iter().filter(|(_, value)| !value.is_empty()) {
            if !endpoint.tell(name, value.as_bytes()) {
                tracing::warn!("{value} is too long for peers to be told of it");
            }
        }
        Ok(Self { shared: Arc::new(Shared::new(endpoint)), listeners, addresses, config })
    }

    /// Where the sockets are, with the ports that were chosen.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Stops it, and looks at what it does, from elsewhere.
    pub fn handle(&self) -> MasterHandle {
        MasterHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until [`MasterHandle::shutdown`] is called. Then takes nothing more from clients, finishes what is out within the
    /// grace time, gives the rest back to its clients, and hands over what results still can be.
    ///
    /// Fastest on a `current_thread` runtime.
    pub async fn run(self) -> Report {
        let shared = &self.shared;
        let mut tasks = JoinSet::new();
        tasks.spawn(timer(Arc::clone(shared)));
        for (service, listener) in self.listeners {
            let liveness = Liveness {
                heartbeat: self.config.heartbeat,
                unacknowledged: match service {
                    // A client may be slow for as long as results are kept for it.
                    Service::Publish => self.config.keep.max(self.config.heartbeat * 3),
                    _ => self.config.heartbeat * 3,
                },
            };
            tasks.spawn(accept(Arc::clone(shared), service, listener, liveness));
        }
        shared.shutdown.notified().await;
        let deadline = tokio::time::Instant::now() + self.config.grace;
        shared.lock().endpoint.drain();
        while !shared.lock().endpoint.is_idle() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(STOP_TICK).await;
        }
        let left = give_back(shared).await;
        let deadline = deadline.max(tokio::time::Instant::now() + Duration::from_secs(1));
        while !shared.lock().endpoint.is_flushed() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(STOP_TICK).await;
        }
        tasks.shutdown().await;
        let mut state = shared.lock();
        let counters = counters(&state.endpoint);
        state.stop();
        Report { left, results_left: counters.now.results, counters }
    }
}

/// Gives all messages that are not done back to their clients.
async fn give_back(shared: &Shared) -> usize {
    let mut left = 0;
    loop {
        let given = {
            let mut state = shared.lock();
            let given = state.endpoint.abandon(shared.now(), ABANDON_AT_A_TIME);
            state.wake_ready();
            given
        };
        if given == 0 {
            return left;
        }
        left += given;
        tokio::task::yield_now().await;
    }
}

/// Takes connections to one socket.
async fn accept(shared: Arc<Shared>, service: Service, listener: Listener, liveness: Liveness) {
    let mut failing = false;
    loop {
        let (stream, source) = match listener.accept(liveness).await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("cannot accept connections to {service}: {error}; trying on");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        let accepted = {
            let mut state = shared.lock();
            let accepted = state.endpoint.handle_accept_from(shared.now(), service, source);
            // One that gives way has to be closed.
            state.wake_ready();
            state.settle_timer(&shared);
            accepted
        };
        match accepted {
            Some(id) => {
                drop(tokio::spawn(Connection::new(Arc::clone(&shared), id, stream)));
                // What this one has said already is read, and what gives way to it is closed, before the next is taken: of many that
                // come at once none is turned away for others that could not be closed yet, nor gives way before it was heard.
                tokio::task::yield_now().await;
            }
            None => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Calls the endpoint when something is due.
async fn timer(shared: Arc<Shared>) {
    loop {
        let due = {
            let mut state = shared.lock();
            let now = shared.now();
            if state.endpoint.poll_timeout().is_some_and(|due| due <= now) {
                state.endpoint.handle_timeout(now);
                state.wake_ready();
            }
            state.timer_at = state.endpoint.poll_timeout();
            state.timer_at
        };
        match due {
            None => shared.timer_changed.notified().await,
            Some(due) => {
                // Woken early for something that is due earlier.
                let _ = tokio::time::timeout_at(shared.deadline(due), shared.timer_changed.notified()).await;
            }
        }
    }
}
