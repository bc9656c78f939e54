//! A master's memory has a bound, whatever a client does, and others are served meanwhile.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use palm_tests::raw::{exchange, message, subscriber, written};
use palm_tests::zmtp::{self, Peer};
use palm_tests::{Master, RawClient, Side, StockClient, hostile, within};

/// What a greedy client sends at most.
const FLOOD: u64 = 4 << 30;
/// What the master may take, with 256 MiB given for messages.
const RESIDENT: usize = 320 << 20;

#[test]
fn a_client_that_never_subscribes() {
    flood(64 << 10, false);
}

#[test]
fn a_client_that_subscribes_and_never_reads() {
    flood(64 << 10, true);
}

#[test]
fn a_client_of_small_messages() {
    flood(10, true);
}

#[test]
fn a_client_of_large_messages() {
    flood(4 << 20, true);
}

#[test]
fn a_client_of_large_messages_that_never_subscribes() {
    flood(4 << 20, false);
}

/// Sends 4 GiB in messages of `size` bytes without ever reading a result, while others work.
fn flood(size: usize, subscribed: bool) {
    within(300, move || {
        let mut master = Master::start(Side::Ours, "server", &["--memory", "256MiB"]);
        let _workers = ["worker1", "worker2"].map(|name| master.worker(Side::Stock, name));
        let deaf = subscribed.then(|| subscriber(&master.addresses, "greedy").unwrap());
        let mut push = Peer::pusher(&master.addresses.pull).unwrap();
        push.patience(None).unwrap();
        let stream = push.stream().unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let greedy = {
            let (sent, ended) = (Arc::clone(&sent), Arc::clone(&ended));
            let body = message("greedy", &master.call("echo"), &vec![b'g'; size]);
            thread::spawn(move || {
                while sent.load(Ordering::Relaxed) < FLOOD && push.feed(&[&body]).is_ok() {
                    sent.fetch_add(body.len() as u64, Ordering::Relaxed);
                }
                ended.store(true, Ordering::Relaxed);
            })
        };
        // Served while it fills up, and when it is full: nothing has moved for a while then.
        StockClient::echo_job(&master, 300, 1 << 10, 20, Duration::from_secs(60));
        stuck(&sent, &ended);
        others_are_served(&master);
        assert!(master.process.is_running());
        let (peak, taken) = (master.process.peak_resident(), sent.load(Ordering::Relaxed));
        assert!(peak < RESIDENT, "the master took {} MiB at its peak, for {taken} bytes sent", peak >> 20);
        // The connection's end lets the sender go.
        let _gone = stream.shutdown(std::net::Shutdown::Both);
        greedy.join().unwrap();
        drop(deaf);
    });
}

#[test]
fn a_client_of_small_messages_with_large_results() {
    within(300, || {
        let master = Master::start(Side::Ours, "server", &["--memory", "256MiB"]);
        let _workers = ["worker1", "worker2"].map(|name| master.worker(Side::Stock, name));
        let mut greedy = RawClient::connect(&master.addresses, "greedy").unwrap();
        // 10 GiB of results, were they all asked for at once.
        for _ in 0..5000 {
            greedy.push.feed(&[&message("greedy", &master.call("big"), b"2000000")]).unwrap();
        }
        greedy.push.flush().unwrap();
        others_are_served(&master);
        assert_bounded(&master);
        // It gets what it asked for, once it reads.
        for _ in 0..300 {
            assert_eq!(greedy.recv().unwrap().len(), 2_000_000);
        }
        assert_bounded(&master);
    });
}

#[test]
fn a_worker_that_floods_with_results_that_nobody_asked_for() {
    within(300, || {
        let master = Master::start(Side::Ours, "server", &["--memory", "256MiB"]);
        let _worker = master.worker(Side::Stock, "worker1");
        let mut rogue = Peer::pusher(&master.addresses.worker_pull).unwrap();
        rogue.patience(Some(Duration::from_secs(5))).unwrap();
        let body = vec![b'r'; 256 << 10];
        for number in 0..4096 {
            // Each for another client that is not there.
            let result = message(&format!("nobody {number}"), "server.echo", &body);
            if rogue.send(&[&result]).is_err() {
                break;
            }
        }
        others_are_served(&master);
        assert_bounded(&master);
    });
}

#[test]
fn a_cache_that_is_filled_up() {
    within(300, || {
        let master = Master::start(Side::Ours, "server", &["--memory", "256MiB"]);
        let _worker = master.worker(Side::Stock, "worker1");
        let mut req = Peer::connect(&master.addresses.cache, "REQ").unwrap();
        let value = vec![b'v'; 1 << 20];
        for number in 0..600 {
            let request = written(|writer| {
                writer.client("c").function("x.set").cache(&format!("key {number}")).payload(&value);
            });
            // It answers, whether it takes the value or not.
            exchange(&mut req, &request).unwrap();
        }
        others_are_served(&master);
        assert_bounded(&master);
    });
}

#[test]
fn messages_that_never_end() {
    within(300, || {
        let master = Master::start(Side::Ours, "server", &["--memory", "256MiB"]);
        let _worker = master.worker(Side::Stock, "worker1");
        let part = vec![b'p'; 2 << 20];
        let mut held = Vec::new();
        for number in 0..300 {
            let (_, address) = master.addresses.named()[[0, 3, 4][number % 3]];
            let mut peer = hostile::peer(["pull", "worker pull", "cache"][number % 3], address);
            peer.patience(Some(Duration::from_millis(100))).unwrap();
            let _held_back = peer.raw(&zmtp::frame_header(0, 60 << 20)).and_then(|()| peer.raw(&part));
            held.push(peer);
        }
        others_are_served(&master);
        assert_bounded(&master);
    });
}

#[test]
fn a_subscriber_to_a_million_topics() {
    within(300, || {
        let master = Master::start(Side::Ours, "server", &["--memory", "256MiB"]);
        let _worker = master.worker(Side::Stock, "worker1");
        for _ in 0..4 {
            let mut sub = Peer::connect(&master.addresses.publish, "SUB").unwrap();
            let topics: Vec<u8> = (0..250_000)
                .flat_map(|number| hostile::framed(zmtp::COMMAND, format!("\x09SUBSCRIBE{number:0200}").as_bytes()))
                .collect();
            let _closed = sub.raw(&topics);
            others_are_served(&master);
        }
        assert_bounded(&master);
    });
}

/// Checks that a new client gets its results, of all sizes, and so do stock ones.
fn others_are_served(master: &Master) {
    let mut other = RawClient::connect(&master.addresses, "other").unwrap();
    for number in 0..200_u32 {
        other.send(&master.call("echo"), &number.to_be_bytes()).unwrap();
        assert_eq!(other.recv().unwrap(), number.to_be_bytes());
    }
    StockClient::echo_job(master, 300, 1 << 10, 20, Duration::from_secs(60));
    StockClient::echo_sizes(master, &[4 << 20]);
}

fn assert_bounded(master: &Master) {
    let peak = master.process.peak_resident();
    assert!(peak < RESIDENT, "the master took {} MiB at its peak", peak >> 20);
}

/// Waits until the greedy client gets nothing away any more.
fn stuck(sent: &AtomicU64, ended: &AtomicBool) {
    let start = Instant::now();
    let mut last = (sent.load(Ordering::Relaxed), Instant::now());
    while last.1.elapsed() < Duration::from_secs(3) && !ended.load(Ordering::Relaxed) {
        assert!(start.elapsed() < Duration::from_secs(120), "{} bytes sent, and still not stuck", last.0);
        thread::sleep(Duration::from_millis(50));
        let now = sent.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
}
