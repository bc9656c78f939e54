//! What is urgent, what is late, and what nobody wants any more.

use super::*;
use crate::message::TaskId;

fn payloads(master: &mut HostMaster, now: Instant, worker: WorkerId) -> Vec<String> {
    core::iter::from_fn(|| take(master, now, worker)).map(|wire| payload(&wire)).collect()
}

fn failed(status: Status) -> Vec<(String, Status)> {
    std::vec![("0".to_string(), status)]
}

fn home(master: &mut HostMaster) -> SubscriberId {
    let home = master.add_subscriber(NOW, 9).unwrap();
    master.handle_subscribe(NOW, home, b"me").unwrap();
    home
}

/// The order in which a worker is given what two clients call urgent, each in its way.
fn order_of_two(priority_across: u8) -> Vec<String> {
    let mut master = master(MasterConfig { window: Some(20), priority_across, ..MasterConfig::default() });
    let [one, other] = [(); 2].map(|()| master.add_sender().unwrap());
    for (sender, name, priority) in [
        (one, "a", 0),
        (one, "b", 0),
        (one, "c", 2),
        (other, "x", 0),
        (other, "y", 2),
        (other, "z", 2),
        (one, "d", 200),
        (other, "w", 3),
        (one, "e", 0),
    ] {
        master.handle_submit(NOW, sender, urgent("me", name, priority, None)).unwrap();
    }
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    payloads(&mut master, NOW, worker)
}

#[test]
fn what_is_urgent_goes_before_the_rest_of_its_sender_and_across_senders_as_far_as_may_be() {
    assert_eq!(order_of_two(0), ["d", "w", "c", "y", "a", "z", "b", "x", "e"], "senders take turns");
    assert_eq!(order_of_two(1), ["d", "w", "c", "y", "z", "a", "x", "b", "e"], "1 is more than 0, and all above is 1");
    assert_eq!(order_of_two(3), ["d", "w", "c", "y", "z", "a", "x", "b", "e"]);
}

#[test]
fn a_flood_of_what_is_most_urgent_keeps_nobody_waiting() {
    for (priority_across, waits_for) in [(0, 1), (3, 40)] {
        let mut master = master(MasterConfig { window: Some(1), priority_across, ..MasterConfig::default() });
        let [loud, quiet] = [(); 2].map(|()| master.add_sender().unwrap());
        (0..40).for_each(|_| _ = master.handle_submit(NOW, loud, urgent("me", "loud", 3, None)).unwrap());
        master.handle_submit(NOW, quiet, message("me", "quiet")).unwrap();
        let worker = master.add_worker(NOW, 1, 1).unwrap();
        let mut before = 0;
        loop {
            let wire = take(&mut master, NOW, worker).unwrap();
            answer(&mut master, NOW, &wire);
            if payload(&wire) == "quiet" {
                break;
            }
            before += 1;
        }
        assert_eq!(before, waits_for, "{priority_across}");
    }
}

#[test]
fn what_goes_back_goes_before_its_equals_and_after_what_is_more_urgent() {
    let mut master = master(MasterConfig { window: Some(2), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let lost = master.add_worker(NOW, 1, 1).unwrap();
    for (name, priority) in [("a", 1), ("b", 0), ("c", 0), ("d", 1), ("e", 2)] {
        master.handle_submit(NOW, client, urgent("me", name, priority, None)).unwrap();
    }
    assert_eq!(payloads(&mut master, NOW, lost), ["a", "b"]);
    master.remove_worker(NOW, lost);
    let mut order = Vec::new();
    for token in 2..5 {
        let worker = master.add_worker(NOW, token, 1).unwrap();
        order.extend(payloads(&mut master, NOW, worker));
    }
    assert_eq!(order, ["e", "a", "d", "b", "c"]);
}

#[test]
fn a_deadline_that_passes_in_the_queue_is_told_at_once() {
    let mut master = master(MasterConfig::default());
    let (client, home) = (master.add_sender().unwrap(), home(&mut master));
    master.handle_submit(NOW, client, urgent("me", "a", 0, Some(100))).unwrap();
    master.handle_submit(NOW, client, urgent("me", "b", 0, Some(50))).unwrap();
    master.handle_submit(NOW, client, message("me", "c")).unwrap();
    let due = master.poll_timeout().unwrap();
    assert_eq!(due, NOW + Duration::from_millis(50));
    master.handle_timeout(Instant::from_micros(50_999));
    assert!(!master.has_result(home), "early calls are harmless");
    master.handle_timeout(due);
    assert_eq!(results(&mut master, due, home), failed(Status::DeadlineExceeded));
    assert_eq!(master.poll_timeout(), Some(NOW + Duration::from_millis(100)));
    master.handle_submit(NOW, client, urgent("me", "d", 0, Some(0))).unwrap();
    assert_eq!(results(&mut master, due, home), failed(Status::DeadlineExceeded), "it has passed as it comes");
    assert_eq!((master.counters().deadline_exceeded, master.gauges().queued), (2, 2));
}

#[test]
fn a_deadline_that_passes_with_a_worker_is_told_to_both_and_frees_its_place() {
    let mut master = master(MasterConfig { window: Some(1), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), home(&mut master));
    let worker = master.add_worker(NOW, 5, 1).unwrap();
    let task = master.handle_submit(NOW, client, urgent("me", "a", 0, Some(100))).unwrap();
    master.handle_submit(NOW, client, message("me", "b")).unwrap();
    let late = take(&mut master, NOW, worker).unwrap();
    let due = master.poll_timeout().unwrap();
    master.handle_timeout(due);
    assert_eq!(results(&mut master, due, home), failed(Status::DeadlineExceeded));
    assert_eq!(master.poll_revoked(), Some(Revoked { worker: 5, task, attempt: 1 }));
    assert_eq!(master.poll_revoked(), None);
    let next = take(&mut master, due, worker).unwrap();
    answer(&mut master, due, &late);
    answer(&mut master, due, &next);
    assert_eq!(results(&mut master, due, home), done(&["b"]), "what comes late is dropped");
    assert_eq!((master.counters().duplicates, master.poll_timeout(), master.memory()), (1, None, 0));
}

#[test]
fn many_deadlines_at_a_time_are_told_in_several_calls_and_none_is_lost() {
    let mut master = master(MasterConfig { window: Some(64), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    for _ in 0..60 {
        master.handle_submit(NOW, client, urgent("me", "a", 0, Some(10))).unwrap();
    }
    assert_eq!(payloads(&mut master, NOW, worker).len(), 60);
    let later = NOW + Duration::from_secs(1);
    let mut told = 0;
    while master.poll_timeout().is_some_and(|due| due <= later) {
        master.handle_timeout(later);
        let now_told = core::iter::from_fn(|| master.poll_revoked()).count();
        assert!(now_told <= 32);
        told += now_told;
    }
    assert_eq!((told, master.revocations_missed(), master.is_idle()), (60, 0, true));
}

#[test]
fn what_is_cancelled_is_given_up_wherever_it_is() {
    let mut master = master(MasterConfig { window: Some(1), ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), home(&mut master));
    let worker = master.add_worker(NOW, 5, 1).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| master.handle_submit(NOW, client, message("me", name)).unwrap());
    let wire = take(&mut master, NOW, worker).unwrap();
    assert!([a, b, c].iter().all(|&task| master.is_live(task)));
    assert_eq!(master.leased(b).map(|message| payload(message.as_slice())), Some("b".to_string()), "it is queued");
    assert!(master.cancel(NOW, b) && !master.is_live(b) && !master.cancel(NOW, b));
    assert_eq!(results(&mut master, NOW, home), failed(Status::Cancelled));
    assert_eq!(master.poll_revoked(), None, "nobody was sent it");
    assert!(master.cancel(NOW, a) && !master.cancel(NOW, TaskId(17)));
    assert_eq!(master.poll_revoked(), Some(Revoked { worker: 5, task: a, attempt: 1 }));
    assert_eq!(payloads(&mut master, NOW, worker), ["c"], "its place is free");
    answer(&mut master, NOW, &wire);
    assert_eq!(results(&mut master, NOW, home), failed(Status::Cancelled));
    assert_eq!((master.counters().cancelled, master.counters().duplicates), (2, 1));
    assert!(master.cancel(NOW, c) && master.is_idle());
}

#[test]
fn a_worker_that_lets_deadlines_pass_is_not_given_the_most() {
    let mut master = master(MasterConfig { window: Some(2), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let hung = master.add_worker(NOW, 1, 1).unwrap();
    let works = master.add_worker(NOW, 2, 1).unwrap();
    let mut now = NOW;
    let mut to_hung = 0;
    for _ in 0..20 {
        master.handle_submit(now, client, urgent("me", "a", 0, Some(10))).unwrap();
        to_hung += payloads(&mut master, now, hung).len();
        if let Some(wire) = take(&mut master, now, works) {
            answer(&mut master, now, &wire);
        }
        now = now + Duration::from_millis(20);
        master.handle_timeout(now);
    }
    assert_eq!(to_hung, 1, "what was taken from it counts as its load");
}

#[test]
fn a_worker_that_hangs_is_told_what_was_taken_from_it_as_far_as_there_is_room() {
    let lease = Some(Duration::from_secs(5));
    let mut master = master(MasterConfig { lease, window: Some(50), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let hung = master.add_worker(NOW, 1, 1).unwrap();
    let tasks: Vec<TaskId> = (0..50).map(|_| master.handle_submit(NOW, client, message("me", "a")).unwrap()).collect();
    for _ in 0..40 {
        take(&mut master, NOW, hung).unwrap();
    }
    let due = master.poll_timeout().unwrap();
    master.handle_timeout(due);
    let told: Vec<TaskId> = core::iter::from_fn(|| master.poll_revoked()).map(|revoked| revoked.task).collect();
    assert_eq!((&told[..], master.revocations_missed()), (&tasks[..32], 8), "those that it comes to first");
}

#[test]
fn who_is_at_what_an_earlier_attempt_has_answered_is_told() {
    let lease = Some(Duration::from_secs(5));
    let mut master = master(MasterConfig { lease, window: Some(1), ..MasterConfig::default() });
    let client = master.add_sender().unwrap();
    let slow = master.add_worker(NOW, 1, 1).unwrap();
    let task = master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let late = take(&mut master, NOW, slow).unwrap();
    let due = master.poll_timeout().unwrap();
    let other = master.add_worker(due, 2, 1).unwrap();
    master.handle_timeout(due);
    assert_eq!(master.poll_revoked(), Some(Revoked { worker: 1, task, attempt: 1 }));
    assert!(take(&mut master, due, other).is_some());
    answer(&mut master, due, &late);
    assert_eq!(master.poll_revoked(), Some(Revoked { worker: 2, task, attempt: 2 }));
    assert_eq!((master.counters().answered, master.load(other).unwrap().0), (1, 0));
}
