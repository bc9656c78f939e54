//! No native peer can take a master down, or out, or its memory: whatever one says or does not read, others are served.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::native::{
    Alias, Frame, Header, Magic, Role, STREAM_FRAME_MAX, SessionId, TaskNumber, ToMaster, ToPeer, Versions, When,
};
use palm_tests::cluster::{START, subcommand};
use palm_tests::hostile::{assert_log_not_flooded, random};
use palm_tests::{Master, NativeClient, Process, Side, within};
use palm_transport_tcp::{Client, JobOptions};

/// What the master may hold of messages, and take in all.
const MEMORY: usize = 64 << 20;
const RESIDENT: usize = MEMORY + (64 << 20);

/// A master with a native worker.
struct Victim {
    master: Master,
    address: String,
    _worker: Process,
}

impl Victim {
    fn start() -> Self {
        let flags = ["--tcp", "127.0.0.1:0", "--memory", "64MiB", "--heartbeat", "500ms"];
        let master = Master::start(Side::Ours, "victim", &flags);
        let address = master.native_address();
        let mut command = subcommand("worker");
        command.args(["--name", "worker", "--connect", &address, "--demo"]);
        let worker = Process::start("native worker", command);
        worker.line("connected to master victim", START);
        Self { master, address, _worker: worker }
    }

    fn connect(&self) -> Peer {
        let address: SocketAddr = self.address.strip_prefix("tcp://").unwrap().parse().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Peer(stream)
    }

    fn greet(&self, role: Role, window: u32) -> Peer {
        let mut peer = self.connect();
        peer.say(&Frame::new(hello(role, window)));
        peer.hears(|header| matches!(header, ToPeer::Welcome { .. }));
        peer
    }

    fn assert_served(&mut self, after: &str) {
        assert!(self.master.process.is_running(), "the master died after {after}");
        let mut client = NativeClient::connect(&self.address, 77, START);
        assert_eq!(client.eval("victim.echo", after.as_bytes()), (vec![], Ok(after.as_bytes().to_vec())));
    }

    fn assert_bounded(&self) {
        let peak = self.master.process.peak_resident();
        assert!(peak < RESIDENT, "the master took {} MiB at its peak", peak >> 20);
    }
}

/// Somebody who speaks the protocol as far as it pleases.
struct Peer(TcpStream);

impl Peer {
    fn say(&mut self, frame: &Frame<'_, ToMaster>) {
        self.0.write_all(&wire(frame)).unwrap();
    }

    /// Waits for a frame.
    fn hears(&mut self, is_it: impl Fn(&ToPeer) -> bool) {
        loop {
            let mut len = [0];
            self.0.read_exact(&mut len).unwrap();
            assert!(len[0] < 0x80, "what is waited for is short, and so is what comes before it");
            let mut frame = vec![0; len[0].into()];
            self.0.read_exact(&mut frame).unwrap();
            if ToPeer::decode(&frame).unwrap().is_some_and(|frame| is_it(&frame.header)) {
                return;
            }
        }
    }

    /// Whether the master closes the connection, be it after it has said why.
    fn is_closed(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(cause) => return cause.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

fn wire(frame: &Frame<'_, ToMaster>) -> Vec<u8> {
    [frame.stream_head().unwrap().as_slice(), frame.front, frame.body].concat()
}

fn hello(role: Role, window: u32) -> ToMaster {
    ToMaster::Hello {
        magic: Magic,
        versions: Versions::OURS,
        role,
        max_frame: STREAM_FRAME_MAX,
        window,
        session: SessionId(*b"a hostile sessio"),
        resume: false,
        holding: 0,
        name_len: 0,
    }
}

fn number(number: u16) -> TaskNumber {
    TaskNumber::try_from(number).unwrap()
}

fn alias(number: u16) -> Alias {
    Alias::new(number).unwrap()
}

/// What may come before anything else, and lets the connection be closed.
fn openings() -> Vec<(String, Vec<u8>)> {
    let good = wire(&Frame::new(hello(Role::Client, 10)));
    let mut all = vec![
        ("noise".into(), random(4096)),
        ("a request for a web page".into(), b"GET / HTTP/1.1\r\nHost: palm\r\n\r\n".to_vec()),
        ("a ZeroMQ greeting".into(), [&[0xff; 10][..], &[0x7f, 3, 1], &[0; 51]].concat()),
        ("the longest length".into(), vec![0xff, 0xff, 0xff, 0x7f]),
        ("a length that has no end".into(), vec![0xff; 64]),
        ("a first frame that is too long".into(), [&[0x81, 0x08][..], &[0; 1025]].concat()),
        ("a task before the handshake".into(), wire(&Frame::new(ToMaster::Submit { sequence: 0, function: alias(0) }))),
        ("an unknown kind".into(), vec![1, 63]),
        ("a kind of two bytes".into(), vec![2, 0x80, 1]),
        ("two greetings".into(), [&good[..], &good].concat()),
    ];
    for (what, at, value) in
        [("another protocol", 2, b'X'), ("versions of another time", 6, 200), ("no role that there is", 8, 9)]
    {
        let mut bytes = good.clone();
        bytes[at] = value;
        if what == "versions of another time" {
            bytes[at + 1] = 201;
        }
        all.push((what.into(), bytes));
    }
    let named = |name: &[u8], len: u8| {
        let mut header = hello(Role::Worker, 1);
        if let ToMaster::Hello { name_len, .. } = &mut header {
            *name_len = len;
        }
        wire(&Frame { header, front: name, body: b"" })
    };
    all.push(("a name that is no text".into(), named(&[0xff, 0xfe], 2)));
    all.push(("a name that is not there".into(), named(b"ab", 200)));
    all
}

/// What breaks the protocol after the handshake.
fn breaches() -> Vec<(&'static str, Role, Vec<u8>)> {
    let say = |header| wire(&Frame::new(header));
    let function = wire(&Frame::with_body(ToMaster::Function { alias: alias(0) }, b"victim.echo"));
    let submit = |sequence| say(ToMaster::Submit { sequence, function: alias(0) });
    vec![
        ("another greeting", Role::Client, say(hello(Role::Client, 1))),
        ("a function nobody told of", Role::Client, say(ToMaster::Submit { sequence: 0, function: alias(5) })),
        ("more results received than sent", Role::Client, say(ToMaster::Received { results: u32::MAX })),
        ("a worker's word from a client", Role::Client, say(ToMaster::Done { number: number(0) })),
        ("a client's word from a worker", Role::Worker, [function.clone(), submit(0)].concat()),
        ("a task given back that it does not have", Role::Worker, say(ToMaster::HandBack { number: number(500) })),
        ("a task done that it does not have", Role::Worker, say(ToMaster::Done { number: number(500) })),
        ("a claim out of time", Role::Worker, {
            say(ToMaster::Holding { session: SessionId::NOBODY, sequence: 1, attempt: 1 })
        }),
        ("a key that is not there", Role::Client, {
            let set = ToMaster::Set { id: 0, ttl_ms: None, when: When::Always, key_len: u32::MAX };
            wire(&Frame { header: set, front: b"", body: b"abc" })
        }),
        ("user data that is not there", Role::Client, {
            let deadline_ms = Some(0);
            let with =
                ToMaster::SubmitWith { sequence: 0, function: alias(0), priority: 255, deadline_ms, cache_len: 99 };
            [function.clone(), say(with)].concat()
        }),
        ("a frame longer than any", Role::Client, vec![0xff, 0xff, 0xff, 0x7f]),
        ("noise", Role::Client, [&[100][..], &random(100)].concat()),
    ]
}

#[test]
fn greetings_gone_wrong_harm_nobody() {
    within(180, || {
        let mut victim = Victim::start();
        let mut held = Vec::new();
        for (what, bytes) in openings() {
            let mut peer = victim.connect();
            // The master may have closed it before all is written.
            let _ = peer.0.write_all(&bytes);
            assert!(peer.is_closed(), "{what}: the connection stays open");
            victim.assert_served(&what);
        }
        let good = wire(&Frame::new(hello(Role::Client, 10)));
        for cut in 0..good.len() {
            let mut peer = victim.connect();
            peer.0.write_all(&good[..cut]).unwrap();
            // Some go, some stay and say no more.
            if cut % 2 == 0 {
                held.push(peer);
            }
        }
        victim.assert_served("half greetings");
        assert_log_not_flooded(&victim.master, 400);
    });
}

#[test]
fn breaches_of_the_protocol_harm_nobody() {
    within(180, || {
        let mut victim = Victim::start();
        for (what, role, bytes) in breaches() {
            let mut peer = victim.greet(role, 10);
            let _ = peer.0.write_all(&bytes);
            assert!(peer.is_closed(), "{what}: the connection stays open");
            victim.assert_served(what);
        }
        assert_log_not_flooded(&victim.master, 400);
    });
}

#[test]
fn a_client_that_never_reads_takes_no_memory_and_stops_nobody() {
    within(300, || {
        let mut victim = Victim::start();
        for size in [10, 64 << 10] {
            let mut greedy = victim.greet(Role::Client, u32::MAX);
            greedy.0.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
            greedy.say(&Frame::with_body(ToMaster::Function { alias: alias(0) }, b"victim.echo"));
            let payload = vec![b'g'; size];
            let flooding = thread::spawn(move || {
                let mut sent = 0;
                for sequence in 0.. {
                    let task = Frame::with_body(ToMaster::Submit { sequence, function: alias(0) }, &payload);
                    let written = greedy.0.write_all(&wire(&task));
                    sent += payload.len();
                    // It is stuck, or closed; or it has been taken in and the results wait for it.
                    if written.is_err() || sent > 1 << 30 {
                        break;
                    }
                }
                greedy
            });
            for round in 0..20 {
                victim.assert_served(&format!("round {round} beside tasks of {size} bytes"));
            }
            let greedy = flooding.join().unwrap();
            victim.assert_served("the flood");
            drop(greedy);
            victim.assert_served("its end");
            victim.assert_bounded();
        }
    });
}

#[test]
fn a_worker_that_takes_everything_and_does_nothing_holds_nobody_up() {
    within(300, || {
        let mut victim = Victim::start();
        let greedy: Vec<_> = (0..3).map(|_| victim.greet(Role::Worker, u32::MAX)).collect();
        let client = Client::builder(&victim.address).patience(START).connect().unwrap();
        let inputs: Vec<Bytes> = (0..2_000_u32).map(|task| Bytes::from(task.to_be_bytes().repeat(4 << 10))).collect();
        let options = JobOptions { window: 200, ..JobOptions::default() };
        let mut seen = vec![false; inputs.len()];
        for outcome in client.job("victim.echo", inputs.clone(), &options) {
            let task = outcome.sequence as usize;
            assert!(outcome.result.unwrap() == inputs[task], "task {task}");
            assert!(!std::mem::replace(&mut seen[task], true), "task {task} was answered twice");
        }
        assert!(seen.iter().all(|&seen| seen));
        victim.assert_served("the greedy");
        victim.assert_bounded();
        drop(greedy);
    });
}

#[test]
fn pings_whose_answers_nobody_reads_take_no_memory() {
    within(120, || {
        let mut victim = Victim::start();
        let mut peer = victim.greet(Role::Client, 1);
        peer.0.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
        let pings = wire(&Frame::new(ToMaster::Ping)).repeat(32 << 10);
        for _ in 0..500 {
            if peer.0.write_all(&pings).is_err() {
                break;
            }
        }
        victim.assert_served("pings");
        victim.assert_bounded();
    });
}
