//! The stock peer against itself: what the other tests take for granted of it, and that the harness sees it right.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::time::Duration;

use palm_proto::message::{MessageRef, TaskId};
use palm_tests::cluster::START;
use palm_tests::cluster::ten_results;
use palm_tests::process::Stream;
use palm_tests::raw::{self, subscriber, written};
use palm_tests::zmtp::Peer;
use palm_tests::{Master, Process, RawClient, Side, StockClient, Worker, python, within};

const SIZES: [usize; 4] = [0, 10, 1 << 10, 4 << 20];

#[test]
fn the_example_application_runs() {
    within(180, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let _worker = master.worker(Side::Stock, "worker1");
        ten_results(Side::Stock, &master, "worker1");
        let log = master.process.printed(Stream::Out);
        for text in ["Starting the router", "Inbound Pull connects to WorkerPush", "Outbound Pub connects to exterior"]
        {
            assert!(log.iter().any(|line| line.ends_with(text)), "no {text:?} in {log:#?}");
        }
    });
}

#[test]
fn payloads_of_every_size_come_back() {
    within(180, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let _worker = master.worker(Side::Stock, "worker1");
        StockClient::echo_sizes(&master, &SIZES);
        StockClient::echo_job(&master, 500, 10, 20, START);
    });
}

#[test]
fn a_hand_made_client_is_served() {
    within(180, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let _worker = master.worker(Side::Stock, "worker1");
        let mut client = RawClient::connect(&master.addresses, "a client").unwrap();
        // A stock master forgets a result that nobody is subscribed to; its answer shows that it knows of this one.
        let answer = palm_tests::until("a first result", START, || {
            client.send(&master.call("echo"), b"warm up").unwrap();
            client.sub.patience(Some(Duration::from_secs(1))).unwrap();
            client.recv().ok()
        });
        assert_eq!(answer, b"warm up");
    });
}

#[test]
fn fields_that_a_stock_worker_does_not_know_come_back() {
    within(180, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let _worker = master.worker(Side::Stock, "worker1");
        let mut sub = subscriber(&master.addresses, "tagged").unwrap();
        let mut push = Peer::pusher(&master.addresses.pull).unwrap();
        let message = written(|writer| {
            writer.client("tagged").function("server.echo").payload(b"p").sequence(7).task(TaskId(u64::MAX - 1));
        });
        sub.patience(Some(Duration::from_secs(1))).unwrap();
        let parts = palm_tests::until("the result", START, || {
            push.send(&[&message]).unwrap();
            sub.recv().ok()
        });
        let result = MessageRef::parse(&parts[1]).unwrap();
        assert_eq!((result.payload, result.client), (&b"p"[..], "tagged"));
        assert_eq!((result.extension.sequence, result.extension.task), (Some(7), Some(TaskId(u64::MAX - 1))));
        // The master puts a UUID into an empty cache field.
        assert_eq!(result.cache.len(), 36);
    });
}

#[test]
fn a_stock_cache_answers_as_the_specification_says() {
    within(180, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let commands =
            ["set=a key=0001ff", "get=a key", "get=absent", "delete=a key", "get=a key", "get=palm_extensions"];
        let replies = StockClient::cache(&master, None, &commands);
        assert_eq!(replies, ["a key", "0001ff", "", "a key", "", ""]);
        let replies = StockClient::cache(&master, Some("session"), &["set=key=00", "get=sessionkey", "get=key"]);
        assert_eq!(replies, ["sessionkey", "00", ""]);
        let named = StockClient::cache(&master, None, &["set==aa"]);
        assert_eq!(named[0].len(), 36);
        for (key, address) in [
            ("pull_address", &master.addresses.pull),
            ("pub_address", &master.addresses.publish),
            ("worker_push_address", &master.addresses.worker_push),
            ("worker_pull_address", &master.addresses.worker_pull),
            ("db_address", &master.addresses.cache),
        ] {
            let reply = raw::cache(&master.addresses.cache, "get", key, b"", START).unwrap();
            assert_eq!(String::from_utf8_lossy(&reply), *address);
        }
    });
}

#[test]
fn a_failed_function_answers_zero_and_a_mux_worker_several() {
    within(180, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let worker = master.worker(Side::Stock, "worker1");
        assert_eq!(StockClient::eval(&master, "fail", &[b"x"], 1), [[b"0"]]);
        assert_eq!(StockClient::eval(&master, "no_such_function", &[b"x"], 1), [[b"0"]]);
        assert_eq!(StockClient::eval(&master, "remember", &[b"this"], 1), [[b"remembered=this"]]);
        drop(worker);
        let _mux = Worker::start(Side::Stock, "mux", &master.addresses.cache, &["--mux"]);
        assert_eq!(StockClient::eval(&master, "split", &[b"a b c"], 3), [[b"a", b"b", b"c"]]);
    });
}

#[test]
fn nothing_is_left_behind() {
    within(120, || {
        let mut command = python::program("worker.py");
        command.args(["--name", "lonely", "--db", "tcp://127.0.0.1:9"]);
        let process = Process::start("lonely worker", command);
        let id = process.id();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{id}/status")).exists());
    });
}
