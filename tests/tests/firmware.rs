//! `examples/firmware` under QEMU: two boards, each at a line, and a master that is no more than these tests need.
//!
//! They want the image and QEMU; `scripts/firmware.sh` builds the one, sees to the other, and runs them.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use palm_proto::native::{
    Alias, Checksum, Frame, Header, LINE_OVERHEAD, LineDecoder, LineEncoder, LineUnit, Magic, RefusalCode, Role,
    SessionId, TaskNumber, ToMaster, ToPeer,
};
use palm_proto::random::{Random, Seed};
use palm_tests::{Process, until};

const FUNCTIONS: [&str; 4] = ["server.crc32", "server.fir", "server.stack", "server.unknown"];
const CRC32: usize = 0;
const FIR: usize = 1;
const STACK: usize = 2;
const UNKNOWN: usize = 3;

/// Short, so that what is lost without a trace is missed soon.
const HEARTBEAT: Duration = Duration::from_millis(400);
const BOUND: Duration = Duration::from_secs(30);

#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
fn two_boards_do_a_thousand_tasks_while_masters_come_and_go() {
    let boards = [Board::start(1), Board::start(2)];
    let jobs = Mutex::new(Jobs::random(1000, 1));
    serve(&boards, &jobs, 1, 400, None);
    // The tasks that the boards have then are lost with the master.
    serve(&boards, &jobs, 2, 1000, None);
    let jobs = jobs.into_inner().unwrap();
    assert_eq!(jobs.sessions.len(), 2, "each board has a session of its own");
    assert!(jobs.sessions.values().all(|&done| done > 100), "{:?}", jobs.sessions);
}

#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
fn results_are_right_on_lines_with_noise() {
    let boards = [Board::start(3), Board::start(4)];
    let jobs = Mutex::new(Jobs::random(1000, 2));
    serve(&boards, &jobs, 1, 1000, Some(7));
    let jobs = jobs.into_inner().unwrap();
    assert!(jobs.hellos > 20, "connections break, and others begin: {}", jobs.hellos);
}

#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
#[expect(clippy::print_stdout, reason = "what the script reports")]
fn what_cannot_be_done_fails_and_the_stack_is_large_enough() {
    let boards = [Board::start(5)];
    let job = |function, payload: &[u8], expected| Job { function, payload: payload.to_vec(), expected };
    let mut jobs = Jobs::random(20, 3);
    jobs.add(job(UNKNOWN, b"", Expected::Failed(2)));
    jobs.add(job(FIR, b"odd", Expected::Failed(1)));
    jobs.add(job(CRC32, b"123456789", Expected::Result(vec![0x26, 0x39, 0xf4, 0xcb])));
    jobs.add(job(STACK, b"", Expected::Any));
    let jobs = Mutex::new(jobs);
    serve(&boards, &jobs, 1, 24, None);
    let answer = jobs.into_inner().unwrap().any;
    let [used, size] = [&answer[..4], &answer[4..]].map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    println!("stack: {used} of {size} bytes in use at most");
    assert!(used < size, "{used} of {size}");
}

/// QEMU's board, whose line is a socket.
struct Board {
    /// The socket, and the word that makes it this board.
    files: [PathBuf; 2],
    _process: Process,
}

impl Board {
    fn start(number: u32) -> Self {
        let image = std::env::var_os("PALM_FIRMWARE").expect("PALM_FIRMWARE is the path of the image");
        let path = |ending| std::env::temp_dir().join(format!("palm-board-{}-{number}.{ending}", std::process::id()));
        let [socket, word] = ["socket", "word"].map(path);
        std::fs::write(&word, number.to_le_bytes()).unwrap();
        let mut command = Command::new("qemu-system-arm");
        command.args(["-machine", "lm3s6965evb", "-display", "none", "-monitor", "none", "-serial"]);
        command.arg(format!("unix:{},server=on,wait=off", socket.display()));
        command.arg("-device").arg(format!("loader,file={},addr=0x3fffc,force-raw=on", word.display()));
        command.arg("-kernel").arg(image);
        Self { _process: Process::start(&format!("board {number}"), command), files: [socket, word] }
    }

    fn connect(&self) -> UnixStream {
        let stream = until("the board's line", BOUND, || UnixStream::connect(&self.files[0]).ok());
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        stream
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

struct Job {
    function: usize,
    payload: Vec<u8>,
    expected: Expected,
}

enum Expected {
    Result(Vec<u8>),
    Failed(u32),
    Any,
}

/// What is to be done, and by whom it was.
struct Jobs {
    all: Vec<Job>,
    /// How often each was given to a board.
    attempts: Vec<u32>,
    waiting: VecDeque<usize>,
    done: usize,
    sessions: BTreeMap<SessionId, usize>,
    hellos: usize,
    any: Vec<u8>,
}

impl Jobs {
    fn random(count: usize, seed: u64) -> Self {
        let mut random = Random::new(Seed::from_u64(seed));
        let mut jobs = Self {
            all: Vec::new(),
            attempts: Vec::new(),
            waiting: VecDeque::new(),
            done: 0,
            sessions: BTreeMap::new(),
            hellos: 0,
            any: Vec::new(),
        };
        for index in 0..count {
            let payload: Vec<u8> = (0..2 * random.below(121))
                .map(|_| if random.below(4) == 0 { 0 } else { random.next_u64() as u8 })
                .collect();
            let (function, result) = if index % 2 == 0 { (CRC32, crc32(&payload)) } else { (FIR, fir(&payload)) };
            jobs.add(Job { function, payload, expected: Expected::Result(result) });
        }
        jobs
    }

    fn add(&mut self, job: Job) {
        self.waiting.push_back(self.all.len());
        self.all.push(job);
        self.attempts.push(0);
    }

    fn finish(&mut self, index: usize, session: SessionId, answer: Result<&[u8], u32>) {
        match (&self.all[index].expected, answer) {
            (Expected::Result(expected), Ok(result)) => assert_eq!(result, expected, "job {index}"),
            (Expected::Failed(expected), Err(code)) => assert_eq!(code, *expected, "job {index}"),
            (Expected::Any, Ok(result)) => self.any = result.to_vec(),
            (_, answer) => panic!("job {index}: {answer:?}"),
        }
        self.done += 1;
        *self.sessions.entry(session).or_default() += 1;
    }
}

fn crc32(payload: &[u8]) -> Vec<u8> {
    let mut checksum = Checksum::new();
    checksum.put(payload);
    checksum.to_bytes().to_vec()
}

/// The filter as its formula has it.
fn fir(payload: &[u8]) -> Vec<u8> {
    const COEFFICIENTS: [i64; 15] = [-84, -219, -374, 0, 1582, 4321, 7054, 8208, 7054, 4321, 1582, 0, -374, -219, -84];
    let samples: Vec<i64> =
        payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]).into()).collect();
    let output = |at: usize| {
        let sum: i64 = (0..=at.min(14)).map(|back| samples[at - back] * COEFFICIENTS[back]).sum();
        (sum + (1 << 14)).div_euclid(1 << 15).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    };
    (0..samples.len()).flat_map(|at| output(at).to_le_bytes()).collect()
}

/// A master from its start to its end, when so many jobs are done in all.
fn serve(boards: &[Board], jobs: &Mutex<Jobs>, epoch: u64, until: usize, noise: Option<u64>) {
    thread::scope(|scope| {
        for (index, board) in (0..).zip(boards) {
            let seed = move |seed: u64| Seed::from_words([seed, index]);
            scope.spawn(move || Line::new(board.connect(), epoch, noise.map(seed)).serve(jobs, until));
        }
    });
}

/// A master's end of a line.
struct Line {
    stream: UnixStream,
    decoder: LineDecoder,
    encoder: LineEncoder,
    noise: Option<Noise>,
    epoch: u64,
    /// The session of the board, its window, and its tasks, while there is a connection.
    session: Option<SessionId>,
    window: u32,
    tasks: BTreeMap<u16, usize>,
    next: TaskNumber,
    heard: Instant,
    pinged: bool,
    refused: Option<Instant>,
}

impl Line {
    fn new(stream: UnixStream, epoch: u64, noise: Option<Seed>) -> Self {
        Self {
            stream,
            decoder: LineDecoder::new(),
            encoder: LineEncoder::new(),
            noise: noise.map(Noise::new),
            epoch,
            session: None,
            window: 0,
            tasks: BTreeMap::new(),
            next: TaskNumber::FIRST,
            heard: Instant::now(),
            pinged: false,
            refused: None,
        }
    }

    fn serve(mut self, jobs: &Mutex<Jobs>, until: usize) {
        let start = Instant::now();
        let mut buffer = [0; 1024 + LINE_OVERHEAD];
        while jobs.lock().unwrap().done < until {
            assert!(start.elapsed() < BOUND, "{} of {until} done", jobs.lock().unwrap().done);
            self.dispatch(jobs);
            let mut input = [0; 64];
            let len = match self.stream.read(&mut input) {
                Ok(0) => panic!("the board is gone"),
                Ok(len) => len,
                Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
                Err(cause) => panic!("the line: {cause}"),
            };
            let mut input = &mut input[..len];
            if let Some(noise) = &mut self.noise {
                noise.disturb(input);
            }
            while !input.is_empty() {
                let used = match self.decoder.handle_input(input, &mut buffer) {
                    LineUnit::Incomplete => break,
                    LineUnit::Frame { used, range } => {
                        self.on_frame(&buffer[range], jobs);
                        used
                    }
                    LineUnit::Fault { used, .. } => {
                        self.on_fault(jobs);
                        used
                    }
                };
                input = &mut input[used..];
            }
            self.on_time(jobs);
        }
        self.give_back(jobs);
    }

    fn on_frame(&mut self, frame: &[u8], jobs: &Mutex<Jobs>) {
        (self.heard, self.pinged) = (Instant::now(), false);
        let Some(Frame { header, body, .. }) = ToMaster::decode(frame).expect("a board keeps to the protocol") else {
            return;
        };
        if let ToMaster::Hello { role, session, window, holding, max_frame, .. } = header {
            assert_eq!((role, holding, max_frame), (Role::Worker, 0, 256));
            self.give_back(jobs);
            jobs.lock().unwrap().hellos += 1;
            (self.session, self.window, self.next) = (Some(session), window, TaskNumber::FIRST);
            return self.welcome();
        }
        let Some(session) = self.session else { return self.refuse() };
        let mut finish = |number: TaskNumber, answer| {
            let index = self.tasks.remove(&number.number()).expect("only tasks that it has");
            jobs.lock().unwrap().finish(index, session, answer);
        };
        match header {
            ToMaster::Done { number } => finish(number, Ok(body)),
            ToMaster::Failed { number, code } => finish(number, Err(code)),
            ToMaster::Ping => self.send(Frame::new(ToPeer::Pong)),
            ToMaster::Pong => {}
            other => panic!("a board has no reason to say {other:?}"),
        }
    }

    fn on_fault(&mut self, jobs: &Mutex<Jobs>) {
        self.give_back(jobs);
        self.session = None;
        self.refuse();
    }

    fn on_time(&mut self, jobs: &Mutex<Jobs>) {
        if self.session.is_none() || self.heard.elapsed() < HEARTBEAT {
            return;
        }
        if self.pinged {
            return self.on_fault(jobs);
        }
        (self.heard, self.pinged) = (Instant::now(), true);
        self.send(Frame::new(ToPeer::Ping));
    }

    fn welcome(&mut self) {
        self.send(Frame::with_body(
            ToPeer::Welcome {
                magic: Magic,
                version: 1,
                epoch: self.epoch,
                max_frame: 1024,
                window: 0,
                heartbeat_ms: HEARTBEAT.as_millis() as u32,
            },
            b"server",
        ));
        let zero = Alias::new(0).unwrap();
        self.send(Frame::new(ToPeer::Session { alias: zero, id: SessionId(*b"a test's session") }));
        for (alias, name) in (0..).zip(FUNCTIONS) {
            self.send(Frame::with_body(ToPeer::Function { alias: Alias::new(alias).unwrap() }, name.as_bytes()));
        }
    }

    /// Gives the board as many tasks as its window has room for.
    fn dispatch(&mut self, jobs: &Mutex<Jobs>) {
        while self.session.is_some() && self.tasks.len() < self.window as usize {
            let mut jobs = jobs.lock().unwrap();
            let Some(index) = jobs.waiting.pop_front() else { return };
            jobs.attempts[index] += 1;
            let attempt = jobs.attempts[index];
            let Job { function, ref payload, .. } = jobs.all[index];
            let payload = payload.clone();
            drop(jobs);
            let (function, session) = (Alias::new(function as u16).unwrap(), Alias::new(0).unwrap());
            let sequence = index as u64;
            let header = match attempt {
                1 => ToPeer::Task { function, session, sequence },
                _ => ToPeer::TaskWith { function, session, sequence, attempt, deadline_ms: None, cache_len: 0 },
            };
            self.tasks.insert(self.next.number(), index);
            self.next = self.next.plus(1);
            self.send(Frame::with_body(header, &payload));
        }
    }

    fn give_back(&mut self, jobs: &Mutex<Jobs>) {
        let tasks = std::mem::take(&mut self.tasks);
        jobs.lock().unwrap().waiting.extend(tasks.into_values());
    }

    fn refuse(&mut self) {
        if self.refused.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            self.refused = Some(Instant::now());
            self.send(Frame::new(ToPeer::Refused { code: RefusalCode::NotConnected }));
        }
    }

    fn send(&mut self, frame: Frame<'_, ToPeer>) {
        let mut wire = BytesMut::new();
        self.encoder.encode(&[&frame.header.encode(), frame.front, frame.body], &mut wire).unwrap();
        if let Some(noise) = &mut self.noise {
            noise.disturb(&mut wire);
        }
        self.stream.write_all(&wire).unwrap();
    }
}

/// Changes a byte now and then.
struct Noise {
    random: Random,
    /// Bytes until the next one that is changed.
    distance: usize,
}

impl Noise {
    /// Bytes from one to the next, at most.
    const DISTANCE: u32 = 4000;

    fn new(seed: Seed) -> Self {
        Self { random: Random::new(seed), distance: 100 }
    }

    fn disturb(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.distance == 0 {
                *byte ^= self.random.below(255) as u8 + 1;
                self.distance = self.random.below(Self::DISTANCE) as usize;
            } else {
                self.distance -= 1;
            }
        }
    }
}
