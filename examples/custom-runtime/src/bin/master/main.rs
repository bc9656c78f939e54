//! A master on threads and blocking sockets: `master [PORT [TOKEN]]`, for native peers and for those that speak ZeroMQ.
//!
//! All that a master decides is in one machine, an [`Endpoint`] behind a mutex. Each connection has two threads, one that reads
//! and one that writes, which do nothing but move bytes; one more tells the endpoint when time has passed. What one thread
//! causes may be another's business: so after each call, [`State::settle`] wakes whom the endpoint names.
#![expect(clippy::print_stdout, reason = "a program says what it does")]

use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use custom_runtime::{Clock, seed};
use palm_proto::Instant;
use palm_proto::endpoint::{Endpoint, EndpointConfig, HeapEndpoint, Service, heap_tables};
use palm_proto::master::TableSizes;

mod connection;

/// What is listened for: which service, how many ports behind the first one, and under which key of the cache its peers look
/// for the address.
const SERVICES: [(Service, u16, &str); 6] = [
    (Service::Native, 0, "palm_native_address"),
    (Service::Pull, 5, "pull_address"),
    (Service::Publish, 6, "pub_address"),
    (Service::WorkerPush, 7, "worker_push_address"),
    (Service::WorkerPull, 8, "worker_pull_address"),
    (Service::Cache, 9, "db_address"),
];
/// Most connections and messages; a full table makes senders wait.
const SIZES: TableSizes = TableSizes { tasks: 10_000, peers: 100, subscriptions: 100 };

struct Master {
    state: Mutex<State>,
    clock: Clock,
}

struct State {
    endpoint: Endpoint<HeapEndpoint<Bytes>>,
    /// What each connection's threads wait for, by the index of its id.
    wakers: Vec<Arc<Condvar>>,
    /// Whether the endpoint has named the connection since its reader last asked.
    named: Vec<bool>,
    /// What the thread of the time waits for, and until when it does.
    timer: Arc<Condvar>,
    timer_at: Option<Instant>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let first: u16 = arguments.next().map_or(Ok(5550), |port| port.parse())?;
    let tables = heap_tables(&SIZES, 1_000).with_native(&SIZES);
    let mut endpoint = Endpoint::new("server", &EndpointConfig::default(), tables, seed())?;
    endpoint.set_token(arguments.next().unwrap_or_default().as_bytes());
    endpoint.cache().preset(b"name", b"server")?;
    let mut listeners = Vec::new();
    for (service, behind, key) in SERVICES {
        // The system chooses where 0 is asked for.
        let port = if first == 0 { 0 } else { first + behind };
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = format!("tcp://{}", listener.local_addr()?);
        println!("{service} is at {address}");
        endpoint.cache().preset(key.as_bytes(), address.as_bytes())?;
        listeners.push((service, listener));
    }

    let wakers = (0..SIZES.peers).map(|_| Arc::default()).collect();
    let named = vec![false; SIZES.peers];
    let state = State { endpoint, wakers, named, timer: Arc::default(), timer_at: None };
    let master = Arc::new(Master { state: Mutex::new(state), clock: Clock::default() });
    for (service, listener) in listeners {
        let master = Arc::clone(&master);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let master = Arc::clone(&master);
                thread::spawn(move || master.serve(service, &stream));
            }
        });
    }
    master.keep_time()
}

impl Master {
    /// The lock is held for a call or a few, never while a socket is read or written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the endpoint when time has passed: heartbeats, deadlines, who has been silent for too long.
    fn keep_time(&self) -> ! {
        let mut state = self.lock();
        let timer = Arc::clone(&state.timer);
        loop {
            let now = self.clock.now();
            state.endpoint.handle_timeout(now);
            state.settle();
            state.timer_at = state.endpoint.poll_timeout();
            let wait = state.timer_at.map_or(Duration::MAX, |at| at.saturating_since(now));
            state = timer.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// After each call to the endpoint: wakes the connections that it names, and the timer if something is due earlier.
    fn settle(&mut self) {
        while let Some(id) = self.endpoint.poll_ready() {
            self.named[id.index()] = true;
            self.wakers[id.index()].notify_all();
        }
        while let Some(event) = self.endpoint.poll_event() {
            println!("{event:?}");
        }
        let due = self.endpoint.poll_timeout();
        if due.is_some_and(|due| self.timer_at.is_none_or(|at| due < at)) {
            self.timer.notify_all();
        }
    }
}
