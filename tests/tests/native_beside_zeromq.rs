//! Native peers and those of ZeroMQ at one master.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::time::Duration;

use bytes::Bytes;
use palm_tests::cluster::START;
use palm_tests::{Master, Side, StockClient, within};
use palm_transport_tcp::{Call, Client, Failure, Request, Status, Worker, WorkerHandle, WorkerReport};

/// A master of the program, with a Unix socket for native peers.
struct Both {
    master: Master,
    address: String,
    directory: std::path::PathBuf,
}

impl Both {
    fn start() -> Self {
        let mark = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let directory = std::env::temp_dir().join(format!("palm-native-{}-{mark}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("master.sock").display().to_string();
        let master = Master::start(Side::Ours, "server", &["--unix", &path]);
        Self { master, address: format!("unix://{path}"), directory }
    }

    fn client(&self) -> Client {
        Client::builder(&self.address).patience(START).connect().unwrap()
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        // Whatever is left of it lies among other temporary files.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

type Working = (WorkerHandle, std::thread::JoinHandle<std::io::Result<WorkerReport>>);

fn native_worker(address: &str) -> Working {
    let worker = Worker::builder(address)
        .function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .function("fail", |_: Call| Err::<Bytes, _>("on purpose"))
        .build()
        .unwrap();
    (worker.handle(), std::thread::spawn(move || worker.run()))
}

/// A function for the workers of both transports.
fn account(call: impl Request) -> Result<String, String> {
    assert!(
        call.remaining().is_none_or(|left| left < START) && !call.is_cancelled() && !call.client().as_ref().is_empty()
    );
    let text = std::str::from_utf8(call.payload().as_ref()).map_err(|error| error.to_string())?;
    Ok(format!("{} of {} bytes: {text}", call.method(), text.len()))
}

fn stop((handle, thread): Working) -> WorkerReport {
    handle.shutdown();
    thread.join().unwrap().unwrap()
}

#[test]
fn python_workers_do_the_tasks_of_native_clients() {
    within(120, || {
        let both = Both::start();
        let _workers = ["one", "two"].map(|name| both.master.worker(Side::Stock, name));
        let client = both.client();
        let inputs: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let results: Result<Vec<Bytes>, Failure> = client.submit_all("echo", inputs.clone()).collect();
        assert!(results.unwrap() == inputs);
    });
}

#[test]
fn native_workers_do_the_messages_of_python_clients() {
    within(120, || {
        let both = Both::start();
        let worker = native_worker(&both.address);
        StockClient::echo_job(&both.master, 500, 100, 50, START);
        assert!(stop(worker).counters.results >= 500);
    });
}

#[test]
fn workers_of_either_kind_share_the_work_of_clients_of_either_kind() {
    within(120, || {
        let both = Both::start();
        let native = native_worker(&both.address);
        let _ours = both.master.worker(Side::Ours, "ours");
        let client = both.client();
        std::thread::scope(|scope| {
            scope.spawn(|| StockClient::echo_job(&both.master, 500, 100, 50, START));
            let results = client.submit_all("echo", (0..5_000).map(|number: u32| number.to_string()));
            let wrong = results
                .enumerate()
                .filter(|(number, result)| !result.as_ref().is_ok_and(|result| *result == number.to_string()));
            assert_eq!(wrong.count(), 0);
        });
        assert!(stop(native).counters.results > 0);
    });
}

#[test]
fn a_function_is_written_once_for_the_workers_of_both_transports() {
    within(120, || {
        let both = Both::start();
        let client = both.client();
        let check = || assert_eq!(client.eval("account", "abc").unwrap(), "account of 3 bytes: abc");

        let native = Worker::builder(&both.address).function("account", account).build().unwrap();
        let native = (native.handle(), std::thread::spawn(move || native.run()));
        check();
        assert_eq!(stop(native).counters.results, 1);

        let worker = palm_transport_zmq::Worker::builder().cache_address(&both.master.addresses.cache);
        let worker = worker.blocking_function("account", account).build().unwrap();
        let handle = worker.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let working = std::thread::spawn(move || runtime.block_on(worker.run()));
        check();
        handle.shutdown();
        assert_eq!(working.join().unwrap().counters.results, 1);
    });
}

#[test]
fn native_clients_are_told_of_failures_and_share_the_cache() {
    within(120, || {
        let both = Both::start();
        let worker = native_worker(&both.address);
        let client = both.client();
        let failure = client.eval("fail", "x").unwrap_err();
        assert_eq!((failure.status, failure.text.as_str()), (Status::Failed, "on purpose"));
        client.cache().set_with("key", "value", Some(Duration::from_secs(600)), Default::default()).unwrap();
        assert_eq!(client.cache().get("name").unwrap().unwrap().value, "server");
        stop(worker);
    });
}
