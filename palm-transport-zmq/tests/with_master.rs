//! Our three components together, while some of them come and go.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use palm_transport_zmq::{
    Call, Client, JobOptions, Master, MasterConfig, Status, Worker, WorkerHandle, WorkerReport, from_iter,
};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

fn start_worker(cache: &str) -> (WorkerHandle, JoinHandle<WorkerReport>) {
    let worker = Worker::builder()
        .cache_address(cache)
        .concurrency(2)
        .function("echo", async |call: Call| Ok::<_, String>(call.into_payload()))
        .build()
        .unwrap();
    (worker.handle(), tokio::spawn(worker.run()))
}

#[tokio::test]
async fn workers_that_stop_and_start_in_a_job_lose_nothing() {
    let master = Master::bind(MasterConfig::on_free_ports("server")).await.unwrap();
    let (cache, handle) = (master.addresses().cache.clone(), master.handle());
    let running = tokio::spawn(master.run());
    let mut workers = vec![start_worker(&cache), start_worker(&cache)];
    let client = timeout(LIMIT, Client::builder("server", &cache).connect()).await.unwrap().unwrap();
    let inputs = (0..20_000_u32).map(|number| Bytes::copy_from_slice(&number.to_le_bytes()));
    let mut job = client.job("echo", from_iter(inputs), &JobOptions { ordered: true, ..JobOptions::default() });
    let mut next = 0;
    while let Some(outcome) = timeout(LIMIT, job.next()).await.unwrap() {
        assert_eq!((outcome.sequence, outcome.result.as_deref()), (next, Ok(&(next as u32).to_le_bytes()[..])));
        next += 1;
        if next % 4000 == 2000 {
            let (stopping, stopped) = workers.remove(0);
            stopping.shutdown();
            workers.push(start_worker(&cache));
            let report = timeout(LIMIT, stopped).await.unwrap().unwrap();
            assert_eq!((report.left, report.flushed), (0, true));
        }
    }
    assert_eq!(next, 20_000);
    handle.shutdown();
    let report = timeout(LIMIT, running).await.unwrap().unwrap();
    assert_eq!((report.left, report.results_left), (0, 0));
}

#[tokio::test]
async fn a_master_that_stops_says_so_to_the_clients_it_leaves() {
    let mut config = MasterConfig::on_free_ports("server");
    config.grace = Duration::from_millis(50);
    let master = Master::bind(config).await.unwrap();
    let (cache, handle) = (master.addresses().cache.clone(), master.handle());
    let running = tokio::spawn(master.run());
    let client = timeout(LIMIT, Client::builder("server", &cache).connect()).await.unwrap().unwrap();
    let waiting = tokio::spawn(async move { client.eval("echo", "nobody does this").await });
    let submitted = async {
        while handle.counters().messages.submitted == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, submitted).await.unwrap();
    handle.shutdown();
    assert_eq!(timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap_err().status, Status::Unavailable);
    timeout(LIMIT, running).await.unwrap().unwrap();
}

/// The calls of a worker wait for each other: if its master gave it fewer at a time, none would ever end.
#[tokio::test]
async fn a_worker_gets_as_many_messages_as_it_works_on_at_a_time() {
    const CONCURRENCY: usize = 12;
    let master = Master::bind(MasterConfig::on_free_ports("server")).await.unwrap();
    let cache = master.addresses().cache.clone();
    tokio::spawn(master.run());
    let barrier = Arc::new(Barrier::new(CONCURRENCY));
    let worker = Worker::builder()
        .cache_address(&cache)
        .concurrency(CONCURRENCY)
        .function("meet", move |call: Call| {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                Ok::<_, String>(call.into_payload())
            }
        })
        .build()
        .unwrap();
    tokio::spawn(worker.run());
    let client = timeout(LIMIT, Client::builder("server", &cache).connect()).await.unwrap().unwrap();
    let mut job = client.job("meet", from_iter(vec!["x"; 5 * CONCURRENCY]), &JobOptions::default());
    let mut count = 0;
    while let Some(outcome) = timeout(LIMIT, job.next()).await.unwrap() {
        assert_eq!(outcome.result.as_deref(), Ok(&b"x"[..]));
        count += 1;
    }
    assert_eq!(count, 5 * CONCURRENCY);
}
