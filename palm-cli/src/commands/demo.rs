//! `palm demo`: a whole job inside one process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_transport_zmq::{Call, Client, JobOptions, MasterConfig, Worker, WorkerBuilder, from_iter};
use tracing::level_filters::LevelFilter;

use super::{block_on, unreachable};
use crate::Outcome;
use crate::args::Global;
use crate::local::{LocalMaster, LocalWorker};
use crate::output::latency::{Latencies, Short, rate};
use crate::output::progress::Progress;
use crate::output::{self, counted};
use crate::worker;

/// Names of the first workers.
const NAMES: [&str; 4] = ["ant", "bee", "cat", "dog"];

/// Messages that a worker works on at a time.
const JOBS: usize = 8;

/// What a message is made to cost, so that there is something to see.
const WORK: Duration = Duration::from_millis(1);

/// Messages without a result at a time.
const WINDOW: u32 = 256;

/// How long anything here may take before it counts as gone wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Flags of `palm demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Messages of the job
    #[arg(long, value_name = "MESSAGES", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Workers
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
}

/// Shows a job.
///
/// # Errors
/// If loopback cannot be used.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    // What the components have to say about the killed worker is told by the demo itself.
    global.log_aside_at("demo", LevelFilter::ERROR)?;
    let master = LocalMaster::start(MasterConfig::on_free_ports("demo"))?;
    say(&format!(
        "A master and {} in this process, on free ports of 127.0.0.1.\n\n",
        counted(args.workers.into(), "worker")
    ))?;
    let at = master.addresses();
    say(&format!(
        "master demo\n  takes messages at     {}\n  publishes results at  {}\n  gives work out at     {}\n  \
         takes it back at      {}\n  cache answers at      {}\n",
        at.pull, at.publish, at.worker_push, at.worker_pull, at.cache
    ))?;
    let mut workers = Vec::new();
    for number in 0..args.workers {
        let name = NAMES.get(usize::from(number)).map_or_else(|| format!("worker{number}"), |name| (*name).to_owned());
        workers.push((name.clone(), LocalWorker::start(worker(&name, &at.cache))?));
        say(&format!("worker {name:<6} offers foo, stamp and fail\n"))?;
    }
    let cache = at.cache.clone();
    let outcome = block_on(show(&args, &master, &mut workers, &cache))?;
    for (_, worker) in workers {
        worker.stop()?;
    }
    let report = master.stop()?;
    say(&format!("\nStopped: {} left undone.\n", counted(report.left as u64, "message")))?;
    Ok(outcome)
}

/// A worker with three functions.
fn worker(name: &str, cache: &str) -> WorkerBuilder {
    let stamp = name.to_owned();
    let builder = Worker::builder().name(name).cache_address(cache).concurrency(JOBS);
    worker::zmq::offer(builder, &worker::demo_functions(name))
        .function("stamp", move |call: Call| {
            let stamp = stamp.clone();
            async move {
                tokio::time::sleep(WORK).await;
                let payload = String::from_utf8_lossy(call.payload());
                Ok::<_, Infallible>(format!("{stamp} {payload}"))
            }
        })
        .function("fail", |_: Call| async { Err::<Bytes, _>("this function always fails") })
}

async fn show(
    args: &Args,
    master: &LocalMaster,
    workers: &mut Vec<(String, LocalWorker)>,
    cache: &str,
) -> anyhow::Result<Outcome> {
    let client = Client::builder("demo", cache).patience(PATIENCE).connect().await;
    let client = client.map_err(|error| unreachable(error, "demo", cache, PATIENCE))?;

    say("\n1. The example application: ten times ' a message' to demo.foo\n")?;
    let options = JobOptions { timeout: Some(PATIENCE), ordered: true, ..JobOptions::default() };
    let mut job = client.job("foo", from_iter(vec![" a message"; 10]), &options);
    let mut tally = Tally::default();
    while let Some(outcome) = job.next().await {
        tally.add(std::str::from_utf8(&outcome.result?)?);
    }
    for (line, times) in &tally.0 {
        say(&format!("   {times:>2} x {line}\n"))?;
    }

    say("\n2. The cache, which clients and workers share\n")?;
    client.set("greeting", b"hello").await?;
    say(&format!("   greeting = {}\n", String::from_utf8_lossy(&client.get("greeting").await?)))?;

    say("\n3. A function that fails, told from a result\n")?;
    match client.eval("fail", "x").await {
        Ok(result) => anyhow::bail!("a function that fails gave the result {result:?}"),
        Err(failure) => say(&format!("   demo.fail: {failure}\n"))?,
    }

    let victim = (workers.len() > 1).then(|| workers.remove(workers.len() - 1));
    let fate = victim.as_ref().map_or(String::new(), |(name, _)| format!(";\n   half way, worker {name} is killed"));
    say(&format!("\n4. {} to demo.stamp, {WORK:?} of work each{fate}\n", counted(args.messages, "message")))?;
    big_job(args, &client, master, victim).await
}

/// A job in whose midst a worker is killed.
async fn big_job(
    args: &Args,
    client: &Client,
    master: &LocalMaster,
    mut victim: Option<(String, LocalWorker)>,
) -> anyhow::Result<Outcome> {
    let progress = Progress::start(Some(args.messages), false);
    let options = JobOptions { window: WINDOW, timeout: Some(PATIENCE), ..JobOptions::default() };
    let started = Instant::now();
    let mut job = client.job("stamp", from_iter((0..args.messages).map(|number| number.to_string())), &options);
    let (mut seen, mut right) = (0, 0);
    let (mut tally, mut latencies) = (Tally::default(), Latencies::new());
    while let Some(outcome) = job.next().await {
        seen += 1;
        progress.at(seen, String::new);
        match outcome.result {
            Ok(result) => {
                let text = String::from_utf8_lossy(&result);
                let (name, number) = text.split_once(' ').unwrap_or_default();
                right += u64::from(number == outcome.sequence.to_string());
                tally.add(name);
                latencies.record(outcome.elapsed);
            }
            Err(failure) => say(&format!("   message {}: {failure}\n", outcome.sequence))?,
        }
        if seen == args.messages / 2
            && let Some((_, worker)) = victim.take()
        {
            worker.kill();
        }
    }
    let time = started.elapsed();
    progress.finish();
    let by_worker: Vec<_> = tally.0.iter().map(|(name, times)| format!("{name} {times}")).collect();
    let (master, job) = (master.counters().messages, job.counters());
    say(&format!(
        "   {right} right results of {} in {} ({})\n   {latencies}\n   by worker: {}\n   \
         taken back from a killed worker and given to another: {}\n   results that came twice: {}\n",
        args.messages,
        Short(time),
        rate(right, time),
        by_worker.join(", "),
        master.redispatched,
        job.duplicates,
    ))?;
    Ok(if right == args.messages { Outcome::Done } else { Outcome::Failed })
}

/// How often each text was seen.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn add(&mut self, text: &str) {
        match self.0.get_mut(text) {
            Some(times) => *times += 1,
            None => drop(self.0.insert(text.to_owned(), 1)),
        }
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    output::text(text.as_bytes())
}
