//! Native peers over real sockets, while masters, workers and clients are killed and connections are cut: every task of a client
//! that lives is answered exactly once.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::native::{Frame, Magic, Role, SessionId, ToMaster, Versions};
use palm_proto::random::{Random, Seed};
use palm_tests::cluster::START;
use palm_tests::proxy::Proxy;
use palm_tests::{Addresses, Process, palm, until, within};
use palm_transport_tcp::{Client, JobOptions};

const CLIENTS: usize = 3;
const TASKS: u64 = 100_000;
const WORKERS: usize = 3;
/// What the master may hold.
const MEMORY: usize = 64 << 20;

/// A master, workers and a client that are killed now and then, and the addresses that stay the same.
struct Cluster {
    addresses: Addresses,
    native: String,
    master: Process,
    /// Each at a relay of its own.
    workers: Vec<(Process, Proxy)>,
    doomed: Process,
    random: Random,
}

impl Cluster {
    fn start() -> Self {
        let addresses = Addresses::free();
        // One more free port, of which the others are not used.
        let native = Addresses::free().pull.replace("tcp://", "");
        let master = start_master(&addresses, &native);
        let to = native.parse().unwrap();
        let workers = (0..WORKERS).map(|_| Proxy::start(to)).map(|proxy| (start_worker(&proxy), proxy)).collect();
        let doomed = start_client(&native);
        let random = Random::new(Seed::from_u64(7));
        Self { addresses, native, master, workers, doomed, random }
    }

    /// Something goes wrong.
    fn disturb(&mut self, proxies: &[Proxy], told: &mut BTreeMap<&'static str, u32>) {
        let all: Vec<_> = proxies.iter().chain(self.workers.iter().map(|(_, proxy)| proxy)).collect();
        let proxy = all[self.random.next_u64() as usize % all.len()];
        let what = match self.random.next_u64() % 8 {
            0 => {
                self.assert_bounded();
                self.master.kill();
                self.master = start_master(&self.addresses, &self.native);
                "the master was killed"
            }
            1..=3 => {
                let index = self.random.next_u64() as usize % WORKERS;
                let (worker, proxy) = &mut self.workers[index];
                worker.kill();
                *worker = start_worker(proxy);
                "a worker was killed"
            }
            4 => {
                self.doomed.kill();
                self.doomed = start_client(&self.native);
                "a client was killed"
            }
            5 => {
                proxy.cut(&[]);
                "connections were cut"
            }
            6 => {
                proxy.cut(&[0xff; 100]);
                "connections were cut after rubbish"
            }
            _ => {
                proxy.delay(Duration::from_millis(20));
                thread::sleep(Duration::from_millis(100));
                proxy.delay(Duration::ZERO);
                "connections were slow"
            }
        };
        *told.entry(what).or_default() += 1;
    }

    fn assert_bounded(&self) {
        let peak = self.master.peak_resident();
        assert!(peak < MEMORY + (64 << 20), "{peak} bytes");
    }
}

fn start_master(addresses: &Addresses, native: &str) -> Process {
    let mut command = palm::program();
    command.args(["master", "--name", "server", "--tcp", native, "--memory", "64MiB", "--log-level", "error"]);
    // Where everything is killed, one message may well be unlucky three times.
    command.args(["--attempts", "10"]);
    for (flag, (_, address)) in ["--pull", "--pub", "--wpush", "--wpull", "--db"].iter().zip(addresses.named()) {
        command.args([flag, &address]);
    }
    Process::start("master", command)
}

fn start_worker(proxy: &Proxy) -> Process {
    let mut command = palm::program();
    command.args(["worker", "--connect", &proxy.address(), "--demo", "--log-level", "error"]);
    Process::start("worker", command)
}

/// A client of which nobody waits for the results.
fn start_client(native: &str) -> Process {
    let mut command = palm::program();
    command.args(["launch", "--connect", native, "--function", "echo", "--repeat", "10000000", "--log-level", "error"]);
    Process::start("client that is killed", command)
}

/// Does a job, and fails unless each task has exactly one result, its own.
fn work(proxy: &Proxy, number: u64, done: &AtomicU64) {
    let client = Client::builder(proxy.address()).patience(START).connect().unwrap();
    let inputs = (0..TASKS).map(|task| Bytes::from(format!("{number}:{task}")));
    let options = JobOptions { window: 1000, ..JobOptions::default() };
    let mut seen = vec![false; TASKS as usize];
    for outcome in client.job("server.echo", inputs, &options) {
        let task = outcome.sequence;
        let result = outcome.result.unwrap_or_else(|failure| panic!("client {number}, task {task}: {failure}"));
        assert_eq!(result, format!("{number}:{task}"), "client {number}");
        assert!(!std::mem::replace(&mut seen[task as usize], true), "client {number}: task {task} was answered twice");
        done.fetch_add(1, Ordering::Relaxed);
    }
    assert!(seen.iter().all(|&seen| seen), "client {number}: tasks were lost");
}

#[test]
fn every_task_is_answered_once_whatever_is_killed_and_cut() {
    within(600, || {
        let mut cluster = Cluster::start();
        let to = cluster.native.parse().unwrap();
        let proxies: Arc<Vec<_>> = Arc::new((0..CLIENTS).map(|_| Proxy::start(to)).collect());
        let done = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (proxies, done, failed) = (Arc::clone(&proxies), Arc::clone(&done), Arc::clone(&failed));
                thread::spawn(move || {
                    let worked = std::panic::catch_unwind(|| work(&proxies[number], number as u64, &done));
                    if let Err(cause) = worked {
                        let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                })
            })
            .collect();
        let mut told = BTreeMap::new();
        let all = CLIENTS as u64 * TASKS;
        while done.load(Ordering::Relaxed) < all && !clients.iter().all(thread::JoinHandle::is_finished) {
            cluster.disturb(&proxies, &mut told);
            // Until things go on, so that it ends.
            let before = done.load(Ordering::Relaxed);
            until("more results", START, || {
                let over = clients.iter().all(thread::JoinHandle::is_finished);
                (over || done.load(Ordering::Relaxed) > before + 1000).then_some(())
            });
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(failed.is_empty(), "{failed:?}, {told:?}");
        assert_eq!(done.load(Ordering::Relaxed), all, "{told:?}");
        cluster.assert_bounded();
        eprintln!("{all} tasks, each answered once; on the way {told:?}");
    });
}

#[test]
fn a_master_serves_two_thousand_connections() {
    within(300, || {
        let cluster = Cluster::start();
        let address: std::net::SocketAddr = cluster.native.parse().unwrap();
        until("the master", START, || std::net::TcpStream::connect(address).ok());
        // Some say nothing, some begin to say something and never end, and most are clients that read nothing.
        let mut idle = Vec::new();
        for number in 0..2000_u128 {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let said = match number % 4 {
                0 => Vec::new(),
                1 => vec![0x80, 0x04, 0x00],
                _ => hello(SessionId(number.to_le_bytes())),
            };
            std::io::Write::write_all(&mut stream, &said).unwrap();
            idle.push(stream);
        }
        let client = Client::builder(format!("tcp://{address}")).patience(START).connect().unwrap();
        let inputs: Vec<String> = (0..1000).map(|task| task.to_string()).collect();
        let results: Result<Vec<Bytes>, _> = client.submit_all("server.echo", inputs.clone()).collect();
        assert!(results.unwrap() == inputs);
        cluster.assert_bounded();
    });
}

/// What a client says first.
fn hello(session: SessionId) -> Vec<u8> {
    let header = ToMaster::Hello {
        magic: Magic,
        versions: Versions::OURS,
        role: Role::Client,
        max_frame: 1 << 20,
        window: 10,
        session,
        resume: false,
        holding: 0,
        name_len: 0,
    };
    let frame = Frame::new(header);
    [frame.stream_head().unwrap().as_slice(), frame.front, frame.body].concat()
}
