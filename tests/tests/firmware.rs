//! `examples/firmware` under QEMU: boards at serial lines, some of them bad, and masters that are killed.
//!
//! They want the image and QEMU; `scripts/firmware.sh` builds the one, sees to the other, and runs them.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use palm_proto::native::Checksum;
use palm_proto::random::{Random, Seed};
use palm_tests::{Process, until};
use palm_transport_tcp::{Call, Client, JobOptions, Master, MasterConfig, Status, Worker};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

const BOUND: Duration = Duration::from_secs(60);
const TASKS: u64 = 1_000;

/// What the process of [`a_master_of_its_own`] listens at.
const LISTEN: &str = "PALM_FIRMWARE_LISTEN";

#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
fn two_boards_and_a_host_do_a_thousand_tasks_while_a_master_is_killed() {
    let site = Site::new("killed", 2, None);
    let master = site.master();
    let worker = host_worker(&site.address());
    let stop = worker.handle();
    let working = thread::spawn(move || worker.run());
    let client = site.client();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| crc32_tasks(&client, 0..TASKS / 2, &done));
        scope.spawn(|| fir_tasks(&client, TASKS / 2..TASKS, &done));
        until("300 results", BOUND, || (done.load(Ordering::Relaxed) >= 300).then_some(()));
        drop(master);
        let master = site.master();
        until("all results", BOUND, || (done.load(Ordering::Relaxed) as u64 >= TASKS).then_some(()));
        drop(master);
    });
    stop.shutdown();
    let by_host = working.join().unwrap().unwrap().counters.results;
    assert!((1..TASKS - 100).contains(&by_host), "boards and host share the work: {by_host} of {TASKS} by the host");
    for board in &site.boards {
        // Greetings and heartbeats are a few hundred; how fast a board is beside the others is the machine's affair.
        assert!(board.said() > 2_000, "each board has its share: {} bytes", board.said());
    }
}

#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
fn results_are_right_on_lines_with_noise() {
    let site = Site::new("noise", 2, Some(Seed::from_u64(7)));
    let _master = site.master();
    let client = site.client();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| crc32_tasks(&client, 0..TASKS / 2, &done));
        scope.spawn(|| fir_tasks(&client, TASKS / 2..TASKS, &done));
    });
    assert!(site.boards.iter().all(|board| board.flipped() > 20), "the lines are bad");
    let [used, size] = (0..20).map(|_| stack(&client)).max().unwrap();
    println!("stack: {used} of {size} bytes in use at most");
    assert!(used < size, "{used} of {size}");
}

#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
fn what_cannot_be_done_fails() {
    let site = Site::new("fails", 1, None);
    let _master = site.master();
    let client = site.client();
    assert_eq!(&client.eval("crc32", "123456789").unwrap()[..], 0xcbf4_3926_u32.to_le_bytes());
    let failure = client.eval("fir", "odd").unwrap_err();
    assert_eq!((failure.status, failure.to_string().as_str()), (Status::Failed, "failed: half a sample"));
    assert_eq!(client.eval("unknown", "").unwrap_err().status, Status::NoSuchFunction);
    assert_eq!(client.eval("crc32", vec![0; 257]).unwrap_err().status, Status::TooLong);
    assert_eq!(&client.eval("crc32", vec![0; 256]).unwrap()[..], crc32(&[0; 256]));
}

/// No test: what [`Site::master`] runs in a process, so that it can be killed.
#[test]
#[ignore = "needs the image: scripts/firmware.sh"]
fn a_master_of_its_own() {
    let Ok(listen) = std::env::var(LISTEN) else { return };
    let config = MasterConfig {
        listen: listen.split(' ').map(str::to_owned).collect(),
        // What is lost without a trace is missed soon, and noise takes many connections.
        heartbeat: Duration::from_millis(400),
        attempts: 1_000,
        ..MasterConfig::new("server")
    };
    Master::bind(config).unwrap().run().unwrap();
}

/// A few boards, and where their master is found.
struct Site {
    directory: PathBuf,
    boards: Vec<Board>,
}

impl Site {
    fn new(name: &str, boards: u32, noise: Option<Seed>) -> Self {
        let directory = std::env::temp_dir().join(format!("palm-firmware-{}-{name}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let boards = (1..=boards).map(|number| Board::start(&directory, number, noise)).collect();
        Self { directory, boards }
    }

    fn address(&self) -> String {
        format!("unix://{}", self.directory.join("master").display())
    }

    fn master(&self) -> Process {
        let lines = self.boards.iter().map(|board| format!(" serial://{}", board.line));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "a_master_of_its_own"]);
        command.env(LISTEN, self.address() + &lines.collect::<String>());
        Process::start("master", command)
    }

    fn client(&self) -> Client {
        Client::builder(self.address()).patience(BOUND).connect().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.boards.clear();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// QEMU's board, and its line.
struct Board {
    line: String,
    traffic: Arc<Traffic>,
    pumps: Vec<JoinHandle<()>>,
    _process: Process,
}

#[derive(Default)]
struct Traffic {
    ended: AtomicBool,
    /// Bytes that the board has sent.
    said: AtomicUsize,
    /// Bytes that noise has changed.
    flipped: AtomicUsize,
}

impl Board {
    fn start(directory: &Path, number: u32, noise: Option<Seed>) -> Self {
        let image = std::env::var_os("PALM_FIRMWARE").expect("PALM_FIRMWARE is the path of the image");
        let [socket, word] = ["socket", "word"].map(|end| directory.join(format!("{number}.{end}")));
        std::fs::write(&word, number.to_le_bytes()).unwrap();
        let mut command = Command::new("qemu-system-arm");
        command.args(["-machine", "lm3s6965evb", "-display", "none", "-monitor", "none"]);
        command.arg("-serial").arg(format!("unix:{},server=on,wait=off", socket.display()));
        command.arg("-device").arg(format!("loader,file={},addr=0x3fffc,force-raw=on", word.display()));
        command.arg("-kernel").arg(image);
        let process = Process::start(&format!("board {number}"), command);
        let mut board = until("the board's line", BOUND, || UnixStream::connect(&socket).ok());

        let mut end =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).map(std::fs::File::from).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let line = ptsname(&end, Vec::new()).unwrap().into_string().unwrap();
        // Or else it would send the board its own words back, until a master opens it.
        let raw = rustix::fs::open(line.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut settings = tcgetattr(&raw).unwrap();
        settings.make_raw();
        tcsetattr(&raw, OptionalActions::Now, &settings).unwrap();
        rustix::io::ioctl_fionbio(&end, true).unwrap();

        let traffic = Arc::new(Traffic::default());
        let noise = |way: u64| noise.map(|seed| Noise::new(seed.derive(&format!("board {number} way {way}"))));
        let (mut from_board, mut to_end) = (board.try_clone().unwrap(), end.try_clone().unwrap());
        from_board.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let pumps = vec![
            pump(
                &traffic,
                noise(0),
                move |traffic, bytes| {
                    let count = from_board.read(bytes)?;
                    traffic.said.fetch_add(count, Ordering::Relaxed);
                    Ok(count)
                },
                move |bytes| {
                    // What nobody takes is lost, as on any line.
                    let _ = to_end.write(bytes);
                },
            ),
            pump(
                &traffic,
                noise(1),
                move |_, bytes| end.read(bytes).inspect_err(|_| thread::sleep(Duration::from_millis(2))),
                move |bytes| board.write_all(bytes).unwrap(),
            ),
        ];
        Self { line, traffic, pumps, _process: process }
    }

    fn said(&self) -> usize {
        self.traffic.said.load(Ordering::Relaxed)
    }

    fn flipped(&self) -> usize {
        self.traffic.flipped.load(Ordering::Relaxed)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.traffic.ended.store(true, Ordering::Relaxed);
        for pump in self.pumps.drain(..) {
            let _ = pump.join();
        }
    }
}

/// Carries bytes one way, until the traffic has ended.
fn pump(
    traffic: &Arc<Traffic>,
    mut noise: Option<Noise>,
    mut read: impl FnMut(&Traffic, &mut [u8]) -> std::io::Result<usize> + Send + 'static,
    mut write: impl FnMut(&[u8]) + Send + 'static,
) -> JoinHandle<()> {
    let traffic = Arc::clone(traffic);
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while !traffic.ended.load(Ordering::Relaxed) {
            let bytes = match read(&traffic, &mut bytes) {
                Ok(count) => &mut bytes[..count],
                // No master has the line open.
                Err(cause) if cause.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => continue,
                Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(cause) => panic!("a line: {cause}"),
            };
            if let Some(noise) = &mut noise {
                traffic.flipped.fetch_add(noise.disturb(bytes), Ordering::Relaxed);
            }
            write(bytes);
        }
    })
}

/// Changes a byte now and then.
struct Noise {
    random: Random,
    /// Bytes until the next one that is changed.
    distance: u32,
}

impl Noise {
    /// Bytes from one to the next, at most.
    const DISTANCE: u32 = 4_000;

    fn new(seed: Seed) -> Self {
        Self { random: Random::new(seed), distance: 100 }
    }

    /// How many bytes are not as before.
    fn disturb(&mut self, bytes: &mut [u8]) -> usize {
        let mut changed = 0;
        for byte in bytes {
            if self.distance > 0 {
                self.distance -= 1;
                continue;
            }
            *byte ^= self.random.below(255) as u8 + 1;
            self.distance = self.random.below(Self::DISTANCE);
            changed += 1;
        }
        changed
    }
}

fn crc32_tasks(client: &Client, tasks: Range<u64>, done: &AtomicUsize) {
    tasks_of(client, "crc32", crc32, tasks, done);
}

fn fir_tasks(client: &Client, tasks: Range<u64>, done: &AtomicUsize) {
    tasks_of(client, "fir", fir, tasks, done);
}

fn tasks_of(client: &Client, function: &str, model: fn(&[u8]) -> Vec<u8>, tasks: Range<u64>, done: &AtomicUsize) {
    let options = JobOptions { window: 20, ..JobOptions::default() };
    let mut count = 0;
    for outcome in client.job(function, tasks.clone().map(payload), &options) {
        let expected = model(&payload(tasks.start + outcome.sequence));
        assert_eq!(outcome.result.unwrap(), expected, "{function} {}", outcome.sequence);
        done.fetch_add(1, Ordering::Relaxed);
        count += 1;
    }
    assert_eq!(count, tasks.end - tasks.start);
}

/// Samples, many of them with zeros.
fn payload(task: u64) -> Vec<u8> {
    let mut random = Random::new(Seed::from_u64(task));
    let len = 2 * random.below(129);
    (0..len).map(|_| if random.below(4) == 0 { 0 } else { random.next_u64() as u8 }).collect()
}

fn crc32(payload: &[u8]) -> Vec<u8> {
    let mut checksum = Checksum::new();
    checksum.put(payload);
    checksum.to_bytes().to_vec()
}

/// The filter as its formula has it.
fn fir(payload: &[u8]) -> Vec<u8> {
    const COEFFICIENTS: [i64; 15] = [-84, -219, -374, 0, 1582, 4321, 7054, 8208, 7054, 4321, 1582, 0, -374, -219, -84];
    let samples: Vec<i64> = payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]).into()).collect();
    let output = |at: usize| {
        let sum: i64 = (0..=at.min(14)).map(|back| samples[at - back] * COEFFICIENTS[back]).sum();
        (sum + (1 << 14)).div_euclid(1 << 15).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    };
    (0..samples.len()).flat_map(|at| output(at).to_le_bytes()).collect()
}

/// Bytes of a board's stack that have been in use, and how many it has.
fn stack(client: &Client) -> [u32; 2] {
    let answer = client.eval("stack", "").unwrap();
    [&answer[..4], &answer[4..]].map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
}

/// The same functions on a host, which is not much faster here.
fn host_worker(address: &str) -> Worker {
    let slow = |model: fn(&[u8]) -> Vec<u8>| {
        move |call: Call| {
            thread::sleep(Duration::from_millis(5));
            Ok::<_, String>(model(call.payload()))
        }
    };
    Worker::builder(address).jobs(1).function("crc32", slow(crc32)).function("fir", slow(fir)).build().unwrap()
}
