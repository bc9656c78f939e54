//! What a master is told.

use std::time::Duration;

use palm_proto::CacheLimits;
use palm_proto::endpoint::EndpointConfig;
use palm_proto::master::{MasterConfig as CoreConfig, TableSizes};

/// How a [`Master`](super::Master) behaves, and where its sockets are.
///
/// Addresses are `tcp://HOST:PORT`, where the host may be `*` for all interfaces, or the name of an interface for its first address,
/// and the port `0` or `*` for a free one; or `ipc://PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterConfig {
    /// The name that clients ask for.
    pub name: String,
    /// Whether ZeroMQ is spoken; if not, the next five addresses are not bound, and there have to be [`native`](Self::native) ones.
    pub zeromq: bool,
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
    /// Where native clients and workers connect to, any number of addresses; `unix://PATH` is a Unix socket, too.
    pub native: Vec<String>,
    /// The token that native peers have to give, at most 255 bytes; `None`: they may not give any.
    pub token: Option<String>,
    /// The host that discovery hands out for sockets bound to all interfaces.
    pub advertise: Option<String>,
    /// Most bytes of messages held at a time.
    pub memory: usize,
    /// Most messages held at a time; up to twice as many results.
    pub queue: usize,
    /// Messages that a worker may have outstanding; `None`: as many as keep it busy.
    pub window: Option<u32>,
    /// Time after which a worker that has answered nothing is taken to hang; `None`: never.
    pub lease: Option<Duration>,
    /// Whether a worker may yield nothing for a message, as a Python `MuxWorker` that filters does. Workers then must answer in the
    /// order in which they are sent messages.
    pub silent_workers: bool,
    /// How many workers may be lost with a message before it is given up.
    pub attempts: u32,
    /// The highest priority that counts across clients: their messages of a higher one take turns with those of this one. With 0 a
    /// client's priorities rank its own messages only; 3 is the highest there is.
    pub priority_across: u8,
    /// How long a result waits for a client that is not subscribed, or takes nothing.
    pub keep: Duration,
    /// Longest message, in bytes; at most a quarter of `memory`.
    pub max_message: usize,
    /// Most connections, of all five sockets together.
    pub connections: usize,
    /// Silence after which a peer is asked whether it lives; after twice as much more it is gone.
    pub heartbeat: Duration,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Time to finish what is out when the master stops.
    pub grace: Duration,
    /// Whether results go to the next stage (topic = the master's name) instead of home.
    pub pipelined: bool,
    /// Bounds of the cache, which are beside `memory`.
    pub cache_limits: CacheLimits,
}

impl MasterConfig {
    /// A master with this name at the default addresses of PALM, on loopback.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            zeromq: true,
            pull: "tcp://127.0.0.1:5555".into(),
            publish: "tcp://127.0.0.1:5556".into(),
            worker_push: "tcp://127.0.0.1:5557".into(),
            worker_pull: "tcp://127.0.0.1:5558".into(),
            cache: "tcp://127.0.0.1:5559".into(),
            native: Vec::new(),
            token: None,
            advertise: None,
            memory: 1 << 30,
            queue: 100_000,
            window: None,
            lease: None,
            silent_workers: false,
            attempts: 3,
            priority_across: 0,
            keep: Duration::from_secs(60),
            max_message: 64 << 20,
            connections: 4_096,
            heartbeat: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            pipelined: false,
            cache_limits: CacheLimits::default(),
        }
    }

    /// A master with this name that takes native peers at `addresses`, and speaks no ZeroMQ.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), palm_transport_zmq::BindError> {
    /// use palm_transport_zmq::{Master, MasterConfig};
    ///
    /// let master = Master::bind(MasterConfig::native_only("sums", ["tcp://127.0.0.1:0"])).await?;
    /// assert_eq!((master.addresses().native.len(), master.addresses().pull.as_str()), (1, ""));
    /// assert!(Master::bind(MasterConfig::native_only("sums", [""; 0])).await.is_err(), "nobody could reach it");
    /// # Ok(())
    /// # }
    /// ```
    pub fn native_only(name: impl Into<String>, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { zeromq: false, native: addresses.into_iter().map(Into::into).collect(), ..Self::new(name) }
    }

    /// The same master on free ports of loopback: for tests and demonstrations.
    pub fn on_free_ports(name: impl Into<String>) -> Self {
        let free = || String::from("tcp://127.0.0.1:0");
        Self {
            pull: free(),
            publish: free(),
            worker_push: free(),
            worker_pull: free(),
            cache: free(),
            ..Self::new(name)
        }
    }

    pub(super) fn endpoint(&self) -> EndpointConfig {
        EndpointConfig {
            master: CoreConfig {
                memory: self.memory as u64,
                window: self.window,
                lease: self.lease,
                silent_workers: self.silent_workers,
                attempts: self.attempts,
                priority_across: self.priority_across,
                keep: self.keep,
                pipelined: self.pipelined,
                ..CoreConfig::default()
            },
            cache: self.cache_limits,
            connections: Some(self.places()),
            max_message: self.max_message,
            handshake_timeout: self.handshake_timeout,
            heartbeat: self.heartbeat,
            ..EndpointConfig::default()
        }
    }

    fn places(&self) -> usize {
        self.connections.max(5)
    }

    pub(super) fn sizes(&self) -> TableSizes {
        TableSizes::for_connections(self.queue.max(1), self.places())
    }
}
