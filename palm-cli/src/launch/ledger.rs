//! What has become of each message of a job.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Label;
use crate::output::counted;
use crate::output::latency::{Latencies, Short, rate};

/// How many failed, and how many missing, messages are named at the end.
const NAMED: usize = 20;

/// The book of a job. Its size depends on how many messages are out, not on how many there are.
pub(crate) struct Ledger {
    started: Instant,
    wanted: u32,
    inputs: u64,
    sent: u64,
    out: BTreeMap<u64, Out>,
    done: u64,
    results: Arc<AtomicU64>,
    failed: Names,
    late: Names,
    latencies: Latencies,
}

/// A message without all its results.
struct Out {
    number: u64,
    label: Label,
    since: Instant,
    results: u32,
    _budget: OwnedSemaphorePermit,
}

/// The first few of many, and how many.
#[derive(Clone, Default)]
struct Names {
    total: u64,
    first: Vec<String>,
}

/// A message as its result comes in.
pub(crate) struct Arrived {
    /// Which of the inputs it was, counted from 0; those that could not be sent count too.
    pub(crate) number: u64,
    /// Where it came from.
    pub(crate) label: Label,
    /// How long its result took.
    pub(crate) latency: Duration,
    /// Which of its results this is, counted from 0.
    pub(crate) index: u32,
}

impl Ledger {
    /// A book for a job whose messages have `wanted` results each.
    pub(crate) fn new(wanted: u32) -> Self {
        Self {
            started: Instant::now(),
            wanted,
            inputs: 0,
            sent: 0,
            out: BTreeMap::new(),
            done: 0,
            results: Arc::default(),
            failed: Names::default(),
            late: Names::default(),
            latencies: Latencies::new(),
        }
    }

    /// Counts the results, for whoever looks on.
    pub(crate) fn results(&self) -> Arc<AtomicU64> {
        self.results.clone()
    }

    /// A message is handed over. Messages are numbered by the order of these calls, from 0.
    pub(crate) fn sent(&mut self, label: Label, budget: OwnedSemaphorePermit) {
        let out = Out { number: self.inputs, label, since: Instant::now(), results: 0, _budget: budget };
        self.out.insert(self.sent, out);
        self.inputs += 1;
        self.sent += 1;
    }

    /// A result of message number `sequence` is there. `None` if nothing more is expected of it.
    pub(crate) fn arrived(&mut self, sequence: u64) -> Option<Arrived> {
        let out = self.out.get_mut(&sequence)?;
        let latency = out.since.elapsed();
        let arrived = Arrived { number: out.number, label: out.label.clone(), latency, index: out.results };
        out.results += 1;
        self.results.fetch_add(1, Ordering::Relaxed);
        self.latencies.record(latency);
        if out.results >= self.wanted {
            self.out.remove(&sequence);
            self.done += 1;
        }
        Some(arrived)
    }

    /// Message number `sequence` has failed. `None` if nothing more is expected of it.
    pub(crate) fn failed(&mut self, sequence: u64, why: &dyn fmt::Display) -> Option<Arrived> {
        let out = self.out.remove(&sequence)?;
        self.failed.add(|| format!("{}: {why}", out.label));
        Some(Arrived { number: out.number, label: out.label, latency: out.since.elapsed(), index: out.results })
    }

    /// Message number `sequence` has no result in time, and none is waited for any longer. `None` if nothing more is expected
    /// of it.
    pub(crate) fn late(&mut self, sequence: u64, why: &dyn fmt::Display) -> Option<Arrived> {
        let out = self.out.remove(&sequence)?;
        self.late.add(|| format!("{}: {why}", out.label));
        Some(Arrived { number: out.number, label: out.label, latency: out.since.elapsed(), index: out.results })
    }

    /// Something could not even be sent.
    pub(crate) fn not_sent(&mut self, label: &Label, why: &dyn fmt::Display) {
        self.inputs += 1;
        self.failed.add(|| format!("{label}: not sent: {why}"));
    }

    /// Messages that are through, in whatever way.
    pub(crate) const fn through(&self) -> u64 {
        self.done + self.failed.total + self.late.total
    }

    /// A few words for the progress bar.
    pub(crate) fn note(&self) -> String {
        match self.failed.total + self.late.total {
            0 => format!("{} out", self.out.len()),
            failed => format!("{} out, {failed} failed or late", self.out.len()),
        }
    }

    /// Whether everything that was sent has all its results.
    pub(crate) fn is_complete(&self) -> bool {
        self.out.is_empty() && self.failed.total == 0 && self.late.total == 0
    }

    /// Which messages failed and which are missing; empty if there are none.
    pub(crate) fn troubles(&self) -> String {
        let mut missing = self.late.clone();
        for out in self.out.values() {
            missing.add(|| match out.results {
                0 => out.label.to_string(),
                some => format!("{} ({some} of {} results came)", out.label, self.wanted),
            });
        }
        let mut text = String::new();
        for (what, names) in [("failed", &self.failed), ("missing", &missing)] {
            for name in &names.first {
                text.push_str(&format!("{what}: {name}\n"));
            }
            let more = names.total - names.first.len() as u64;
            if more > 0 {
                text.push_str(&format!("{what}: and {more} more\n"));
            }
        }
        text
    }
}

impl Names {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.total += 1;
        if self.first.len() < NAMED {
            self.first.push(name());
        }
    }
}

/// The closing line.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, results) = (self.started.elapsed(), self.results.load(Ordering::Relaxed));
        write!(f, "{} sent, {}", counted(self.sent, "message"), counted(results, "result"))?;
        let missing = self.late.total + self.out.len() as u64;
        write!(f, ", {} failed, {missing} missing in {}", self.failed.total, Short(time))?;
        match results {
            0 => Ok(()),
            results => write!(f, " ({}); {}", rate(results, time), self.latencies),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn ledger(wanted: u32, messages: u64) -> (Ledger, Arc<Semaphore>) {
        let budget = Arc::new(Semaphore::new(1000));
        let mut ledger = Ledger::new(wanted);
        for number in 1..=messages {
            ledger.sent(Label::Message(number), Arc::clone(&budget).try_acquire_owned().unwrap());
        }
        (ledger, budget)
    }

    #[test]
    fn a_complete_job_has_no_troubles() {
        let (mut ledger, budget) = ledger(2, 2);
        for (sequence, index) in [(1, 0), (0, 0), (1, 1), (0, 1)] {
            assert_eq!(ledger.arrived(sequence).unwrap().index, index);
        }
        assert!(ledger.arrived(0).is_none(), "a third result of two");
        assert!(ledger.is_complete());
        assert_eq!((ledger.troubles().as_str(), ledger.through(), budget.available_permits()), ("", 2, 1000));
        assert!(ledger.to_string().starts_with("2 messages sent, 4 results, 0 failed, 0 missing in "), "{ledger}");
    }

    #[test]
    fn failed_and_missing_ones_are_named_up_to_a_bound() {
        let (mut ledger, _) = ledger(2, 30);
        ledger.failed(1, &"exit status: 3");
        ledger.late(3, &"no answer in time");
        ledger.arrived(2);
        ledger.not_sent(&Label::File("x".into()), &"not found");
        let troubles = ledger.troubles();
        assert!(
            troubles.starts_with("failed: message 2: exit status: 3\nfailed: x: not sent: not found\n"),
            "{troubles}"
        );
        assert!(troubles.contains("missing: message 4: no answer in time\n"), "{troubles}");
        assert!(troubles.contains("missing: message 3 (1 of 2 results came)\n"), "{troubles}");
        assert!(troubles.ends_with("missing: and 9 more\n"), "{troubles}");
        assert!(!ledger.is_complete());
    }
}
