//! What a peer that errs, or means harm, sends; and the proof that it did no harm.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::zmtp::{self, COMMAND, LONG, Peer, dial, frame_header, greeting, ready};
use crate::{Master, RawClient, Side, StockClient, raw};

/// Bytes that are no handshake, and what each is.
pub fn openings() -> Vec<(&'static str, Vec<u8>)> {
    let after_greeting = |bytes: &[u8]| [&greeting(1)[..], bytes].concat();
    let mut curve = greeting(1);
    curve[12..17].copy_from_slice(b"CURVE");
    let mut version_4 = greeting(1);
    version_4[10] = 4;
    let mut properties = b"\x05READY\x0bSocket-Type".to_vec();
    properties.extend(u32::MAX.to_be_bytes());
    vec![
        ("nothing", vec![]),
        ("one byte", vec![0xff]),
        ("random bytes", random(4096)),
        ("random bytes after a greeting", after_greeting(&random(4096))),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n".to_vec()),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("zeros", vec![0; 512]),
        ("ones", vec![0xff; 512]),
        ("half a greeting", greeting(1)[..32].to_vec()),
        ("half a handshake", greeting(1).to_vec()),
        ("a greeting of ZMTP 2", b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x08\0\0".to_vec()),
        ("a greeting of a version to come", [&version_4[..], &ready("PUSH")].concat()),
        ("a mechanism that is not spoken", [&curve[..], &ready("PUSH")].concat()),
        ("2^36 bytes claimed at once", frame_header(0, 1 << 36)),
        ("a command of 2^36 bytes for READY", after_greeting(&frame_header(COMMAND, 1 << 36))),
        ("a command of 2^63 bytes for READY", after_greeting(&frame_header(COMMAND, 1 << 63))),
        ("a message of 2^36 bytes for READY", after_greeting(&frame_header(0, 1 << 36))),
        ("a message of 2^64 - 1 bytes for READY", after_greeting(&frame_header(0, u64::MAX))),
        ("a message for READY", after_greeting(&[0, 1, b'x'])),
        ("an empty command for READY", after_greeting(&[COMMAND, 0])),
        ("another command for READY", after_greeting(&[COMMAND, 5, 4, b'P', b'I', b'N', b'G'])),
        ("a READY whose property claims 2^32 - 1 bytes", after_greeting(&framed(COMMAND, &properties))),
        ("a READY without a socket type", after_greeting(&framed(COMMAND, b"\x05READY"))),
        ("a READY of 200 KiB", after_greeting(&framed(COMMAND, &[b"\x05READY", &random(200_000)[..]].concat()))),
        ("READY twice, of different types", after_greeting(&[ready("PUSH"), ready("SUB")].concat())),
    ]
}

/// Frames that no peer sends after its handshake, and what each is.
pub fn frames() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("2^36 bytes claimed", frame_header(0, 1 << 36)),
        ("2^63 bytes claimed", frame_header(0, 1 << 63)),
        ("2^64 - 1 bytes claimed", frame_header(0, u64::MAX)),
        ("a command of 2^36 bytes", frame_header(COMMAND, 1 << 36)),
        ("reserved flags", vec![0xf8, 1, b'x']),
        ("a short frame with a long length", vec![LONG, 0, 0, 0, 0, 0, 0, 0, 1, b'x']),
        ("a command with MORE", vec![COMMAND | zmtp::MORE, 6, 5, b'H', b'E', b'L', b'L', b'O']),
        ("an unknown command", framed(COMMAND, b"\x05HELLO there")),
        ("a command whose name is longer than it", framed(COMMAND, b"\xffx")),
        ("an empty command", vec![COMMAND, 0]),
        ("an ERROR", framed(COMMAND, b"\x05ERROR\x03why")),
        ("a PING without its time", framed(COMMAND, b"\x04PING")),
        ("a PING with 60 KiB of context", framed(COMMAND, &[b"\x04PING\0\0", &vec![7; 60_000][..]].concat())),
        ("a PONG that nobody asked for", framed(COMMAND, b"\x04PONGabc")),
        ("READY once more", ready("ROUTER")),
        ("a SUBSCRIBE of 1 MiB", framed(COMMAND, &[b"\x09SUBSCRIBE", &vec![b't'; 1 << 20][..]].concat())),
        ("a CANCEL of what was never subscribed", framed(COMMAND, b"\x06CANCELtopic")),
        ("half a frame", vec![0, 200, b'x']),
        ("an endless message of empty parts", [zmtp::MORE, 0].repeat(200_000)),
        ("an endless message of parts", [&[zmtp::MORE, 100][..], &[b'p'; 100]].concat().repeat(100_000)),
        ("random bytes", random(100_000)),
    ]
}

/// Connects and sends bytes as they are. A master that closes on the way is right to: that is no error.
///
/// # Panics
/// If the master does not even listen.
pub fn thrown(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = dial(address).expect("the master listens");
    let _closed = stream.write_all(bytes);
    stream
}

/// Whether the other side closes the connection before `patience` is over, whatever it sends until then.
pub fn closes(stream: &mut TcpStream, patience: Duration) -> bool {
    let deadline = std::time::Instant::now() + patience;
    let mut into = [0; 4096];
    while let Some(left) = deadline.checked_duration_since(std::time::Instant::now()) {
        let _refused = stream.set_read_timeout(Some(left.max(Duration::from_millis(1))));
        match stream.read(&mut into) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(cause) if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return false,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
    false
}

/// The type of the peer that a master's socket is for, by the name that [`crate::Addresses::named`] gives it.
pub fn counterpart(socket: &str) -> &'static str {
    match socket {
        "pull" | "worker pull" => "PUSH",
        "publish" => "SUB",
        "worker push" => "PULL",
        _ => "REQ",
    }
}

/// Checks that the master still does its work: its cache knows its name, and a new client's message comes back.
///
/// There has to be a worker.
///
/// # Panics
/// If it does not; `after` says then after what.
pub fn assert_served(master: &Master, after: &str) {
    let name = raw::cache(&master.addresses.cache, "get", "name", b"", zmtp::PATIENCE);
    assert_eq!(name.ok().as_deref(), Some(master.name.as_bytes()), "the cache after {after}");
    let mut client = RawClient::connect(&master.addresses, &format!("client after {after}"))
        .unwrap_or_else(|cause| panic!("a client after {after}: {cause}"));
    client
        .send(&master.call("echo"), after.as_bytes())
        .unwrap_or_else(|cause| panic!("sending after {after}: {cause}"));
    let result = client.recv().unwrap_or_else(|cause| panic!("no result after {after}: {cause}"));
    assert_eq!(result, after.as_bytes());
}

/// Checks that stock peers are served: with the stock worker that has to be there, a stock client's job.
///
/// # Panics
/// If a result is missing or wrong, or the master has died.
pub fn assert_normal_job(master: &mut Master) {
    StockClient::echo_job(master, 200, 100, 50, Duration::from_secs(60));
    assert!(master.process.is_running(), "the master died");
}

/// Checks that the log has been kept readable: so many lines at most.
///
/// # Panics
/// If there are more.
pub fn assert_log_not_flooded(master: &Master, lines: usize) {
    let printed = master.process.printed(crate::process::Stream::Out);
    let first: Vec<_> = printed.iter().take(30).collect();
    assert!(printed.len() <= lines, "{} lines of log: {first:#?}", printed.len());
    assert!(master.process.printed_bytes() <= lines * 300, "{} bytes of log", master.process.printed_bytes());
}

/// A master with one stock worker, for hostile peers to try.
pub fn victim(flags: &[&str]) -> (Master, crate::Worker) {
    let master = Master::start(Side::Ours, "victim", flags);
    let worker = master.worker(Side::Stock, "worker1");
    (master, worker)
}

/// Lets this process, and what it starts from now on, have as many open files as the system allows.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // What is refused shows when the files are opened.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// A framed body.
pub fn framed(flags: u8, body: &[u8]) -> Vec<u8> {
    [&frame_header(flags, body.len() as u64), body].concat()
}

/// Bytes without a pattern, the same on each run.
pub fn random(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// A peer of a master's socket after its handshake, of the type that the socket is for.
///
/// # Panics
/// If the master does not shake hands.
pub fn peer(socket: &str, address: &str) -> Peer {
    Peer::connect(address, counterpart(socket)).unwrap_or_else(|cause| panic!("a handshake with {socket}: {cause}"))
}
