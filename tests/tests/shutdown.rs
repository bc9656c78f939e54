//! A master that is told to stop, and one that comes back.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::time::Duration;

use palm_tests::cluster::START;
use palm_tests::process::Stream;
use palm_tests::{Launcher, Master, RawClient, Side, StockClient, until, within};
use rustix::process::Signal;

#[test]
fn an_idle_master_stops_at_once_and_well() {
    within(120, || {
        for signal in [Signal::TERM, Signal::INT] {
            let mut master = Master::start(Side::Ours, "server", &["--grace", "50s"]);
            let _worker = master.worker(Side::Stock, "worker1");
            StockClient::echo_job(&master, 50, 10, 10, START);
            master.process.signal(signal);
            assert_eq!(master.process.exit(Duration::from_secs(20)).code(), Some(0));
        }
    });
}

#[test]
fn what_is_out_is_finished_and_flushed() {
    within(120, || {
        let mut master = Master::start(Side::Ours, "server", &["--grace", "30s"]);
        let worker = master.worker(Side::Stock, "worker1");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.send(&master.call("slow"), b"1500:in hand").unwrap();
        // It has it: a worker of one message at a time, and nothing else to do.
        until("the message's way to the worker", START, || {
            worker.process.signal(Signal::USR1);
            (!worker.process.events("count").is_empty()).then_some(())
        });
        std::thread::sleep(Duration::from_millis(300));
        master.process.signal(Signal::TERM);
        assert_eq!(client.recv().unwrap(), b"1500:in hand");
        assert_eq!(master.process.exit(START).code(), Some(0));
    });
}

#[test]
fn what_is_left_is_said() {
    within(120, || {
        let mut master = Master::start(Side::Ours, "server", &["--grace", "1s"]);
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        for number in 0..7_u32 {
            client.send(&master.call("echo"), &number.to_be_bytes()).unwrap();
        }
        // No worker: they are in the queue, as a reply to a later message on another socket shows.
        std::thread::sleep(Duration::from_millis(500));
        master.process.signal(Signal::TERM);
        assert_eq!(master.process.exit(START).code(), Some(1));
        let log = master.process.printed(Stream::Out);
        assert!(log.iter().any(|line| line.contains('7') && line.contains("left")), "{log:#?}");
    });
}

#[test]
fn a_second_signal_does_not_wait() {
    within(120, || {
        let mut master = Master::start(Side::Ours, "server", &["--grace", "100s"]);
        let worker = master.worker(Side::Stock, "worker1");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.send(&master.call("stall"), b"").unwrap();
        worker.process.event("stalled", START);
        let before = master.process.printed(Stream::Out).len();
        master.process.signal(Signal::TERM);
        until("a word about the signal", START, || (master.process.printed(Stream::Out).len() > before).then_some(()));
        assert!(master.process.is_running());
        master.process.signal(Signal::TERM);
        assert_eq!(master.process.exit(Duration::from_secs(20)).code(), Some(1));
    });
}

#[test]
fn a_job_of_ours_survives_the_masters_restart() {
    within(240, || {
        for worker in [Side::Ours, Side::Stock] {
            let master = Master::start(Side::Ours, "server", &[]);
            let addresses = master.addresses.clone();
            let flags: &[&str] = if worker == Side::Ours { &["--exec", "slow=sh -c 'sleep 0.02; cat'"] } else { &[] };
            let _worker = palm_tests::Worker::start(worker, "worker1", &addresses.cache, flags);
            let launch = ["--repeat", "150", "--message", "20:again", "--retries", "3", "--timeout", "30s"];
            let mut launcher = Launcher::start(Side::Ours, &master, "slow", &launch);
            launcher.process.line("20:again", START);
            let Master { mut process, .. } = master;
            process.kill();
            let _master = Master::start_at(Side::Ours, "server", addresses, &[]);
            assert!(launcher.process.exit(Duration::from_secs(90)).success());
            assert_eq!(launcher.process.printed(Stream::Out), ["20:again"; 150]);
        }
    });
}

#[test]
fn stock_peers_find_a_restarted_master_again() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let addresses = master.addresses.clone();
        let _worker = master.worker(Side::Stock, "worker1");
        StockClient::echo_job(&master, 50, 10, 10, START);
        let Master { mut process, .. } = master;
        process.signal(Signal::TERM);
        assert_eq!(process.exit(START).code(), Some(0));
        let again = Master::start_at(Side::Ours, "server", addresses, &[]);
        StockClient::echo_job(&again, 50, 10, 10, START);
    });
}
