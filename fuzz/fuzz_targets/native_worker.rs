//! A worker of the native protocol, whatever its master says and whenever the connection breaks: each task that comes is held until it
//! is answered, once; what the worker says can be read, and is no longer than the master takes.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use palm_fuzz::{Input, check_frame};
use palm_proto::native::{
    Alias, FixedWorker, Header, Magic, NotSent, PeerConfig, SessionId, TaskNumber, ToMaster, ToPeer, WorkerEvent,
};
use palm_proto::{Instant, Status};

const WINDOW: usize = 4;
const MAX_FRAME: u32 = 200;

/// A frame that a master may send, or anything.
fn frame(input: &mut Input<'_>) -> Vec<u8> {
    let alias = |input: &mut Input<'_>| Alias::new(input.below(4) as u16).expect("4 is below the bound");
    let header = match input.below(13) {
        0 | 1 => {
            let (epoch, heartbeat_ms) = (input.below(2) as u64, input.below(3) as u32 * 10);
            ToPeer::Welcome { magic: Magic, version: 1, epoch, max_frame: MAX_FRAME, window: 0, heartbeat_ms }
        }
        2 => ToPeer::Function { alias: alias(input) },
        3 => ToPeer::Session { alias: alias(input), id: SessionId([input.byte(); 16]) },
        4..7 => ToPeer::Task { function: alias(input), session: alias(input), sequence: input.byte().into() },
        7 => ToPeer::CancelTask { number: TaskNumber::FIRST.plus(input.below(12) as u32) },
        8 => ToPeer::Skip { numbers: input.byte().into() },
        9 => ToPeer::Ping,
        10 => ToPeer::Value { id: input.below(3) as u32, version: 1 },
        11 => ToPeer::Refused { code: u32::from(input.byte()).into() },
        _ => return input.bytes().to_vec(),
    };
    [&header.encode(), input.bytes()].concat()
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let config = PeerConfig::new("worker", "secret", SessionId([7; 16]));
    let mut worker: FixedWorker<heapless::String<8>, WINDOW, 3> = FixedWorker::fixed(config);
    let mut now = Instant::ZERO;
    let mut held = Vec::new();
    while !input.is_used_up() {
        match input.below(12) {
            0 => worker.handle_connected(now),
            1 => worker.handle_disconnected(),
            2..7 => {
                let frame = frame(&mut input);
                match worker.handle_frame(now, &frame) {
                    Ok(Some(WorkerEvent::Task(task))) => {
                        assert!(!held.contains(&task.id) && task.id.index() < WINDOW);
                        held.push(task.id);
                    }
                    Ok(Some(WorkerEvent::Cancelled { id })) => assert!(held.contains(&id)),
                    Ok(_) => {}
                    Err(_) => assert!(worker.is_closed()),
                }
            }
            7 => {
                let mut announced = 0;
                while let Some(frame) = worker.poll_transmit() {
                    let established = !matches!(frame.header, ToMaster::Hello { .. });
                    announced +=
                        usize::from(matches!(check_frame(MAX_FRAME, &frame, established), ToMaster::Holding { .. }));
                }
                assert!(announced <= held.len());
            }
            8 | 9 => {
                if let Some(id) = input.take(&mut held) {
                    let bytes = input.bytes();
                    let text = String::from_utf8_lossy(bytes);
                    let frame = match input.below(5) {
                        0 => worker.partial(id, bytes).map(|frame| (frame, false)),
                        1 => worker.progress(id, input.byte().into(), &text).map(|frame| (frame, false)),
                        2 => worker.failed(id, Status::Failed, &text).map(|frame| (frame, true)),
                        3 => worker.hand_back(id).map(|frame| (frame, true)),
                        _ => worker.done(id, bytes).map(|frame| (frame, true)),
                    };
                    match frame {
                        Ok((frame, true)) => {
                            check_frame(MAX_FRAME, &frame, true);
                            assert_eq!(worker.done(id, b""), Err(NotSent::Unknown));
                        }
                        Ok((frame, false)) => {
                            check_frame(MAX_FRAME, &frame, true);
                            held.push(id);
                        }
                        Err(error) => {
                            assert_ne!(error, NotSent::Unknown);
                            held.push(id);
                        }
                    }
                }
            }
            10 => {
                now = now + Duration::from_millis(input.byte().into());
                if worker.handle_timeout(now).is_some() {
                    assert!(worker.is_closed() && worker.poll_timeout().is_none());
                }
            }
            _ => match input.below(6) {
                0 => worker.drain(),
                1 => worker.bye(),
                2 => worker.widen(input.below(3) as u32),
                _ => {
                    if let Ok((_, frame)) = worker.cache_get(input.bytes()) {
                        check_frame(MAX_FRAME, &frame, true);
                    }
                }
            },
        }
        assert!(worker.held() == held.len() && held.len() <= WINDOW);
    }
});
