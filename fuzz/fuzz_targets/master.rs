//! Whatever its peers do, and in whatever order, a master keeps its bounds and its books: each message that it took is queued,
//! with a worker, or answered.
#![no_main]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::master::{HeapStorage, SenderId, TableSizes, Tables, WorkerId};
use palm_proto::{Instant, Master, MasterConfig, MessageRef, MessageWriter, Seed, Span, Status, TaskId};

const SIZES: TableSizes = TableSizes { tasks: 12, peers: 4, subscriptions: 6 };
const TOPICS: [&str; 5] = ["", "a", "ab", "abc", "b"];

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let options = input.byte();
    let config = MasterConfig {
        memory: 6_000,
        window: (options & 1 == 0).then_some(1 + u32::from(options >> 6)),
        lease: (options & 2 == 0).then_some(Duration::from_millis(50)),
        attempts: u32::from(options >> 2 & 3),
        keep: Duration::from_millis(400),
        pipelined: options & 16 != 0,
        ..MasterConfig::default()
    };
    let mut master: Master<HeapStorage> =
        Master::new("server", config, Tables::sized(&SIZES), Seed::from_u64(u64::from(options)))
            .expect("the name fits");
    let mut now = Instant::ZERO;
    let (mut senders, mut workers, mut subscribers) = (Vec::new(), Vec::new(), Vec::new());
    let mut out: Vec<Bytes> = Vec::new();
    let mut tasks: Vec<(TaskId, u32)> = Vec::new();
    while !input.is_used_up() {
        match input.below(21) {
            0 => senders.extend(master.add_sender()),
            1 => workers.extend(master.add_worker(now, 1, u32::from(input.byte()))),
            2 => subscribers.extend(master.add_subscriber(now, 2)),
            3 => {
                if let Some(sender) = input.take(&mut senders) {
                    master.remove_sender(sender);
                }
            }
            4 => {
                if let Some(worker) = input.take(&mut workers) {
                    master.remove_worker(now, worker);
                }
            }
            5 => {
                if let Some(subscriber) = input.take(&mut subscribers) {
                    master.remove_subscriber(subscriber);
                }
            }
            6 | 7 => submit(&mut master, now, &mut input, &senders, &workers, &mut tasks),
            8 | 9 => {
                if let Some(assignment) = input.pick(&workers).and_then(|worker| master.poll_task(worker)) {
                    let mut wire = BytesMut::from(assignment.message.as_slice());
                    wire.extend_from_slice(&assignment.tags(now));
                    palm_fuzz::assert_only_tags_of_masters(&wire);
                    tasks.push((assignment.task, assignment.attempt));
                    out.push(wire.freeze());
                }
            }
            10 | 11 => answer(&mut master, now, &mut input, &mut out),
            12 => {
                if let Some(subscriber) = input.pick(&subscribers) {
                    let prefix = TOPICS[input.below(TOPICS.len())].as_bytes();
                    if input.below(3) > 0 {
                        let _ = master.handle_subscribe(now, subscriber, prefix);
                    } else {
                        master.handle_cancel(subscriber, prefix);
                    }
                }
            }
            13 => {
                if let Some(outcome) = input.pick(&subscribers).and_then(|who| master.poll_result(now, who)) {
                    let mut wire = BytesMut::from(outcome.message.as_slice());
                    wire.extend_from_slice(&outcome.tags());
                    assert!(MessageRef::parse(&wire).is_ok());
                }
            }
            14 => {
                now = now + Duration::from_millis(u64::from(input.byte()));
                master.handle_timeout(now);
            }
            15 => workers.extend(master.add_worker_with_window(now, 1, u32::from(input.byte()))),
            16 => {
                if let Some(worker) = input.pick(&workers) {
                    master.widen(now, worker, u32::from(input.byte()));
                }
            }
            17 => {
                if let Some((task, _)) = input.pick(&tasks) {
                    assert_eq!(master.is_live(task), master.cancel(now, task));
                    assert!(!master.is_live(task));
                }
            }
            18 => {
                if let Some((worker, (task, attempt))) = input.pick(&workers).zip(input.pick(&tasks)) {
                    let claimed = master.claim(now, task, worker, attempt);
                    assert!(!claimed || master.is_live(task));
                }
            }
            19 => answer_in_place(&mut master, now, &mut input, &workers, &tasks),
            _ => while master.poll_wake().is_some() || master.poll_revoked().is_some() {},
        }
        check(&master, &config);
    }
    // It stops, and has nothing to do any more.
    while master.abandon(now, 1) > 0 {
        check(&master, &config);
    }
    assert!(master.is_idle());
    for subscriber in subscribers {
        while master.poll_result(now, subscriber).is_some() {}
    }
    now = now + Duration::from_secs(3600);
    for _ in 0..10 {
        master.handle_timeout(now);
    }
    assert_eq!((master.gauges().results, master.memory()), (0, 0), "nothing is left on any account");
    assert_eq!(master.poll_timeout(), None);
});

fn submit(
    master: &mut Master<HeapStorage>,
    now: Instant,
    input: &mut Input<'_>,
    senders: &[SenderId],
    workers: &[WorkerId],
    tasks: &mut Vec<(TaskId, u32)>,
) {
    let Some(sender) = input.pick(senders) else { return };
    let message = if input.below(8) == 0 {
        BytesMut::from(input.bytes())
    } else {
        let mut message = BytesMut::new();
        let client = TOPICS[input.below(TOPICS.len())];
        let deadline = input.byte();
        let mut writer = MessageWriter::new(&mut message);
        writer.client(client).function("server.foo").payload(input.bytes()).priority(deadline % 5);
        if deadline > 200 {
            writer.deadline(u64::from(deadline));
        }
        if deadline % 8 == 0 {
            palm_fuzz::forge(&mut message, input.byte());
        }
        message
    };
    if master.may_submit(sender, message.len()) {
        let message = Span::whole(message.freeze());
        let held = input.pick(workers).filter(|_| input.below(6) == 0);
        let attempt = 1 + input.below(3) as u32;
        let taken = match held {
            Some(worker) => master.handle_submit_held(now, sender, message, worker, attempt),
            None => master.handle_submit(now, sender, message),
        };
        tasks.extend(taken.map(|task| (task, attempt)));
    }
}

/// An answer by who was sent the task, or by another.
fn answer_in_place(
    master: &mut Master<HeapStorage>,
    now: Instant,
    input: &mut Input<'_>,
    workers: &[WorkerId],
    tasks: &[(TaskId, u32)],
) {
    let Some((worker, (task, attempt))) = input.pick(workers).zip(input.pick(tasks)) else { return };
    let status = [Status::Done, Status::Done, Status::Failed, Status::HandedBack][input.below(4)];
    let last = input.below(3) > 0;
    let payload = input.bytes();
    if master.may_answer(payload.len() + 256) {
        let taken = master.handle_answer(now, worker, task, attempt, status, payload, "why", last);
        assert!(taken.is_ok() || !last, "there is always room for the last");
    }
}

/// An answer of an attempt that is out, or has been answered before, or something else.
fn answer(master: &mut Master<HeapStorage>, now: Instant, input: &mut Input<'_>, out: &mut Vec<Bytes>) {
    let again = input.below(4) == 0;
    let wire = if again { input.pick(out) } else { input.take(out) };
    let Some(wire) = wire else { return };
    let wire = match input.below(8) {
        0 => Bytes::copy_from_slice(input.bytes()),
        1 => {
            let mut changed = BytesMut::from(&wire[..]);
            MessageWriter::appending(&mut changed).status(Status::HandedBack);
            changed.freeze()
        }
        2 => {
            let mut changed = BytesMut::from(&wire[..]);
            MessageWriter::appending(&mut changed).payload(input.bytes());
            changed.freeze()
        }
        3 => {
            let mut changed = BytesMut::from(&wire[..]);
            palm_fuzz::forge(&mut changed, input.byte());
            changed.freeze()
        }
        _ => wire,
    };
    if master.may_answer(wire.len()) {
        let _ = master.handle_result(now, Span::whole(wire));
    }
}

fn check(master: &Master<HeapStorage>, config: &MasterConfig) {
    let (counters, gauges) = (master.counters(), master.gauges());
    let given_up = counters.dead_letters
        + counters.deadline_exceeded
        + counters.cancelled
        + counters.unaddressed
        + counters.unavailable;
    let answered = counters.answered + given_up;
    assert_eq!(counters.submitted, answered + (gauges.queued + gauges.leased) as u64);
    let passed_on = answered + counters.partials + counters.additional + counters.unmatched;
    let left = counters.delivered + counters.expired + gauges.results as u64;
    assert!(left >= passed_on, "a result that came in has gone out, or waits");
    assert!(gauges.queued + gauges.leased <= SIZES.tasks);
    // What answers in place of a message is larger by a text at most, and is counted when it is there.
    let slack = 512 * (gauges.results as u64 + 1);
    assert!(gauges.memory <= config.memory + slack, "{gauges}");
    assert_eq!(master.is_idle(), gauges.queued + gauges.leased == 0);
}
