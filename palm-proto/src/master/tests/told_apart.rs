//! Workers whose connections say which task an answer is of, and how much they take.

use super::*;
use crate::message::TaskId;

const DONE: Status = Status::Done;

/// A master of no window of its own, somebody at home, and a sender.
fn set_up(config: MasterConfig) -> (HostMaster, SenderId, SubscriberId) {
    let mut master = master(config);
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    (master, client, home)
}

fn submit(master: &mut HostMaster, client: SenderId, name: &str) -> TaskId {
    master.handle_submit(NOW, client, message("me", name)).unwrap()
}

#[test]
fn a_worker_takes_as_many_as_it_says() {
    let (mut master, client, _) = set_up(MasterConfig::default());
    let worker = master.add_worker_with_window(NOW, 1, 0).unwrap();
    for name in ["a", "b", "c", "d"] {
        submit(&mut master, client, name);
    }
    assert!(!master.has_task(worker));
    master.widen(NOW, worker, 2);
    let first = take(&mut master, NOW, worker).unwrap();
    assert!(take(&mut master, NOW, worker).is_some() && take(&mut master, NOW, worker).is_none());
    answer(&mut master, NOW, &first);
    assert_eq!(master.load(worker), Some((2, 2)), "the window stays");
    master.widen(NOW, worker, 1);
    assert_eq!(master.load(worker), Some((3, 3)));
}

#[test]
fn any_of_what_it_held_may_have_been_too_much_for_it() {
    let (mut master, client, home) = set_up(MasterConfig { attempts: 1, ..MasterConfig::default() });
    let worker = master.add_worker_with_window(NOW, 1, 3).unwrap();
    for name in ["a", "b", "c"] {
        submit(&mut master, client, name);
    }
    for _ in 0..2 {
        take(&mut master, NOW, worker).unwrap();
    }
    master.remove_worker(NOW, worker);
    assert_eq!(results(&mut master, NOW, home), std::vec![("0".to_string(), Status::DeadLetter); 2]);
    assert_eq!(master.gauges().queued, 1, "what it was not sent");
}

#[test]
fn what_a_worker_held_before_a_restart_stays_with_it() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let worker = master.add_worker_with_window(NOW, 1, 1).unwrap();
    submit(&mut master, client, "new");
    let held: Vec<TaskId> =
        ["a", "b"].map(|name| master.handle_submit_held(NOW, client, message("me", name), worker, 3).unwrap()).to_vec();
    assert_eq!((master.load(worker), master.counters().claimed), (Some((3, 1)), 2));
    let wire = take(&mut master, NOW, worker).unwrap();
    assert_eq!((payload(&wire), master.has_task(worker)), ("new".to_string(), false), "it is not sent them again");
    master.handle_answer(NOW, worker, held[1], 3, DONE, b"yes", "", true).unwrap();
    assert_eq!(results(&mut master, NOW, home), done(&["yes"]));
    master.remove_worker(NOW, worker);
    let other = master.add_worker(NOW, 2, 1).unwrap();
    let again = take(&mut master, NOW, other).unwrap();
    let view = MessageRef::parse(&again).unwrap();
    assert_eq!((view.payload, view.extension.attempt), (&b"a"[..], 4), "in the order in which it had them");
    let late = master.handle_submit_held(NOW, client, urgent("me", "late", 0, Some(0)), other, 2).unwrap();
    assert_eq!(master.poll_revoked(), Some(Revoked { worker: 2, task: late, attempt: 2 }), "it need not go on");
    let gone = master.handle_submit_held(NOW, client, message("me", "c"), worker, 1).unwrap();
    assert!(master.is_live(gone) && master.gauges().queued == 2, "one whose worker is not there is as any other");
}

#[test]
fn a_worker_that_comes_back_claims_what_nobody_else_has() {
    let (mut master, client, home) = set_up(MasterConfig { attempts: 2, ..MasterConfig::default() });
    let task = submit(&mut master, client, "a");
    for _ in 0..5 {
        let worker = master.add_worker_with_window(NOW, 1, 0).unwrap();
        let attempt = 1;
        assert!(master.claim(NOW, task, worker, attempt), "to lose a connection is not to be lost with a message");
        assert!(!master.claim(NOW, task, worker, attempt), "it is not queued");
        assert_eq!((master.load(worker), master.has_task(worker)), (Some((1, 0)), false));
        master.remove_worker(NOW, worker);
    }
    let other = master.add_worker_with_window(NOW, 2, 1).unwrap();
    let wire = take(&mut master, NOW, other).unwrap();
    let late = master.add_worker_with_window(NOW, 3, 1).unwrap();
    assert!(!master.claim(NOW, task, late, 1), "another has it");
    let mut back = BytesMut::from(&wire[..]);
    MessageWriter::new(&mut back).status(Status::HandedBack).finish().unwrap();
    master.remove_worker(NOW, late);
    answer(&mut master, NOW, &back.freeze());
    let late = master.add_worker_with_window(NOW, 3, 0).unwrap();
    assert!(!master.claim(NOW, task, late, 1), "it has been out again since");
    assert!(master.claim(NOW, task, late, 2));
    master.handle_answer(NOW, late, task, 2, DONE, b"yes", "", true).unwrap();
    assert!(!master.claim(NOW, task, late, 2));
    assert_eq!(results(&mut master, NOW, home), done(&["yes"]));
}

#[test]
fn an_answer_is_made_of_what_the_client_sent() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let worker = master.add_worker_with_window(NOW, 1, 4).unwrap();
    for status in [DONE, Status::Failed, Status::NoSuchFunction] {
        let mut out = BytesMut::new();
        let mut writer = MessageWriter::new(&mut out);
        writer.pipeline("p").client("me").function("server.f").cache("user").payload(b"in").sequence(5);
        writer.finish().unwrap();
        let task = master.handle_submit(NOW, client, Span::whole(out.freeze())).unwrap();
        take(&mut master, NOW, worker).unwrap();
        master.handle_answer(NOW, worker, task, 1, status, b"out", "why", true).unwrap();
        let outcome = master.poll_result(NOW, home).unwrap();
        let view = MessageRef::parse(outcome.message.as_slice()).unwrap();
        let (payload, text) = if status == DONE { (&b"out"[..], "") } else { (&b"0"[..], "why") };
        assert_eq!((view.pipeline, view.client, view.function, view.cache), ("p", "me", "server.f", "user"));
        assert_eq!((view.payload, view.extension.status, view.extension.error), (payload, status, text));
        assert_eq!((view.extension.sequence, view.extension.task), (Some(5), None));
    }
    assert_eq!((master.memory(), master.counters().answered), (0, 3));
}

#[test]
fn parts_go_home_while_the_task_goes_on() {
    let lease = Some(Duration::from_secs(5));
    let (mut master, client, home) = set_up(MasterConfig { lease, ..MasterConfig::default() });
    let worker = master.add_worker_with_window(NOW, 1, 1).unwrap();
    let task = submit(&mut master, client, "a");
    take(&mut master, NOW, worker).unwrap();
    let mut now = NOW;
    for part in [b"1", b"2", b"3"] {
        now = now + Duration::from_secs(4);
        master.handle_timeout(now);
        master.handle_answer(now, worker, task, 1, DONE, part, "", false).unwrap();
        let outcome = master.poll_result(now, home).unwrap();
        let view = MessageRef::parse(outcome.message.as_slice()).unwrap();
        assert_eq!((view.payload, view.extension.partial), (&part[..], true));
    }
    assert_eq!((master.counters().leases_expired, master.is_live(task)), (0, true), "it is at work");
    master.handle_answer(now, worker, task, 2, DONE, b"x", "", false).unwrap();
    master.handle_answer(now, worker, task, 1, DONE, b"4", "", true).unwrap();
    master.handle_answer(now, worker, task, 1, DONE, b"x", "", false).unwrap();
    master.handle_answer(now, worker, task, 1, DONE, b"x", "", true).unwrap();
    let outcome = master.poll_result(now, home).unwrap();
    let view = MessageRef::parse(outcome.message.as_slice()).unwrap();
    assert_eq!((view.payload, view.extension.partial), (&b"4"[..], false));
    assert_eq!((master.counters().partials, master.counters().duplicates, master.memory()), (3, 3, 0));
}

#[test]
fn parts_that_nobody_takes_leave_room_for_the_results() {
    let sizes = TableSizes { tasks: 2, peers: 4, subscriptions: 4 };
    let mut master: HostMaster =
        Master::new("server", MasterConfig::default(), Tables::sized(&sizes), Seed::from_u64(7)).unwrap();
    let client = master.add_sender().unwrap();
    let worker = master.add_worker_with_window(NOW, 1, 4).unwrap();
    let tasks = ["a", "b"].map(|name| submit(&mut master, client, name));
    while take(&mut master, NOW, worker).is_some() {}
    let part = |master: &mut HostMaster| master.handle_answer(NOW, worker, tasks[0], 1, DONE, b"part", "", false);
    let taken = core::iter::from_fn(|| part(&mut master).ok()).count();
    assert_eq!((taken, part(&mut master)), (2, Err(Refusal::Full)));
    for task in tasks {
        master.handle_answer(NOW, worker, task, 1, DONE, b"last", "", true).unwrap();
    }
    assert_eq!((master.gauges().results, master.is_idle()), (4, true));
}

#[test]
fn who_hands_back_is_given_more_when_it_asks() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let worker = master.add_worker_with_window(NOW, 1, 2).unwrap();
    let tasks = ["a", "b"].map(|name| submit(&mut master, client, name));
    while take(&mut master, NOW, worker).is_some() {}
    master.handle_answer(NOW, worker, tasks[1], 1, Status::HandedBack, b"", "", true).unwrap();
    assert_eq!((master.load(worker), master.has_task(worker)), (Some((1, 1)), false));
    master.handle_answer(NOW, worker, tasks[1], 1, Status::HandedBack, b"", "", true).unwrap();
    assert_eq!((master.counters().handed_back, master.counters().duplicates), (1, 1));
    master.widen(NOW, worker, 1);
    assert_eq!(payload(&take(&mut master, NOW, worker).unwrap()), "b");
    master.handle_answer(NOW, worker, tasks[1], 2, DONE, b"b", "", true).unwrap();
    assert_eq!(results(&mut master, NOW, home), done(&["b"]));
}

#[test]
fn who_answers_each_is_not_taken_to_be_silent() {
    let (mut master, client, home) = set_up(MasterConfig { silent_workers: true, ..MasterConfig::default() });
    let worker = master.add_worker_with_window(NOW, 1, 2).unwrap();
    let tasks = ["a", "b"].map(|name| submit(&mut master, client, name));
    while take(&mut master, NOW, worker).is_some() {}
    for task in [tasks[1], tasks[0]] {
        master.handle_answer(NOW, worker, task, 1, DONE, b"x", "", true).unwrap();
    }
    assert_eq!((results(&mut master, NOW, home), master.counters().silent), (done(&["x", "x"]), 0));
}

#[test]
fn who_was_taken_to_hang_and_answers_is_given_messages_again() {
    let lease = Some(Duration::from_secs(5));
    let (mut master, client, _) = set_up(MasterConfig { lease, ..MasterConfig::default() });
    let worker = master.add_worker_with_window(NOW, 1, 1).unwrap();
    let task = submit(&mut master, client, "a");
    take(&mut master, NOW, worker).unwrap();
    let due = master.poll_timeout().unwrap();
    master.handle_timeout(due);
    assert!(master.cancel(due, task) && !master.has_task(worker));
    submit(&mut master, client, "b");
    assert!(!master.has_task(worker));
    master.handle_answer(due, worker, task, 1, DONE, b"late", "", true).unwrap();
    assert!(core::iter::from_fn(|| master.poll_event()).any(|event| event == Event::WorkerBack { worker: 1 }));
    assert!(master.has_task(worker));
}
