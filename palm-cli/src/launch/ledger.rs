//! What has become of each message of a job.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Label;
use super::names::{Names, name};
use crate::output::latency::{Latencies, Short, rate};
use crate::output::{counted, harmless};

/// How many that could not be sent wait to be reported, before no more is read.
const UNREPORTED: usize = 64;

/// The book of a job. Its size depends on how many messages are out, not on how many there are.
pub(crate) struct Ledger {
    started: Instant,
    /// Results of each message.
    wanted: u32,
    /// Results of all messages together, where each may have fewer.
    expected: Option<u64>,
    /// Messages in the input, where that is known before it is read.
    total: Option<u64>,
    inputs: u64,
    sent: u64,
    out: BTreeMap<u64, Out>,
    done: u64,
    results: Arc<AtomicU64>,
    failed: Names,
    late: Names,
    latencies: Latencies,
    /// There are no more messages to send.
    has_all: bool,
    not_sent: VecDeque<NotSent>,
    /// Who waits for [`Self::poll_room`].
    reader: Option<Waker>,
    /// Who waits for [`Self::poll_news`].
    reporter: Option<Waker>,
}

/// What could not be sent, and why.
pub(crate) struct NotSent {
    pub(crate) arrived: Arrived,
    pub(crate) reason: String,
}

/// What is to be looked at, though no outcome has come.
pub(crate) enum News {
    /// Something could not be sent.
    NotSent(NotSent),
    /// All results that were expected are there, and everything is sent.
    Enough,
}

/// A message without all its results.
struct Out {
    number: u64,
    label: Label,
    since: Instant,
    results: u32,
    _budget: OwnedSemaphorePermit,
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
    /// A book for a job of `total` messages, if that is known, which have `wanted` results each; or up to that, and `expected`
    /// together.
    pub(crate) fn new(wanted: u32, expected: Option<u64>, total: Option<u64>) -> Self {
        Self {
            started: Instant::now(),
            wanted,
            expected,
            total,
            inputs: 0,
            sent: 0,
            out: BTreeMap::new(),
            done: 0,
            results: Arc::default(),
            failed: Names::default(),
            late: Names::default(),
            latencies: Latencies::new(),
            has_all: false,
            not_sent: VecDeque::new(),
            reader: None,
            reporter: None,
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
        self.failed.add(|| name(&out.label, why));
        Some(Arrived { number: out.number, label: out.label, latency: out.since.elapsed(), index: out.results })
    }

    /// Message number `sequence` has no result in time, and none is waited for any longer. `None` if nothing more is expected
    /// of it.
    pub(crate) fn late(&mut self, sequence: u64, why: &dyn fmt::Display) -> Option<Arrived> {
        let out = self.out.remove(&sequence)?;
        self.late.add(|| name(&out.label, why));
        Some(Arrived { number: out.number, label: out.label, latency: out.since.elapsed(), index: out.results })
    }

    /// Something could not even be sent.
    pub(crate) fn not_sent(&mut self, label: Label, reason: String) {
        self.failed.add(|| name(&label, &format_args!("not sent: {reason}")));
        let arrived = Arrived { number: self.inputs, label, latency: Duration::ZERO, index: 0 };
        self.inputs += 1;
        self.not_sent.push_back(NotSent { arrived, reason });
        self.reporter.take().into_iter().for_each(Waker::wake);
    }

    /// There is nothing more to send.
    pub(crate) fn input_ended(&mut self) {
        self.has_all = true;
        self.reporter.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until more may be read, for which [`Self::poll_news`] has to be called.
    pub(crate) fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.not_sent.len() < UNREPORTED {
            return Poll::Ready(());
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits for what no outcome tells.
    pub(crate) fn poll_news(&mut self, context: &Context<'_>) -> Poll<News> {
        if let Some(news) = self.news() {
            return Poll::Ready(news);
        }
        self.reporter = Some(context.waker().clone());
        Poll::Pending
    }

    /// What no outcome tells, if there is anything.
    pub(crate) fn news(&mut self) -> Option<News> {
        if let Some(next) = self.not_sent.pop_front() {
            self.reader.take().into_iter().for_each(Waker::wake);
            return Some(News::NotSent(next));
        }
        (self.has_all && self.expected.is_some_and(|expected| self.came() >= expected)).then_some(News::Enough)
    }

    fn came(&self) -> u64 {
        self.results.load(Ordering::Relaxed)
    }

    /// How many are missing: results if a number of them is expected in all, else messages.
    fn missing(&self) -> u64 {
        match self.expected {
            Some(expected) => expected.saturating_sub(self.came()),
            None => self.late.total + self.out.len() as u64,
        }
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

    /// Whether all is sent, nothing failed, and nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.failed.total == 0 && self.missing() == 0 && !self.is_cut_short()
    }

    /// Whether some of the input may not have been sent. With all messages taken, its end need not have been seen.
    fn is_cut_short(&self) -> bool {
        !self.has_all && self.total.is_none_or(|total| self.inputs < total)
    }

    /// What was never sent, of an input that was not read to its end.
    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs;
        match self.total {
            Some(total) => match total.saturating_sub(inputs) {
                1 => f.write_str("; the input was not read to its end, and 1 message was never sent"),
                rest => write!(f, "; the input was not read to its end, and {rest} messages were never sent"),
            },
            None if inputs == 0 => f.write_str("; the input was not read, and nothing of it was ever sent"),
            None => write!(f, "; the input was not read to its end, and what follows line {inputs} was never sent"),
        }
    }

    /// Which messages failed and which are missing; empty if there are none.
    pub(crate) fn troubles(&self) -> String {
        // Of messages that may have no result, nobody can say which is missing.
        let mut missing = if self.expected.is_some() { Names::default() } else { self.late.clone() };
        for out in self.out.values().filter(|_| self.expected.is_none()) {
            missing.add(|| match out.results {
                0 => harmless(&out.label.to_string(), false).into_owned(),
                some => name(&out.label, &format_args!("{some} of {} results came", self.wanted)),
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

/// The closing line.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, results) = (self.started.elapsed(), self.came());
        write!(f, "{} sent, {}", counted(self.sent, "message"), counted(results, "result"))?;
        if let Some(expected) = self.expected {
            write!(f, " of {expected} expected")?;
        }
        write!(f, ", {} failed, {} missing in {}", self.failed.total, self.missing(), Short(time))?;
        if results > 0 {
            write!(f, " ({}); {}", rate(results, time), self.latencies)?;
        }
        if self.is_cut_short() { self.write_rest(f) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn ledger(wanted: u32, messages: u64) -> (Ledger, Arc<Semaphore>) {
        let budget = Arc::new(Semaphore::new(1000));
        let mut ledger = Ledger::new(wanted, None, Some(messages));
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
        ledger.not_sent(Label::File("x".into()), "not found".to_owned());
        let troubles = ledger.troubles();
        assert!(
            troubles.starts_with("failed: message 2: exit status: 3\nfailed: x: not sent: not found\n"),
            "{troubles}"
        );
        assert!(troubles.contains("missing: message 4: no answer in time\n"), "{troubles}");
        assert!(troubles.contains("missing: message 3: 1 of 2 results came\n"), "{troubles}");
        assert!(troubles.ends_with("missing: and 9 more\n"), "{troubles}");
        assert!(!ledger.is_complete());
    }

    #[test]
    fn what_others_say_stays_in_its_line_and_moves_nothing() {
        let (mut ledger, _) = ledger(1, 2);
        ledger.failed(0, &"\x1b]52;c;ZXZpbA==\x07\nmissing: nothing \u{202e}txt");
        ledger.not_sent(Label::File("a\x1b[2J\nb".into()), "no".to_owned());
        assert_eq!(
            ledger.troubles(),
            "failed: message 1: ^[]52;c;ZXZpbA==^G^Jmissing: nothing \\u{202e}txt\n\
             failed: a^[[2J^Jb: not sent: no\nmissing: message 2\n"
        );
    }

    #[test]
    fn an_expected_total_is_what_counts() {
        let (mut ledger, _) = ledger(1, 4);
        ledger.expected = Some(2);
        ledger.arrived(3);
        ledger.late(0, &"no answer in time");
        assert!(!ledger.is_complete() && ledger.troubles().is_empty());
        assert!(
            ledger.to_string().starts_with("4 messages sent, 1 result of 2 expected, 0 failed, 1 missing in "),
            "{ledger}"
        );
        ledger.arrived(1);
        assert!(ledger.is_complete() && ledger.news().is_none(), "its end is not seen");
        ledger.total = None;
        assert!(!ledger.is_complete() && ledger.news().is_none(), "there may be more to send");
        ledger.input_ended();
        assert!(ledger.is_complete());
        assert!(matches!(ledger.news(), Some(News::Enough)));
        ledger.failed(2, &"exit status: 3");
        assert!(!ledger.is_complete(), "failed is failed");
    }

    #[test]
    fn the_closing_line_says_what_was_never_sent() {
        let (mut ledger, _) = ledger(1, 3);
        for (total, rest) in [
            (Some(3), ""),
            (Some(4), "; the input was not read to its end, and 1 message was never sent"),
            (Some(13), "; the input was not read to its end, and 10 messages were never sent"),
            (None, "; the input was not read to its end, and what follows line 3 was never sent"),
        ] {
            ledger.total = total;
            assert!(ledger.to_string().contains(" 3 missing in ") && ledger.to_string().ends_with(rest), "{ledger}");
            assert_eq!(ledger.to_string().contains("never sent"), !rest.is_empty(), "{ledger}");
        }
        ledger.input_ended();
        assert!(!ledger.to_string().contains("never sent"), "{ledger}");
        let nothing = Ledger::new(1, None, None);
        assert!(!nothing.is_complete() && nothing.to_string().ends_with("nothing of it was ever sent"), "{nothing}");
    }

    #[test]
    fn what_is_not_sent_is_reported_before_more_is_read() {
        let (mut ledger, _) = ledger(1, 1);
        let context = Context::from_waker(Waker::noop());
        for _ in 0..UNREPORTED {
            assert!(ledger.poll_room(&context).is_ready());
            ledger.not_sent(Label::Line(2), "too long".to_owned());
        }
        assert!(ledger.poll_room(&context).is_pending());
        let Poll::Ready(News::NotSent(first)) = ledger.poll_news(&context) else { panic!("nothing to report") };
        assert_eq!((first.arrived.number, first.reason.as_str()), (1, "too long"));
        assert!(ledger.poll_room(&context).is_ready());
    }
}
