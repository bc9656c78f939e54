//! No program of ours dies of what it connects to, or takes memory for it: servers that mean harm, one trick after the other.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use palm_tests::attack::serve::{NATIVE, Server, TRICKS, Trick, WEB};
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

/// A program that gives up by itself.
fn gives_up(trick: &Trick, arguments: impl Fn(&str) -> Vec<String>) {
    let server = Server::start(trick).unwrap();
    let arguments = arguments(&server.address());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut process = bounded(&arguments);
    let status = process.exit(WAIT);
    let what = format!("{} at a server that {}", arguments[0], trick.does);
    assert!(server.visits() > 0, "{what}: it has not come");
    assert!(status.code() != Some(0), "{what}: nothing is wrong");
    assert_sensible(&what, status, &process);
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

/// Tricks of servers whose caches answer: nothing is wrong with them for those that want no more.
const ANSWERS: [&str; 4] = ["length-shaken", "endless-parts", "endless-part", "wrong-names"];

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}

#[test]
fn cache_command_survives_every_server() {
    within(900, || {
        for trick in &TRICKS {
            if !ANSWERS.contains(&trick.name) {
                gives_up(trick, |db| owned(&["cache", "--db", db, "--timeout", "2s", "get", "name"]));
            }
        }
        for trick in &NATIVE {
            gives_up(trick, |at| {
                owned(&["cache", "--connect", at.trim_start_matches("tcp://"), "--timeout", "2s", "get", "name"])
            });
        }
    });
}

#[test]
fn launch_survives_every_server() {
    within(900, || {
        let flags = ["--server", "victim", "--function", "echo", "--message", "x", "--repeat", "1"];
        let bounds = ["--connect-timeout", "2s", "--timeout", "2s", "--retries", "0"];
        let all = |place: &str, at: &str| owned(&[&["launch"][..], &flags, &bounds, &[place, at]].concat());
        for trick in &TRICKS {
            gives_up(trick, |db| all("--db", db));
        }
        for trick in &NATIVE {
            gives_up(trick, |at| all("--connect", at.trim_start_matches("tcp://")));
        }
    });
}

#[test]
fn workers_survive_every_server() {
    within(900, || {
        for trick in &TRICKS {
            goes_on(trick, |db| owned(&["worker", "--demo", "--db", db]));
        }
        for trick in &NATIVE {
            goes_on(trick, |at| owned(&["worker", "--demo", "--connect", at.trim_start_matches("tcp://")]));
        }
    });
}

#[test]
fn up_survives_what_it_asks_whether_it_is_ready() {
    within(600, || {
        let folder = Folder::new("up");
        for trick in TRICKS.iter().filter(|trick| !ANSWERS.contains(&trick.name)) {
            let server = Server::start(trick).unwrap();
            let file = folder.0.join("cluster.toml");
            let component = "[[component]]\nname = 'One'\nscript = 'sleep 1000'\nrestart = 'never'\n";
            std::fs::write(&file, format!("{component}ready = {{ cache = '{}' }}\n", server.address())).unwrap();
            let file = file.to_str().unwrap();
            let what = format!("up whose component {}", trick.does);
            let mut process = bounded(&["up", "--store", folder.0.join("store").to_str().unwrap(), file]);
            until(&what, WAIT, || {
                assert!(process.is_running(), "{what}: it has ended: {:#?}", process.printed(Stream::Err));
                (server.visits() >= 2).then_some(())
            });
            process.signal(Signal::TERM);
            let status = process.exit(WAIT);
            assert_sensible(&what, status, &process);
        }
    });
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
