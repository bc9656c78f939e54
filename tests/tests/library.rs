//! The library's worker and client, as a user's program has them, with stock peers on the other side.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::time::Duration;

use bytes::Bytes;
use palm_tests::cluster::START;
use palm_tests::payload::payload;
use palm_tests::{Master, Side, StockClient, within};
use palm_transport_zmq::{Call, Client, JobOptions, Status, Worker, WorkerHandle, from_iter};
use tokio::runtime::Runtime;

use Side::{Ours, Stock};

/// Runs a worker of the library in the background, with a function of each kind.
fn work(runtime: &Runtime, master: &Master) -> WorkerHandle {
    let worker = Worker::builder()
        .name("library worker")
        .cache_address(&master.addresses.cache)
        .concurrency(4)
        .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .blocking_function("upper", |call: Call| {
            let text = std::str::from_utf8(call.payload()).map_err(|error| error.to_string())?;
            Ok::<_, String>(text.to_uppercase())
        })
        .function("recall", async |call: Call| {
            let key = String::from_utf8_lossy(call.payload()).into_owned();
            call.cache().get(&key).await
        })
        .function("remember", async |call: Call| {
            call.cache().set("remembered", call.payload()).await.map(|key| Bytes::from(key.into_bytes()))
        })
        .function("userdata", async |call: Call| Ok::<_, String>(call.user_data().to_owned()))
        .function("panic", async |call: Call| match call.payload().len() {
            0 => panic!("asked to panic"),
            _ => Ok::<_, String>(Bytes::new()),
        })
        .build()
        .unwrap();
    let handle = worker.handle();
    runtime.spawn(worker.run());
    handle
}

#[test]
fn a_worker_of_the_library_serves_stock_clients() {
    within(240, || {
        for side in [Stock, Ours] {
            let master = Master::start(side, "server", &[]);
            let runtime = Runtime::new().unwrap();
            let handle = work(&runtime, &master);
            StockClient::echo_sizes(&master, &[0, 10, 1 << 10, 4 << 20]);
            StockClient::echo_job(&master, 2000, 10, 100, START);
            let texts: [&[u8]; 2] = [b"loud", b"\xff"];
            assert_eq!(StockClient::eval(&master, "upper", &texts, 1), [[&b"LOUD"[..]], [b"0"]]);
            assert_eq!(StockClient::eval(&master, "panic", &[b"", b"x"], 1), [[&b"0"[..]], [b""]]);
            StockClient::cache(&master, None, &["set=key=6869"]);
            assert_eq!(StockClient::eval(&master, "recall", &[b"key"], 1), [[b"hi"]]);
            assert_eq!(StockClient::eval(&master, "remember", &[b"this"], 1), [[b"remembered"]]);
            assert_eq!(StockClient::cache(&master, None, &["get=remembered"]), ["74686973"]);
            handle.shutdown();
        }
    });
}

#[test]
fn a_client_of_the_library_is_served_by_stock_workers() {
    within(240, || {
        for side in [Stock, Ours] {
            let master = Master::start(side, "server", &[]);
            let _worker = master.worker(Stock, "worker1");
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let client = Client::builder("server", &master.addresses.cache).connect().await.unwrap();
                for (index, size) in [0, 10, 1 << 10, 4 << 20].into_iter().enumerate() {
                    assert!(client.eval("echo", payload(index, size)).await.unwrap() == payload(index, size));
                }
                // In order, whatever order they come in.
                let options = JobOptions { ordered: true, ..JobOptions::default() };
                let mut job = client.job("server.echo", from_iter((0..3000).map(|index| payload(index, 20))), &options);
                for index in 0..3000 {
                    let outcome = job.next().await.unwrap();
                    assert_eq!((outcome.sequence, outcome.retries), (index, 0));
                    assert!(outcome.result.unwrap() == payload(usize::try_from(index).unwrap(), 20));
                }
                assert!(job.next().await.is_none());
                // What a Python worker says of a failure is all there is to know.
                assert_eq!(client.eval("fail", "x").await.unwrap(), "0");
                // A limit of time, and then the next message is not disturbed by what comes late.
                let options = JobOptions { timeout: Some(Duration::from_millis(300)), ..JobOptions::default() };
                let late = client.eval_with("slow", "1500:x", &options).await.unwrap_err();
                assert_eq!(late.status, Status::DeadlineExceeded);
                assert_eq!(client.eval("echo", "after").await.unwrap(), "after");
                assert_eq!(client.set("key", b"value").await.unwrap(), "key");
                assert_eq!(client.eval("recall", "key").await.unwrap(), "value");
                assert_eq!(client.delete("key").await.unwrap(), "key");
                assert_eq!(client.get("key").await.unwrap(), "");
                let options = JobOptions { cache: "user data".to_owned(), ..JobOptions::default() };
                assert_eq!(client.eval_with("userdata", "", &options).await.unwrap(), "user data");
            });
        }
    });
}

#[test]
fn many_jobs_share_one_client() {
    within(120, || {
        let master = Master::start(Ours, "server", &[]);
        let _workers = [master.worker(Stock, "worker1"), master.worker(Ours, "worker2")];
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::builder("server", &master.addresses.cache).connect().await.unwrap();
            let jobs: Vec<_> = (0..8)
                .map(|number| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let inputs = from_iter((0..500).map(move |index| payload(number * 1000 + index, 16)));
                        let mut job =
                            client.job("echo", inputs, &JobOptions { ordered: true, ..JobOptions::default() });
                        for index in 0..500 {
                            let result = job.next().await.unwrap().result.unwrap();
                            assert!(result == payload(number * 1000 + index, 16));
                        }
                        assert!(job.next().await.is_none());
                    })
                })
                .collect();
            for job in jobs {
                job.await.unwrap();
            }
        });
    });
}

#[test]
fn a_failure_in_the_library_has_its_status_and_text() {
    within(120, || {
        let master = Master::start(Ours, "server", &[]);
        let worker_runtime = Runtime::new().unwrap();
        let _handle = work(&worker_runtime, &master);
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::builder("server", &master.addresses.cache).connect().await.unwrap();
            let failure = client.eval("upper", vec![0xff]).await.unwrap_err();
            assert_eq!(failure.status, Status::Failed);
            assert!(failure.text.contains("utf-8"), "{failure:?}");
            let failure = client.eval("panic", "").await.unwrap_err();
            assert!(failure.status == Status::Failed && failure.text.contains("asked to panic"), "{failure:?}");
            let failure = client.eval("no_such_function", "").await.unwrap_err();
            assert_eq!(failure.status, Status::NoSuchFunction);
        });
    });
}

#[test]
fn a_message_that_is_too_long_fails_alone() {
    within(120, || {
        let master = Master::start(Ours, "server", &["--max-message", "1KiB"]);
        let _worker = master.worker(Stock, "worker");
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::builder("server", &master.addresses.cache).connect().await.unwrap();
            let sizes = [10, 2_000, 20, 1_000_000, 30];
            let inputs = from_iter(sizes.map(|size| payload(1, size)));
            let mut job = client.job("echo", inputs, &JobOptions { ordered: true, ..JobOptions::default() });
            for size in sizes {
                match job.next().await.unwrap().result {
                    Ok(result) => assert!(size < 1_000 && result == payload(1, size)),
                    Err(failure) => assert!(size > 1_000 && failure.status == Status::TooLong, "{failure}"),
                }
            }
            assert!(job.next().await.is_none());
        });
    });
}
