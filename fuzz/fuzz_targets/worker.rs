//! A worker under arbitrary inputs: every message is answered once, with its own fields, and no more run than may.
#![no_main]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::collections::HeapTable;
use palm_proto::worker::{Answer, Config, Full, HeapWorker, Stop};
use palm_proto::{Instant, MessageRef, MessageWriter, Status, TaskId};

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let (concurrency, capacity) = (1 + input.below(4) as u32, 1 + input.below(8));
    let mut worker = HeapWorker::new(Config { concurrency }, HeapTable::new(capacity));
    let mut now = Instant::ZERO;
    let mut running = Vec::new();
    let (mut taken, mut ended, mut written) = (0, 0, 0);
    while !input.is_used_up() {
        match input.below(7) {
            0 | 1 => {
                let mut message = BytesMut::new();
                if input.below(3) == 0 {
                    message.extend_from_slice(input.bytes());
                } else {
                    let mut writer = MessageWriter::new(&mut message);
                    writer
                        .client("c")
                        .function(["s.f", "f", "a.f b.g", ""][input.below(4)])
                        .stage(input.below(3) as i64);
                    writer.payload(input.bytes()).sequence(u64::from(input.byte()));
                    if input.below(3) == 0 {
                        writer.deadline(input.below(20) as u64);
                    }
                    let _ = writer.task(TaskId(7)).finish();
                }
                let (room, valid) = (worker.has_room(), MessageRef::parse(&message).is_ok());
                match worker.handle_message(now, message.freeze()) {
                    Ok(()) => taken += usize::from(valid),
                    Err(Full(_)) => assert!(!room && valid),
                }
                assert_eq!(worker.poll_event().is_some(), !valid);
            }
            2 => {
                while let Some(id) = worker.poll_call(now) {
                    assert!(worker.call(id).is_some());
                    running.push(id);
                }
            }
            3 => {
                if let Some(id) = input.take(&mut running) {
                    let bytes = Bytes::copy_from_slice(input.bytes());
                    let answer = match input.below(2) {
                        0 => Answer::Result(bytes),
                        _ => Answer::Failure(Status::from_code(1 + input.below(9) as u32), bytes),
                    };
                    worker.handle_answer(id, answer).expect("the call runs");
                    assert!(worker.handle_end(id).is_err(), "the call has ended");
                }
            }
            4 => {
                if let Some(id) = input.take(&mut running) {
                    let mut out = BytesMut::new();
                    assert!(worker.write_result(id, input.bytes(), &mut out).is_some_and(|result| result.is_ok()));
                    assert!(MessageRef::parse(&out).is_ok());
                    worker.handle_end(id).expect("the call runs");
                    ended += 1;
                }
            }
            5 => {
                let mut out = BytesMut::new();
                while worker.poll_transmit(&mut out).is_some() {
                    let view = MessageRef::parse(&out).expect("a result is a message");
                    assert!(view.client.is_empty() || view.client == "c" || view.extension.task.is_none());
                    written += 1;
                    out.clear();
                }
            }
            _ => match input.below(6) {
                0 => worker.handle_shutdown(Stop::HandBack),
                1 => worker.handle_shutdown(Stop::Finish),
                _ => now = now + Duration::from_millis(input.below(20) as u64),
            },
        }
        assert!(worker.running() == running.len() && running.len() <= concurrency as usize);
        assert!(worker.held() <= capacity && worker.held() + ended + written == taken);
    }
});
