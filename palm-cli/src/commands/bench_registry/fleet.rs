//! Nodes that say what runners say.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use palm_registry::client::{Client, ClientError};
use palm_registry::plan::NodeOffer;
use palm_registry::wire::{Line, Lines, Process, State, Stream, Sync};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::Args;
use crate::output::latency::Latencies;
use crate::remote::now;

/// Between two signs of life.
const PERIOD: Duration = Duration::from_secs(1);
/// Lines that a node may send at a time.
const LINES_MAX: usize = 5000;

/// A file of so many processes: each tenth component binds a socket, which those after it connect to.
pub(super) fn cluster_file(processes: u32, most: u32) -> String {
    let mut text = String::new();
    let mut left = processes;
    for number in 0.. {
        let copies = left.min(most);
        if copies == 0 {
            break;
        }
        left -= copies;
        let master = number - number % 10;
        let _ =
            write!(text, "[c{number}]\nScript = run --number {number}\n--db = _{master}\nReplicas = {}\n", copies - 1);
        if number != master {
            let _ = writeln!(text, "Connected = c{master}");
        }
        text.push('\n');
    }
    text
}

/// What was measured.
pub(super) struct Figures {
    pub(super) syncs: u64,
    pub(super) sync_times: Latencies,
    pub(super) lines: u64,
    pub(super) line_times: Latencies,
    pub(super) failures: u64,
}

impl Figures {
    fn new() -> Self {
        Self { syncs: 0, sync_times: Latencies::new(), lines: 0, line_times: Latencies::new(), failures: 0 }
    }
}

struct Shared {
    figures: Mutex<Figures>,
    trouble: Mutex<String>,
    placed: AtomicU64,
    /// Lines a second of each that talks.
    lines: AtomicU32,
}

impl Shared {
    fn figures(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &ClientError) {
        self.figures().failures += 1;
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
    }
}

/// All nodes.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    talkers: u32,
    tasks: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts them, within a second.
    pub(super) fn start(url: &str, clusters: &[(String, String)], args: &Args) -> Self {
        let shared = Arc::new(Shared {
            figures: Mutex::new(Figures::new()),
            trouble: Mutex::default(),
            placed: AtomicU64::new(0),
            lines: AtomicU32::new(0),
        });
        let mut tasks = Vec::new();
        let slots = args.processes.div_ceil(args.nodes);
        for number in 0..args.nodes {
            let (_, key) = &clusters[number as usize % clusters.len()];
            // Each has its own connections, as runners on machines of their own do.
            let Ok(client) = Client::new(url, key, None) else { continue };
            let offer = NodeOffer {
                name: format!("node-{number:04}"),
                ip: format!("10.{}.{}.1", number / 250, number % 250),
                processors: slots,
                ports_from: 5555,
            };
            let delay = PERIOD * number / args.nodes;
            tasks.push(tokio::spawn(node(client.clone(), offer.clone(), delay, shared.clone())));
            if number < args.talkers {
                tasks.push(tokio::spawn(talk(client, offer.name, delay, shared.clone())));
            }
        }
        Self { shared, talkers: args.talkers.min(args.nodes), tasks }
    }

    /// Processes that nodes were told to run.
    pub(super) fn placed(&self) -> u64 {
        self.shared.placed.load(Ordering::Relaxed)
    }

    /// So many lines a second are printed from now on.
    pub(super) fn print(&self, lines: u32) {
        self.shared.lines.store(lines / self.talkers, Ordering::Relaxed);
    }

    /// What is measured begins now.
    pub(super) fn begin(&self) {
        *self.shared.figures() = Figures::new();
    }

    /// What was measured since.
    pub(super) fn figures(&self) -> Figures {
        std::mem::replace(&mut *self.shared.figures(), Figures::new())
    }

    /// The last thing that failed; empty: nothing.
    pub(super) fn trouble(&self) -> String {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All end, without saying so.
    pub(super) fn stop(self) {
        for task in self.tasks {
            task.abort();
        }
    }
}

async fn node(client: Client, offer: NodeOffer, delay: Duration, shared: Arc<Shared>) {
    sleep(delay).await;
    let mut said = Sync { node: offer, run: Uuid::new_v4(), processes: Vec::new(), leaving: false };
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let begun = Instant::now();
        let wanted = match client.sync(&said).await {
            Ok(wanted) => wanted.wanted,
            Err(error) => {
                shared.failed(&error);
                continue;
            }
        };
        {
            let mut figures = shared.figures();
            figures.syncs += 1;
            figures.sync_times.record(begun.elapsed());
        }
        let had = said.processes.len();
        let processes = wanted.into_iter().map(|wanted| {
            let before = said
                .processes
                .iter()
                .find(|process| process.component == wanted.component && process.copy == wanted.copy);
            let since = before.map_or_else(now, |process| process.since);
            let (state, pid) = if wanted.hold && before.is_none_or(|process| process.state == State::Waiting) {
                (State::Waiting, None)
            } else {
                (State::Ready, Some(1000 + wanted.copy))
            };
            Process {
                component: wanted.component,
                copy: wanted.copy,
                state,
                pid,
                since,
                restarts: 0,
                exit: None,
                // What a busy process reports differs each time.
                cpu_seconds: before.map_or(0.0, |process| process.cpu_seconds) + 0.37,
                memory_bytes: 10_000_000 + u64::try_from(since % 4096).unwrap_or(0),
                generation: wanted.generation,
                messages: Some(before.and_then(|process| process.messages).unwrap_or(0) + 1234),
                rate: Some(1234.0),
            }
        });
        said.processes = processes.collect();
        shared.placed.fetch_add((said.processes.len() - had.min(said.processes.len())) as u64, Ordering::Relaxed);
    }
}

/// Sends lines, as many as are printed.
async fn talk(client: Client, node: String, delay: Duration, shared: Arc<Shared>) {
    sleep(delay).await;
    let (spool, mut seq) = (Uuid::new_v4(), 0);
    let mut printed = Instant::now();
    loop {
        let lines = f64::from(shared.lines.load(Ordering::Relaxed));
        let due = (printed.elapsed().as_secs_f64() * lines) as usize;
        if due == 0 {
            if lines == 0.0 {
                printed = Instant::now();
            }
            sleep(PERIOD / 4).await;
            continue;
        }
        let due = due.min(LINES_MAX);
        printed += Duration::from_secs_f64(due as f64 / lines);
        let at = now();
        let lines = (seq + 1..=seq + due as u64).map(|seq| Line {
            seq,
            component: format!("c{}", seq % 10),
            copy: (seq % 3) as u32,
            stream: Stream::Out,
            at,
            text: format!("{seq} INFO a message was handled in 1.25 ms, 17 are waiting, none was lost"),
        });
        let lines = Lines { node: node.clone(), spool, lines: lines.collect() };
        seq += due as u64;
        let begun = Instant::now();
        while let Err(error) = client.send_lines(&lines).await {
            shared.failed(&error);
            sleep(PERIOD).await;
        }
        {
            let mut figures = shared.figures();
            figures.lines += due as u64;
            figures.line_times.record(begun.elapsed());
        }
        sleep(PERIOD / 4).await;
    }
}
