//! A client's job against a network that loses, repeats and reorders, under a virtual clock.
#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::client::{Config, HeapJob, Reply, Retry};
use palm_proto::{Instant, MessageRef, MessageWriter, Status};
use proptest::prelude::*;

/// What the network does to a message or a result.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives(u64),
    ArrivesTwice(u64, u64),
    IsLost,
    /// The master gives up on the message.
    IsRefused(u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0..30_u64).prop_map(Fate::Arrives),
        1 => (0..30_u64, 0..200_u64).prop_map(|(first, second)| Fate::ArrivesTwice(first, second)),
        1 => Just(Fate::IsLost),
        1 => (0..30_u64).prop_map(Fate::IsRefused),
    ]
}

fn message(sequence: u64) -> Bytes {
    let mut out = BytesMut::new();
    MessageWriter::new(&mut out).client("c").payload(&sequence.to_le_bytes()).sequence(sequence).finish().unwrap();
    out.freeze()
}

fn result(message: &Bytes, number: u32, status: Status) -> Bytes {
    let view = MessageRef::parse(message).unwrap();
    let payload = [view.payload, &number.to_le_bytes()].concat();
    let mut out = BytesMut::from(&message[..]);
    MessageWriter::appending(&mut out).payload(&payload).status(status).finish().unwrap();
    out.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each message ends in exactly one last outcome, with its own results; no more than the window is ever under way; the
    /// order holds if it was asked for; and the machine comes to rest.
    #[test]
    fn each_message_ends_exactly_once(
        total in 0..120_u64,
        window in 1..20_u32,
        results in 1..4_u32,
        ordered: bool,
        retries in 0..4_u32,
        fates in prop::collection::vec(fate(), 1..64),
        reconnects in prop::collection::vec(0..400_u64, 0..3),
        gap in 1..5_u64,
    ) {
        let config = Config {
            window,
            results,
            ordered,
            timeout: Some(Duration::from_millis(50)),
            deadline: Some(Duration::from_millis(50)),
            retry: Retry::times(retries),
            retry_delay: Duration::from_millis(20),
        };
        let mut job = HeapJob::sized(config);
        let mut fates = fates.into_iter().cycle();
        // Results on the way, by arrival in milliseconds.
        let mut network: Vec<(u64, Bytes)> = Vec::new();
        let mut submitted = 0;
        let mut received: HashMap<u64, u32> = HashMap::new();
        let mut ended: Vec<u64> = Vec::new();
        let mut millis = 0;
        while (ended.len() as u64) < total {
            let now = Instant::from_millis(millis);
            while submitted < total && job.has_room() {
                job.submit(now, submitted * gap, message(submitted * gap)).unwrap();
                submitted += 1;
            }
            prop_assert!(submitted - ended.len() as u64 <= u64::from(window), "the window is kept");
            if reconnects.contains(&millis) {
                job.handle_reconnect(now);
            }
            while let Some(transmit) = job.poll_transmit(now) {
                prop_assert_eq!(transmit.message, &message(transmit.sequence));
                for number in 0..results {
                    let bytes = result(transmit.message, number, Status::Done);
                    match fates.next().unwrap() {
                        Fate::Arrives(after) => network.push((millis + after, bytes)),
                        Fate::ArrivesTwice(first, second) => {
                            network.push((millis + first, bytes.clone()));
                            network.push((millis + second, bytes));
                        }
                        Fate::IsLost => {}
                        Fate::IsRefused(after) => {
                            network.push((millis + after, result(transmit.message, number, Status::Unavailable)));
                        }
                    }
                }
            }
            let (due, later) = network.into_iter().partition(|(at, _)| *at <= millis);
            network = later;
            for (_, bytes) in due {
                job.handle_reply(now, Reply::parse(bytes).unwrap());
            }
            job.handle_timeout(now);
            while let Some(outcome) = job.poll_event() {
                prop_assert!(!ended.contains(&outcome.sequence), "{} has ended", outcome.sequence);
                prop_assert_eq!(outcome.sequence % gap, 0);
                if let Ok(reply) = &outcome.result {
                    prop_assert_eq!(&reply.payload()[..8], &outcome.sequence.to_le_bytes()[..]);
                    *received.entry(outcome.sequence).or_default() += 1;
                    let all = received[&outcome.sequence] == results;
                    prop_assert_eq!(all, outcome.last, "as many results as asked for, no more");
                } else {
                    prop_assert!(outcome.last);
                }
                if outcome.last {
                    ended.push(outcome.sequence);
                }
            }
            if let Some(due) = job.poll_timeout() {
                prop_assert!(due > now, "what is due has been dealt with");
            }
            millis += 1;
            prop_assert!(millis < 100_000, "the job ends");
        }
        if ordered {
            prop_assert!(ended.is_sorted());
        }
        prop_assert_eq!((job.pending(), job.poll_timeout(), job.has_transmit()), (0, None, false));
    }

    /// Whatever comes is dropped or taken; nothing panics.
    #[test]
    fn arbitrary_replies_do_no_harm(
        inputs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
        results in 1..3_u32,
        ordered: bool,
    ) {
        let config = Config { window: 4, results, ordered, ..Config::default() };
        let mut job = HeapJob::sized(config);
        for sequence in 0..4 {
            let _ = job.submit(Instant::ZERO, sequence, message(sequence));
        }
        while job.poll_transmit(Instant::ZERO).is_some() {}
        let mut last = 0;
        for input in inputs {
            if let Ok(reply) = Reply::parse(Bytes::from(input)) {
                job.handle_reply(Instant::ZERO, reply);
            }
            while let Some(outcome) = job.poll_event() {
                last += usize::from(outcome.last);
            }
        }
        prop_assert_eq!(last + job.pending(), 4);
    }
}
