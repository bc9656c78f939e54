use std::string::String;

use super::*;
use crate::message::Status;
use crate::native::{Alias, TaskNumber};

type Worker = FixedWorker<Name, 4, 2>;

fn connected(worker: &mut Worker, epoch: u64) {
    worker.handle_connected(at(0));
    assert!(matches!(worker.poll_transmit().unwrap().header, ToMaster::Hello { .. }));
    assert!(worker.handle_frame(at(0), &welcome(epoch, 0)).unwrap().is_some());
}

fn declare(worker: &mut Worker) {
    let alias = Alias::new(0).unwrap();
    assert!(worker.handle_frame(at(0), &said(ToPeer::Function { alias }, b"s.f")).unwrap().is_none());
    assert!(worker.handle_frame(at(0), &said(ToPeer::Session { alias, id: OTHER }, b"")).unwrap().is_none());
}

fn task(sequence: u64) -> Vec<u8> {
    let alias = Alias::new(0).unwrap();
    said(ToPeer::Task { function: alias, session: alias, sequence }, b"payload")
}

/// The id of the task that comes.
fn take(worker: &mut Worker, sequence: u64) -> HeldId {
    match worker.handle_frame(at(0), &task(sequence)) {
        Ok(Some(WorkerEvent::Task(task))) => {
            assert_eq!((task.function.map(|name| name.as_str()), task.session), (Some("s.f"), Some(OTHER)));
            assert_eq!((task.sequence, task.attempt, task.payload), (sequence, 1, &b"payload"[..]));
            task.id
        }
        other => panic!("{other:?}"),
    }
}

fn headers(worker: &mut Worker) -> Vec<ToMaster> {
    core::iter::from_fn(|| worker.poll_transmit().map(|frame| frame.header)).collect()
}

fn number(number: u32) -> TaskNumber {
    TaskNumber::FIRST.plus(number)
}

#[test]
fn tasks_come_and_are_answered_in_any_order() {
    let mut worker = Worker::fixed(config());
    assert!(worker.poll_transmit().is_none() && worker.poll_timeout().is_none());
    connected(&mut worker, 1);
    declare(&mut worker);
    let ids = [10, 11, 12].map(|sequence| take(&mut worker, sequence));
    assert_eq!(
        worker.handle_frame(at(0), &said(ToPeer::Skip { numbers: 5 }, b"")).map(|event| event.is_none()),
        Ok(true)
    );
    let skipped = take(&mut worker, 13);
    let done = worker.done(ids[1], b"result").unwrap();
    assert_eq!(done, Frame::with_body(ToMaster::Done { number: number(1) }, b"result"));
    assert_eq!(worker.done(ids[1], b"result"), Err(NotSent::Unknown), "it is answered once");
    let failed = worker.failed(ids[0], Status::Failed, "why").unwrap();
    assert_eq!(failed, Frame::with_body(ToMaster::Failed { number: number(0), code: 1 }, b"why"));
    let progress = worker.progress(skipped, 500, "half").unwrap();
    assert_eq!(progress.header, ToMaster::Progress { number: number(8), permille: 500 });
    assert_eq!(worker.partial(skipped, b"part").unwrap().header, ToMaster::Partial { number: number(8) });
    let again = take(&mut worker, 14);
    assert_ne!(again, ids[1], "a place is used again under another name");
    assert_eq!((worker.held(), headers(&mut worker)), (3, [].into()));
}

#[test]
fn results_are_no_longer_than_the_master_takes() {
    let mut worker = Worker::fixed(config());
    connected(&mut worker, 1);
    declare(&mut worker);
    let id = take(&mut worker, 0);
    assert_eq!(worker.done(id, &[0; 255]), Err(NotSent::TooLong));
    let long: String = "é".repeat(200);
    assert!(wire(&worker.failed(id, Status::Failed, &long).unwrap()).len() <= 256);
    let id = take(&mut worker, 1);
    assert_eq!(wire(&worker.done(id, &[0; 254]).unwrap()).len(), 256);
}

#[test]
fn a_window_is_never_exceeded() {
    let mut worker = Worker::fixed(PeerConfig { window: 2, ..config() });
    connected(&mut worker, 1);
    declare(&mut worker);
    let first = take(&mut worker, 0);
    take(&mut worker, 1);
    assert_eq!(worker.hand_back(first), Ok(Frame::new(ToMaster::HandBack { number: number(0) })));
    worker.widen(1);
    assert_eq!(headers(&mut worker), [ToMaster::Credit { more: 1 }]);
    worker.widen(9);
    assert_eq!(headers(&mut worker), [ToMaster::Credit { more: 2 }], "the table has four places");
    for sequence in 2..5 {
        take(&mut worker, sequence);
    }
    assert_eq!(worker.handle_frame(at(0), &task(5)).unwrap_err(), Fault::Window);
    assert!(worker.is_closed());
}

#[test]
fn tasks_outlast_their_connection() {
    let mut worker = Worker::fixed(config());
    connected(&mut worker, 1);
    declare(&mut worker);
    let ids = [10, 11, 12].map(|sequence| take(&mut worker, sequence));
    assert!(worker.done(ids[0], b"").is_ok());
    worker.handle_disconnected();
    assert_eq!(worker.done(ids[1], b""), Err(NotSent::NotConnected));

    worker.handle_connected(at(0));
    let Some(ToMaster::Hello { resume: true, holding: 2, window: 4, .. }) =
        worker.poll_transmit().map(|frame| frame.header)
    else {
        panic!("no Hello")
    };
    let resumed = WorkerEvent::Connected::<Name> { master: "server", epoch: 1, resumed: true };
    let welcome = welcome(1, 0);
    let event = worker.handle_frame(at(0), &welcome).unwrap().unwrap();
    assert_eq!(std::format!("{event:?}"), std::format!("{resumed:?}"));
    // The master need not wait for what is announced.
    declare(&mut worker);
    let new = take(&mut worker, 20);
    assert_eq!(worker.done(ids[1], b""), Err(NotSent::NotConnected), "they have no numbers yet");
    let holding = |sequence| ToMaster::Holding { session: OTHER, sequence, attempt: 1 };
    assert_eq!(headers(&mut worker), [holding(11), holding(12)]);
    assert_eq!(worker.done(new, b"").unwrap().header, ToMaster::Done { number: number(2) });
    assert_eq!(worker.done(ids[2], b"").unwrap().header, ToMaster::Done { number: number(1) });
    assert_eq!(worker.done(ids[1], b"").unwrap().header, ToMaster::Done { number: number(0) });
}

#[test]
fn a_task_that_is_cancelled_is_answered_all_the_same() {
    let mut worker = Worker::fixed(config());
    connected(&mut worker, 1);
    declare(&mut worker);
    let id = take(&mut worker, 0);
    let cancel = said(ToPeer::CancelTask { number: number(0) }, b"");
    match worker.handle_frame(at(0), &cancel) {
        Ok(Some(WorkerEvent::Cancelled { id: cancelled })) => assert_eq!(cancelled, id),
        other => panic!("{other:?}"),
    }
    assert_eq!(worker.partial(id, b"part"), Err(NotSent::Cancelled));
    worker.handle_disconnected();
    connected(&mut worker, 1);
    assert_eq!(headers(&mut worker), [ToMaster::Holding { session: NOBODY, sequence: 0, attempt: 1 }]);
    assert_eq!(worker.done(id, b"result"), Ok(Frame::new(ToMaster::Done { number: number(0) })), "without the result");
    assert!(matches!(worker.handle_frame(at(0), &cancel), Ok(None)), "it has crossed the answer");
}

#[test]
fn what_there_is_no_room_for_is_unknown() {
    let mut worker = Worker::fixed(config());
    connected(&mut worker, 1);
    let [long, beyond] = [1, 2].map(|alias| Alias::new(alias).unwrap());
    let declaration = said(ToPeer::Function { alias: long }, b"server.of_a_long_name");
    assert!(worker.handle_frame(at(0), &declaration).unwrap().is_none());
    for alias in [long, beyond] {
        assert!(worker.handle_frame(at(0), &said(ToPeer::Session { alias, id: OTHER }, b"")).unwrap().is_none());
    }
    let task = |function, session| said(ToPeer::Task { function, session, sequence: 3 }, b"");
    for (function, session, expected) in [(long, long, Some(OTHER)), (beyond, beyond, None)] {
        match worker.handle_frame(at(0), &task(function, session)) {
            Ok(Some(WorkerEvent::Task(task))) => assert_eq!((task.function, task.session), (None, expected)),
            other => panic!("{other:?}"),
        }
    }
    worker.handle_disconnected();
    connected(&mut worker, 1);
    let holding = |session| ToMaster::Holding { session, sequence: 3, attempt: 1 };
    assert_eq!(headers(&mut worker), [holding(OTHER), holding(NOBODY)]);
    let undeclared = task(Alias::new(0).unwrap(), beyond);
    assert_eq!(worker.handle_frame(at(0), &undeclared).unwrap_err(), Fault::Alias);
}

#[test]
fn drains_over_connections() {
    let mut worker = Worker::fixed(config());
    connected(&mut worker, 1);
    declare(&mut worker);
    let id = take(&mut worker, 0);
    worker.drain();
    assert_eq!((headers(&mut worker), worker.is_drained()), ([ToMaster::Drain].into(), false));
    worker.handle_disconnected();
    worker.handle_connected(at(0));
    assert!(matches!(headers(&mut worker)[..], [ToMaster::Hello { window: 1, holding: 1, .. }]));
    assert!(worker.handle_frame(at(0), &welcome(1, 0)).is_ok());
    assert!(matches!(headers(&mut worker)[..], [ToMaster::Holding { .. }, ToMaster::Drain]));
    assert!(worker.done(id, b"").is_ok());
    assert!(worker.is_drained());
    worker.bye();
    assert_eq!(worker.done(id, b""), Err(NotSent::Unknown));
    assert_eq!((headers(&mut worker), worker.is_closed()), ([ToMaster::Bye].into(), true));
}

#[test]
fn silence_ends_a_connection() {
    let mut worker = Worker::fixed(config());
    worker.handle_connected(at(0));
    assert_eq!(headers(&mut worker).len(), 1);
    assert_eq!((worker.poll_timeout(), worker.handle_timeout(at(4999))), (Some(at(5000)), None));
    assert_eq!(worker.handle_timeout(at(5000)), Some(Lost::Handshake));
    assert!(worker.is_closed());

    connected(&mut worker, 1);
    assert_eq!((worker.poll_timeout(), worker.handle_timeout(at(999))), (Some(at(1000)), None));
    assert_eq!((worker.handle_timeout(at(1000)), headers(&mut worker)), (None, [ToMaster::Ping].into()));
    assert!(worker.handle_frame(at(1500), b"").unwrap().is_none(), "a sign of life");
    assert_eq!(worker.poll_timeout(), Some(at(2500)));
    assert_eq!((worker.handle_timeout(at(9000)), headers(&mut worker)), (None, [ToMaster::Ping].into()));
    assert_eq!(worker.poll_timeout(), Some(at(10_000)), "who was asleep asks first");
    assert_eq!(worker.handle_timeout(at(10_000)), Some(Lost::Silence));
    assert_eq!(worker.poll_timeout(), None);
}

#[test]
fn a_handshake_is_nothing_but_that() {
    let mut worker = Worker::fixed(config());
    let refused = |code| said(ToPeer::Refused { code }, b"text");
    worker.handle_connected(at(0));
    {
        let hello = worker.poll_transmit().unwrap();
        assert_eq!((hello.front, hello.body), (&b"peer"[..], &b"secret"[..]));
    }
    assert!(
        worker.handle_frame(at(0), &refused(RefusalCode::NotConnected)).unwrap().is_none(),
        "of another connection"
    );
    match worker.handle_frame(at(0), &refused(RefusalCode::Token)) {
        Ok(Some(WorkerEvent::Refused { code: RefusalCode::Token, text: "text", retry: Retry::Never })) => {}
        other => panic!("{other:?}"),
    }
    assert!(worker.handle_frame(at(0), &welcome(1, 0)).unwrap().is_none(), "it is over");

    let mut unexpected = |frames: &[Vec<u8>]| {
        worker.handle_connected(at(0));
        assert!(worker.poll_transmit().is_some());
        let faults = frames.iter().map(|frame| worker.handle_frame(at(0), frame).err());
        faults.last().unwrap()
    };
    let kind = |kind| Some(Fault::Unexpected { kind });
    assert_eq!(unexpected(&[said(ToPeer::Ping, b"")]), kind(2), "before Welcome");
    assert_eq!(unexpected(&[welcome(1, 0), welcome(1, 0)]), kind(0), "twice");
    assert_eq!(unexpected(&[welcome(1, 0), said(ToPeer::Accepted { up_to: 0 }, b"")]), kind(10), "for clients");
    let mut other = welcome(1, 0);
    other[5] = 2;
    assert_eq!(unexpected(&[other]), Some(Fault::Version { version: 2 }));
}

#[test]
fn is_small() {
    /// What firmware keeps of a function's name.
    #[derive(Debug)]
    struct Function;
    impl FunctionName for Function {
        fn from_name(name: &str) -> Option<Self> {
            (name == "s.f").then_some(Self)
        }
    }
    let worker = size_of::<FixedWorker<Function, 4, 4>>();
    let client = size_of::<FixedClient<heapless::Vec<u8, 16>, 4, 4>>();
    std::println!("a worker of 4 tasks and aliases: {worker} bytes; a client of 4 tasks and names: {client} bytes");
    assert!(worker <= 448 && client <= 800);
}
