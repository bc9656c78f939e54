//! A client of the native protocol, whatever its master says and whenever the connection breaks: a task has one last result at most,
//! and is asked for again until then; what the client says can be read, and is no longer than the master takes.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use palm_fuzz::{Input, check_frame};
use palm_proto::native::{
    ClientEvent, FixedClient, Header, Magic, NotSent, PeerConfig, SessionId, Submit, ToMaster, ToPeer, When,
};
use palm_proto::{Instant, Seed};

const TASKS: usize = 5;
const WINDOW: u32 = 4;
const MAX_FRAME: u32 = 200;

/// A frame that a master may send, or anything.
fn frame(input: &mut Input<'_>) -> Vec<u8> {
    let sequence = |input: &mut Input<'_>| input.below(20) as u64;
    let header = match input.below(14) {
        0 | 1 => {
            let (epoch, heartbeat_ms, window) =
                (input.below(2) as u64, input.below(3) as u32 * 10, input.below(9) as u32);
            ToPeer::Welcome { magic: Magic, version: 1, epoch, max_frame: MAX_FRAME, window, heartbeat_ms }
        }
        2 => ToPeer::Accepted { up_to: sequence(input) },
        3..6 => ToPeer::Result { sequence: sequence(input) },
        6 => ToPeer::Partial { sequence: sequence(input) },
        7 => ToPeer::Failed { sequence: sequence(input), code: input.byte().into() },
        8 => ToPeer::Window { more: input.below(5) as u32 },
        9 => ToPeer::Progress { sequence: sequence(input), permille: 7 },
        10 => ToPeer::Absent { id: input.below(3) as u32 },
        11 => ToPeer::Refused { code: u32::from(input.byte()).into() },
        12 => ToPeer::NoRoom { from: sequence(input) },
        _ => return input.bytes().to_vec(),
    };
    [&header.encode(), input.bytes()].concat()
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let config = PeerConfig { window: WINDOW, ..PeerConfig::new("client", "secret", SessionId([7; 16])) };
    let mut client: FixedClient<heapless::Vec<u8, 8>, TASKS, 3> = FixedClient::fixed(config, Seed::from_u64(1));
    let mut now = Instant::ZERO;
    // Keys and sequences of those that have no last result.
    let mut open: Vec<(u64, u64)> = Vec::new();
    let mut next_key = 100;
    while !input.is_used_up() {
        match input.below(12) {
            0 => client.handle_connected(now),
            1 => client.handle_disconnected(),
            2..6 => {
                let frame = frame(&mut input);
                match client.handle_frame(now, &frame) {
                    Ok(Some(ClientEvent::Result { key, sequence, last, .. })) => {
                        assert!(open.contains(&(key, sequence)));
                        open.retain(|&(other, _)| !last || other != key);
                    }
                    Ok(Some(ClientEvent::Failed { key, sequence, .. })) => {
                        assert!(open.contains(&(key, sequence)));
                        open.retain(|&(other, _)| other != key);
                    }
                    Ok(_) => {}
                    Err(_) => assert!(client.is_closed()),
                }
            }
            6 | 7 => {
                let cache = ["", "user"][input.below(2)];
                let priority = input.below(2) as u8;
                let function = ["s.f", "s.g", "s.h", "s.i", "s.too_long", ""][input.below(6)];
                let submit = Submit { priority, cache, ..Submit::new(function, input.bytes()) };
                let room = client.has_room();
                if let Ok(submitted) = client.submit(next_key, &submit) {
                    assert!(room && open.iter().all(|&(_, sequence)| sequence < submitted.sequence));
                    for frame in submitted.frames() {
                        check_frame(MAX_FRAME, &frame, true);
                    }
                    open.push((next_key, submitted.sequence));
                    next_key += 1;
                }
            }
            8 => {
                if let Some(again) = client.poll_resubmit() {
                    assert!(!client.has_room() && open.contains(&(again.key, again.sequence)));
                    match client.resubmit(&Submit::new("s.f", b"payload")) {
                        Ok(submitted) => {
                            assert_eq!(submitted.sequence, again.sequence);
                            for frame in submitted.frames() {
                                check_frame(MAX_FRAME, &frame, true);
                            }
                            assert!(client.poll_resubmit().is_none_or(|next| next.sequence > again.sequence));
                        }
                        // It is short, but the client is about to go.
                        Err(error) => assert_eq!(error, NotSent::NotConnected),
                    }
                }
            }
            9 => {
                while let Some(frame) = client.poll_transmit() {
                    let established = !matches!(frame.header, ToMaster::Hello { .. });
                    if let ToMaster::Received { results } = check_frame(MAX_FRAME, &frame, established) {
                        assert!((1..=WINDOW).contains(&results));
                    }
                }
            }
            10 => {
                now = now + Duration::from_millis(input.byte().into());
                if client.handle_timeout(now).is_some() {
                    assert!(client.is_closed() && client.poll_timeout().is_none());
                }
            }
            _ => match input.below(6) {
                0 => client.acknowledge(),
                1 => client.bye(),
                2 => {
                    if let Some((_, sequence)) = input.take(&mut open)
                        && let Some(frame) = client.cancel(sequence)
                    {
                        check_frame(MAX_FRAME, &frame, true);
                    }
                }
                3 => assert!(client.cancel(u64::MAX).is_none()),
                _ => {
                    if let Ok((_, frame)) = client.cache_set(b"key", input.bytes(), Some(7), When::Absent) {
                        check_frame(MAX_FRAME, &frame, true);
                    }
                }
            },
        }
        assert!(client.pending() == open.len() && open.len() <= TASKS);
    }
});
