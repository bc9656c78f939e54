//! Workers that hang, fall silent or are killed by a message.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::time::Duration;

use palm_tests::cluster::START;
use palm_tests::process::Stream;
use palm_tests::{Launcher, Master, RawClient, Side, StockClient, Worker, until, within};
use rustix::process::Signal;

/// The messages `0..count` for `slow`, each of so many milliseconds.
fn slow(count: u32, millis: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |number| format!("{millis}:{number}").into_bytes())
}

/// Reads so many results and checks that they are those of [`slow`], each once.
fn assert_slow_results(client: &mut RawClient, count: u32, millis: u32) {
    let mut results: Vec<_> = (0..count).map(|_| client.recv().unwrap()).collect();
    let mut expected: Vec<_> = slow(count, millis).collect();
    results.sort();
    expected.sort();
    assert_eq!(results, expected);
}

#[test]
fn a_worker_that_hangs_loses_its_lease() {
    within(180, || {
        // Its connection stays alive: only the lease tells.
        let master = Master::start(Side::Ours, "server", &["--lease", "2s"]);
        let hung = master.worker(Side::Stock, "hung");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.sub.patience(Some(Duration::from_secs(60))).unwrap();
        client.send(&master.call("stall"), b"x").unwrap();
        hung.process.event("stalled", START);
        for payload in slow(40, 20) {
            client.send(&master.call("slow"), &payload).unwrap();
        }
        let _well = master.worker(Side::Stock, "well");
        let _spare = master.worker(Side::Stock, "spare");
        // The message that hangs hangs every worker it comes to: three, and then it is given up. The others are not held up
        // by that for ever, and the results of all come.
        let _last = master.worker(Side::Stock, "last");
        let mut results: Vec<_> = (0..41).map(|_| client.recv().unwrap()).collect();
        results.sort();
        let mut expected: Vec<_> = slow(40, 20).chain([b"0".to_vec()]).collect();
        expected.sort();
        assert_eq!(results, expected);
    });
}

#[test]
fn a_stopped_worker_loses_its_lease_and_its_late_results_are_dropped() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &["--lease", "3s", "--heartbeat", "60s"]);
        let stopped = master.worker(Side::Stock, "stopped");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.sub.patience(Some(Duration::from_secs(60))).unwrap();
        for payload in slow(30, 100) {
            client.send(&master.call("slow"), &payload).unwrap();
        }
        // In the middle of its work.
        let first = client.recv().unwrap();
        stopped.process.signal(Signal::STOP);
        let _well = master.worker(Side::Stock, "well");
        let mut results = vec![first];
        results.extend((1..30).map(|_| client.recv().unwrap()));
        results.sort();
        let mut expected: Vec<_> = slow(30, 100).collect();
        expected.sort();
        assert_eq!(results, expected);
        // It goes on, and answers what others have answered meanwhile: that reaches nobody.
        stopped.process.signal(Signal::CONT);
        for payload in slow(30, 100) {
            client.send(&master.call("slow"), &payload).unwrap();
        }
        assert_slow_results(&mut client, 30, 100);
    });
}

#[test]
fn a_silent_worker_is_given_up_without_a_lease() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &["--heartbeat", "1s"]);
        let silent = master.worker(Side::Stock, "silent");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.sub.patience(Some(Duration::from_secs(60))).unwrap();
        for payload in slow(30, 50) {
            client.send(&master.call("slow"), &payload).unwrap();
        }
        let first = client.recv().unwrap();
        silent.process.signal(Signal::STOP);
        let _well = master.worker(Side::Stock, "well");
        let mut results = vec![first];
        results.extend((1..30).map(|_| client.recv().unwrap()));
        results.sort();
        let mut expected: Vec<_> = slow(30, 50).collect();
        expected.sort();
        assert_eq!(results, expected);
    });
}

#[test]
fn a_busy_worker_is_not_taken_for_a_silent_one() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &["--heartbeat", "1s"]);
        let worker = master.worker(Side::Stock, "busy");
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.sub.patience(Some(Duration::from_secs(60))).unwrap();
        client.send(&master.call("slow"), b"8000:long").unwrap();
        let _idle = master.worker(Side::Stock, "idle");
        assert_eq!(client.recv().unwrap(), b"8000:long");
        // Once, and by the first: nobody else was given it.
        worker.process.signal(Signal::USR1);
        assert_eq!(worker.process.event("count", START)["done"], 1);
        client.send(&master.call("echo"), b"the last").unwrap();
        assert_eq!(client.recv().unwrap(), b"the last");
    });
}

#[test]
fn a_message_that_kills_workers_is_given_up() {
    within(240, || {
        let mut master = Master::start(Side::Ours, "server", &[]);
        let mut workers: Vec<_> = (0..4).map(|number| master.worker(Side::Stock, &format!("worker{number}"))).collect();
        // Ours is told what happened; the message has taken three with it.
        let flags = ["--repeat", "1", "--message", "deadly", "--output", "json"];
        let mut launcher = Launcher::start(Side::Ours, &master, "die", &flags);
        assert_eq!(launcher.process.exit(START).code(), Some(1));
        let printed = launcher.process.printed(Stream::Out).join("\n");
        let outcome: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(outcome["status"], "dead letter", "{printed}");
        assert!(outcome["error"].as_str().is_some_and(|text| !text.is_empty()), "{printed}");
        let alive = until("three deaths", START, || {
            let alive = workers.iter_mut().filter_map(|worker| worker.process.is_running().then_some(())).count();
            (alive == 1).then_some(alive)
        });
        assert_eq!(alive, 1);
        let logged = [master.logged("WARNING"), master.logged("ERROR")].concat();
        assert!(logged.iter().any(|line| line.to_lowercase().contains("dead letter")), "{logged:#?}");
        // A stock client gets what it gets for a failure.
        workers.extend((0..3).map(|number| master.worker(Side::Stock, &format!("spare{number}"))));
        assert_eq!(StockClient::eval(&master, "die", &[b"deadly"], 1), [[b"0"]]);
        assert_eq!(StockClient::eval(&master, "die", &[b"live"], 1), [[b"live"]]);
        assert!(master.process.is_running());
    });
}

#[test]
fn a_deadly_message_takes_no_other_with_it() {
    const COUNT: usize = 300;
    within(240, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let _workers: Vec<_> = (0..5).map(|number| master.worker(Side::Stock, &format!("worker{number}"))).collect();
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        client.sub.patience(Some(Duration::from_secs(60))).unwrap();
        let live = |number: usize| format!("live {number}").into_bytes();
        for number in 0..COUNT {
            if number == COUNT / 2 {
                client.send(&master.call("die"), b"deadly").unwrap();
            }
            client.send(&master.call("die"), &live(number)).unwrap();
        }
        let mut results: Vec<_> = (0..=COUNT).map(|_| client.recv().unwrap()).collect();
        results.sort();
        let mut expected: Vec<_> = (0..COUNT).map(live).chain([b"0".to_vec()]).collect();
        expected.sort();
        assert_eq!(results, expected);
    });
}

#[test]
fn the_number_of_attempts_can_be_chosen() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &["--attempts", "1"]);
        let mut workers = ["worker0", "worker1"].map(|name| master.worker(Side::Stock, name));
        assert_eq!(StockClient::eval(&master, "die", &[b"deadly"], 1), [[b"0"]]);
        let alive = workers.iter_mut().filter_map(|worker| worker.process.is_running().then_some(())).count();
        assert_eq!(alive, 1);
    });
}

#[test]
fn a_slow_worker_hoards_nothing() {
    within(180, || {
        let master = Master::start(Side::Ours, "server", &[]);
        let call = master.call("slow");
        // The slow one is first, alone with the whole queue for a while.
        let flags = ["--exec", "slow=sh -c 'sleep 2; cat'"];
        let slow_worker = Worker::start(Side::Ours, "slow", &master.addresses.cache, &flags);
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        for payload in slow(400, 1) {
            client.send(&call, &payload).unwrap();
        }
        let quick = master.worker(Side::Stock, "quick");
        assert_slow_results(&mut client, 400, 1);
        quick.process.signal(Signal::USR1);
        let done = quick.process.event("count", START)["done"].as_u64().unwrap();
        assert!(done >= 390, "the quick worker had {done} of 400");
        drop(slow_worker);
    });
}
