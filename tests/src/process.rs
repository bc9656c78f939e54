//! A process under test: its output collected, its end bounded, nothing of it left behind.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::reaper;

/// How many lines of output are kept; the rest is only counted.
const KEPT: usize = 20_000;

/// A child process in a group of its own. Dropped, it kills the group; in a test that fails it shows its output.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    // Held: the Python programs end when it closes.
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
}

/// What a process has printed so far.
#[derive(Debug, Default)]
struct Output {
    printed: Mutex<Printed>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<Line>,
    bytes: usize,
    streams_open: u8,
}

/// One line of output, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it was printed.
    pub stream: Stream,
    /// The line; what is not UTF-8 in it is replaced.
    pub text: String,
}

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Process {
    /// Starts `command`; `name` is what failures call it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("{name} does not start: {cause}: {command:?}"));
        reaper::add(child.id());
        let output = Arc::new(Output::default());
        output.lock().streams_open = 2;
        collect(child.stdout.take().expect("standard output is a pipe"), Stream::Out, &output);
        collect(child.stderr.take().expect("standard error is a pipe"), Stream::Err, &output);
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, output }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, to write to or to close.
    pub fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.stdin
    }

    /// Waits until a line has been printed that contains `text`, also one that was printed before the call.
    ///
    /// # Panics
    /// If there is none within `bound`, or the output has ended without one.
    pub fn line(&self, text: &str, bound: Duration) -> Line {
        self.find(&format!("a line with {text:?}"), bound, |line| line.text.contains(text).then(|| line.clone()))
    }

    /// Waits for a JSON line of one of our Python programs whose `event` is this.
    ///
    /// # Panics
    /// As [`Process::line`].
    pub fn event(&self, event: &str, bound: Duration) -> Value {
        self.find(&format!("the event {event:?}"), bound, |line| {
            json(line).filter(|value| value.get("event").and_then(Value::as_str) == Some(event))
        })
    }

    /// Every JSON line so far whose `event` is this.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let printed = self.output.lock();
        let events = printed.lines.iter().filter_map(json);
        events.filter(|value| value.get("event").and_then(Value::as_str) == Some(event)).collect()
    }

    /// What it has printed on one stream so far.
    pub fn printed(&self, stream: Stream) -> Vec<String> {
        let printed = self.output.lock();
        printed.lines.iter().filter(|line| line.stream == stream).map(|line| line.text.clone()).collect()
    }

    /// How many bytes it has printed so far, on both streams.
    pub fn printed_bytes(&self) -> usize {
        self.output.lock().bytes
    }

    /// Waits for its end, and for the end of its output.
    ///
    /// # Panics
    /// If it still runs after `bound`.
    pub fn exit(&mut self, bound: Duration) -> ExitStatus {
        self.end(bound).unwrap_or_else(|| panic!("waited {bound:?} in vain for the end of {}", self.name))
    }

    /// Waits for its end, and for the end of its output; `None` if it still runs after `bound`.
    pub fn end(&mut self, bound: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                _ if start.elapsed() >= bound => return None,
                _ => thread::sleep(Duration::from_millis(20)),
            }
        };
        // A grandchild may hold the pipes: what it prints is not waited for.
        let _ended = self.output.wait(Duration::from_secs(2), |printed| (printed.streams_open == 0).then_some(()));
        Some(status)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended meanwhile.
            let _gone = kill_process(pid, signal);
        }
    }

    /// Kills it and all that it started, as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        let _status = self.child.wait();
    }

    /// Its resident memory in bytes, now.
    ///
    /// # Panics
    /// If it has ended.
    pub fn resident(&self) -> usize {
        self.status_field("VmRSS:")
    }

    /// The most that its resident memory ever was, in bytes.
    ///
    /// # Panics
    /// If it has ended.
    pub fn peak_resident(&self) -> usize {
        self.status_field("VmHWM:")
    }

    fn status_field(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|number| number.parse().ok());
        let kibibytes: usize = kibibytes.unwrap_or_else(|| panic!("{} has ended: no {field}", self.name));
        kibibytes * 1024
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    fn find<T>(&self, what: &str, bound: Duration, pick: impl Fn(&Line) -> Option<T>) -> T {
        let mut looked_at = 0;
        let found = self.output.wait(bound, |printed| {
            let fresh = printed.lines.get(looked_at..).unwrap_or_default();
            looked_at = printed.lines.len();
            match fresh.iter().find_map(&pick) {
                Some(found) => Some(Some(found)),
                None => (printed.streams_open == 0).then_some(None),
            }
        });
        match found {
            Some(Some(found)) => found,
            Some(None) => panic!("{} ended without {what}", self.name),
            None => panic!("waited {bound:?} in vain for {what} from {}", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        reaper::remove(self.child.id());
        if thread::panicking() {
            let printed = self.output.lock();
            let shown = printed.lines.len().saturating_sub(60);
            let mut text = format!("--- {} ({} lines before these)\n", self.name, shown);
            for line in printed.lines.iter().skip(shown) {
                let mark = if line.stream == Stream::Err { "! " } else { "  " };
                text.extend([mark, line.text.get(..400).unwrap_or(&line.text), "\n"]);
            }
            show(&text);
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(&self, bound: Duration, mut pick: impl FnMut(&Printed) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut printed = self.lock();
        loop {
            if let Some(found) = pick(&printed) {
                return Some(found);
            }
            let left = bound.checked_sub(start.elapsed())?;
            printed = self.more.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn collect(from: impl Read + Send + 'static, stream: Stream, output: &Arc<Output>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while from.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let mut printed = output.lock();
            printed.bytes += bytes.len();
            if printed.lines.len() < KEPT {
                let text = String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned();
                printed.lines.push(Line { stream, text });
            }
            output.more.notify_all();
            bytes.clear();
        }
        output.lock().streams_open -= 1;
        output.more.notify_all();
    });
}

fn json(line: &Line) -> Option<Value> {
    if line.stream == Stream::Out && line.text.starts_with('{') { serde_json::from_str(&line.text).ok() } else { None }
}

/// The test program captures what is printed and shows it when the test fails.
#[expect(clippy::print_stderr, reason = "a failing test shows what its processes said")]
fn show(text: &str) {
    eprintln!("{text}");
}
