//! Our client and our worker with a server that only forwards, over real sockets.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::message::field;
use palm_proto::{MessageRef, MessageWriter, Status};
use palm_transport_zmq::{
    Call, Client, ConnectError, DiscoveryError, Job, JobOptions, Outcome, Results, Worker, WorkerBuilder, WorkerHandle,
    WorkerReport, from_channel, from_iter,
};
use support::{Server, within};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

fn functions(builder: WorkerBuilder) -> WorkerBuilder {
    builder
        .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .function("async_echo", async |call: Call| Ok::<_, String>(call.into_payload()))
        .blocking_function("blocking_echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .function("fail", async |_| Err::<Bytes, _>("as it must"))
        .function("panic", async |call: Call| {
            assert!(call.payload().is_empty(), "payload of {} bytes", call.payload().len());
            Ok::<_, String>("")
        })
        .blocking_function("blocking_panic", |call: Call| {
            assert!(call.payload().is_empty(), "no payload, please");
            Ok::<_, String>("")
        })
        .yielding_function("count", async |call: Call, results: Results| {
            for number in 0..call.payload().len() {
                results.send(number.to_string()).await;
            }
            if call.payload().len() < 100 { Ok(()) } else { Err("too many") }
        })
        .function("cached", async |call: Call| call.cache().get(call.user_data()).await)
}

fn start_worker(server: &Server, concurrency: usize) -> (WorkerHandle, JoinHandle<WorkerReport>) {
    let builder = Worker::builder().cache_address(&server.addresses.cache).concurrency(concurrency);
    let worker = functions(builder).build().unwrap();
    (worker.handle(), tokio::spawn(worker.run()))
}

async fn connect(server: &Server) -> Client {
    within(Client::builder("server", &server.addresses.cache).connect()).await.unwrap()
}

fn numbers(count: u32) -> impl Iterator<Item = Bytes> {
    (0..count).map(|number| Bytes::copy_from_slice(&number.to_le_bytes()))
}

async fn all<I: futures_core::Stream<Item = Bytes>>(mut job: Job<I>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while let Some(outcome) = within(job.next()).await {
        outcomes.push(outcome);
    }
    outcomes
}

/// Checks that each of `count` inputs has its own payload as its result.
fn assert_echoed(outcomes: &[Outcome], count: u32) {
    let mut seen = vec![0; count as usize];
    for outcome in outcomes {
        let expected = u32::try_from(outcome.sequence).unwrap().to_le_bytes();
        assert_eq!(outcome.result.as_deref(), Ok(&expected[..]), "input {}", outcome.sequence);
        seen[outcome.sequence as usize] += 1;
    }
    assert!(seen.iter().all(|&times| times == 1), "each exactly once");
}

#[tokio::test]
async fn a_job_has_each_result_with_its_input() {
    let server = Server::start().await;
    start_worker(&server, 4);
    let client = connect(&server).await;
    for function in ["echo", "async_echo", "server.blocking_echo"] {
        for ordered in [false, true] {
            let options = JobOptions { ordered, window: 100, ..JobOptions::default() };
            let outcomes = all(client.job(function, from_iter(numbers(500)), &options)).await;
            assert_echoed(&outcomes, 500);
            assert!(!ordered || outcomes.is_sorted_by_key(|outcome| outcome.sequence));
        }
    }
}

#[tokio::test]
async fn jobs_and_single_messages_share_a_client() {
    let server = Server::start().await;
    start_worker(&server, 4);
    let client = connect(&server).await;
    let job = client.job("async_echo", from_iter(numbers(400)), &JobOptions::default());
    let other = client.job("echo", from_iter(numbers(300)), &JobOptions { window: 7, ..JobOptions::default() });
    let singles = async {
        for number in 0..100_u32 {
            let answer = within(client.eval("echo", number.to_string())).await.unwrap();
            assert_eq!(answer, number.to_string());
        }
    };
    let (job, other, ()) = tokio::join!(all(job), all(other), singles);
    assert_echoed(&job, 400);
    assert_echoed(&other, 300);
}

#[tokio::test]
async fn inputs_may_come_through_a_channel_and_be_large_or_empty() {
    let server = Server::start().await;
    start_worker(&server, 2);
    let client = connect(&server).await;
    let (sender, receiver) = mpsc::channel(1);
    let payloads = [0, 10, 1 << 10, 4 << 20].map(|len| Bytes::from(vec![7_u8; len]));
    let feed = payloads.clone();
    tokio::spawn(async move {
        for payload in feed {
            sender.send(payload).await.unwrap();
        }
    });
    let options = JobOptions { ordered: true, ..JobOptions::default() };
    let outcomes = all(client.job("echo", from_channel(receiver), &options)).await;
    let results: Vec<_> = outcomes.into_iter().map(|outcome| outcome.result.unwrap()).collect();
    assert_eq!(results, payloads);
}

#[tokio::test]
async fn failures_say_what_happened() {
    let server = Server::start().await;
    start_worker(&server, 1);
    let client = connect(&server).await;
    for (function, status, text) in [
        ("fail", Status::Failed, "as it must"),
        ("panic", Status::Failed, "the function panicked: payload of 1 bytes"),
        ("blocking_panic", Status::Failed, "the function panicked: no payload, please"),
        ("nothing", Status::NoSuchFunction, "the worker has no function \"nothing\""),
    ] {
        let failure = within(client.eval(function, "x")).await.unwrap_err();
        assert_eq!((failure.status, failure.text.as_str()), (status, text), "{function}");
    }
    assert_eq!(within(client.eval("echo", "still here")).await.unwrap(), "still here");
}

#[tokio::test]
async fn no_more_calls_run_at_a_time_than_allowed() {
    let server = Server::start().await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gate, reached) = (Arc::new(Semaphore::new(0)), most.clone());
    let (function_gate, counted) = (gate.clone(), running.clone());
    let worker = Worker::builder()
        .cache_address(&server.addresses.cache)
        .concurrency(3)
        .function("gated", move |call: Call| {
            let (gate, running, most) = (function_gate.clone(), counted.clone(), reached.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, String>(call.into_payload())
            }
        })
        .build()
        .unwrap();
    tokio::spawn(worker.run());
    let client = connect(&server).await;
    let job = tokio::spawn(all(client.job("gated", from_iter(numbers(20)), &JobOptions::default())));
    within(async {
        while running.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.add_permits(20);
    assert_echoed(&job.await.unwrap(), 20);
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_cache_is_one_for_clients_and_functions() {
    let server = Server::start().await;
    start_worker(&server, 1);
    let client = connect(&server).await;
    assert_eq!(client.set("key", b"value").await.unwrap(), "key");
    assert_eq!(client.get("key").await.unwrap(), "value");
    let options = JobOptions { cache: "key".to_owned(), ..JobOptions::default() };
    assert_eq!(within(client.eval_with("cached", "", &options)).await.unwrap(), "value");
    assert_eq!(client.set("", b"value").await.unwrap(), "made-up");
    assert_eq!(client.delete("key").await.unwrap(), "key");
    assert_eq!(client.get("key").await.unwrap(), "", "absent is empty");
}

#[tokio::test]
async fn a_named_session_prefixes_the_keys_it_sets() {
    let server = Server::start().await;
    let builder = Client::builder("server", &server.addresses.cache).session("mine");
    let client = within(builder.connect()).await.unwrap();
    assert_eq!(client.pipeline(), "mine");
    assert_eq!(client.set("key", b"value").await.unwrap(), "minekey");
    assert_eq!(client.get("key").await.unwrap(), "");
    assert_eq!(client.get("minekey").await.unwrap(), "value");
    assert_eq!(client.set("", b"value").await.unwrap(), "made-up");
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let server = Server::start().await;
    match within(Client::builder("other", &server.addresses.cache).connect()).await {
        Err(ConnectError::Discovery(DiscoveryError::WrongServer { expected, found })) => {
            assert_eq!((expected.as_str(), found.as_str()), ("other", "server"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cache_that_does_not_answer_is_given_up_on() {
    // Accepts connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", silent.local_addr().unwrap());
    let builder = Client::builder("server", address).timeout(Duration::from_millis(50));
    match within(builder.patience(Duration::from_millis(300)).connect()).await {
        Err(ConnectError::TimedOut { server, .. }) => assert_eq!(server, "server"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn explicit_addresses_need_no_cache() {
    let server = Server::start().await;
    let worker = Worker::builder()
        .pull_address(&server.addresses.worker_push)
        .push_address(&server.addresses.worker_pull)
        .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .build()
        .unwrap();
    tokio::spawn(worker.run());
    let client = Client::builder("server", "tcp://127.0.0.1:1")
        .push_address(&server.addresses.pull)
        .sub_address(&server.addresses.publish)
        .check_name(false);
    let client = within(client.connect()).await.unwrap();
    let options = JobOptions { timeout: Some(Duration::from_millis(500)), retries: 50, ..JobOptions::default() };
    assert_eq!(within(client.eval_with("echo", "x", &options)).await.unwrap(), "x");
    assert!(Worker::builder().pull_address("tcp://127.0.0.1:1").build().is_err());
}

#[tokio::test]
async fn results_that_are_lost_are_asked_for_again() {
    let server = Server::start_changing(|number, result| if number % 3 == 0 { vec![] } else { vec![result] }).await;
    start_worker(&server, 2);
    let client = connect(&server).await;
    let timeout = Some(Duration::from_millis(200));
    let options = JobOptions { timeout, retries: 20, ordered: true, ..JobOptions::default() };
    assert_echoed(&all(client.job("echo", from_iter(numbers(200)), &options)).await, 200);
}

#[tokio::test]
async fn without_a_retry_what_is_lost_fails_in_time() {
    let server = Server::start_changing(|number, result| if number == 1 { vec![] } else { vec![result] }).await;
    start_worker(&server, 1);
    let client = connect(&server).await;
    let options = JobOptions { timeout: Some(Duration::from_millis(300)), ordered: true, ..JobOptions::default() };
    let outcomes = all(client.job("echo", from_iter(numbers(3)), &options)).await;
    let failed: Vec<_> = outcomes.iter().map(|outcome| outcome.result.as_ref().err().map(|f| f.status)).collect();
    assert_eq!(failed, [None, Some(Status::DeadlineExceeded), None]);
}

#[tokio::test]
async fn results_that_come_twice_count_once() {
    let server = Server::start_changing(|_, result| vec![result.clone(), result]).await;
    start_worker(&server, 2);
    let client = connect(&server).await;
    let mut job = client.job("echo", from_iter(numbers(300)), &JobOptions { window: 10, ..JobOptions::default() });
    let mut outcomes = Vec::new();
    while let Some(outcome) = within(job.next()).await {
        outcomes.push(outcome);
    }
    assert_echoed(&outcomes, 300);
    assert!(job.counters().duplicates > 0);
}

#[tokio::test]
async fn several_results_can_be_expected_of_each() {
    let server = Server::start_changing(|_, result| vec![result.clone(), result.clone(), result]).await;
    start_worker(&server, 2);
    let client = connect(&server).await;
    let options = JobOptions { results: 3, ordered: true, window: 20, ..JobOptions::default() };
    let outcomes = all(client.job("echo", from_iter(numbers(100)), &options)).await;
    let seen: Vec<_> = outcomes.iter().map(|outcome| (outcome.sequence, outcome.last)).collect();
    let expected: Vec<_> = (0..100).flat_map(|input| [(input, false), (input, false), (input, true)]).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_function_may_yield_several_results() {
    let server = Server::start().await;
    start_worker(&server, 3);
    let client = connect(&server).await;
    let options = JobOptions { results: 5, ordered: true, ..JobOptions::default() };
    let outcomes = all(client.job("count", from_iter(["xxxxx", "yyyyy"]), &options)).await;
    let seen: Vec<_> = outcomes.iter().map(|outcome| outcome.result.as_deref().unwrap()).collect();
    assert_eq!(seen, [&b"0"[..], b"1", b"2", b"3", b"4"].repeat(2));
    let options = JobOptions { results: 1000, ..options };
    let outcomes = all(client.job("count", from_iter([vec![0; 200]]), &options)).await;
    assert_eq!(outcomes.len(), 201);
    assert_eq!(outcomes[200].result.as_ref().unwrap_err().text, "too many");
}

#[tokio::test]
async fn results_without_a_number_go_to_what_waits_longest() {
    let server = Server::start_changing(|_, result| {
        let mut bare = BytesMut::new();
        let view = MessageRef::parse(&result).unwrap();
        let mut writer = MessageWriter::new(&mut bare);
        view.raw_fields().filter(|raw| raw.number < field::TASK).for_each(|raw| {
            writer.raw(raw.bytes);
        });
        writer.finish().unwrap();
        vec![bare.freeze()]
    })
    .await;
    start_worker(&server, 1);
    let client = connect(&server).await;
    assert_echoed(&all(client.job("echo", from_iter(numbers(100)), &JobOptions::default())).await, 100);
}

#[tokio::test]
async fn a_dropped_job_leaves_the_client_in_order() {
    let server = Server::start().await;
    start_worker(&server, 1);
    let client = connect(&server).await;
    let mut job = client.job("echo", from_iter(numbers(1000)), &JobOptions::default());
    within(job.next()).await.unwrap();
    drop(job);
    assert_echoed(&all(client.job("echo", from_iter(numbers(100)), &JobOptions::default())).await, 100);
}
