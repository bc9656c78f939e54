//! Runs the built program, and never for longer than a bound.
#![allow(dead_code, clippy::unwrap_used, reason = "test code, of which each file of tests uses a part")]

pub(crate) mod cable;
pub(crate) mod cluster;
pub(crate) mod registry;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest time that anything here may take.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.out).lines().map(str::to_owned).collect()
    }
}

/// The program, with none of its variables set.
pub(crate) fn palm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palm"));
    without_variables(&mut command);
    command
}

/// Unsets the program's variables.
pub(crate) fn without_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PALM_")) {
        command.env_remove(name);
    }
}

/// Runs the program with these arguments and an empty standard input.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let mut command = palm();
    command.args(arguments);
    run_with(command, b"")
}

/// Runs a command with this standard input.
pub(crate) fn run_with(command: Command, input: &[u8]) -> Ended {
    let mut running = Running::start(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that does not read all of it closes the pipe.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    running.end()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + BOUND;
    while !is_so() {
        assert!(Instant::now() < end, "no sign of {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program that runs; killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: Arc<Mutex<Printed>>,
    more: Receiver<()>,
    err: Option<std::thread::JoinHandle<String>>,
    /// How many lines have been waited for.
    seen: usize,
}

/// What came on standard output.
#[derive(Default)]
struct Printed {
    bytes: Vec<u8>,
    /// Where lines end.
    ends: Vec<usize>,
    /// Nobody reads any more.
    closed: bool,
}

impl Running {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_reading(command, Stdio::piped())
    }

    /// With this as its standard input.
    pub(crate) fn start_reading(mut command: Command, stdin: Stdio) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out: Arc<Mutex<Printed>> = Arc::default();
        let (sender, more) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let printed = Arc::clone(&out);
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
                let mut printed = printed.lock().unwrap();
                if printed.closed {
                    return;
                }
                printed.bytes.append(&mut line);
                let end = printed.bytes.len();
                printed.ends.push(end);
                let _ = sender.send(());
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let err = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, out, more, err: Some(err), seen: 0 }
    }

    /// Waits for a line on standard output, after those waited for before, that contains `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        self.line(text).unwrap_or_else(|| panic!("no {text:?} in {}", self.said()))
    }

    /// As [`Self::wait_for_line`]; `None` if it does not come.
    pub(crate) fn line(&mut self, text: &str) -> Option<String> {
        let end = Instant::now() + BOUND;
        loop {
            {
                let out = self.out.lock().unwrap();
                while self.seen < out.ends.len() {
                    let start = self.seen.checked_sub(1).map_or(0, |before| out.ends[before]);
                    let line = String::from_utf8_lossy(&out.bytes[start..out.ends[self.seen]]).trim_end().to_owned();
                    self.seen += 1;
                    if line.contains(text) {
                        return Some(line);
                    }
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            self.more.recv_timeout(left).ok()?;
        }
    }

    /// What came on standard output so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap().bytes).into_owned()
    }

    /// Closes the pipe that standard output is.
    pub(crate) fn hang_up(&self) {
        self.out.lock().unwrap().closed = true;
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let end = Instant::now() + BOUND;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "still running; it said: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        // The channel closes with the pipe.
        while self.more.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok() {}
        let err = self.err.take().unwrap().join().unwrap();
        let out = std::mem::take(&mut self.out.lock().unwrap().bytes);
        Ended { code: status.code().unwrap_or(-1), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
