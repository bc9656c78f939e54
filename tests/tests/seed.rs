//! What the components print, line by line: as PALM's own text about adapting components shows it, and as the Python peers print it.

use std::time::Duration;

use palm_tests::cluster::{Launcher, START, Side};
use palm_tests::process::Stream;
use palm_tests::{Master, Process, python, until, within};

/// What a master prints when it starts.
const MASTER: [&str; 15] = [
    "TIME - root - INFO - Starting the router",
    "TIME - root - INFO - Starting inbound part Pull",
    "TIME - root - INFO - Starting inbound part WorkerPull",
    "TIME - root - INFO - Starting outbound part WorkerPush",
    "TIME - root - INFO - Starting outbound part Pub",
    "TIME - root - INFO - Starting bypass part Cache",
    "TIME - root - INFO - Launch router",
    "TIME - root - INFO - Inbound Pull connects to WorkerPush",
    "TIME - root - INFO - b'Pull' successfully started",
    "TIME - root - INFO - Inbound WorkerPull connects to Pub",
    "TIME - root - INFO - b'WorkerPull' successfully started",
    "TIME - root - INFO - b'WorkerPush' successfully started",
    "TIME - root - INFO - Outbound WorkerPush connects to exterior",
    "TIME - root - INFO - b'Pub' successfully started",
    "TIME - root - INFO - Outbound Pub connects to exterior",
];

/// What a worker prints; without a name it has a UUID.
const WORKER: [&str; 2] =
    ["TIME - UUID - INFO - Got worker push address: ADDRESS", "TIME - UUID - INFO - Got worker pull address: ADDRESS"];

/// What the launcher prints.
const LAUNCHER: [&str; 4] = [
    "TIME - INFO - Fetching configuration from the server",
    "TIME - INFO - CLIENT UUID: Got subscription address: ADDRESS",
    "TIME - INFO - CLIENT UUID: Got push address: ADDRESS",
    "b'UUID processed a message'",
];

/// A line with words in the place of what is another each time.
fn shape(line: &str) -> String {
    let is_time = |text: &str| {
        let digits: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        digits == "0000-00-00 00:00:00,000"
    };
    let line = match line.split_once(" - ") {
        Some((time, rest)) if is_time(time) => format!("TIME - {rest}"),
        _ => line.to_owned(),
    };
    let is_uuid = |word: &str| {
        let parts: Vec<_> = word.split('-').map(str::len).collect();
        parts == [8, 4, 4, 4, 12] && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    };
    let word = |word: &str| {
        let bare = word.trim_start_matches("b'").trim_end_matches(':');
        if is_uuid(bare) {
            word.replace(bare, "UUID")
        } else if word.starts_with("tcp://") {
            "ADDRESS".to_owned()
        } else {
            word.to_owned()
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Shapes of the log lines and results that a process has printed; the tests' own programs print JSON besides.
fn shapes(process: &Process) -> Vec<String> {
    process.printed(Stream::Out).iter().filter(|line| !line.starts_with('{')).map(|line| shape(line)).collect()
}

fn launcher_shapes() -> Vec<String> {
    let (log, result) = LAUNCHER.split_at(3);
    log.iter().chain(std::iter::repeat_n(&result[0], 10)).map(|&line| line.to_owned()).collect()
}

/// A worker with the flags of the example's: it has no name.
fn worker(side: Side, master: &Master) -> Process {
    let mut command = match side {
        Side::Ours => {
            let mut command = palm_tests::cluster::subcommand("worker");
            command.arg("--demo");
            command
        }
        Side::Stock => python::program("worker.py"),
    };
    command.args(["--db", &master.addresses.cache]);
    let process = Process::start(&format!("{side:?} worker"), command);
    process.line("Got worker pull address", START);
    process
}

/// What the three print, in the order of master, worker, launcher.
fn session(side: Side) -> [Vec<String>; 3] {
    let master = Master::start(side, "test", &[]);
    let worker = worker(side, &master);
    let flags: &[&str] = if side == Side::Stock { &["--bytes"] } else { &[] };
    // A stock master forgets results that come before the subscription.
    let launched = until("a launcher with all its results", Duration::from_secs(120), || {
        let mut launcher = Launcher::start(side, &master, "foo", flags);
        let is_done = launcher.process.end(Duration::from_secs(20)).is_some_and(|status| status.success());
        is_done.then(|| shapes(&launcher.process))
    });
    [shapes(&master.process), shapes(&worker), launched]
}

#[test]
fn our_components_print_what_the_seed_shows() {
    within(300, || {
        let [master, worker, launcher] = session(Side::Ours);
        assert_eq!(master, MASTER);
        assert_eq!(worker, WORKER);
        assert_eq!(launcher, launcher_shapes());
    });
}

/// The one difference: a stock master says its name where the seed shows `Pub`'s. Its parts start side by side, in any order.
#[test]
fn the_python_components_print_the_same() {
    within(300, || {
        let [mut master, worker, launcher] = session(Side::Stock);
        for line in &mut master {
            *line = line.replace("INFO - test successfully", "INFO - b'Pub' successfully");
        }
        let mut expected = MASTER;
        master.sort_unstable();
        expected.sort_unstable();
        assert_eq!(master, expected);
        assert_eq!(worker, WORKER);
        assert_eq!(launcher, launcher_shapes());
    });
}
