//! What a worker does when it is told to stop, seen from the sockets of its master.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::zmtp::SocketType;
use palm_proto::{MessageRef, MessageWriter, Status};
use palm_transport_zmq::{Call, Worker, WorkerBuilder, WorkerReport};
use support::peer::Peer;
use support::within;
use tokio::sync::{Semaphore, mpsc};

fn message(number: u32, len: usize) -> Bytes {
    let mut out = BytesMut::new();
    let payload = vec![7; len];
    MessageWriter::new(&mut out)
        .client("c")
        .function("s.f")
        .payload(&payload)
        .sequence(number.into())
        .finish()
        .unwrap();
    out.freeze()
}

async fn result(socket: &mut Peer) -> (u64, Status) {
    let bytes = within(socket.recv()).await;
    let view = MessageRef::parse(&bytes).unwrap();
    (view.extension.sequence.unwrap(), view.extension.status)
}

/// The worker's side of a master: what it sends, and what it receives; it says whether it knows our extensions.
async fn master(extended: bool) -> (Peer, Peer, WorkerBuilder) {
    let (push, push_address) = Peer::bind(SocketType::Push, extended).await;
    let (pull, pull_address) = Peer::bind(SocketType::Pull, extended).await;
    (push, pull, Worker::builder().pull_address(push_address).push_address(pull_address))
}

/// Sends the first message when the worker is there.
async fn met(push: &mut Peer, pull: &mut Peer) {
    within(pull.connected()).await;
    within(push.connected()).await;
}

/// A function that waits for a permit, after it has said that it has begun.
fn gated(builder: WorkerBuilder) -> (WorkerBuilder, Arc<Semaphore>, mpsc::UnboundedReceiver<()>) {
    let gate = Arc::new(Semaphore::new(0));
    let (begun, begins) = mpsc::unbounded_channel();
    let permits = gate.clone();
    let builder = builder.function("f", move |call: Call| {
        let (permits, begun) = (permits.clone(), begun.clone());
        async move {
            let _ = begun.send(());
            permits.acquire().await.unwrap().forget();
            Ok::<_, String>(call.into_payload())
        }
    });
    (builder, gate, begins)
}

#[tokio::test]
async fn what_has_not_begun_is_handed_back_to_a_master_that_knows_how() {
    let (mut push, mut pull, builder) = master(true).await;
    let (builder, gate, mut begins) = gated(builder);
    let worker = builder.build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    met(&mut push, &mut pull).await;
    for number in 0..10 {
        push.send(message(number, 10)).await;
    }
    within(begins.recv()).await.unwrap();
    handle.shutdown();
    for number in 1..10 {
        assert_eq!(result(&mut pull).await, (number, Status::HandedBack));
    }
    gate.add_permits(1);
    assert_eq!(result(&mut pull).await, (0, Status::Done));
    let report = within(run).await.unwrap();
    assert_eq!((report.counters.results, report.counters.handed_back, report.left), (1, 9, 0));
}

#[tokio::test]
async fn what_cannot_be_handed_back_is_done() {
    let (mut push, mut pull, builder) = master(false).await;
    let (builder, gate, mut begins) = gated(builder);
    let worker = builder.build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    met(&mut push, &mut pull).await;
    for number in 0..10 {
        push.send(message(number, 10)).await;
    }
    within(begins.recv()).await.unwrap();
    handle.shutdown();
    gate.add_permits(10);
    for number in 0..10 {
        assert_eq!(result(&mut pull).await, (number, Status::Done));
    }
    let report = within(run).await.unwrap();
    assert_eq!((report.counters.results, report.left, report.flushed), (10, 0, true));
}

#[tokio::test]
async fn a_call_that_does_not_end_is_left_when_the_time_of_grace_is_over() {
    let (mut push, mut pull, builder) = master(true).await;
    let (builder, _gate, mut begins) = gated(builder);
    let worker = builder.grace(Duration::from_millis(50)).build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    met(&mut push, &mut pull).await;
    push.send(message(0, 10)).await;
    within(begins.recv()).await.unwrap();
    handle.shutdown();
    assert_eq!(within(run).await.unwrap().left, 1);
}

#[tokio::test]
async fn a_worker_without_a_master_stops_too() {
    let worker = Worker::builder().cache_address("tcp://127.0.0.1:1").build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    handle.shutdown();
    assert_eq!(within(run).await.unwrap().left, 0);
}

/// The runtime ends right after the worker, as a process would, while its master has not read anything yet.
#[tokio::test]
async fn every_result_has_left_when_the_worker_ends() {
    const COUNT: u32 = 1000;
    let (mut push, mut pull, builder) = master(false).await;
    let (done, mut answered) = mpsc::unbounded_channel();
    let worker = builder
        .inline_function("f", move |call: Call| {
            let _ = done.send(());
            Ok::<_, String>(call.into_payload())
        })
        .grace(Duration::from_secs(60))
        .build()
        .unwrap();
    let handle = worker.handle();
    let (ended, end) = tokio::sync::oneshot::channel::<WorkerReport>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let report = runtime.block_on(worker.run());
        runtime.shutdown_background();
        let _ = ended.send(report);
    });
    met(&mut push, &mut pull).await;
    for number in 0..COUNT {
        push.send(message(number, 10_000)).await;
    }
    for _ in 0..COUNT {
        within(answered.recv()).await.unwrap();
    }
    handle.shutdown();
    for number in 0..COUNT {
        assert_eq!(result(&mut pull).await.0, u64::from(number));
    }
    let report = within(end).await.unwrap();
    assert_eq!((report.left, report.flushed), (0, true));
}

#[tokio::test]
async fn what_is_no_message_does_no_harm() {
    let (mut push, mut pull, builder) = master(false).await;
    let worker = builder.inline_function("f", |call: Call| Ok::<_, String>(call.into_payload())).build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    met(&mut push, &mut pull).await;
    for garbage in [&b"\xff\xff\xff"[..], b"\x0a\xff", b"\x12\x01\xff"] {
        push.send(Bytes::from_static(garbage)).await;
    }
    // The worker ends when its last message is no message but does name no function.
    push.send(Bytes::new()).await;
    push.send(message(5, 1)).await;
    let unnamed = within(pull.recv()).await;
    assert_eq!(MessageRef::parse(&unnamed).unwrap().extension.status, Status::NoSuchFunction);
    assert_eq!(result(&mut pull).await, (5, Status::Done));
    handle.shutdown();
    assert_eq!(within(run).await.unwrap().counters.malformed, 3);
}

#[tokio::test]
async fn both_connections_of_a_worker_have_its_name() {
    let (mut push, mut pull, builder) = master(true).await;
    let worker = builder.concurrency(7).inline_function("f", |call: Call| Ok::<_, String>(call.into_payload())).build();
    let worker = worker.unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    met(&mut push, &mut pull).await;
    assert_eq!(push.identity, pull.identity);
    let name = String::from_utf8(push.identity.clone()).unwrap();
    assert!(name.starts_with("palm;jobs=7;") && name.len() == "palm;jobs=7;".len() + 36, "{name}");
    // The next connections have another one.
    push.hang_up();
    pull.hang_up();
    met(&mut push, &mut pull).await;
    assert_eq!(push.identity, pull.identity);
    assert_ne!(push.identity, name.as_bytes());
    handle.shutdown();
    within(run).await.unwrap();
}

/// What it has done its master has had, so that nothing is left.
#[tokio::test]
async fn a_worker_whose_master_went_first_has_nothing_left() {
    let (mut push, mut pull, builder) = master(true).await;
    let worker = builder.inline_function("f", |call: Call| Ok::<_, String>(call.into_payload())).build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    met(&mut push, &mut pull).await;
    push.send(message(0, 10)).await;
    assert_eq!(result(&mut pull).await, (0, Status::Done));
    drop((push, pull));
    handle.shutdown();
    let report = within(run).await.unwrap();
    assert_eq!((report.counters.results, report.left, report.flushed), (1, 0, true));
}

/// A master with no room for more takes connections and closes them.
#[tokio::test]
async fn a_master_that_is_full_is_not_pestered() {
    let (mut push, mut pull, builder) = master(true).await;
    let worker = builder.inline_function("f", |call: Call| Ok::<_, String>(call.into_payload())).build().unwrap();
    let handle = worker.handle();
    let run = tokio::spawn(worker.run());
    let begun = std::time::Instant::now();
    for _ in 0..6 {
        met(&mut push, &mut pull).await;
        push.hang_up();
        pull.hang_up();
    }
    // 0.1, 0.2, 0.4, 0.8 and 1.6 s, each less a half at most.
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    handle.shutdown();
    within(run).await.unwrap();
}
