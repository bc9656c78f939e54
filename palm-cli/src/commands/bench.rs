//! `palm bench`: how many messages a second, and how long each takes.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Subcommand;
use futures_util::{FutureExt as _, Stream};
use palm_transport_zmq::{Call, Client, Job, JobOptions, MasterConfig, Worker, WorkerBuilder, from_iter};

use super::{StopSignals, bench_native, bench_registry, block_on, server_name, unreachable};
use crate::args::Global;
use crate::local::{LocalMaster, LocalWorker};
use crate::output::counted;
use crate::output::latency::{Latencies, Short, rate};
use crate::output::progress::Progress;
use crate::{Outcome, output, values, worker};

/// How long to try to reach the master.
const CONNECT: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  palm bench local
      a master, an echo worker and a load generator in one process, each on a
      thread of its own

  palm bench worker --db tcp://node-1:5559
  palm bench client --db tcp://node-1:5559 --size 1KiB --window 1000
      against a master that runs elsewhere

  palm bench local --window 1
      the round trip of a single message

  palm bench native
      the native protocol, beside bare TCP that carries the same bytes

  palm bench registry --nodes 1000 --processes 10000
      a registry with a fleet of simulated nodes, and its pages

Exit status: 0 every message came back, 1 some were lost.";

/// Flags of `palm bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) part: Part,
}

/// Which part of the measurement this process is.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Generate load, and measure
    Client {
        /// Where the master's cache answers
        #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address)]
        db: String,
        /// Function that is called: any that answers, of the server at --db
        #[arg(long, value_name = "METHOD", default_value = "echo")]
        function: String,
        #[command(flatten)]
        load: Load,
    },
    /// Answer each message with itself, until stopped
    Worker {
        /// Where the master's cache answers
        #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address)]
        db: String,
    },
    /// Measure the native protocol beside bare sockets
    Native(bench_native::Args),
    /// Measure a registry with a fleet of simulated nodes
    Registry(bench_registry::Args),
    /// Measure a master, a worker and a client in this process
    Local {
        /// Echo workers
        #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
        workers: u16,
        #[command(flatten)]
        load: Load,
    },
}

/// The load.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Load {
    /// Bytes of each message
    #[arg(long, value_name = "SIZE", default_value = "10", value_parser = values::size)]
    pub(crate) size: usize,
    /// Messages without a result at a time
    #[arg(long, value_name = "MESSAGES", default_value = "200", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    /// Messages in all
    #[arg(long, value_name = "NUMBER", default_value = "300000", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Time after which a message counts as lost
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration_above_zero)]
    pub(crate) timeout: Duration,
    /// Print the figures as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measures.
///
/// # Errors
/// If the master cannot be reached.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("bench")?;
    match args.part {
        Part::Client { db, function, load } => block_on(measure(&db, &function, &load)),
        Part::Worker { db } => block_on(async {
            let mut signals = StopSignals::listen()?;
            let worker = echo_worker(&db).build()?;
            output::say(&format_args!("answering `echo` for the master whose cache is at {db}; Ctrl-C stops"));
            let report = worker::zmq::run(worker, 0, &mut signals).await;
            Ok(report.map_or(Outcome::Failed, |report| report.told()))
        }),
        Part::Native(args) => bench_native::run(&args),
        Part::Registry(args) => block_on(bench_registry::run(&args)),
        Part::Local { workers, load } => {
            let config = MasterConfig {
                // Room for the whole window, whatever the size of its messages.
                max_message: (load.size + (1 << 16)).max(64 << 20),
                memory: ((load.size + (1 << 16)) * 4).max(1 << 30),
                ..MasterConfig::on_free_ports("bench")
            };
            let master = LocalMaster::start(config)?;
            let cache = master.addresses().cache.clone();
            let workers =
                (0..workers).map(|_| LocalWorker::start(echo_worker(&cache))).collect::<anyhow::Result<Vec<_>>>()?;
            let outcome = block_on(measure(&cache, "echo", &load));
            for worker in workers {
                worker.stop()?;
            }
            master.stop()?;
            outcome
        }
    }
}

fn echo_worker(db: &str) -> WorkerBuilder {
    Worker::builder()
        .cache_address(db)
        .queue(4096)
        .inline_function("echo", |call: Call| Ok::<_, Infallible>(call.into_payload()))
}

/// Sends the load, waits for what comes back, and prints the figures.
async fn measure(db: &str, function: &str, load: &Load) -> anyhow::Result<Outcome> {
    let server = server_name(db, CONNECT).await?;
    let client = Client::builder(&server, db).timeout(CONNECT).patience(CONNECT).connect().await;
    let client = client.map_err(|error| unreachable(error, &server, db, CONNECT))?;
    let options = JobOptions { window: load.window, timeout: Some(load.timeout), ..JobOptions::default() };
    let payload = Bytes::from(vec![b'x'; load.size]);
    // The first messages find out how fast the workers are, and warm every buffer up.
    let warm_up = client.job(function, from_iter(vec![payload.clone(); load.window as usize]), &options);
    follow(warm_up, &payload, load.size, &Progress::start(None, true)).await?;

    let messages = usize::try_from(load.messages).context("that is too many messages")?;
    let progress = Progress::start(Some(load.messages), load.json);
    let started = Instant::now();
    let job = client.job(function, from_iter(std::iter::repeat_n(payload.clone(), messages)), &options);
    let seen = follow(job, &payload, load.size, &progress).await;
    let time = started.elapsed();
    progress.finish();
    let seen = seen?;
    output::data(if load.json { seen.json(load, time) } else { seen.text(load, time) }.as_bytes())?;
    Ok(if seen.answered == load.messages { Outcome::Done } else { Outcome::Failed })
}

/// What came back.
struct Seen {
    answered: u64,
    failed: u64,
    first_failure: Option<String>,
    latencies: Latencies,
}

async fn follow<I: Stream<Item = Bytes>>(
    mut job: Job<I>,
    payload: &Bytes,
    size: usize,
    progress: &Progress,
) -> anyhow::Result<Seen> {
    let mut seen = Seen { answered: 0, failed: 0, first_failure: None, latencies: Latencies::new() };
    let mut signals = StopSignals::listen()?;
    loop {
        // A look at the clock and the bar each few messages, not each.
        if (seen.answered + seen.failed).is_multiple_of(1024) {
            progress.at(seen.answered + seen.failed, String::new);
        }
        let outcome = match job.next().now_or_never() {
            Some(outcome) => outcome,
            None => tokio::select! {
                outcome = job.next() => outcome,
                _ = signals.next() => return Ok(seen),
            },
        };
        let Some(outcome) = outcome else { return Ok(seen) };
        match outcome.result {
            Ok(result) if result.len() == size && (size > 64 || result == payload) => {
                seen.answered += 1;
                seen.latencies.record(outcome.elapsed);
            }
            Ok(result) => seen.failed(|| format!("a result of {} bytes that is not the message", result.len())),
            Err(failure) => seen.failed(|| failure.to_string()),
        }
    }
}

impl Seen {
    fn failed(&mut self, why: impl FnOnce() -> String) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(why);
    }

    fn lost(&self, load: &Load) -> u64 {
        load.messages - self.answered
    }

    fn text(&self, load: &Load, time: Duration) -> String {
        let per_second = rate(self.answered, time);
        #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
        let megabytes = self.answered as f64 * load.size as f64 / time.as_secs_f64().max(1e-6) / 1e6;
        let mut text = format!(
            "load     {} of {} bytes, window {}\n\
             rate     {per_second} ({megabytes:.1} MB/s each way), {} in all\n\
             {}\n\
             lost     {}\n",
            counted(load.messages, "message"),
            load.size,
            load.window,
            Short(time),
            self.latencies.to_string().replacen("latency ", "latency  ", 1),
            self.lost(load),
        );
        if let Some(failure) = &self.first_failure {
            text.push_str(&format!("failures {}, the first: {failure}\n", self.failed));
        }
        text
    }

    fn json(&self, load: &Load, time: Duration) -> String {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let object = serde_json::json!({
            "messages": load.messages,
            "size": load.size,
            "window": load.window,
            "seconds": time.as_secs_f64(),
            "rate": self.answered as f64 / time.as_secs_f64().max(1e-6),
            "p50_us": micros(self.latencies.quantile(0.5)),
            "p90_us": micros(self.latencies.quantile(0.9)),
            "p99_us": micros(self.latencies.quantile(0.99)),
            "max_us": micros(self.latencies.max()),
            "lost": self.lost(load),
            "failure": self.first_failure,
        });
        format!("{object}\n")
    }
}
