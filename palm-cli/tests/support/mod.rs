//! Runs the built program, and never for longer than a bound.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Longest time that anything here may take.
pub const BOUND: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Ended {
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.out).lines().map(str::to_owned).collect()
    }
}

/// The program, with none of its variables set.
pub fn palm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palm"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PALM_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the program with these arguments and an empty standard input.
pub fn run(arguments: &[&str]) -> Ended {
    let mut command = palm();
    command.args(arguments);
    run_with(command, b"")
}

/// Runs a command with this standard input.
pub fn run_with(command: Command, input: &[u8]) -> Ended {
    let mut running = Running::start(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that does not read all of it closes the pipe.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    running.end()
}

/// A program that runs; killed when this is dropped.
pub struct Running {
    pub child: Child,
    out: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    err: Option<std::thread::JoinHandle<String>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, out) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let err = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, out, seen: Vec::new(), err: Some(err) }
    }

    /// Waits for a line on standard output that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let end = Instant::now() + BOUND;
        loop {
            let line = self.out.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no {text:?} in {}", String::from_utf8_lossy(&self.seen)));
            self.seen.extend_from_slice(&line);
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let end = Instant::now() + BOUND;
        while let Ok(line) = self.out.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.extend_from_slice(&line);
        }
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "still running; it said: {}", String::from_utf8_lossy(&self.seen));
            std::thread::sleep(Duration::from_millis(5));
        };
        let err = self.err.take().unwrap().join().unwrap();
        Ended { code: status.code().unwrap_or(-1), out: std::mem::take(&mut self.seen), err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
