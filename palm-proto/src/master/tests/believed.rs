//! Fields that a peer sets which may not, and answers of who cannot have the task.

use super::*;
use crate::message::TaskId;

/// A message that says of itself what only a master or a worker may say.
fn forged(client: &str, payload: &str, status: u32, attempt: u32) -> Span<Bytes> {
    let mut out = BytesMut::new();
    let mut writer = MessageWriter::new(&mut out);
    writer.task(TaskId(1)).client(client).function("server.f").payload(payload.as_bytes());
    writer.sequence(9).priority(1).deadline(60_000).partial().error("why");
    writer.status(Status::from_code(status)).attempt(attempt).task(TaskId(2)).finish().unwrap();
    Span::whole(out.freeze())
}

fn set_up(config: MasterConfig) -> (HostMaster, SenderId, SubscriberId) {
    let mut master = master(config);
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    (master, client, home)
}

/// The same message with some of its fields appended once more.
fn with(wire: &[u8], write: impl FnOnce(&mut MessageWriter<'_, BytesMut>)) -> Bytes {
    let mut out = BytesMut::from(wire);
    write(&mut MessageWriter::appending(&mut out));
    out.freeze()
}

#[test]
fn a_clients_message_says_nothing_in_its_masters_name() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let workers = [1, 2, 3].map(|token| master.add_worker(NOW, token, 1).unwrap());
    for (status, attempt) in [(6, 0), (6, 1), (6, 7), (3, 2), (0, 0)] {
        master.handle_submit(NOW, client, forged("me", "x", status, attempt)).unwrap();
        let worker = workers.into_iter().find(|&worker| master.has_task(worker)).expect("all workers stay");
        let assignment = master.poll_task(worker).unwrap();
        let (task, attempt) = (assignment.task, assignment.attempt);
        let wire = [assignment.message.as_slice(), &assignment.tags(NOW)].concat();
        let view = MessageRef::parse(&wire).unwrap();
        assert_eq!((view.client, view.function, view.payload), ("me", "server.f", &b"x"[..]));
        let fields = view.extension;
        assert_eq!((fields.status, fields.error, fields.partial), (Status::Done, "", false));
        assert_eq!((fields.task, fields.attempt, attempt), (Some(task), 0, 1));
        assert_eq!((fields.sequence, fields.priority, fields.deadline), (Some(9), 1, Some(60_000)));
        // What a Python worker does: it sends back all that it does not know.
        answer(&mut master, NOW, &Bytes::from(wire));
        assert_eq!(results(&mut master, NOW, home), done(&["x"]));
    }
    assert_eq!((master.counters().unmarked, master.counters().handed_back), (5, 0));
    assert!(workers.iter().all(|&worker| master.load(worker).is_some_and(|(held, _)| held == 0)));
    assert_eq!(master.memory(), 0);
}

#[test]
fn a_message_that_cannot_be_rid_of_what_is_forged_is_refused() {
    let (mut master, client, _) = set_up(MasterConfig::default());
    let many = Span::<Bytes>::copy_from(&b"\xd0\x3e\x05\x12\x00".repeat(20)).unwrap();
    let refused = master.handle_submit(NOW, client, many).unwrap_err();
    assert_eq!(refused.reason, Refusal::Malformed);
    assert_eq!((master.counters().malformed, master.counters().submitted, master.memory()), (1, 0, 0));
}

#[test]
fn an_answer_of_an_attempt_that_was_never_sent_out_is_not_believed() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let task = master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let guess = with(message("me", "guess").as_slice(), |w| _ = w.task(task));
    answer(&mut master, NOW, &guess);
    assert_eq!((results(&mut master, NOW, home), master.counters().disbelieved), (done(&[]), 1));
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let wire = take(&mut master, NOW, worker).unwrap();
    for attempt in [2, 7, u32::MAX] {
        answer(&mut master, NOW, &with(&guess, |w| _ = w.attempt(attempt)));
        answer(&mut master, NOW, &with(&guess, |w| _ = w.attempt(attempt).status(Status::HandedBack)));
    }
    assert_eq!((results(&mut master, NOW, home), master.counters().disbelieved), (done(&[]), 7));
    assert_eq!(master.load(worker).unwrap().0, 1, "it has it still");
    answer(&mut master, NOW, &wire);
    assert_eq!(results(&mut master, NOW, home), done(&["a"]));
}

#[test]
fn only_who_has_a_message_hands_it_back() {
    let (mut master, client, home) = set_up(MasterConfig { window: Some(2), ..MasterConfig::default() });
    let first = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, first).unwrap();
    let handed_back = with(&wire, |w| _ = w.status(Status::HandedBack));
    master.remove_worker(NOW, first);
    // It is queued, then assigned and not sent, then sent as another attempt.
    answer(&mut master, NOW, &handed_back);
    let second = master.add_worker(NOW, 2, 1).unwrap();
    answer(&mut master, NOW, &handed_back);
    assert!(master.has_task(second));
    let again = take(&mut master, NOW, second).unwrap();
    answer(&mut master, NOW, &handed_back);
    assert_eq!((master.counters().handed_back, master.counters().duplicates), (0, 3));
    master.handle_submit(NOW, client, message("me", "b")).unwrap();
    assert!(master.has_task(second), "it has not stopped");
    answer(&mut master, NOW, &again);
    assert_eq!(results(&mut master, NOW, home), done(&["a"]));
}

#[test]
fn an_answer_that_ends_its_task_does_not_say_that_it_goes_on() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let wire = take(&mut master, NOW, worker).unwrap();
    answer(&mut master, NOW, &with(&wire, |w| _ = w.partial()));
    let outcome = master.poll_result(NOW, home).unwrap();
    assert!(!MessageRef::parse(outcome.message.as_slice()).unwrap().extension.partial);
    assert!(master.is_idle());
}

#[test]
fn no_claim_counts_the_attempts_up_to_their_end() {
    let (mut master, client, home) = set_up(MasterConfig::default());
    let task = master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let worker = master.add_worker_with_window(NOW, 1, 0).unwrap();
    assert!(!master.claim(NOW, task, worker, u32::MAX));
    let held = master.handle_submit_held(NOW, client, message("me", "b"), worker, u32::MAX).unwrap();
    master.remove_worker(NOW, worker);
    let worker = master.add_worker(NOW, 2, 2).unwrap();
    let wires: Vec<Bytes> = core::iter::from_fn(|| take(&mut master, NOW, worker)).collect();
    assert!(wires.iter().any(|wire| MessageRef::parse(wire).unwrap().extension.task == Some(held)));
    wires.iter().for_each(|wire| answer(&mut master, NOW, wire));
    assert_eq!(results(&mut master, NOW, home).len(), 2);
}
