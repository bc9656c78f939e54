//! A master's memory has a bound, whatever a client does, and others are served meanwhile.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use palm_tests::raw::{message, subscriber};
use palm_tests::zmtp::Peer;
use palm_tests::{Master, RawClient, Side, StockClient, within};

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
        let mut other = RawClient::connect(&master.addresses, "other").unwrap();
        for number in 0..500_u32 {
            other.send(&master.call("echo"), &number.to_be_bytes()).unwrap();
            assert_eq!(other.recv().unwrap(), number.to_be_bytes());
        }
        StockClient::echo_job(&master, 300, 1 << 10, 20, Duration::from_secs(60));
        StockClient::echo_sizes(&master, &[4 << 20]);
        assert!(master.process.is_running());
        let (peak, taken) = (master.process.peak_resident(), sent.load(Ordering::Relaxed));
        assert!(peak < RESIDENT, "the master took {} MiB at its peak, for {taken} bytes sent", peak >> 20);
        // The connection's end lets the sender go.
        let _gone = stream.shutdown(std::net::Shutdown::Both);
        greedy.join().unwrap();
        drop(deaf);
    });
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
