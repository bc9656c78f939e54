//! No program of ours dies of what it connects to, or takes memory for it: servers that mean harm, one trick after the other.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use palm_tests::attack::serve::{Server, Trick, WEB};
use palm_tests::process::Stream;
use palm_tests::{Process, palm, until, within};
use rustix::process::Signal;

const WAIT: Duration = Duration::from_secs(120);
/// What a program may have of address space, in KiB: far below what is claimed and poured.
const ADDRESS_SPACE: usize = 1 << 20;
/// What a program may take of memory, in bytes: a message is at most 64 MiB long.
const RESIDENT: usize = 300 << 20;

/// A program of ours with a bound on its memory: beyond it nothing is given, and it aborts.
fn bounded(arguments: &[&str]) -> Process {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\"")])
        .arg(palm::executable())
        .args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PALM_")) {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "0");
    Process::start(&arguments[..1].join(" "), command)
}

/// Checks that a program has ended as it should: by itself, and with a word where something went wrong.
fn assert_sensible(what: &str, status: ExitStatus, process: &Process) {
    let said = [process.printed(Stream::Out), process.printed(Stream::Err)].concat();
    assert!(status.signal().is_none(), "{what}: {status}: {said:#?}");
    assert!(matches!(status.code(), Some(0..=2)), "{what}: {status}: {said:#?}");
    assert!(!said.iter().any(|line| line.contains("panicked")), "{what}: {said:#?}");
    assert!(status.success() || !said.is_empty(), "{what}: {status} without a word");
    assert!(process.printed_bytes() < 100_000, "{what}: {} bytes of words", process.printed_bytes());
    assert!(
        !said.iter().any(|line| line.contains("\u{1b}]")),
        "{what}: it sends a terminal what was sent to it: {said:#?}"
    );
}

/// A program that goes on until it is told to stop.
fn goes_on(trick: &Trick, arguments: impl Fn(&str) -> Vec<String>) {
    let server = Server::start(trick).unwrap();
    let arguments = arguments(&server.address());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let what = format!("{} at a server that {}", arguments[0], trick.does);
    let mut process = bounded(&arguments);
    // It comes again after a while, if the first time came to an end; where nothing happens it has come once.
    let lasts = ["silent", "drip"].contains(&trick.name);
    until(&format!("visits of {what}"), WAIT, || {
        assert!(process.is_running(), "{what}: it has ended: {:#?}", process.printed(Stream::Err));
        let peak = process.peak_resident();
        assert!(peak < RESIDENT, "{what}: it takes {} MiB", peak >> 20);
        (server.tricked() >= if lasts { 1 } else { 2 }).then_some(())
    });
    process.signal(Signal::TERM);
    let status = process.exit(WAIT);
    assert_sensible(&what, status, &process);
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}

#[test]
fn runners_survive_every_registry() {
    within(600, || {
        let folder = Folder::new("runner");
        for trick in &WEB {
            let spool = folder.0.join(trick.name);
            goes_on(trick, |at| {
                let url = at.replace("tcp://", "http://");
                owned(&[
                    "runner",
                    "--registry",
                    &url,
                    "--cluster",
                    "key",
                    "--name",
                    "node",
                    "--spool",
                    spool.to_str().unwrap(),
                ])
            });
        }
    });
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("palm-hostile-servers-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
