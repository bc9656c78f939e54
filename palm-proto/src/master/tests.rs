//! The master with its peers played by the test, in virtual time.

use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::message::{MessageRef, MessageWriter, Status};
use crate::random::Seed;
use crate::{Instant, Span};

mod believed;
mod departed;
mod given_up;
mod journal;
mod prefixes;
mod told_apart;

type HostMaster = Master<HeapStorage>;

fn master(config: MasterConfig) -> HostMaster {
    let sizes = TableSizes { tasks: 64, peers: 8, subscriptions: 8 };
    Master::new("server", config, Tables::sized(&sizes), Seed::from_u64(7)).unwrap()
}

fn message(client: &str, payload: &str) -> Span<Bytes> {
    let mut out = BytesMut::new();
    MessageWriter::new(&mut out).client(client).function("server.f").payload(payload.as_bytes()).finish().unwrap();
    Span::whole(out.freeze())
}

/// A message with more to it than the others: a priority, a deadline in milliseconds.
fn urgent(client: &str, payload: &str, priority: u8, deadline: Option<u64>) -> Span<Bytes> {
    let mut out = BytesMut::from(message(client, payload).as_slice());
    let mut writer = MessageWriter::new(&mut out);
    writer.priority(priority);
    if let Some(deadline) = deadline {
        writer.deadline(deadline);
    }
    writer.finish().unwrap();
    Span::whole(out.freeze())
}

/// What a worker is sent, as bytes.
fn take(master: &mut HostMaster, now: Instant, worker: WorkerId) -> Option<Bytes> {
    let assignment = master.poll_task(worker)?;
    let mut wire = BytesMut::from(assignment.message.as_slice());
    wire.extend_from_slice(&assignment.tags(now));
    Some(wire.freeze())
}

fn payload(bytes: &[u8]) -> String {
    String::from_utf8(MessageRef::parse(bytes).unwrap().payload.to_vec()).unwrap()
}

fn answer(master: &mut HostMaster, now: Instant, wire: &Bytes) {
    master.handle_result(now, Span::whole(wire.clone())).unwrap();
}

fn results(master: &mut HostMaster, now: Instant, subscriber: SubscriberId) -> Vec<(String, Status)> {
    core::iter::from_fn(|| master.poll_result(now, subscriber))
        .map(|outcome| {
            let view = MessageRef::parse(outcome.message.as_slice()).unwrap();
            (String::from_utf8_lossy(view.payload).to_string(), view.extension.status)
        })
        .collect()
}

fn done(payloads: &[&str]) -> Vec<(String, Status)> {
    payloads.iter().map(|payload| (payload.to_string(), Status::Done)).collect()
}

const NOW: Instant = Instant::from_millis(1);

#[test]
fn what_a_lost_worker_held_goes_to_others_in_order() {
    let mut master = master(MasterConfig { window: Some(3), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    let lost = master.add_worker(NOW, 1, 1).unwrap();
    for name in ["a", "b", "c", "d"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
    }
    let first = take(&mut master, NOW, lost).unwrap();
    let second = take(&mut master, NOW, lost).unwrap();
    master.remove_worker(NOW, lost);
    assert_eq!(master.poll_event(), Some(Event::WorkerLost { worker: 1, held: 3 }));
    let other = master.add_worker(NOW, 2, 1).unwrap();
    let again: Vec<Bytes> = core::iter::from_fn(|| take(&mut master, NOW, other)).collect();
    assert_eq!(again.iter().map(|wire| payload(wire)).collect::<Vec<_>>(), ["a", "b", "c"]);
    // The answer of the lost attempt comes first and counts; that of the later attempt does not.
    answer(&mut master, NOW, &first);
    answer(&mut master, NOW, &again[0]);
    answer(&mut master, NOW, &again[1]);
    answer(&mut master, NOW, &second);
    answer(&mut master, NOW, &again[1]);
    assert_eq!(results(&mut master, NOW, home), done(&["a", "b", "b"]), "several of the accepted attempt all pass");
    assert_eq!((master.counters().duplicates, master.counters().additional), (2, 1));
}

#[test]
fn a_message_is_not_blamed_for_another_whose_worker_lost_its_last_answers() {
    let mut master = master(MasterConfig { window: Some(4), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    for name in ["a", "poison", "c"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
    }
    let mut lost = 0;
    while !master.is_idle() {
        let worker = master.add_worker(NOW, lost, 1).unwrap();
        let taken: Vec<_> = core::iter::from_fn(|| take(&mut master, NOW, worker)).collect();
        let all_done = taken.iter().all(|wire| payload(wire) != "poison");
        if all_done {
            taken.iter().for_each(|wire| answer(&mut master, NOW, wire));
        }
        lost += u32::from(!all_done);
        master.remove_worker(NOW, worker);
    }
    let mut results = results(&mut master, NOW, home);
    results.sort_by_key(|(payload, _)| payload.clone());
    let mut expected = done(&["0", "a", "c"]);
    expected[0].1 = Status::DeadLetter;
    assert_eq!((results, lost), (expected, 3));
}

#[test]
fn what_is_kept_apart_waits_for_a_worker_that_holds_nothing_and_lets_others_go_on() {
    let mut master = master(MasterConfig { window: Some(2), attempts: 2, ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let lost = master.add_worker(NOW, 0, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "suspect")).unwrap();
    take(&mut master, NOW, lost).unwrap();
    let [one, other] = [1, 2].map(|token| master.add_worker(NOW, token, 1).unwrap());
    let submit =
        |master: &mut HostMaster, name| master.handle_submit(NOW, client, message("me", name)).map(drop).unwrap();
    submit(&mut master, "a");
    submit(&mut master, "b");
    let held = [one, other].map(|worker| take(&mut master, NOW, worker).unwrap());
    master.remove_worker(NOW, lost);
    submit(&mut master, "c");
    assert_eq!([one, other].map(|worker| master.load(worker).unwrap().0), [1, 2], "one of them is to become idle");
    answer(&mut master, NOW, &held[0]);
    submit(&mut master, "d");
    let suspect = take(&mut master, NOW, one).unwrap();
    assert_eq!((payload(&suspect).as_str(), master.load(one).unwrap().0), ("suspect", 1), "it is alone");
    answer(&mut master, NOW, &suspect);
    assert_eq!(payload(&take(&mut master, NOW, one).unwrap()), "d", "then things are as before");
}

#[test]
fn a_message_that_kills_its_workers_is_a_dead_letter_and_its_neighbours_are_not() {
    let mut master = master(MasterConfig { window: Some(4), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    for name in ["poison", "b", "c"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
    }
    for round in 0..3 {
        let worker = master.add_worker(NOW, round, 1).unwrap();
        let held = core::iter::from_fn(|| take(&mut master, NOW, worker)).count();
        assert_eq!(held, [3, 3, 1][round as usize], "on its last attempt it is alone");
        master.remove_worker(NOW, worker);
    }
    let worker = master.add_worker(NOW, 4, 1).unwrap();
    while let Some(wire) = take(&mut master, NOW, worker) {
        answer(&mut master, NOW, &wire);
    }
    let mut expected = done(&["b", "c"]);
    expected.insert(0, ("0".to_string(), Status::DeadLetter));
    assert_eq!(results(&mut master, NOW, home), expected);
    assert!(
        core::iter::from_fn(|| master.poll_event()).any(|event| matches!(event, Event::DeadLetter { attempts: 3, .. }))
    );
}

#[test]
fn a_full_queue_is_full_for_each_of_several_senders() {
    let sizes = TableSizes { tasks: 2, peers: 4, subscriptions: 4 };
    let mut master: HostMaster =
        Master::new("server", MasterConfig::default(), Tables::sized(&sizes), Seed::from_u64(7)).unwrap();
    let [one, other] = [(); 2].map(|()| master.add_sender().unwrap());
    for sender in [one, other] {
        assert!(master.may_submit(sender, 10));
        master.handle_submit(NOW, sender, message("me", "a")).unwrap();
    }
    assert!(!master.may_submit(one, 10) && !master.may_submit(other, 10));
    let refused = master.handle_submit(NOW, one, message("me", "b")).unwrap_err();
    assert_eq!(refused.reason, Refusal::Full);
}

#[test]
fn tables_full_of_messages_still_take_results_in() {
    type Buffer = heapless::Vec<u8, 128>;
    let config = MasterConfig { window: Some(4), ..MasterConfig::default() };
    let mut master: Master<FixedStorage<Buffer, 4, 8>> =
        Master::new("server", config, Tables::fixed(), Seed::from_u64(7)).unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let body = Buffer::from_slice(message("me", "x").as_slice()).unwrap();
    for sender in [(); 8].map(|()| master.add_sender().unwrap()) {
        if master.may_submit(sender, body.len()) {
            master.handle_submit(NOW, sender, Span::whole(body.clone())).unwrap();
        }
    }
    let mut wires = std::vec::Vec::new();
    while let Some(assignment) = master.poll_task(worker) {
        let mut wire = Buffer::from_slice(assignment.message.as_slice()).unwrap();
        wire.extend_from_slice(&assignment.tags(NOW)).unwrap();
        wires.push(wire);
    }
    assert_eq!(wires.len(), 3);
    // The first message has two results, which nobody takes.
    for wire in [wires[0].clone(), wires[0].clone()] {
        assert!(master.may_answer(wire.len()));
        master.handle_result(NOW, Span::whole(wire)).unwrap();
    }
    assert_eq!(master.counters().additional, 1);
}

#[test]
fn a_copy_takes_no_place_that_is_set_aside_for_a_result() {
    let sizes = TableSizes { tasks: 3, peers: 4, subscriptions: 4 };
    let mut master: HostMaster =
        Master::new("server", MasterConfig::default(), Tables::sized(&sizes), Seed::from_u64(7)).unwrap();
    let client = master.add_sender().unwrap();
    let homes = [1, 2].map(|token| master.add_subscriber(NOW, token).unwrap());
    for home in homes {
        master.handle_subscribe(NOW, home, b"me").unwrap();
    }
    let worker = master.add_worker(NOW, 3, 1).unwrap();
    // Six results fit: those of `a` and `b` and their copies, and those of `c` and `d`, for whose copies there is no room.
    for name in ["a", "b", "c"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
    }
    let wire = take(&mut master, NOW, worker).unwrap();
    answer(&mut master, NOW, &wire);
    master.handle_submit(NOW, client, message("me", "d")).unwrap();
    while let Some(wire) = take(&mut master, NOW, worker) {
        answer(&mut master, NOW, &wire);
    }
    let [first, second] = homes.map(|home| results(&mut master, NOW, home));
    let longer = if first.len() > second.len() { &first } else { &second };
    assert_eq!(longer, &done(&["a", "b", "c", "d"]));
    assert_eq!((first.len() + second.len(), master.counters().copies_dropped), (6, 2));
    assert_eq!(master.gauges().memory, 0);
}

#[test]
fn results_wait_for_a_late_subscriber_and_return_from_one_that_left() {
    let mut master = master(MasterConfig::default());
    let client = master.add_sender().unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    for name in ["a", "b"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
        let wire = take(&mut master, NOW, worker).unwrap();
        answer(&mut master, NOW, &wire);
    }
    let first = master.add_subscriber(NOW, 2).unwrap();
    master.handle_subscribe(NOW, first, b"other").unwrap();
    assert!(!master.has_result(first));
    master.handle_subscribe(NOW, first, b"m").unwrap();
    assert!(!master.has_result(first), "what waits is for its own client");
    master.handle_subscribe(NOW, first, b"me").unwrap();
    assert!(master.poll_result(NOW, first).is_some());
    master.remove_subscriber(first);
    let second = master.add_subscriber(NOW, 3).unwrap();
    master.handle_subscribe(NOW, second, b"me").unwrap();
    assert_eq!(results(&mut master, NOW, second), done(&["b"]));
    assert_eq!(master.gauges().memory, 0);
}

#[test]
fn results_that_nobody_takes_are_dropped_and_counted_when_the_time_has_passed() {
    let mut master = master(MasterConfig { keep: Duration::from_secs(2), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, worker).unwrap();
    answer(&mut master, NOW, &wire);
    let due = master.poll_timeout().unwrap();
    assert_eq!(due, NOW + Duration::from_secs(2));
    master.handle_timeout(Instant::from_millis(2_000));
    assert_eq!(master.gauges().results, 1, "early calls are harmless");
    master.handle_timeout(due);
    assert_eq!((master.gauges().results, master.counters().expired, master.gauges().memory), (0, 1, 0));
    assert_eq!(master.poll_timeout(), None);
}

#[test]
fn results_for_one_that_is_slow_are_kept_when_it_calls_again() {
    let keep = Duration::from_secs(2);
    let mut master = master(MasterConfig { keep, ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let mut home = master.add_subscriber(NOW, 2).unwrap();
    master.handle_subscribe(NOW, home, b"me").unwrap();
    for _ in 0..10 {
        master.handle_submit(NOW, client, message("me", "a")).unwrap();
        let wire = take(&mut master, NOW, worker).unwrap();
        answer(&mut master, NOW, &wire);
    }
    let mut at = NOW;
    for _ in 0..10 {
        assert!(master.poll_result(at, home).is_some(), "at {at:?}");
        master.remove_subscriber(home);
        at = at + keep / 2;
        master.handle_timeout(at);
        home = master.add_subscriber(at, 2).unwrap();
        master.handle_subscribe(at, home, b"me").unwrap();
    }
    assert_eq!((master.counters().delivered, master.counters().expired), (10, 0));
}

#[test]
fn a_worker_that_hangs_loses_its_lease_and_returns_when_it_answers() {
    let lease = Some(Duration::from_secs(5));
    let mut master = master(MasterConfig { lease, window: Some(1), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    let hung = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let late = take(&mut master, NOW, hung).unwrap();
    let due = master.poll_timeout().unwrap();
    master.handle_timeout(due);
    assert_eq!(master.poll_event(), Some(Event::LeaseExpired { worker: 1, held: 1 }));
    assert!(!master.has_task(hung), "it gets nothing more");
    let other = master.add_worker(due, 2, 1).unwrap();
    let wire = take(&mut master, due, other).unwrap();
    answer(&mut master, due, &wire);
    answer(&mut master, due, &late);
    assert_eq!(master.poll_event(), Some(Event::WorkerBack { worker: 1 }));
    assert_eq!(results(&mut master, due, home), done(&["a"]));
    for name in ["b", "c"] {
        master.handle_submit(due, client, message("me", name)).unwrap();
    }
    assert!(master.has_task(hung) && master.has_task(other));
}

#[test]
fn a_worker_whose_answers_were_lost_is_tried_again() {
    let lease = Some(Duration::from_secs(5));
    let mut master = master(MasterConfig { lease, window: Some(2), attempts: 10, ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    for name in ["a", "b"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
        take(&mut master, NOW, worker).unwrap();
    }
    for _ in 0..5 {
        let at = master.poll_timeout().unwrap();
        master.handle_timeout(at);
        assert!(take(&mut master, at, worker).is_none());
        let at = master.poll_timeout().unwrap();
        master.handle_timeout(at);
        assert_eq!(payload(&take(&mut master, at, worker).unwrap()), "a");
        assert!(take(&mut master, at, worker).is_none(), "one message shows whether it works");
    }
    let at = master.poll_timeout().unwrap();
    master.handle_timeout(at);
    let at = master.poll_timeout().unwrap();
    master.handle_timeout(at);
    let wire = take(&mut master, at, worker).unwrap();
    answer(&mut master, at, &wire);
    let wire = take(&mut master, at, worker).unwrap();
    assert_eq!(payload(&wire), "b");
    answer(&mut master, at, &wire);
    assert!(master.is_idle());
    master.remove_worker(at, worker);
    assert_eq!(master.counters().dead_letters, 0);
}

#[test]
fn every_worker_that_hung_returns_with_its_own_answer() {
    let lease = Some(Duration::from_secs(5));
    let mut master = master(MasterConfig { lease, window: Some(1), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    // Alone, it answers what is in the queue again.
    let first = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let early = take(&mut master, NOW, first).unwrap();
    let due = master.poll_timeout().unwrap();
    master.handle_timeout(due);
    answer(&mut master, due, &early);
    master.handle_submit(due, client, message("me", "b")).unwrap();
    let mut wires = std::vec![take(&mut master, due, first).expect("it is given messages again")];
    // The same message hangs with three, one after the other.
    let mut at = due;
    let mut workers = std::vec![first];
    for token in 2..=3 {
        at = master.poll_timeout().unwrap();
        workers.push(master.add_worker(at, token, 1).unwrap());
        at = at + Duration::from_secs(5);
        master.handle_timeout(at);
        wires.push(take(&mut master, at, *workers.last().unwrap()).unwrap());
    }
    at = at + Duration::from_secs(5);
    master.handle_timeout(at);
    for (position, wire) in wires.iter().enumerate() {
        answer(&mut master, at, wire);
        master.handle_submit(at, client, message("me", "c")).unwrap();
        assert!(master.has_task(workers[position]), "worker {position} answered");
    }
}

#[test]
fn the_least_loaded_worker_is_next() {
    let mut master = master(MasterConfig { window: Some(3), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let workers = [1, 2, 3].map(|token| master.add_worker(NOW, token, 1).unwrap());
    for round in 1..=3 {
        for _ in 0..3 {
            master.handle_submit(NOW, client, message("me", "x")).unwrap();
        }
        assert_eq!(workers.map(|worker| master.load(worker).unwrap().0), [round; 3]);
    }
    master.handle_submit(NOW, client, message("me", "x")).unwrap();
    assert_eq!(master.gauges().queued, 1, "no worker has more than its window");
}

#[test]
fn full_is_said_and_nothing_is_dropped() {
    let mut master = master(MasterConfig { memory: 20_000, ..MasterConfig::default() });
    let [greedy, modest] = [(); 2].map(|()| master.add_sender().unwrap());
    let mut taken = 0;
    while master.may_submit(greedy, 500) {
        let body = "x".repeat(480);
        master.handle_submit(NOW, greedy, message("greedy", &body)).unwrap();
        taken += 1;
    }
    assert!(master.gauges().memory <= 10_000, "half is left to others");
    assert!(master.may_submit(modest, 500));
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let work = |master: &mut HostMaster| {
        while let Some(wire) = take(master, NOW, worker) {
            answer(master, NOW, &wire);
        }
    };
    work(&mut master);
    assert!(!master.may_submit(greedy, 500), "its results still wait");
    let home = master.add_subscriber(NOW, 2).unwrap();
    master.handle_subscribe(NOW, home, b"greedy").unwrap();
    let mut delivered = results(&mut master, NOW, home).len();
    work(&mut master);
    delivered += results(&mut master, NOW, home).len();
    assert_eq!((delivered, master.gauges().memory), (taken, 0));
    assert!(master.may_submit(greedy, 500));
}

#[test]
fn a_stopping_master_gives_back_what_is_left() {
    let mut master = master(MasterConfig { window: Some(1), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    for name in ["a", "b", "c"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
    }
    let late = take(&mut master, NOW, worker).unwrap();
    assert_eq!(master.abandon(NOW, 2), 2);
    assert_eq!(master.abandon(NOW, 2), 1);
    answer(&mut master, NOW, &late);
    let left = results(&mut master, NOW, home);
    assert_eq!(left, std::vec![("0".to_string(), Status::Unavailable); 3]);
    assert!(master.is_idle() && master.is_flushed());
}

#[test]
fn what_is_handed_back_goes_to_others_without_blame() {
    let mut master = master(MasterConfig { window: Some(2), attempts: 1, ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let stopping = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, stopping).unwrap();
    let mut back = BytesMut::from(&wire[..]);
    MessageWriter::new(&mut back).status(Status::HandedBack).finish().unwrap();
    answer(&mut master, NOW, &back.freeze());
    assert!(!master.has_task(stopping), "it gets nothing more");
    let other = master.add_worker(NOW, 2, 1).unwrap();
    assert_eq!(payload(&take(&mut master, NOW, other).unwrap()), "a");
    assert_eq!(master.counters().handed_back, 1);
}

#[test]
fn where_results_go_on_the_topic_is_the_name_and_the_stage_the_next() {
    let mut master = master(MasterConfig { pipelined: true, ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let (worker, next) = (master.add_worker(NOW, 1, 1).unwrap(), master.add_subscriber(NOW, 2).unwrap());
    master.handle_subscribe(NOW, next, b"server").unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, worker).unwrap();
    answer(&mut master, NOW, &wire);
    let outcome = master.poll_result(NOW, next).unwrap();
    assert_eq!((outcome.topic.clone(), master.own_topic()), (None, Some(&b"server"[..])));
    let mut onward = outcome.message.as_slice().to_vec();
    onward.extend_from_slice(&outcome.tags());
    assert_eq!(MessageRef::parse(&onward).unwrap().stage, 1);
}

#[test]
fn several_subscribers_get_a_copy_each() {
    let mut master = master(MasterConfig::default());
    let client = master.add_sender().unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let all = [(); 7].map(|()| master.add_subscriber(NOW, 2).unwrap());
    for (index, &subscriber) in all.iter().enumerate() {
        master.handle_subscribe(NOW, subscriber, &b"me"[..index % 3]).unwrap();
    }
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, worker).unwrap();
    answer(&mut master, NOW, &wire);
    for subscriber in all {
        assert_eq!(results(&mut master, NOW, subscriber), done(&["a"]));
    }
    assert_eq!(master.gauges().memory, 0);
}

#[test]
fn a_result_that_several_were_given_comes_back_once_and_only_if_nobody_took_it() {
    for takes in [None, Some(0), Some(1), Some(2)] {
        let mut master = master(MasterConfig::default());
        let client = master.add_sender().unwrap();
        let worker = master.add_worker(NOW, 1, 1).unwrap();
        let all = [(); 3].map(|()| master.add_subscriber(NOW, 2).unwrap());
        all.iter().for_each(|&subscriber| master.handle_subscribe(NOW, subscriber, b"me").unwrap());
        master.handle_submit(NOW, client, message("me", "a")).unwrap();
        let wire = take(&mut master, NOW, worker).unwrap();
        answer(&mut master, NOW, &wire);
        if let Some(takes) = takes {
            assert_eq!(results(&mut master, NOW, all[takes]), done(&["a"]));
        }
        for (position, subscriber) in all.into_iter().enumerate() {
            master.remove_subscriber(subscriber);
            let left = all[position + 1..].iter().filter(|_| takes.is_none()).count();
            assert!(master.gauges().results >= left && master.gauges().results <= 3 - position);
        }
        let late = master.add_subscriber(NOW, 2).unwrap();
        master.handle_subscribe(NOW, late, b"me").unwrap();
        let expected = if takes.is_none() { done(&["a"]) } else { Vec::new() };
        assert_eq!(results(&mut master, NOW, late), expected, "{takes:?}");
        assert_eq!(master.gauges().memory, 0);
    }
}

#[test]
fn what_is_handed_back_late_is_taken_from_nobody() {
    let lease = Some(Duration::from_secs(5));
    let mut master = master(MasterConfig { lease, ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let hung = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, hung).unwrap();
    let due = master.poll_timeout().unwrap();
    let other = master.add_worker(due, 2, 1).unwrap();
    master.handle_timeout(due);
    assert!(take(&mut master, due, other).is_some());
    let mut back = BytesMut::from(&wire[..]);
    MessageWriter::new(&mut back).status(Status::HandedBack).finish().unwrap();
    answer(&mut master, due, &back.freeze());
    assert_eq!((master.load(other).unwrap().0, master.counters().handed_back), (1, 0));
    master.remove_worker(due, other);
    assert_eq!(master.gauges().queued, 1, "who handed it back gets nothing more");
}

#[test]
fn a_deadline_that_passed_is_a_failure_instead_of_a_dispatch() {
    let mut master = master(MasterConfig::default());
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    let mut out = BytesMut::new();
    MessageWriter::new(&mut out).client("me").function("server.f").sequence(5).deadline(100).finish().unwrap();
    master.handle_submit(NOW, client, Span::whole(out.freeze())).unwrap();
    let worker = master.add_worker(NOW + Duration::from_millis(100), 1, 1).unwrap();
    assert!(!master.has_task(worker));
    assert_eq!(results(&mut master, NOW, home), [("0".to_string(), Status::DeadlineExceeded)]);
}

#[test]
fn a_message_without_a_function_is_answered_and_reaches_no_worker() {
    let mut master = master(MasterConfig::default());
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    for (function, stage) in [("", 0), ("f", 0), ("server", 3), ("   ", 0), ("a.f b.g", 2), ("a.f b", 1)] {
        let mut out = BytesMut::new();
        MessageWriter::new(&mut out).client("me").function(function).stage(stage).finish().unwrap();
        master.handle_submit(NOW, client, Span::whole(out.freeze())).unwrap();
        assert_eq!(results(&mut master, NOW, home), [("0".to_string(), Status::NoSuchFunction)], "{function:?}");
    }
    assert!(take(&mut master, NOW, worker).is_none() && master.is_idle());
    assert_eq!((master.memory(), master.counters().unaddressed), (0, 6));
}

#[test]
fn a_worker_may_yield_nothing_where_that_is_said() {
    let mut master = master(MasterConfig { silent_workers: true, ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    for name in ["a", "b", "c", "d"] {
        master.handle_submit(NOW, client, message("me", name)).unwrap();
    }
    let wires: Vec<Bytes> = core::iter::from_fn(|| take(&mut master, NOW, worker)).collect();
    assert_eq!(wires.len(), 4, "it is not made to wait for answers that do not come");
    answer(&mut master, NOW, &wires[2]);
    assert_eq!(results(&mut master, NOW, home), done(&["c"]));
    assert_eq!((master.counters().silent, master.gauges().leased), (2, 1));
}

#[test]
fn senders_have_their_turns_and_each_its_order() {
    let mut master = master(MasterConfig { window: Some(6), ..MasterConfig::default() });
    let [long, short] = [(); 2].map(|()| master.add_sender().unwrap());
    for name in ["a", "b", "c", "d"] {
        master.handle_submit(NOW, long, message("long", name)).unwrap();
    }
    for name in ["x", "y"] {
        master.handle_submit(NOW, short, message("short", name)).unwrap();
    }
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let order: Vec<String> =
        core::iter::from_fn(|| take(&mut master, NOW, worker)).map(|wire| payload(&wire)).collect();
    assert_eq!(order, ["a", "x", "b", "y", "c", "d"]);
}

#[test]
fn large_results_that_nobody_reads_leave_room_for_others() {
    let mut master = master(MasterConfig { memory: 1_000_000, window: Some(1), ..MasterConfig::default() });
    let [hog, other] = [(); 2].map(|()| master.add_sender().unwrap());
    for _ in 0..20 {
        master.handle_submit(NOW, hog, message("hog", "x")).unwrap();
    }
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let mut answered = 0;
    while let Some(wire) = take(&mut master, NOW, worker) {
        let mut large = BytesMut::new();
        let view = MessageRef::parse(&wire).unwrap();
        let task = view.extension.task.unwrap();
        MessageWriter::new(&mut large).client("hog").payload(&[0; 100_000]).task(task);
        assert!(master.may_answer(large.len()));
        answer(&mut master, NOW, &large.freeze());
        answered += 1;
    }
    assert!((3..=5).contains(&answered), "half of the memory: {answered}");
    let home = master.add_subscriber(NOW, 2).unwrap();
    master.handle_subscribe(NOW, home, b"other").unwrap();
    for _ in 0..10 {
        master.handle_submit(NOW, other, message("other", "y")).unwrap();
        let wire = take(&mut master, NOW, worker).unwrap();
        assert_eq!(payload(&wire), "y");
        answer(&mut master, NOW, &wire);
    }
    assert_eq!(results(&mut master, NOW, home).len(), 10);
    // When the results have gone home, it goes on.
    let late = master.add_subscriber(NOW, 3).unwrap();
    master.handle_subscribe(NOW, late, b"hog").unwrap();
    assert_eq!(results(&mut master, NOW, late).len(), answered);
    assert!(master.has_task(worker));
}

#[test]
fn results_that_belong_to_no_message_have_their_bound() {
    let mut master = master(MasterConfig { memory: 100_000, ..MasterConfig::default() });
    let mut taken = 0;
    while master.handle_result(NOW, message("who", &"x".repeat(5_000))).is_ok() {
        taken += 1;
    }
    assert!((8..=10).contains(&taken), "half of the memory: {taken}");
    assert!(!master.may_take_stray(5_000) && master.may_answer(5_000));
}

#[test]
fn what_may_be_read_of_a_short_result_is_taken_in_a_longer_buffer_too() {
    let sizes = TableSizes { tasks: 64, peers: 8, subscriptions: 8 };
    let config = MasterConfig { memory: 20_000, ..MasterConfig::default() };
    let tables = Tables::<HeapStorage<crate::buffer::PooledBuffer>>::sized(&sizes);
    let mut master = Master::new("server", config, tables, Seed::from_u64(7)).unwrap();
    let short = message("who", "x");
    let mut taken = 0;
    // Who is told that it may be read, and then that it may not, would ask for ever.
    while master.may_answer(short.len()) && master.may_take_stray(short.len()) {
        assert!(master.handle_result(NOW, Span::copy_passing(short.as_slice()).unwrap()).is_ok());
        taken += 1;
    }
    assert!((10..40).contains(&taken), "half of the memory: {taken}");
}
