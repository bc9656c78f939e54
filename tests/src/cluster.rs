//! The processes of a cluster, ours or stock, and the addresses they meet at.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::process::Stream;
use crate::{Process, palm, python, raw, until};

/// Longest that a component may take to start on a busy machine.
pub const START: Duration = Duration::from_secs(60);

/// Whose component it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The program `palm`.
    Ours,
    /// The real `pylm`.
    Stock,
}

/// The addresses of a master's five sockets.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Takes the clients' messages.
    pub pull: String,
    /// Publishes results.
    pub publish: String,
    /// Hands messages to workers.
    pub worker_push: String,
    /// Takes the workers' results.
    pub worker_pull: String,
    /// Answers cache commands.
    pub cache: String,
}

impl Addresses {
    /// Five free ports of the loopback interface.
    pub fn free() -> Self {
        let address = || format!("tcp://127.0.0.1:{}", free_port());
        Self { pull: address(), publish: address(), worker_push: address(), worker_pull: address(), cache: address() }
    }

    /// All five, with what each is called.
    pub fn named(&self) -> [(&'static str, &str); 5] {
        [
            ("pull", &self.pull),
            ("publish", &self.publish),
            ("worker push", &self.worker_push),
            ("worker pull", &self.worker_pull),
            ("cache", &self.cache),
        ]
    }

    fn flags(&self) -> [&str; 10] {
        let Self { pull, publish, worker_push, worker_pull, cache } = self;
        ["--pull", pull, "--pub", publish, "--wpush", worker_push, "--wpull", worker_pull, "--db", cache]
    }
}

/// A port that nobody listens on, not handed out before by this test program, below the range that the system takes
/// the ports of outgoing connections from.
fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many of these, one after the other.
pub(crate) fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time start at different places.
    let start = u16::try_from(std::process::id() % 400).unwrap_or_default() * 30;
    let port = (0..COUNT).find_map(|_| {
        let first = FIRST + (start + NEXT.fetch_add(count, Ordering::Relaxed)) % COUNT;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (first..first + count).all(is_free).then_some(first)
    });
    port.expect("there are free ports")
}

/// A master that answers.
#[derive(Debug)]
pub struct Master {
    /// Whose it is.
    pub side: Side,
    /// Its name.
    pub name: String,
    /// Where its sockets are.
    pub addresses: Addresses,
    /// The process.
    pub process: Process,
}

impl Master {
    /// Starts a master on free ports, with further flags, and waits until its cache answers.
    pub fn start(side: Side, name: &str, flags: &[&str]) -> Self {
        Self::start_at(side, name, Addresses::free(), flags)
    }

    /// Starts a master at given addresses.
    pub fn start_at(side: Side, name: &str, addresses: Addresses, flags: &[&str]) -> Self {
        let mut command = match side {
            Side::Ours => subcommand("master"),
            Side::Stock => python::program("master.py"),
        };
        command.args(["--name", name]).args(addresses.flags()).args(flags);
        let mut process = Process::start(&format!("{side:?} master"), command);
        until("the master's cache", START, || {
            assert!(process.is_running(), "the master ended at once: {:?}", process.printed(Stream::Err));
            let reply = raw::cache(&addresses.cache, "get", "name", b"", Duration::from_secs(5)).ok()?;
            (reply == name.as_bytes()).then_some(())
        });
        Self { side, name: name.to_owned(), addresses, process }
    }

    /// Where native peers connect to, if it was started with `--tcp`: `tcp://HOST:PORT`.
    ///
    /// # Panics
    /// If it was not.
    pub fn native_address(&self) -> String {
        let line = self.process.line("Native clients and workers connect to ", START).text;
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Starts a worker for it.
    pub fn worker(&self, side: Side, name: &str) -> Worker {
        Worker::start(side, name, &self.addresses.cache, &[])
    }

    /// `function` as a client calls it.
    pub fn call(&self, function: &str) -> String {
        format!("{}.{function}", self.name)
    }

    /// Lines of the log at a level, `WARNING` or `ERROR` say.
    pub fn logged(&self, level: &str) -> Vec<String> {
        let mark = format!(" - {level} - ");
        self.process.printed(Stream::Out).into_iter().filter(|line| line.contains(&mark)).collect()
    }
}

/// A worker that has found its master.
#[derive(Debug)]
pub struct Worker {
    /// The process.
    pub process: Process,
}

impl Worker {
    /// Starts a worker of the master with this cache, with further flags, and waits until it has its addresses.
    ///
    /// Ours has the functions of `--demo`; the stock one those of `worker.py`. Both speak ZeroMQ, also with a master that has native
    /// listeners.
    pub fn start(side: Side, name: &str, cache: &str, flags: &[&str]) -> Self {
        let mut command = match side {
            Side::Ours => subcommand("worker"),
            Side::Stock => python::program("worker.py"),
        };
        command.args(["--name", name, "--db", cache]).args(flags);
        if side == Side::Ours {
            command.args(["--transport", "zmq"]);
            if flags.is_empty() {
                command.arg("--demo");
            }
        }
        let process = Process::start(&format!("{side:?} worker {name}"), command);
        process.line("worker pull address", START);
        if side == Side::Stock {
            // From here on it can be asked for its count by a signal.
            process.event("ready", START);
        }
        Self { process }
    }
}

/// The launcher of the example application.
#[derive(Debug)]
pub struct Launcher {
    /// The process.
    pub process: Process,
}

impl Launcher {
    /// Starts it, with further flags.
    pub fn start(side: Side, master: &Master, function: &str, flags: &[&str]) -> Self {
        let mut command = match side {
            Side::Ours => subcommand("launch"),
            Side::Stock => python::program("launcher.py"),
        };
        command.args(["--server", &master.name, "--function", function, "--db", &master.addresses.cache]).args(flags);
        Self { process: Process::start(&format!("{side:?} launcher"), command) }
    }
}

/// Runs the example application's launcher and checks its ten results.
///
/// A stock master forgets the results that are there before the launcher's subscription is: it is then given a few
/// attempts. Ours has to do it at once.
///
/// # Panics
/// If the results are not the ten of the worker's `foo`.
pub fn ten_results(launcher: Side, master: &Master, worker: &str) {
    let attempts = if master.side == Side::Stock { 5 } else { 1 };
    let expected = vec![format!("{worker} processed a message"); 10];
    let results = (0..attempts).find_map(|_| {
        let mut launcher = Launcher::start(launcher, master, "foo", &[]);
        let status = launcher.process.end(Duration::from_secs(20))?;
        assert!(status.success(), "the launcher's exit: {status}");
        let printed = launcher.process.printed(Stream::Out).into_iter();
        // Clients log to standard output.
        let results = printed.filter(|line| !line.contains(" - INFO - "));
        // Ours shows them as the seed's launcher does.
        let plain = |line: String| {
            line.strip_prefix("b'").and_then(|line| line.strip_suffix('\'')).map(str::to_owned).unwrap_or(line)
        };
        Some(results.map(plain).collect::<Vec<_>>())
    });
    assert_eq!(results, Some(expected));
}

/// `client.py`: the real client, told what to do and saying what came of it.
#[derive(Debug)]
pub struct StockClient {
    /// The process.
    pub process: Process,
}

impl StockClient {
    /// Starts `client.py ACTION` for a master.
    pub fn start(master: &Master, action: &str, flags: &[&str]) -> Self {
        let mut command = python::program("client.py");
        command.args([action, "--server", &master.name, "--db", &master.addresses.cache]).args(flags);
        if master.side == Side::Stock {
            command.arg("--warm-up");
        }
        Self { process: Process::start(&format!("stock client {action}"), command) }
    }

    /// Runs a job of `count` messages of `size` bytes for `echo`, with so many outstanding (0: all), and checks that
    /// every result came, once and exact.
    ///
    /// # Panics
    /// If one did not.
    pub fn echo_job(master: &Master, count: usize, size: usize, window: usize, patience: Duration) {
        let window = window.to_string();
        Self::job(master, count, size, patience, &["--function", "echo", "--window", &window]);
    }

    /// Runs a job as [`StockClient::echo_job`] does, with flags of `client.py` that say what is different.
    ///
    /// # Panics
    /// If a result did not come.
    pub fn job(master: &Master, count: usize, size: usize, patience: Duration, flags: &[&str]) {
        let [count_text, size] = [count, size].map(|number| number.to_string());
        let seconds = patience.as_secs().to_string();
        let flags = [&["--count", &count_text, "--size", &size, "--patience", &seconds], flags].concat();
        let client = Self::start(master, "job", &flags);
        let done = client.process.event("done", patience + START);
        let number = |field: &str| done.get(field).and_then(Value::as_u64);
        let outcome = (number("distinct"), number("duplicates"), number("wrong"));
        assert_eq!(outcome, (Some(count as u64), Some(0), Some(0)), "{done}");
    }

    /// Sends each payload, awaiting `results` results before the next, and returns them all.
    pub fn eval(master: &Master, function: &str, payloads: &[&[u8]], results: usize) -> Vec<Vec<Vec<u8>>> {
        let results = results.to_string();
        let payloads: Vec<String> = payloads.iter().map(|payload| to_hex(payload)).collect();
        let mut flags = vec!["--function", function, "--results", &results];
        for payload in &payloads {
            flags.extend(["--hex", payload]);
        }
        let mut client = Self::start(master, "eval", &flags);
        client.process.exit(START);
        let events = client.process.events("result");
        let results: Vec<_> = events.iter().map(|event| from_hex_list(event.get("hex"))).collect();
        assert_eq!(results.len(), payloads.len(), "an evaluation had no result");
        results
    }

    /// Sends payloads of these sizes to `echo`, one after the other, and checks that each comes back as it was.
    ///
    /// # Panics
    /// If one did not.
    pub fn echo_sizes(master: &Master, sizes: &[usize]) {
        let texts: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        let mut flags = vec!["--compare"];
        for size in &texts {
            flags.extend(["--size", size]);
        }
        let mut client = Self::start(master, "eval", &flags);
        client.process.exit(START);
        let outcome: Vec<_> = client.process.events("result").iter().map(|event| event["same"].clone()).collect();
        assert_eq!(outcome, vec![serde_json::json!([true]); sizes.len()]);
    }

    /// Runs cache commands as `client.py` takes them and returns the replies as it prints them.
    pub fn cache(master: &Master, session: Option<&str>, commands: &[&str]) -> Vec<String> {
        let mut flags: Vec<&str> = session.into_iter().flat_map(|session| ["--session", session]).collect();
        for command in commands {
            flags.extend(["--command", command]);
        }
        let mut client = Self::start(master, "cache", &flags);
        client.process.exit(START);
        let replies = client.process.events("reply");
        replies.iter().filter_map(|event| event["reply"].as_str().map(str::to_owned)).collect()
    }
}

/// A subcommand of `palm`.
pub fn subcommand(name: &str) -> Command {
    let mut command = palm::program();
    command.arg(name);
    command
}

/// Bytes in hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex_list(list: Option<&Value>) -> Vec<Vec<u8>> {
    let texts = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len() / 2)
            .filter_map(|place| u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok())
            .collect()
    };
    texts.map(bytes).collect()
}
