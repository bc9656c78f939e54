use core::time::Duration;
use std::vec::Vec;

use super::*;
use crate::message::Status;
use crate::message::{MessageWriter, SliceSink};
use crate::time::Instant;

type Buf = heapless::Vec<u8, 64>;
type TestJob = FixedJob<Buf, 8>;

fn job(config: Config) -> TestJob {
    TestJob::fixed(config)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn message(sequence: u64) -> Buf {
    Buf::from_slice(&sequence.to_le_bytes()).unwrap()
}

fn reply(sequence: Option<u64>, payload: &[u8], status: Status) -> Reply<Buf> {
    let mut out = [0; 64];
    let mut sink = SliceSink::new(&mut out);
    let mut writer = MessageWriter::new(&mut sink);
    writer.payload(payload);
    if let Some(sequence) = sequence {
        writer.sequence(sequence);
    }
    writer.status(status).finish().unwrap();
    Reply::parse(Buf::from_slice(sink.written()).unwrap()).unwrap()
}

fn done(sequence: u64) -> Reply<Buf> {
    reply(Some(sequence), &[sequence as u8], Status::Done)
}

fn sent(job: &mut TestJob, now: Instant) -> Vec<u64> {
    core::iter::from_fn(|| {
        job.poll_transmit(now).map(|transmit| {
            assert_eq!(*transmit.message, message(transmit.sequence));
            transmit.sequence
        })
    })
    .collect()
}

/// Sequence number, whether it is the last, and the payload's first byte or the failure's status.
fn outcomes(job: &mut TestJob) -> Vec<(u64, bool, Result<u8, Status>)> {
    core::iter::from_fn(|| job.poll_event())
        .map(|outcome| {
            let result = outcome.result.map(|reply| reply.payload()[0]).map_err(|failure| failure.status);
            (outcome.sequence, outcome.last, result)
        })
        .collect()
}

fn submit(job: &mut TestJob, now: Instant, sequences: &[u64]) {
    sequences.iter().for_each(|&sequence| job.submit(now, sequence, message(sequence)).unwrap());
}

#[test]
fn outcomes_come_as_the_results_do_or_in_order() {
    for (ordered, expected) in [(false, [2, 0, 1]), (true, [0, 1, 2])] {
        let mut job = job(Config { ordered, ..Config::default() });
        submit(&mut job, at(0), &[0, 1, 2]);
        assert_eq!(sent(&mut job, at(0)), [0, 1, 2]);
        let mut taken = Vec::new();
        for sequence in [2, 0, 1] {
            job.handle_reply(at(1), done(sequence));
            taken.extend(outcomes(&mut job).into_iter().map(|(sequence, ..)| sequence));
        }
        assert_eq!(taken, expected);
        assert_eq!(job.pending(), 0);
    }
}

#[test]
fn the_window_counts_what_has_no_outcome_taken() {
    let mut job = job(Config { window: 2, ..Config::default() });
    submit(&mut job, at(0), &[5, 9]);
    let refused = job.submit(at(0), 10, message(10)).unwrap_err();
    assert_eq!((refused.message, refused.kind), (message(10), SubmitErrorKind::WindowFull));
    sent(&mut job, at(0));
    job.handle_reply(at(1), done(9));
    assert!(!job.has_room(), "the outcome is not taken yet");
    assert_eq!(outcomes(&mut job), [(9, true, Ok(9))]);
    assert_eq!(job.room(), 1);
    let refused = job.submit(at(0), 9, message(9)).unwrap_err();
    assert_eq!(refused.kind, SubmitErrorKind::NotAscending);
}

#[test]
fn late_and_strange_results_are_dropped_and_counted() {
    let mut job = job(Config::default());
    submit(&mut job, at(0), &[3]);
    sent(&mut job, at(0));
    job.handle_reply(at(1), done(3));
    job.handle_reply(at(1), done(3));
    assert_eq!(outcomes(&mut job).len(), 1);
    job.handle_reply(at(2), done(3));
    job.handle_reply(at(2), done(77));
    job.handle_reply(at(2), reply(None, b"x", Status::Done));
    assert_eq!(outcomes(&mut job), []);
    let counters = job.counters();
    assert_eq!((counters.duplicates, counters.unmatched), (2, 2));
}

#[test]
fn a_result_without_a_number_is_that_of_the_message_unanswered_longest() {
    let mut job = job(Config::default());
    submit(&mut job, at(0), &[0, 1, 2]);
    sent(&mut job, at(0));
    job.handle_reply(at(1), done(0));
    job.handle_reply(at(1), reply(None, b"x", Status::Done));
    assert_eq!(outcomes(&mut job), [(0, true, Ok(0)), (1, true, Ok(b'x'))]);
    assert_eq!(job.oldest_unanswered(), Some(2));
}

#[test]
fn what_is_not_answered_in_time_is_sent_again_and_then_fails() {
    let config = Config { timeout: Some(Duration::from_millis(10)), retry: Retry::times(1), ..Config::default() };
    let mut job = job(config);
    submit(&mut job, at(0), &[0]);
    assert_eq!(sent(&mut job, at(5)), [0]);
    job.handle_timeout(at(14));
    assert_eq!(sent(&mut job, at(14)), [0; 0], "the time runs from the transmit");
    assert_eq!(job.poll_timeout(), Some(at(15)));
    job.handle_timeout(at(15));
    assert_eq!(sent(&mut job, at(15)), [0]);
    job.handle_timeout(at(25));
    assert_eq!(outcomes(&mut job), [(0, true, Err(Status::DeadlineExceeded))]);
    assert_eq!((job.poll_timeout(), job.counters().retries), (None, 1));
}

#[test]
fn what_cannot_be_sent_runs_out_of_time_too() {
    let config = Config { timeout: Some(Duration::from_millis(10)), retry: Retry::times(1), ..Config::default() };
    let mut job = job(config);
    submit(&mut job, at(0), &[0]);
    job.handle_timeout(at(10));
    job.handle_timeout(at(20));
    assert_eq!(outcomes(&mut job), [(0, true, Err(Status::DeadlineExceeded))]);
    assert_eq!(sent(&mut job, at(20)), [0; 0]);
}

#[test]
fn a_late_result_of_the_first_try_saves_the_second() {
    let config = Config { timeout: Some(Duration::from_millis(10)), retry: Retry::times(3), ..Config::default() };
    let mut job = job(config);
    submit(&mut job, at(0), &[0]);
    sent(&mut job, at(0));
    job.handle_timeout(at(10));
    job.handle_reply(at(11), done(0));
    assert_eq!(sent(&mut job, at(11)), [0; 0]);
    assert_eq!(outcomes(&mut job), [(0, true, Ok(0))]);
}

#[test]
fn a_master_that_is_late_with_a_deadline_takes_no_try_away() {
    let (timeout, deadline) = (Some(Duration::from_millis(10)), Some(Duration::from_millis(10)));
    let mut job = job(Config { timeout, deadline, retry: Retry::times(2), ..Config::default() });
    let late = |job: &mut TestJob, now| job.handle_reply(at(now), reply(Some(0), b"0", Status::DeadlineExceeded));
    job.submit(at(0), 0, message(0)).unwrap();
    for began in [0, 10, 20] {
        job.handle_timeout(at(began));
        if began > 0 {
            late(&mut job, began);
        }
        assert_eq!(sent(&mut job, at(began)), [0], "the try at {began}");
        if began > 0 {
            late(&mut job, began + 1);
        }
        assert!(job.poll_event().is_none());
    }
    late(&mut job, 29);
    let outcome = job.poll_event().unwrap();
    assert_eq!((outcome.retries, outcome.result.unwrap_err().status), (2, Status::DeadlineExceeded));
    assert_eq!(job.counters().duplicates, 4);
}

#[test]
fn a_master_that_stopped_is_asked_again_after_a_while() {
    let config = Config { retry: Retry::times(1), retry_delay: Duration::from_millis(50), ..Config::default() };
    let mut job = job(config);
    submit(&mut job, at(0), &[0]);
    sent(&mut job, at(0));
    job.handle_reply(at(1), reply(Some(0), b"0", Status::Unavailable));
    assert_eq!((sent(&mut job, at(1)).len(), job.poll_timeout()), (0, Some(at(51))));
    job.handle_timeout(at(51));
    assert_eq!(sent(&mut job, at(51)), [0]);
    job.handle_reply(at(52), reply(Some(0), b"0", Status::Unavailable));
    assert_eq!(outcomes(&mut job), [(0, true, Err(Status::Unavailable))]);
}

#[test]
fn a_failed_function_is_not_called_again() {
    let mut job = job(Config { retry: Retry::times(9), ..Config::default() });
    for (sequence, status) in
        [Status::Failed, Status::NoSuchFunction, Status::WrongServer, Status::DeadLetter].into_iter().enumerate()
    {
        let sequence = sequence as u64;
        submit(&mut job, at(0), &[sequence]);
        sent(&mut job, at(0));
        job.handle_reply(at(1), reply(Some(sequence), b"0", status));
        assert_eq!(outcomes(&mut job), [(sequence, true, Err(status))]);
    }
}

#[test]
fn a_new_connection_gets_everything_unanswered_in_order() {
    let mut job = job(Config::default());
    submit(&mut job, at(0), &[0, 1, 2]);
    assert!(job.poll_transmit(at(0)).is_some() && job.poll_transmit(at(0)).is_some());
    job.handle_reply(at(1), done(0));
    job.handle_reconnect(at(2));
    assert_eq!(sent(&mut job, at(2)), [1, 2]);
    assert_eq!((job.counters().resent, job.counters().retries), (1, 0));
}

#[test]
fn several_results_are_counted_and_kept_in_order() {
    let mut job = job(Config { results: 2, ordered: true, ..Config::default() });
    assert_eq!(job.room(), 4, "eight entries, two for each message");
    submit(&mut job, at(0), &[0, 1]);
    sent(&mut job, at(0));
    job.handle_reply(at(1), done(1));
    job.handle_reply(at(1), done(1));
    job.handle_reply(at(1), done(1));
    assert_eq!(outcomes(&mut job), []);
    job.handle_reply(at(1), done(0));
    assert_eq!(outcomes(&mut job), [(0, false, Ok(0))], "the first message's results hold up nothing");
    job.handle_reply(at(1), done(0));
    assert_eq!(outcomes(&mut job), [(0, true, Ok(0)), (1, false, Ok(1)), (1, true, Ok(1))]);
    assert_eq!(job.counters().duplicates, 1);
}

#[test]
fn a_message_does_not_end_with_a_result_that_tells_of_another() {
    let part = |payload: u8| {
        let mut out = [0; 64];
        let mut sink = SliceSink::new(&mut out);
        MessageWriter::new(&mut sink).payload(&[payload]).sequence(0).partial().finish().unwrap();
        Reply::parse(Buf::from_slice(sink.written()).unwrap()).unwrap()
    };
    let mut one = job(Config::default());
    submit(&mut one, at(0), &[0]);
    sent(&mut one, at(0));
    one.handle_reply(at(1), part(7));
    assert_eq!(outcomes(&mut one), []);
    one.handle_reply(at(1), done(0));
    assert_eq!(outcomes(&mut one), [(0, true, Ok(0))]);
    assert_eq!(one.counters().parts_dropped, 1);

    let mut two = job(Config { results: 2, ..Config::default() });
    submit(&mut two, at(0), &[0]);
    sent(&mut two, at(0));
    two.handle_reply(at(1), part(7));
    two.handle_reply(at(1), part(8));
    two.handle_reply(at(1), done(0));
    assert_eq!(outcomes(&mut two), [(0, false, Ok(7)), (0, true, Ok(0))]);
}

#[test]
fn a_message_with_some_of_its_results_is_not_sent_again() {
    let timeout = Some(Duration::from_millis(10));
    let mut job = job(Config { results: 2, timeout, retry: Retry::times(5), ..Config::default() });
    submit(&mut job, at(0), &[0]);
    sent(&mut job, at(0));
    job.handle_reply(at(1), done(0));
    job.handle_timeout(at(10));
    assert_eq!(outcomes(&mut job), [(0, false, Ok(0)), (0, true, Err(Status::DeadlineExceeded))]);
}
