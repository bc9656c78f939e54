//! `palm bench native`: what the native protocol reaches beside bare sockets that carry the same bytes.
//!
//! Master, worker and client are threads of this process, each on a TCP connection over loopback; the bare sockets are measured
//! in the same run, one after the other, and rounds alternate.

mod bare;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use palm_transport_tcp::{
    Call, Client, ClientConnection, ClientEvent, Master, MasterConfig, MasterHandle, PeerOptions, Submission, Worker,
    WorkerConnection, WorkerHandle,
};

use crate::output::latency::{Latencies, Short};
use crate::{Outcome, output};

/// Bytes of a small task.
const SMALL: usize = 10;
/// Bytes of a large task.
const LARGE: usize = 64 << 10;
/// Tasks with a future each that are out at a time.
const WINDOW: usize = 1000;
/// Large tasks that are out at a time.
const LARGE_WINDOW: usize = 64;

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Small tasks of each measurement of a rate
    #[arg(long, value_name = "NUMBER", default_value = "2000000", value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) tasks: u32,
    /// Times that everything is measured; printed are medians
    #[arg(long, value_name = "NUMBER", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
}

/// Measures, and prints a table.
///
/// # Errors
/// If a socket or a thread cannot be had.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(Round::measure(args.tasks as usize)?);
    }
    let median = |figure: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let mut text = String::new();
    let mut line = |what: &str, figure: String, goal: &str, met: bool| {
        let verdict = if met { "met" } else { "missed" };
        text.push_str(&format!("{what:52} {figure:>16}   goal {goal:13} {verdict}\n"));
    };
    let batch = median(|round| round.batch);
    line("tasks of 10 bytes in batches", format!("{batch:.0}/s"), "2500000/s", batch >= 2_500_000.0);
    let single = median(|round| round.single);
    line("tasks of 10 bytes, waited for one by one", format!("{single:.0}/s"), "1000000/s", single >= 1_000_000.0);
    let cpu = median(|round| round.cpu);
    line("the master's own time for a task in a batch", format!("{:.3} us", cpu * 1e6), "0.5 us", cpu <= 0.5e-6);
    let trip = median(|round| round.trip / round.bare_trip);
    let figure = format!("{trip:.2} ({})", Short(Duration::from_secs_f64(median(|round| round.trip))));
    line("one task at a time, p50, to two bare round trips", figure, "at most 1.25", trip <= 1.25);
    let relayed = median(|round| round.trip / round.relayed_trip);
    line("the same, to two that a bare relay passes on", format!("{relayed:.2}"), "at most 1.25", relayed <= 1.25);
    let large = median(|round| round.large / round.bare_large);
    let figure = format!("{large:.2} ({:.0}/s)", median(|round| round.large));
    line("64 KiB, rate, to a bare relay of two hops", figure, "at least 0.8", large >= 0.8);
    let taken = median(|round| round.taken_over);
    let figure = Short(Duration::from_secs_f64(taken)).to_string();
    line("a lost worker's 100 tasks done by another", figure, "50 ms", taken <= 0.05);
    let trip = Short(Duration::from_secs_f64(median(|round| round.blocking_trip)));
    text.push_str(&format!("{:52} {:>16}\n", "one task at a time, p50, of a client with a thread", trip.to_string()));
    output::data(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// One measurement of each kind: tasks a second, and seconds.
struct Round {
    batch: f64,
    single: f64,
    cpu: f64,
    trip: f64,
    blocking_trip: f64,
    bare_trip: f64,
    relayed_trip: f64,
    large: f64,
    bare_large: f64,
    taken_over: f64,
}

impl Round {
    fn measure(tasks: usize) -> anyhow::Result<Self> {
        let cluster = Cluster::start()?;
        let worker = cluster.worker()?;
        let client = cluster.client()?;
        let small = Bytes::from_static(&[b'x'; SMALL]);
        in_batches(&client, &small, tasks / 10)?;
        let before = cluster.master_time();
        let batch = in_batches(&client, &small, tasks)?;
        let cpu = (cluster.master_time() - before) / tasks as f64;
        let single = one_by_one(&client, &small, tasks / 2, WINDOW)?;
        let trip = own_trips(&cluster.address, &small)?;
        let blocking_trip = round_trips(2000, || {
            client.eval("echo", small.clone())?;
            Ok(())
        })?;
        let large = one_by_one(&client, &Bytes::from(vec![b'x'; LARGE]), 20_000, LARGE_WINDOW)?;
        drop(client);
        worker.stop()?;
        cluster.stop()?;
        let (bare_trip, relayed_trip, bare_large) = (bare::two_trips()?, bare::relayed_trip()?, bare::relay()?);
        let taken_over = taken_over()?;
        Ok(Self { batch, single, cpu, trip, blocking_trip, bare_trip, relayed_trip, large, bare_large, taken_over })
    }
}

fn in_batches(client: &Client, payload: &Bytes, tasks: usize) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut answered = 0;
    for result in client.submit_all("echo", std::iter::repeat_n(payload.clone(), tasks)) {
        anyhow::ensure!(result? == *payload, "a result is not what was sent");
        answered += 1;
    }
    anyhow::ensure!(answered == tasks, "{answered} of {tasks} tasks were answered");
    Ok(tasks as f64 / started.elapsed().as_secs_f64())
}

fn one_by_one(client: &Client, payload: &Bytes, tasks: usize, window: usize) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut out = std::collections::VecDeque::new();
    for _ in 0..tasks {
        if out.len() == window {
            let first: palm_transport_tcp::Pending = out.pop_front().context("the window is not empty")?;
            anyhow::ensure!(first.wait()?.len() == payload.len(), "a result is not what was sent");
        }
        out.push_back(client.submit("echo", payload.clone()));
    }
    for pending in out {
        anyhow::ensure!(pending.wait()?.len() == payload.len(), "a result is not what was sent");
    }
    Ok(tasks as f64 / started.elapsed().as_secs_f64())
}

/// The middle one of so many.
fn round_trips(count: usize, mut trip: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut latencies = Latencies::new();
    for _ in 0..count {
        let started = Instant::now();
        trip()?;
        latencies.record(started.elapsed());
    }
    Ok(latencies.quantile(0.5).as_secs_f64())
}

/// The middle round trip of a client that has its connection in a loop of its own, as the bare sockets have.
fn own_trips(address: &str, payload: &Bytes) -> anyhow::Result<f64> {
    let mut connection: ClientConnection<()> = ClientConnection::new(&PeerOptions::new(address))?;
    let mut poll = mio::Poll::new()?;
    let mut events = mio::Events::with_capacity(16);
    connection.register(poll.registry(), mio::Token(0))?;
    let mut until =
        |connection: &mut ClientConnection<()>, wanted: fn(&ClientEvent<()>) -> bool| -> anyhow::Result<()> {
            loop {
                connection.turn();
                while let Some(event) = connection.poll_event() {
                    if wanted(&event) {
                        return Ok(());
                    }
                }
                poll.poll(&mut events, connection.next_timeout())?;
                events.iter().for_each(|event| connection.on_ready(event));
            }
        };
    until(&mut connection, |event| matches!(event, ClientEvent::Connected { .. }))?;
    round_trips(2000, || {
        connection.submit(Submission::new("bench.echo", payload.clone()), ());
        until(&mut connection, |event| matches!(event, ClientEvent::Last { .. }))
    })
}

/// How long it takes until another worker has done what one held whose connection broke.
fn taken_over() -> anyhow::Result<f64> {
    let cluster = Cluster::start()?;
    let doomed = Doomed::start(&cluster.address)?;
    let client = cluster.client()?;
    let tasks: Vec<_> = (0..100).map(|_| client.submit("echo", "x")).collect();
    // Until the doomed worker has them all, and nobody else is there.
    std::thread::sleep(Duration::from_millis(50));
    let worker = cluster.worker()?;
    std::thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    doomed.die()?;
    for task in tasks {
        task.wait()?;
    }
    let taken = started.elapsed().as_secs_f64();
    drop(client);
    worker.stop()?;
    cluster.stop()?;
    Ok(taken)
}

/// A master on a thread of its own.
struct Cluster {
    address: String,
    handle: MasterHandle,
    thread: JoinHandle<std::io::Result<palm_transport_tcp::Report>>,
    /// Where the operating system tells how long the thread has run.
    clock: String,
}

/// A worker on a thread of its own.
struct Working {
    handle: WorkerHandle,
    thread: JoinHandle<std::io::Result<palm_transport_tcp::WorkerReport>>,
}

impl Cluster {
    fn start() -> anyhow::Result<Self> {
        let master = Master::bind(MasterConfig::on_free_port("bench"))?;
        let address = master.addresses().first().context("the master has an address")?.to_string();
        let handle = master.handle();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name("palm-master".into()).spawn(move || {
            _ = tell.send(rustix::thread::gettid());
            master.run()
        })?;
        let id = told.recv().context("the master's thread has not begun")?;
        Ok(Self { address, handle, thread, clock: format!("/proc/self/task/{}/schedstat", id.as_raw_nonzero()) })
    }

    fn worker(&self) -> anyhow::Result<Working> {
        let worker = Worker::builder(&self.address)
            .window(8192)
            .inline_function("echo", |call: Call| Ok::<_, Infallible>(call.into_payload()))
            .build()?;
        let handle = worker.handle();
        let thread = std::thread::Builder::new().name("palm-worker".into()).spawn(move || worker.run())?;
        Ok(Working { handle, thread })
    }

    fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::builder(&self.address).connect()?)
    }

    /// Seconds that the master's thread has run.
    fn master_time(&self) -> f64 {
        let text = std::fs::read_to_string(&self.clock).unwrap_or_default();
        text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0) / 1e9
    }

    fn stop(self) -> anyhow::Result<()> {
        self.handle.shutdown();
        self.thread.join().map_err(|_| anyhow::anyhow!("the master has panicked"))??;
        Ok(())
    }
}

impl Working {
    fn stop(self) -> anyhow::Result<()> {
        self.handle.shutdown();
        self.thread.join().map_err(|_| anyhow::anyhow!("a worker has panicked"))??;
        Ok(())
    }
}

/// A worker that takes tasks and answers none, until its connection is cut.
struct Doomed {
    cut: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Doomed {
    fn start(address: &str) -> anyhow::Result<Self> {
        let mut connection = WorkerConnection::new(&PeerOptions { window: 200, ..PeerOptions::new(address) })?;
        let cut = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&cut);
        let thread = std::thread::spawn(move || {
            let mut poll = mio::Poll::new()?;
            let mut events = mio::Events::with_capacity(16);
            connection.register(poll.registry(), mio::Token(0))?;
            while !told.load(Ordering::Relaxed) {
                poll.poll(&mut events, Some(Duration::from_millis(1)))?;
                events.iter().for_each(|event| connection.on_ready(event));
                connection.turn();
                while connection.poll_event().is_some() {}
            }
            Ok(())
        });
        Ok(Self { cut, thread })
    }

    fn die(self) -> anyhow::Result<()> {
        self.cut.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))?
    }
}
