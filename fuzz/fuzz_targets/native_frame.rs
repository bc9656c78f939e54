//! Whatever a peer sends on a stream comes to the same frames however it is cut, none longer than the limit; and a frame
//! that is understood can be written, and is then understood as the same.
//!
//! First byte of the input: direction (lowest bit), and length of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palm_proto::native::{Frame, Header, Streamed, ToMaster, ToPeer, decode_stream};

const LIMIT: u32 = 4096;

/// The frames in `input`, of which `piece` bytes more come at a time, and whether it breaks off with an error.
fn frames(input: &[u8], piece: usize) -> (Vec<&[u8]>, bool) {
    let mut frames = Vec::new();
    let (mut taken, mut offered) = (0, 0);
    while offered < input.len() {
        offered = input.len().min(offered + piece);
        loop {
            let rest = &input[taken..offered];
            let used = match decode_stream(rest, LIMIT) {
                Err(_) => return (frames, true),
                Ok(Streamed::Incomplete { total }) => {
                    assert!(total > rest.len() && total <= LIMIT as usize + 4);
                    break;
                }
                Ok(Streamed::Skipped { used }) => used,
                Ok(Streamed::Frame { used, range }) => {
                    assert!(!range.is_empty() && range.end == used && range.len() <= LIMIT as usize);
                    frames.push(&rest[range]);
                    used
                }
            };
            assert!(used > 0 && used <= rest.len());
            taken += used;
        }
    }
    (frames, false)
}

fn check<H: Header>(bytes: &[u8]) {
    let Ok(Some(frame)) = H::decode(bytes) else { return };
    let head = frame.stream_head().expect("it came over a stream, in no fewer bytes");
    let wire = [&head, frame.front, frame.body].concat();
    let Ok(Streamed::Frame { used, range }) = decode_stream(&wire, LIMIT) else { panic!("it is whole") };
    assert!(used == wire.len() && range.len() <= bytes.len());
    let Frame { header, front, body } = frame;
    assert_eq!(H::decode(&wire[range]), Ok(Some(Frame { header, front, body })));
    let (_, _) = (frame.front_text(), frame.body_text());
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, stream)) = input.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(frames(stream, 1 + usize::from(choice >> 1)), whole);
    for frame in whole.0 {
        if choice & 1 == 0 {
            check::<ToMaster>(frame);
        } else {
            check::<ToPeer>(frame);
        }
    }
});
