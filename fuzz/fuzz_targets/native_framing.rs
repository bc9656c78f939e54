//! What a peer sends over a stream or a line, in connections that begin anew, arrives, all and unchanged, until something else is on
//! the way; whatever comes comes to the same frames and faults however it is cut; and what a small buffer does not take is as if
//! it had not been sent.
//!
//! First byte of the input: stream or line (lowest bit), and length of the pieces.
#![no_main]

use bytes::{Buf, BytesMut};
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::native::{
    Deframed, Frame, Framing, FramingFault, Header, LINE_OVERHEAD, Magic, NotFramed, RefusalCode, ToPeer,
};

const MAX: usize = 300;

/// What comes to who receives.
enum Event {
    Bytes(BytesMut),
    /// A connection begins; on a stream, nothing is left of the one before.
    Begin,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Begin,
    Frame(Vec<u8>),
    Fault(FramingFault),
}

fn receive(is_line: bool, events: &[Event], piece: usize) -> Vec<Found> {
    let mut framing = if is_line { Framing::line() } else { Framing::Stream };
    let mut buffer = [0; MAX + LINE_OVERHEAD];
    let mut found = Vec::new();
    let mut rest = BytesMut::new();
    let mut is_over = false;
    for event in events {
        let bytes = match event {
            Event::Begin => {
                framing.begin();
                found.push(Found::Begin);
                (is_over, rest) = (false, BytesMut::new());
                continue;
            }
            Event::Bytes(bytes) => bytes,
        };
        for piece in bytes.chunks(piece) {
            // On a line, nothing is left from before.
            rest.extend_from_slice(piece);
            while !is_over {
                let (used, is_incomplete) = match framing.handle_input(&rest, &mut buffer, MAX as u32) {
                    Deframed::Incomplete { used, needed } => {
                        assert!(used <= rest.len() && needed > rest.len() - used && needed <= MAX + 4);
                        assert_eq!(used, if is_line { rest.len() } else { 0 });
                        (used, true)
                    }
                    Deframed::Frame { used, frame } => {
                        assert!(used > 0 && frame.len() <= MAX);
                        found.push(Found::Frame(frame.to_vec()));
                        (used, false)
                    }
                    Deframed::Fault { used, fault } => {
                        found.push(Found::Fault(fault));
                        // A stream is closed then; on a line another connection may begin.
                        is_over = !is_line;
                        (used, false)
                    }
                };
                rest.advance(used);
                if is_incomplete {
                    break;
                }
            }
        }
    }
    found
}

fn header(input: &mut Input<'_>) -> ToPeer {
    match input.below(6) {
        0 => ToPeer::Refused { code: RefusalCode::Other(input.byte().into()) },
        1 => ToPeer::Ping,
        2 => ToPeer::Progress { sequence: input.byte().into(), permille: u16::from(input.byte()) << 8 },
        3 => ToPeer::Welcome {
            magic: Magic,
            version: 1,
            epoch: input.byte().into(),
            max_frame: 1 << input.below(32),
            window: 0,
            heartbeat_ms: 0,
        },
        _ => ToPeer::Result { sequence: u64::from(input.byte()) << input.below(57) },
    }
}

/// Appends to what comes at last.
fn bytes(events: &mut Vec<Event>) -> &mut BytesMut {
    if !matches!(events.last(), Some(Event::Bytes(_))) {
        events.push(Event::Bytes(BytesMut::new()));
    }
    match events.last_mut() {
        Some(Event::Bytes(bytes)) => bytes,
        _ => unreachable!("it was just put there"),
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let choice = input.byte();
    let (is_line, piece) = (choice & 1 == 1, 1 + usize::from(choice >> 1));
    let mut framing = if is_line { Framing::line() } else { Framing::Stream };
    let mut events = Vec::new();
    // What arrives as long as nobody else is on the way.
    let mut sent = Vec::new();
    let mut is_clean = true;
    // On a line a frame of another kind waits for one that begins the connection.
    let mut has_begun = !is_line;
    let mut counted = 0;
    while !input.is_used_up() && counted < 200 {
        counted += 1;
        match input.below(8) {
            0 => {
                framing.begin();
                has_begun = !is_line;
                events.push(Event::Begin);
                if is_clean {
                    sent.push(Found::Begin);
                }
            }
            1 => {
                bytes(&mut events).extend_from_slice(input.bytes());
                is_clean = false;
            }
            kind => {
                let (header, body) = (header(&mut input), input.bytes());
                let frame = Frame { header, front: b"", body };
                let mut small = heapless::Vec::<u8, 64>::new();
                let written = framing.clone().encode(&frame, &mut small);
                if kind == 2 {
                    // The same framing goes on after it.
                    assert_eq!(framing.encode(&frame, &mut heapless::Vec::<u8, 1>::new()), Err(NotFramed::NoRoom));
                }
                let wire = bytes(&mut events);
                let before = wire.len();
                framing.encode(&frame, wire).expect("BytesMut takes all, and it is short");
                match written {
                    Ok(()) => assert_eq!(small, wire[before..]),
                    Err(error) => assert!(error == NotFramed::NoRoom && wire.len() - before > 64),
                }
                has_begun |= matches!(frame.header, ToPeer::Welcome { .. } | ToPeer::Refused { .. });
                let whole = [&frame.header.encode(), body].concat();
                assert!(whole.len() <= MAX);
                if is_clean && has_begun {
                    sent.push(Found::Frame(whole));
                }
            }
        }
    }
    let found = receive(is_line, &events, piece);
    assert_eq!(found[..sent.len().min(found.len())], sent);
    assert!(!is_clean || found.len() == sent.len());
    assert_eq!(receive(is_line, &events, usize::MAX), found);
});
