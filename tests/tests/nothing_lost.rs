//! Nothing is lost: not with workers that are killed, not to a client that is slow, late or away.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::io;
use std::thread;
use std::time::Duration;

use palm_tests::cluster::START;
use palm_tests::payload::{index_of, payload};
use palm_tests::process::Stream;
use palm_tests::raw::{self, message, subscriber};
use palm_tests::zmtp::Peer;
use palm_tests::{Launcher, Master, RawClient, Side, StockClient, Worker, until, within};
use rustix::process::Signal;

/// How often each message's result has come.
struct Tally {
    seen: Vec<u8>,
    distinct: usize,
}

impl Tally {
    fn new(count: usize) -> Self {
        Self { seen: vec![0; count], distinct: 0 }
    }

    /// Notes a result, which has to be the payload of its number.
    fn note(&mut self, result: &[u8], size: usize) {
        let index = index_of(result).expect("a result starts with its number");
        assert!(result == payload(index, size), "the result of message {index} is wrong");
        self.seen[index] += 1;
        assert_eq!(self.seen[index], 1, "the result of message {index} came twice");
        self.distinct += 1;
    }

    fn missing(&self) -> Vec<usize> {
        self.seen.iter().enumerate().filter(|(_, times)| **times == 0).map(|(index, _)| index).take(20).collect()
    }
}

/// Sends the messages `0..count` as fast as the master takes them.
fn send_all(push: &mut Peer, id: &str, call: &str, count: usize, size: usize) -> io::Result<()> {
    push.patience(None)?;
    for index in 0..count {
        push.feed(&[&message(id, call, &payload(index, size))])?;
    }
    push.flush()
}

/// Checks that no result is under way any more: the next one is that of a message sent now.
fn assert_no_more(client: &mut RawClient, call: &str) {
    client.send(call, b"the last").unwrap();
    assert_eq!(String::from_utf8_lossy(&client.recv().unwrap()), "the last");
}

#[test]
fn two_hundred_thousand_messages_survive_killed_workers() {
    const COUNT: usize = 200_000;
    const SIZE: usize = 12;
    within(600, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let call = master.call("echo");
        let mut workers: Vec<Worker> =
            (0..4).map(|number| master.worker(Side::Stock, &format!("worker{number}"))).collect();
        let RawClient { id, mut push, mut sub } = RawClient::connect(&master.addresses, "counting client").unwrap();
        sub.patience(Some(Duration::from_secs(60))).unwrap();
        let (sender_id, sender_call) = (id.clone(), call.clone());
        let sender = thread::spawn(move || send_all(&mut push, &sender_id, &sender_call, COUNT, SIZE).map(|()| push));
        let mut tally = Tally::new(COUNT);
        let mut replaced = 0;
        while tally.distinct < COUNT {
            let result = raw::result(&mut sub, &id)
                .unwrap_or_else(|cause| panic!("{cause}: {} results, missing {:?}", tally.distinct, tally.missing()));
            tally.note(&result, SIZE);
            if tally.distinct.is_multiple_of(20_000) && replaced < 8 {
                // The oldest is killed in the middle of its work. Two in a row now and then; then one is started for each.
                workers.remove(0).process.kill();
                replaced += 1;
                if replaced % 2 == 0 {
                    workers.extend((0..2).map(|twin| master.worker(Side::Stock, &format!("worker{replaced}-{twin}"))));
                }
            }
        }
        let push = sender.join().unwrap().unwrap();
        let mut client = RawClient { id, push, sub };
        assert_no_more(&mut client, &call);
        assert_eq!(replaced, 8);
        // It was for something: those that were killed had messages in hand.
        let log = master.process.printed(Stream::Out);
        assert!(log.iter().any(|line| line.contains("goes to others")), "{log:#?}");
    });
}

#[test]
fn a_hundred_thousand_results_at_full_speed_reach_a_stock_client() {
    within(600, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let _workers = [master.worker(Side::Ours, "worker1"), master.worker(Side::Stock, "worker2")];
        StockClient::echo_job(&master, 100_000, 10, 0, Duration::from_secs(400));
    });
}

#[test]
fn results_wait_for_a_client_that_subscribes_late() {
    const COUNT: usize = 2000;
    within(180, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let call = master.call("echo");
        let worker = master.worker(Side::Stock, "worker1");
        let mut push = Peer::pusher(&master.addresses.pull).unwrap();
        send_all(&mut push, "late client", &call, COUNT, 100).unwrap();
        // Every result is there before anyone is subscribed; and two more seconds pass.
        until_done(&worker, COUNT);
        thread::sleep(Duration::from_secs(2));
        let mut sub = subscriber(&master.addresses, "late client").unwrap();
        let mut tally = Tally::new(COUNT);
        for _ in 0..COUNT {
            tally.note(&raw::result(&mut sub, "late client").unwrap(), 100);
        }
        assert_no_more(&mut RawClient { id: "late client".to_owned(), push, sub }, &call);
    });
}

#[test]
fn results_wait_for_a_client_that_is_away() {
    const COUNT: usize = 1000;
    within(180, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let call = master.call("echo");
        let worker = master.worker(Side::Stock, "worker1");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.send(&call, b"first").unwrap();
        assert_eq!(client.recv().unwrap(), b"first");
        // It has everything, and goes.
        let RawClient { id, mut push, sub } = client;
        drop(sub);
        send_all(&mut push, &id, &call, COUNT, 100).unwrap();
        until_done(&worker, COUNT + 1);
        let sub = subscriber(&master.addresses, &id).unwrap();
        let mut client = RawClient { id, push, sub };
        let mut tally = Tally::new(COUNT);
        for _ in 0..COUNT {
            tally.note(&client.recv().unwrap(), 100);
        }
        assert_no_more(&mut client, &call);
    });
}

#[test]
fn a_slow_reader_loses_nothing() {
    // More than the buffers of a TCP connection hold, so that most of it waits in the master.
    const COUNT: usize = 2000;
    const SIZE: usize = 64 << 10;
    within(240, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let call = master.call("echo");
        let worker = master.worker(Side::Stock, "worker1");
        let mut client = RawClient::connect(&master.addresses, "slow client").unwrap();
        send_all(&mut client.push, "slow client", &call, COUNT, SIZE).unwrap();
        until_done(&worker, COUNT);
        let mut tally = Tally::new(COUNT);
        for _ in 0..COUNT {
            tally.note(&client.recv().unwrap(), SIZE);
        }
        assert_no_more(&mut client, &call);
    });
}

#[test]
fn a_client_that_pauses_loses_nothing() {
    // Its library stops reading at its high-water mark, and does not even see a PING then.
    within(240, || {
        let master = Master::start(Side::Ours, "server", &["--heartbeat", "1s"]);
        let _workers = ["worker1", "worker2"].map(|name| master.worker(Side::Stock, name));
        let flags = ["--function", "echo", "--pause", "15"];
        StockClient::job(&master, 4000, 16 << 10, Duration::from_secs(120), &flags);
    });
}

#[test]
fn a_client_that_is_held_back_loses_nothing() {
    // The master does not read from it for many times its heartbeat: that is not the client's silence.
    within(240, || {
        let master = Master::start(Side::Ours, "server", &["--heartbeat", "1s", "--queue", "50"]);
        let _worker = master.worker(Side::Stock, "worker1");
        let flags = ["--function", "slow", "--prefix", "20:"];
        StockClient::job(&master, 1000, 100 << 10, Duration::from_secs(120), &flags);
        let closed = master.logged("WARNING");
        assert!(closed.is_empty(), "{closed:#?}");
    });
}

#[test]
fn results_that_nobody_wants_are_dropped_in_time_and_it_is_said() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &["--keep", "1s"]);
        let call = master.call("echo");
        let worker = master.worker(Side::Stock, "worker1");
        let mut push = Peer::pusher(&master.addresses.pull).unwrap();
        send_all(&mut push, "nobody", &call, 10, 10).unwrap();
        until_done(&worker, 10);
        until("a word about dropped results", START, || {
            master.logged("WARNING").iter().any(|line| line.contains("nobody")).then_some(())
        });
        let sub = subscriber(&master.addresses, "nobody").unwrap();
        assert_no_more(&mut RawClient { id: "nobody".to_owned(), push, sub }, &call);
    });
}

#[test]
fn a_worker_of_ours_that_is_told_to_stop_hands_back_what_it_has() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let flags = ["--exec", "slow=sh -c 'sleep 0.02; cat'"];
        let mut first = Worker::start(Side::Ours, "worker1", &master.addresses.cache, &flags);
        let launcher_flags = ["--ordered", "--repeat", "200", "--window", "200", "--message", "kept"];
        let mut launcher = Launcher::start(Side::Ours, &master, "slow", &launcher_flags);
        // Ordered results are printed as they come: it is in the middle of its work.
        launcher.process.line("kept", START);
        first.process.signal(Signal::TERM);
        assert!(first.process.exit(START).success());
        let _second = Worker::start(Side::Ours, "worker2", &master.addresses.cache, &flags);
        assert!(launcher.process.exit(START).success());
        assert_eq!(launcher.process.printed(Stream::Out), ["kept"; 200]);
    });
}

/// Waits until a stock worker says that it has done so many.
fn until_done(worker: &Worker, count: usize) {
    until("the worker's work", Duration::from_secs(120), || {
        worker.process.signal(Signal::USR1);
        let counts = worker.process.events("count");
        let done = counts.last().and_then(|event| event["done"].as_u64());
        (done == Some(count as u64)).then_some(())
    });
}
