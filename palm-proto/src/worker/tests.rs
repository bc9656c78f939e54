use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::message::{MessageRef, MessageWriter, NoRoom, SliceSink, Status};
use crate::time::Instant;

type Buf = heapless::Vec<u8, 128>;
type TestWorker = FixedWorker<Buf, 4>;

fn worker(concurrency: u32) -> TestWorker {
    Worker::new(Config { concurrency }, heapless::Vec::new())
}

fn message(function: &str, payload: &[u8], deadline: Option<u64>) -> Buf {
    let mut out = [0; 128];
    let mut sink = SliceSink::new(&mut out);
    let mut writer = MessageWriter::new(&mut sink);
    writer.client("c").function(function).payload(payload).sequence(4);
    if let Some(millis) = deadline {
        writer.deadline(millis);
    }
    writer.finish().unwrap();
    Buf::from_slice(sink.written()).unwrap()
}

/// Status and payload of each result.
fn results(worker: &mut TestWorker) -> Vec<(Status, Vec<u8>)> {
    core::iter::from_fn(|| {
        let mut out = [0; 256];
        let mut sink = SliceSink::new(&mut out);
        worker.poll_transmit(&mut sink)?.unwrap();
        let view = MessageRef::parse(sink.written()).unwrap();
        assert_eq!((view.client, view.extension.sequence), ("c", Some(4)));
        Some((view.extension.status, view.payload.to_vec()))
    })
    .collect()
}

fn echo(worker: &mut TestWorker, id: CallId) {
    let payload = Buf::from_slice(worker.call(id).unwrap().message.payload).unwrap();
    worker.handle_answer(id, Answer::Result(payload)).unwrap();
}

#[test]
fn runs_as_many_calls_as_it_may_and_holds_as_many_messages() {
    let mut worker = worker(2);
    for payload in [b"1", b"2", b"3", b"4"] {
        worker.handle_message(Instant::ZERO, message("s.f", payload, None)).unwrap();
    }
    let refused = message("s.f", b"5", None);
    assert_eq!(worker.handle_message(Instant::ZERO, refused.clone()), Err(Full(refused)));
    let first = worker.poll_call(Instant::ZERO).unwrap();
    let second = worker.poll_call(Instant::ZERO).unwrap();
    assert_eq!(worker.poll_call(Instant::ZERO), None);
    assert_eq!((worker.call(first).unwrap().method, worker.call(second).unwrap().message.payload), ("f", &b"2"[..]));
    echo(&mut worker, second);
    assert!(!worker.has_room(), "a result that has not been taken keeps its place");
    assert_eq!(results(&mut worker), [(Status::Done, b"2".to_vec())]);
    assert!(worker.has_room());
    assert_eq!(worker.handle_answer(second, Answer::Result(Buf::new())), Err(UnknownCall));
    let third = worker.poll_call(Instant::ZERO).unwrap();
    assert_eq!(worker.call(third).unwrap().message.payload, b"3");
    echo(&mut worker, first);
    assert_eq!(results(&mut worker), [(Status::Done, b"1".to_vec())]);
    assert_eq!((worker.held(), worker.running()), (2, 1));
}

#[test]
fn the_function_is_that_of_the_stage() {
    let mut worker = worker(1);
    let mut staged = message("a.f b.g", b"", None);
    staged.extend_from_slice(b"\x18\x01").unwrap();
    worker.handle_message(Instant::ZERO, staged).unwrap();
    let id = worker.poll_call(Instant::ZERO).unwrap();
    assert_eq!(worker.call(id).unwrap().method, "g");
    worker.handle_end(id).unwrap();
    worker.handle_message(Instant::ZERO, message("nodot", b"", None)).unwrap();
    assert_eq!(worker.poll_call(Instant::ZERO), None);
    assert_eq!(results(&mut worker), [(Status::NoSuchFunction, b"0".to_vec())]);
}

#[test]
fn what_comes_too_late_is_not_begun() {
    let mut worker = worker(1);
    worker.handle_message(Instant::from_millis(5), message("s.f", b"1", Some(10))).unwrap();
    worker.handle_message(Instant::from_millis(5), message("s.f", b"2", Some(11))).unwrap();
    let id = worker.poll_call(Instant::from_millis(15)).unwrap();
    let call = worker.call(id).unwrap();
    assert_eq!((call.message.payload, call.expires), (&b"2"[..], Some(Instant::from_millis(16))));
    assert_eq!(results(&mut worker), [(Status::DeadlineExceeded, b"0".to_vec())]);
    assert_eq!(worker.counters().expired, 1);
}

#[test]
fn stopping_hands_back_what_has_not_begun_and_what_comes_still() {
    let mut worker = worker(1);
    worker.handle_message(Instant::ZERO, message("s.f", b"1", None)).unwrap();
    worker.handle_message(Instant::ZERO, message("s.f", b"2", None)).unwrap();
    let id = worker.poll_call(Instant::ZERO).unwrap();
    worker.handle_shutdown(Stop::HandBack);
    worker.handle_message(Instant::ZERO, message("s.f", b"3", None)).unwrap();
    assert_eq!(worker.poll_call(Instant::ZERO), None);
    assert_eq!(results(&mut worker), [(Status::HandedBack, b"0".to_vec()), (Status::HandedBack, b"0".to_vec())]);
    echo(&mut worker, id);
    assert_eq!(results(&mut worker), [(Status::Done, b"1".to_vec())]);
    assert_eq!((worker.held(), worker.counters().handed_back), (0, 2));
}

#[test]
fn stopping_finishes_what_cannot_be_handed_back() {
    let mut worker = worker(1);
    worker.handle_message(Instant::ZERO, message("s.f", b"1", None)).unwrap();
    worker.handle_shutdown(Stop::Finish);
    worker.handle_message(Instant::ZERO, message("s.f", b"2", None)).unwrap();
    while let Some(id) = worker.poll_call(Instant::ZERO) {
        echo(&mut worker, id);
    }
    assert_eq!(results(&mut worker), [(Status::Done, b"1".to_vec()), (Status::Done, b"2".to_vec())]);
}

#[test]
fn a_result_that_does_not_fit_becomes_a_failure() {
    let mut worker = worker(1);
    worker.handle_message(Instant::ZERO, message("s.f", &[7; 60], None)).unwrap();
    let id = worker.poll_call(Instant::ZERO).unwrap();
    echo(&mut worker, id);
    let mut short = [0; 80];
    assert_eq!(worker.poll_transmit(&mut SliceSink::new(&mut short[..70])), Some(Err(NoRoom)));
    let mut out = [0; 80];
    let mut sink = SliceSink::new(&mut out);
    assert!(worker.poll_transmit(&mut sink).unwrap().is_ok());
    assert_eq!(MessageRef::parse(sink.written()).unwrap().extension.status, Status::Failed);
    assert_eq!((worker.held(), worker.counters().failures), (0, 1));
}

#[test]
fn a_function_that_yields_has_several_results() {
    let mut worker = worker(1);
    worker.handle_message(Instant::ZERO, message("s.f", b"in", None)).unwrap();
    let id = worker.poll_call(Instant::ZERO).unwrap();
    for payload in [b"a", b"b"] {
        let mut out = [0; 64];
        let mut sink = SliceSink::new(&mut out);
        worker.write_result(id, payload, &mut sink).unwrap().unwrap();
        assert_eq!(MessageRef::parse(sink.written()).unwrap().payload, payload);
    }
    worker.handle_end(id).unwrap();
    assert_eq!((worker.held(), worker.counters().results), (0, 2));
    assert!(worker.write_result(id, b"c", &mut Buf::new()).is_none());
}

proptest! {
    /// Every message is answered once, in whatever order calls end, and everything else is dropped and reported.
    #[test]
    fn every_message_is_answered(
        inputs in prop::collection::vec(
            prop_oneof![
                Just(message("s.f", b"x", None)),
                Just(message("f", b"x", None)),
                Just(message("s.f", b"x", Some(0))),
                prop::collection::vec(any::<u8>(), 0..32).prop_map(|bytes| Buf::from_slice(&bytes).unwrap()),
            ],
            0..30,
        ),
        concurrency in 1..4_u32,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        stop in prop::option::of((0..30_usize, prop_oneof![Just(Stop::Finish), Just(Stop::HandBack)])),
    ) {
        let mut worker = worker(concurrency);
        let mut picks = picks.into_iter().cycle();
        let mut running = Vec::new();
        let (mut answered, mut malformed) = (0, 0);
        let drain = |worker: &mut TestWorker| {
            let mut count = 0;
            let mut out = [0; 512];
            while let Some(written) = worker.poll_transmit(&mut SliceSink::new(&mut out)) {
                assert!(written.is_ok());
                count += 1;
            }
            count
        };
        let end_one = |worker: &mut TestWorker, running: &mut Vec<CallId>, pick: prop::sample::Index| {
            let id = running.swap_remove(pick.index(running.len()));
            worker.handle_answer(id, Answer::Failure(Status::Failed, Buf::new())).unwrap();
        };
        for (number, input) in inputs.iter().enumerate() {
            if let Some((at, how)) = stop && at == number {
                worker.handle_shutdown(how);
            }
            let mut message = input.clone();
            while let Err(Full(refused)) = worker.handle_message(Instant::ZERO, message) {
                message = refused;
                answered += drain(&mut worker);
                running.extend(core::iter::from_fn(|| worker.poll_call(Instant::ZERO)));
                prop_assert!(running.len() <= concurrency as usize);
                if !running.is_empty() {
                    end_one(&mut worker, &mut running, picks.next().unwrap());
                }
            }
            malformed += usize::from(worker.poll_event().is_some());
        }
        while worker.held() > 0 {
            running.extend(core::iter::from_fn(|| worker.poll_call(Instant::ZERO)));
            if !running.is_empty() {
                end_one(&mut worker, &mut running, picks.next().unwrap());
            }
            answered += drain(&mut worker);
        }
        prop_assert_eq!(answered + malformed, inputs.len());
        prop_assert_eq!(worker.counters().malformed as usize, malformed);
    }
}
