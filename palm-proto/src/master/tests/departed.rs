//! A worker's connection breaks: was the worker lost, or not?

use super::*;
use crate::message::TaskId;

const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(15);

/// A native worker of a process, which is sent all that there is.
fn join(master: &mut HostMaster, now: Instant, process: u32, resumes: bool) -> (WorkerId, Vec<(TaskId, u32)>) {
    let worker = master.add_worker_with_window(now, process, 1).unwrap();
    master.begin_process(now, worker, process, resumes);
    let sent = core::iter::from_fn(|| master.poll_task(worker).map(|sent| (sent.task, sent.attempt))).collect();
    (worker, sent)
}

fn set_up(attempts: u32) -> (HostMaster, SenderId, SubscriberId) {
    let mut master = master(MasterConfig { attempts, ..MasterConfig::default() });
    let (client, home) = (master.add_sender().unwrap(), master.add_subscriber(NOW, 9).unwrap());
    master.handle_subscribe(NOW, home, b"me").unwrap();
    (master, client, home)
}

fn pass(master: &mut HostMaster, now: &mut Instant, time: Duration) {
    *now = *now + time;
    master.handle_timeout(*now);
}

#[test]
fn a_message_is_not_to_blame_for_a_line_that_breaks_with_a_worker_that_lives() {
    for attempts in 1..4 {
        let (mut master, client, home) = set_up(attempts);
        master.handle_submit(NOW, client, message("me", "a")).unwrap();
        let mut now = NOW;
        for _ in 0..30 {
            let (worker, sent) = join(&mut master, now, 1, now != NOW);
            assert_eq!(sent.len(), 1, "its answer was lost: it has it once more");
            master.remove_worker(now, worker);
            pass(&mut master, &mut now, SOON);
        }
        let (worker, sent) = join(&mut master, now, 1, true);
        master.handle_answer(now, worker, sent[0].0, sent[0].1, Status::Done, b"A", "", true).unwrap();
        assert_eq!(results(&mut master, now, home), done(&["A"]), "{attempts} attempts");
        assert_eq!(master.poll_timeout().filter(|&at| at < now + LATE), None);
    }
}

#[test]
fn a_message_that_kills_its_workers_takes_as_many_as_it_may() {
    for (attempts, resumes) in [(1, false), (2, false), (3, false), (3, true)] {
        let (mut master, client, home) = set_up(attempts);
        master.handle_submit(NOW, client, message("me", "poison")).unwrap();
        master.handle_submit(NOW, client, message("me", "b")).unwrap();
        let mut now = NOW;
        let mut killed = 0;
        // Each time another process comes, or the same one so late that nobody waited for it.
        while results(&mut master, now, home) != [("0".to_string(), Status::DeadLetter)] {
            let process = if resumes { 1 } else { killed + 1 };
            let (worker, sent) = join(&mut master, now, process, resumes);
            for (task, attempt) in sent {
                let is_poison = master.leased(task).is_some_and(|message| payload(message.as_slice()) == "poison");
                if is_poison {
                    killed += 1;
                } else {
                    master.handle_answer(now, worker, task, attempt, Status::Done, b"B", "", true).unwrap();
                    assert_eq!(results(&mut master, now, home), done(&["B"]));
                }
            }
            master.remove_worker(now, worker);
            let due = master.poll_timeout().unwrap_or(now).max(now + Duration::from_millis(1));
            let time = if resumes { LATE } else { due - now };
            pass(&mut master, &mut now, time);
            assert!(killed <= attempts);
        }
        assert_eq!(killed, attempts);
        assert_eq!(master.counters().dead_letters, 1);
    }
}

#[test]
fn what_is_in_doubt_waits_no_longer_than_that_takes() {
    let (mut master, client, home) = set_up(1);
    let deadline = urgent("me", "late", 0, Some(3_000));
    let late = master.handle_submit(NOW, client, deadline).unwrap();
    let mut now = NOW;
    let (worker, _) = join(&mut master, now, 1, false);
    master.remove_worker(now, worker);
    assert!(master.is_live(late));
    pass(&mut master, &mut now, Duration::from_secs(3));
    assert_eq!(results(&mut master, now, home), [("0".to_string(), Status::DeadlineExceeded)]);

    // Another process in its place: the one before is dead. Others go on meanwhile.
    master.handle_submit(now, client, message("me", "a")).unwrap();
    let (worker, _) = join(&mut master, now, 1, false);
    master.remove_worker(now, worker);
    master.handle_submit(now, client, message("me", "b")).unwrap();
    let (other, sent) = join(&mut master, now, 2, false);
    assert_eq!((sent.len(), results(&mut master, now, home)), (1, done(&[])), "what is in doubt is given to nobody");
    master.handle_answer(now, other, sent[0].0, sent[0].1, Status::Done, b"B", "", true).unwrap();
    join(&mut master, now, 1, false);
    let expected = [("B".to_string(), Status::Done), ("0".to_string(), Status::DeadLetter)];
    assert_eq!(results(&mut master, now, home), expected);

    // A process that goes by its own will, and one that breaks with a message without end.
    let (mut master, client, home) = set_up(3);
    master.handle_submit(NOW, client, message("me", "c")).unwrap();
    for _ in 0..3 {
        let (worker, sent) = join(&mut master, NOW, 1, true);
        assert_eq!(sent.len(), 1);
        master.end_process(worker);
        master.remove_worker(NOW, worker);
    }
    assert_eq!(results(&mut master, NOW, home), [("0".to_string(), Status::DeadLetter)]);
    master.handle_submit(NOW, client, message("me", "d")).unwrap();
    let mut breaks = 0;
    while results(&mut master, NOW, home).is_empty() {
        let (worker, _) = join(&mut master, NOW, 1, true);
        master.remove_worker(NOW, worker);
        breaks += 1;
        assert!(breaks < 100, "it comes to an end");
    }
    assert!(breaks > 30);
}

#[test]
fn a_worker_that_is_back_claims_what_is_in_doubt() {
    let (mut master, client, home) = set_up(1);
    let task = master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let mut now = NOW;
    let (mut worker, _) = join(&mut master, now, 1, false);
    for _ in 0..5 {
        master.remove_worker(now, worker);
        pass(&mut master, &mut now, SOON);
        worker = master.add_worker_with_window(now, 1, 0).unwrap();
        master.begin_process(now, worker, 1, true);
        assert!(master.claim(now, task, worker, 1), "it is queued, and has not been sent out since");
    }
    master.handle_answer(now, worker, task, 1, Status::Done, b"A", "", true).unwrap();
    assert_eq!(results(&mut master, now, home), done(&["A"]));
}

/// How often workers take a message in turn that they claim, and are lost with it, before it is given up.
fn claims_before_the_end(attempts: u32, process: impl Fn(u32) -> u32, resumes: bool, time: Duration) -> u32 {
    let (mut master, client, home) = set_up(attempts);
    let task = master.handle_submit(NOW, client, message("me", "a")).unwrap();
    let mut now = NOW;
    let (mut worker, _) = join(&mut master, now, process(0), false);
    for claims in 0..100 {
        master.remove_worker(now, worker);
        pass(&mut master, &mut now, time);
        worker = master.add_worker_with_window(now, process(claims + 1), 0).unwrap();
        master.begin_process(now, worker, process(claims + 1), resumes);
        let is_claimed = master.claim(now, task, worker, 1);
        master.widen(now, worker, 1);
        if !is_claimed {
            pass(&mut master, &mut now, LATE);
            assert_eq!(results(&mut master, now, home), [("0".to_string(), Status::DeadLetter)]);
            return claims;
        }
    }
    panic!("it is claimed without end");
}

#[test]
fn claims_do_not_keep_a_message_for_ever() {
    for attempts in 1..4 {
        let by_others = claims_before_the_end(attempts, |turn| turn + 1, false, SOON);
        assert_eq!(by_others, attempts - 1, "each is a loss, which no other process takes off");
        let by_two = claims_before_the_end(attempts, |turn| turn % 2 + 1, true, SOON);
        assert!(by_two <= 64 + 2 * attempts, "two in turn: {by_two}");
        let by_one = claims_before_the_end(attempts, |_| 1, true, SOON);
        assert!((16..=32 + attempts).contains(&by_one), "one that is back: {by_one}");
    }
}
