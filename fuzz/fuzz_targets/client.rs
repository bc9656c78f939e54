//! A client's job under arbitrary inputs: every message ends once, the window is kept, and time never stands still.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::client::{Config, HeapJob, Reply, Retry};
use palm_proto::{Instant, MessageWriter, Status};

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let (window, results) = (1 + input.below(6) as u32, 1 + input.below(3) as u32);
    let config = Config {
        window,
        results,
        ordered: input.below(2) == 1,
        timeout: (input.below(3) > 0).then_some(Duration::from_millis(40)),
        deadline: (input.below(2) > 0).then_some(Duration::from_millis(30)),
        retry: Retry { dead_letter: input.below(2) == 1, ..Retry::times(input.below(4) as u32) },
        retry_delay: Duration::from_millis(input.below(30) as u64),
    };
    let mut job = HeapJob::sized(config);
    let mut millis = 0;
    let mut next = 0;
    // Results so far of each message that has not ended.
    let mut open: BTreeMap<u64, u32> = BTreeMap::new();
    let mut last_ended = None;
    while !input.is_used_up() {
        let now = Instant::from_millis(millis);
        match input.below(8) {
            0 | 1 => {
                let room = job.has_room();
                let refused = job.submit(now, next, Bytes::from(next.to_string())).is_err();
                assert_eq!(refused, !room);
                if !refused {
                    open.insert(next, 0);
                    next += 1 + input.below(3) as u64;
                }
            }
            2 => {
                while let Some(transmit) = job.poll_transmit(now) {
                    assert!(open.contains_key(&transmit.sequence), "what has ended is not sent");
                    assert_eq!(transmit.message, &Bytes::from(transmit.sequence.to_string()));
                }
            }
            3 | 4 => {
                let mut message = BytesMut::new();
                let status = Status::from_code(input.below(8) as u32);
                let mut writer = MessageWriter::new(&mut message);
                writer.payload(b"result").status(status);
                if input.below(5) > 0 {
                    writer.sequence(input.below(usize::try_from(next + 1).unwrap_or(usize::MAX)) as u64);
                }
                let _ = writer.finish();
                if let Ok(reply) = Reply::parse(message.freeze()) {
                    job.handle_reply(now, reply);
                }
            }
            5 => {
                if let Ok(reply) = Reply::parse(Bytes::copy_from_slice(input.bytes())) {
                    assert!(reply.payload().len() <= 255 && reply.error().len() <= 255);
                    job.handle_reply(now, reply);
                }
            }
            6 => job.handle_reconnect(now),
            _ => {
                millis += input.below(30) as u64;
                let now = Instant::from_millis(millis);
                job.handle_timeout(now);
                assert!(config.retry_delay.is_zero() || job.poll_timeout().is_none_or(|due| due > now));
            }
        }
        if input.below(2) == 1 {
            continue;
        }
        while let Some(outcome) = job.poll_event() {
            let count = open.get_mut(&outcome.sequence).expect("each message ends once");
            *count += u32::from(outcome.result.is_ok());
            assert!(*count <= results);
            assert_eq!(outcome.last, *count == results || outcome.result.is_err());
            if outcome.last {
                open.remove(&outcome.sequence);
                assert!(!config.ordered || last_ended.is_none_or(|last| last < outcome.sequence));
                last_ended = Some(outcome.sequence);
            }
        }
        assert!(job.pending() == open.len() && open.len() <= window as usize);
    }
});
