//! Servers that are late, die and come back.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use palm_transport_zmq::{Call, Client, JobOptions, Worker, from_iter};
use support::{Server, within};

fn worker(address: &str) -> Worker {
    Worker::builder()
        .cache_address(address)
        .timeout(Duration::from_millis(500))
        .function("echo", async |call: Call| Ok::<_, String>(call.into_payload()))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_server_may_start_after_its_clients_and_workers() {
    let mut place = Server::start().await;
    place.kill();
    let addresses = place.addresses.clone();
    tokio::spawn(worker(&addresses.cache).run());
    let builder = Client::builder("server", &addresses.cache).timeout(Duration::from_millis(500));
    let client = tokio::spawn(builder.connect());
    let _server = Server::start_at(&addresses).await;
    let client = within(client).await.unwrap().unwrap();
    assert_eq!(within(client.eval("echo", "x")).await.unwrap(), "x");
}

#[tokio::test]
async fn a_job_outlives_the_servers_it_is_done_by() {
    let mut server = Server::start().await;
    let addresses = server.addresses.clone();
    for _ in 0..2 {
        tokio::spawn(worker(&addresses.cache).run());
    }
    let builder = Client::builder("server", &addresses.cache).timeout(Duration::from_millis(500));
    let client = within(builder.connect()).await.unwrap();
    let inputs = (0..6000_u32).map(|number| Bytes::copy_from_slice(&number.to_le_bytes()));
    // A worker's results may be lost with the server that it sent them to, and nobody can tell: hence the time limit.
    let options =
        JobOptions { window: 50, timeout: Some(Duration::from_secs(2)), retries: 30, ..JobOptions::default() };
    let mut job = client.job("echo", from_iter(inputs), &options);
    let mut seen = vec![0; 6000];
    let mut taken = 0;
    while let Some(outcome) = within(job.next()).await {
        assert_eq!(outcome.result.as_deref(), Ok(&(outcome.sequence as u32).to_le_bytes()[..]));
        seen[outcome.sequence as usize] += 1;
        taken += 1;
        if taken % 2000 == 1000 {
            server.kill();
            server = Server::start_at(&addresses).await;
        }
    }
    assert!(seen.iter().all(|&times| times == 1), "each exactly once");
}

#[tokio::test]
async fn the_cache_is_found_again() {
    let mut server = Server::start().await;
    let client = within(Client::builder("server", &server.addresses.cache).connect()).await.unwrap();
    assert_eq!(client.get("name").await.unwrap(), "server");
    server.kill();
    let _server = Server::start_at(&server.addresses).await;
    assert_eq!(client.get("name").await.unwrap(), "server");
}

/// Results are taken at another component, whose connection says nothing about the server's.
#[tokio::test]
async fn a_server_that_publishes_elsewhere_is_missed_too() {
    let mut server = Server::start().await;
    let elsewhere = Server::start().await;
    let worker = Worker::builder()
        .cache_address(&server.addresses.cache)
        .timeout(Duration::from_millis(500))
        .push_address(&elsewhere.addresses.worker_pull)
        .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .build()
        .unwrap();
    tokio::spawn(worker.run());
    let builder = Client::builder("server", &server.addresses.cache).sub_address(&elsewhere.addresses.publish);
    let client = within(builder.timeout(Duration::from_millis(500)).connect()).await.unwrap();
    assert_eq!(within(client.eval("echo", "x")).await.unwrap(), "x");
    server.kill();
    let _server = Server::start_at(&server.addresses).await;
    // The time limit is for the worker, which may take the message before it knows that its server is another.
    let options = JobOptions { timeout: Some(Duration::from_secs(1)), retries: 20, ..JobOptions::default() };
    assert_eq!(within(client.eval_with("echo", "y", &options)).await.unwrap(), "y");
}
