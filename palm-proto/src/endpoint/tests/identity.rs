//! Workers that tell on both of their connections who they are.

use super::*;
use crate::message::Status;

const A: &str = "palm;jobs=1;a";
const B: &str = "palm;jobs=1;b";

/// The same message with more fields.
fn with(wire: &[u8], write: impl FnOnce(&mut MessageWriter<'_, bytes::BytesMut>)) -> Vec<u8> {
    let mut out = bytes::BytesMut::from(wire);
    write(&mut MessageWriter::appending(&mut out));
    out.to_vec()
}

/// A client that has sent a message, and the worker that has it.
fn set_up(bench: &mut Bench, identity: &str) -> (End, Vec<u8>) {
    let mut worker = bench.join_as(Service::WorkerPush, SocketType::Pull, identity);
    let mut client = bench.join(Service::Pull, SocketType::Push);
    bench.send_message(&mut client, &work("me", b"x"));
    bench.pump(&mut worker);
    let wire = worker.messages.pop().expect("the message").remove(0);
    (worker, wire)
}

fn counts(bench: &mut Bench, answerer: &mut End, wire: &[u8]) -> bool {
    let before = bench.endpoint.master().counters().answered;
    bench.send_message(answerer, &with(wire, |w| _ = w.status(Status::HandedBack)));
    assert_eq!(bench.endpoint.master().counters().handed_back, 0);
    bench.send_message(answerer, wire);
    bench.endpoint.master().counters().answered > before
}

#[test]
fn an_answer_counts_over_the_workers_own_connection_only() {
    for answers_first in [true, false] {
        let mut bench = bench(&config());
        let [mut of_b, mut stock] =
            [B, ""].map(|identity| bench.join_as(Service::WorkerPull, SocketType::Push, identity));
        let mut own = answers_first.then(|| bench.join_as(Service::WorkerPull, SocketType::Push, A));
        let (mut worker, mut wire) = set_up(&mut bench, A);
        assert!(!counts(&mut bench, &mut of_b, &wire));
        if own.is_none() {
            // As with our workers of before, whose answers come without any: it counts until the worker is seen to do better.
            bench.send_message(&mut stock, &wire);
            assert!(bench.endpoint.is_idle());
            own = Some(bench.join_as(Service::WorkerPull, SocketType::Push, A));
            let mut client = bench.join(Service::Pull, SocketType::Push);
            bench.send_message(&mut client, &work("me", b"y"));
            bench.pump(&mut worker);
            wire = worker.messages.pop().expect("the next message").remove(0);
        }
        assert!(!counts(&mut bench, &mut stock, &wire));
        assert_eq!(bench.endpoint.load(worker.id).unwrap().0, 1, "it has it still, and has not stopped");
        let mut own = own.expect("it was joined");
        bench.send_message(&mut own, &wire);
        assert!(bench.endpoint.is_idle());
        assert!(bench.endpoint.master().counters().disbelieved == 4);
    }
}

#[test]
fn what_a_stock_worker_has_no_worker_of_ours_answers() {
    let mut bench = bench(&config());
    let mut of_b = bench.join_as(Service::WorkerPull, SocketType::Push, B);
    let mut stock = bench.join(Service::WorkerPull, SocketType::Push);
    let (_, wire) = set_up(&mut bench, "");
    assert!(!counts(&mut bench, &mut of_b, &wire));
    bench.send_message(&mut stock, &wire);
    assert!(bench.endpoint.is_idle());
}

#[test]
fn a_worker_that_comes_back_answers_what_it_was_sent_before() {
    let mut bench = bench(&config());
    let (worker, wire) = set_up(&mut bench, A);
    bench.endpoint.handle_close(bench.now, worker.id);
    // Queued again, and then with another worker: the first answer counts, whoever has the task by now.
    let mut own = bench.join_as(Service::WorkerPull, SocketType::Push, A);
    let mut other = bench.join_as(Service::WorkerPush, SocketType::Pull, B);
    bench.pump(&mut other);
    assert_eq!(other.messages.len(), 1);
    bench.send_message(&mut own, &wire);
    assert!(bench.endpoint.is_idle());
}

#[test]
fn an_identity_that_may_be_anybodys_is_none() {
    for identity in ["palm;jobs=1", "palm;jobs=1;", "something else"] {
        let mut bench = bench(&config());
        let mut stock = bench.join(Service::WorkerPull, SocketType::Push);
        bench.join_as(Service::WorkerPull, SocketType::Push, identity);
        let (_, wire) = set_up(&mut bench, identity);
        bench.send_message(&mut stock, &wire);
        assert!(bench.endpoint.is_idle(), "{identity}");
    }
}
