//! The example's worker and master among others: a real Python client and worker, our programs, and a native client.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::process::Command;
use std::time::Duration;

use palm_proto::Status;
use palm_tests::cluster::START;
use palm_tests::payload::payload;
use palm_tests::process::Stream;
use palm_tests::{Launcher, Master, NativeClient, Process, RawClient, Side, StockClient, Worker, raw, until, within};

use Side::{Ours, Stock};

const SIZES: [usize; 4] = [0, 10, 1 << 10, 4 << 20];
const TCP: [&str; 2] = ["--tcp", "127.0.0.1:0"];

/// The example's worker, connected to a native address.
fn example_worker(address: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg(address.strip_prefix("tcp://").unwrap());
    let worker = Process::start("the example's worker", command);
    worker.line("connected to server", START);
    worker
}

/// Payloads of all sizes, there and back, to a native client.
fn native_echo(address: &str, session: u8) {
    let mut client = NativeClient::connect(address, session, START);
    for (index, size) in SIZES.into_iter().enumerate() {
        let (partial, last) = client.eval("server.echo", &payload(index, size));
        assert!(partial.is_empty() && last == Ok(payload(index, size)), "{size} bytes came back otherwise");
    }
}

#[test]
fn the_worker_does_the_work_of_python_clients_and_of_ours() {
    within(240, || {
        let master = Master::start(Ours, "server", &TCP);
        let _worker = example_worker(&master.native_address());
        StockClient::echo_sizes(&master, &SIZES);
        StockClient::echo_job(&master, 1000, 10, 100, START);
        assert_eq!(StockClient::eval(&master, "upper", &[b"loud"], 1), [[b"LOUD"]]);
        assert_eq!(StockClient::eval(&master, "no_such_function", &[b"x"], 1), [[b"0"]]);
        let mut launcher = Launcher::start(Ours, &master, "upper", &["--message", "loud", "--repeat", "2"]);
        assert!(launcher.process.exit(START).success());
        assert_eq!(launcher.process.printed(Stream::Out), ["LOUD", "LOUD"]);
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        for (index, size) in SIZES.into_iter().enumerate() {
            client.send("server.echo", &payload(index, size)).unwrap();
            assert!(client.recv().unwrap() == payload(index, size), "{size} bytes came back otherwise");
        }
        native_echo(&master.native_address(), 1);
    });
}

#[test]
fn python_workers_do_the_work_of_a_native_client() {
    within(240, || {
        let master = Master::start(Ours, "server", &TCP);
        let _worker = master.worker(Stock, "worker1");
        let address = master.native_address();
        native_echo(&address, 1);
        let mut client = NativeClient::connect(&address, 2, START);
        assert_eq!(client.eval("server.whoami", b""), (vec![], Ok(b"worker1".to_vec())));
        // What a Python worker says of a failure is all there is to know.
        assert_eq!(client.eval("server.fail", b""), (vec![], Ok(b"0".to_vec())));
    });
}

#[test]
fn all_results_of_a_mux_worker_reach_a_native_client() {
    within(120, || {
        let master = Master::start(Ours, "server", &TCP);
        let _worker = Worker::start(Stock, "mux", &master.addresses.cache, &["--mux"]);
        let mut client = NativeClient::connect(&master.native_address(), 1, START);
        let (partial, last) = client.eval("server.split", b"one two three");
        assert_eq!((partial, last), (vec![], Ok(b"one".to_vec())));
    });
}

#[test]
fn a_native_client_learns_of_which_kind_a_failure_is() {
    within(120, || {
        let master = Master::start(Ours, "server", &TCP);
        let _worker = example_worker(&master.native_address());
        let mut client = NativeClient::connect(&master.native_address(), 1, START);
        let (_, last) = client.eval("server.nothing", b"");
        assert_eq!(last, Err((Status::NoSuchFunction, "no function \"server.nothing\"".to_owned())));
    });
}

#[test]
fn the_worker_goes_on_with_its_task_when_its_master_comes_again() {
    within(120, || {
        let mut master = Master::start(Ours, "server", &TCP);
        let address = master.native_address();
        let worker = example_worker(&address);
        master.process.kill();
        worker.line("not connected", START);
        let flags = ["--tcp", address.strip_prefix("tcp://").unwrap()];
        let master = Master::start_at(Ours, "server", master.addresses.clone(), &flags);
        assert_eq!(StockClient::eval(&master, "upper", &[b"again"], 1), [[b"AGAIN"]]);
    });
}

#[test]
fn the_master_serves_python_peers_and_native_ones() {
    within(240, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_master"));
        command.arg("0");
        let process = Process::start("the example's master", command);
        let address = |service: &str| {
            let line = process.line(&format!("{service} is at "), START).text;
            line.rsplit(' ').next().unwrap().to_owned()
        };
        let addresses = palm_tests::Addresses {
            pull: address("pull"),
            publish: address("pub"),
            worker_push: address("worker push"),
            worker_pull: address("worker pull"),
            cache: address("cache"),
        };
        let native = address("native");
        until("the master's cache", START, || {
            raw::cache(&addresses.cache, "get", "name", b"", Duration::from_secs(5))
                .ok()
                .filter(|name| name == b"server")
        });
        let master = Master { side: Ours, name: "server".to_owned(), addresses, process };
        {
            let _python = master.worker(Stock, "worker1");
            native_echo(&native, 1);
            StockClient::echo_sizes(&master, &SIZES);
            StockClient::echo_job(&master, 1000, 10, 100, START);
        }
        let _worker = example_worker(&native);
        native_echo(&native, 2);
        StockClient::echo_sizes(&master, &SIZES);
    });
}
