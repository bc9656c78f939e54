//! What connects to a server that errs, or means harm: it outlives that, within bounds, whatever the server sends.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use palm_tests::cluster::START;
use palm_tests::hostile::{framed, random};
use palm_tests::zmtp::{COMMAND, LONG, MORE, PATIENCE, frame_header, greeting, ready};
use palm_tests::{Launcher, Master, Process, Side, palm, raw, until, within};
use rustix::process::Signal;

/// How much memory a program may ask for, in KiB: what is bounded stays far below, and what a header claims is far above.
const MEMORY: usize = 1536 << 10;

/// Something that a server does to each that connects.
#[derive(Clone)]
struct Harm {
    name: &'static str,
    /// Whether it greets, and whether it shakes hands.
    greets: bool,
    shakes_hands: bool,
    bytes: Vec<u8>,
    /// Sent again and again after that.
    again: Vec<u8>,
    /// Pause after each byte.
    drip: bool,
}

impl Harm {
    fn new(name: &'static str, greets: bool, shakes_hands: bool, bytes: Vec<u8>, again: Vec<u8>) -> Self {
        Self { name, greets, shakes_hands, bytes, again, drip: false }
    }

    fn all() -> Vec<Self> {
        let part = [&frame_header(MORE, 100)[..], &[7; 100]].concat();
        let reply = frame_header(MORE, 0);
        let mut all = vec![
            Self::new("a greeting without an end", false, false, vec![0xff], vec![0; 4096]),
            Self::new("random bytes without an end", false, false, vec![], random(65_536)),
            Self::new("commands without an end", true, false, vec![], framed(COMMAND, b"\x05HELLO")),
            Self::new("frames without an end", true, true, vec![], [0, 0].repeat(10_000)),
            Self::new("PINGs without an end", true, true, vec![], framed(COMMAND, b"\x04PING\0\x01abc").repeat(1000)),
            Self::new("a message without an end", true, true, vec![], part.repeat(1000)),
            // As long as may be, and a byte more.
            Self::new(
                "a reply of 256 MiB",
                true,
                true,
                [&reply[..], &frame_header(0, 256 << 20)].concat(),
                vec![0; 1 << 20],
            ),
            Self::new(
                "a reply of more",
                true,
                true,
                [&reply[..], &frame_header(0, (256 << 20) + 1)].concat(),
                vec![0; 1 << 20],
            ),
        ];
        for exponent in [36, 40, 47, 62] {
            let claim = [&[LONG][..], &(1_u64 << exponent).to_be_bytes()].concat();
            all.push(Self::new("nine bytes for a greeting", false, false, claim.clone(), vec![]));
            all.push(Self::new("nine bytes for READY", true, false, claim.clone(), vec![]));
            all.push(Self::new("nine bytes behind the handshake", true, true, claim, vec![]));
        }
        all.push(Self {
            drip: true,
            ..Self::new("a greeting byte by byte", false, false, greeting(1).to_vec(), vec![])
        });
        all
    }

    /// A server that does it, with how many have connected.
    fn serve(self) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let harm = self.clone();
                count.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || harm.to(stream));
            }
        });
        (address, connections)
    }

    fn to(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        if self.greets {
            stream.write_all(&greeting(1))?;
        }
        if self.shakes_hands {
            let counterpart = counterpart(&mut stream)?;
            stream.write_all(&ready(counterpart))?;
        }
        if self.drip {
            for byte in &self.bytes {
                stream.write_all(&[*byte])?;
                thread::sleep(Duration::from_millis(200));
            }
        }
        stream.write_all(&self.bytes)?;
        while !self.again.is_empty() {
            stream.write_all(&self.again)?;
        }
        // It reads on, as long as there is something.
        io::copy(&mut stream, &mut io::sink()).map(drop)
    }
}

/// The type of socket that goes with that of who has connected.
fn counterpart(stream: &mut TcpStream) -> io::Result<&'static str> {
    let pairs = [("PUSH", "PULL"), ("PULL", "PUSH"), ("SUB", "PUB"), ("REQ", "REP")];
    let mut read = Vec::new();
    loop {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte)?;
        read.push(byte[0]);
        if let Some((_, other)) = pairs.iter().find(|(name, _)| read.ends_with(name.as_bytes())) {
            return Ok(other);
        }
    }
}

/// The program with these arguments, which may have so much memory.
fn bounded(name: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$@\""), "sh"]);
    command.arg(palm::program().get_program()).args(arguments);
    Process::start(name, command)
}

/// Runs it to its end, which is its own.
fn ends(harm: &Harm, arguments: &[&str]) {
    let mut process = bounded(harm.name, arguments);
    let status = process.exit(Duration::from_secs(60));
    assert!(matches!(status.code(), Some(0 | 1)), "{} has {arguments:?} end with {status}", harm.name);
}

#[test]
fn launchers_and_the_cache_command_end_as_they_should() {
    within(600, || {
        for harm in Harm::all() {
            let (address, _) = harm.clone().serve();
            let db: &str = &address;
            ends(&harm, &["cache", "--db", db, "--timeout", "1s", "get", "key"]);
            ends(&harm, &["cache", "--db", db, "--timeout", "1s", "set", "key", "value"]);
            let launch = ["launch", "--server", "s", "--function", "f", "--repeat", "3", "--timeout", "1s"];
            ends(&harm, &[&launch[..], &["--connect-timeout", "1s", "--db", db]].concat());
            ends(&harm, &[&launch[..], &["--connect-timeout", "1s", "--push", db, "--sub", db]].concat());
        }
    });
}

#[test]
fn a_worker_goes_on_until_it_is_told_to_stop() {
    within(600, || {
        for harm in Harm::all() {
            for own in [false, true] {
                let (address, connections) = harm.clone().serve();
                let sockets = ["--push", &address, "--pull", &address];
                let sockets = if own { &sockets[..] } else { &["--db", &address] };
                let worker = ["worker", "--demo", "--name", "w", "--transport", "zmq", "--grace", "1s"];
                let mut worker = bounded(harm.name, &[&worker[..], sockets].concat());
                let _: () = until("a connection", Duration::from_secs(60), || {
                    (connections.load(Ordering::Relaxed) > 0).then_some(())
                });
                thread::sleep(Duration::from_millis(300));
                assert!(worker.is_running(), "{}", harm.name);
                worker.signal(Signal::TERM);
                let status = worker.exit(Duration::from_secs(60));
                assert!(matches!(status.code(), Some(0 | 1)), "{}: {status}", harm.name);
            }
        }
    });
}

/// A stranger may set any key at a stock master, and one at ours that it has not set itself.
#[test]
fn neither_a_token_nor_a_task_goes_where_a_key_of_the_cache_says() {
    within(240, || {
        let token = std::env::temp_dir().join(format!("palm-token-{}", std::process::id()));
        std::fs::write(&token, "secret").unwrap();
        for side in [Side::Stock, Side::Ours] {
            let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
            stranger.set_nonblocking(true).unwrap();
            let address = format!("tcp://{}", stranger.local_addr().unwrap());
            let master = Master::start(side, "server", &[]);
            raw::cache(&master.addresses.cache, "set", "palm_native_address", address.as_bytes(), PATIENCE).unwrap();
            let with_token = ["--token-file", token.to_str().unwrap()];
            for flags in [&with_token[..], &[]] {
                let mut command = palm::program();
                command.args(["worker", "--demo", "--name", "w", "--db", &master.addresses.cache]).args(flags);
                let mut worker = Process::start("worker", command);
                worker.line("worker pull address", START);
                let flags = [&["--message", "x", "--repeat", "3"][..], flags].concat();
                let mut launcher = Launcher::start(Side::Ours, &master, "echo", &flags);
                assert!(launcher.process.exit(START).success());
                worker.kill();
            }
            let called = stranger.accept().map(drop).map_err(|error| error.kind());
            assert_eq!(called, Err(io::ErrorKind::WouldBlock), "somebody has called");
        }
        std::fs::remove_file(token).unwrap();
    });
}
