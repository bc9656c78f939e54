//! Whatever comes over a line comes to the same frames and faults however it is cut; and frames that were sent arrive, all
//! and unchanged, until something else is on the line.
//!
//! First byte of the input: length of the pieces. Second: how many frames are sent before the noise that the rest is.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::native::{LINE_OVERHEAD, LineDecoder, LineEncoder, LineFault, LineUnit, line_len_max};

const LIMIT: usize = 300;

fn decode(wire: &[u8], piece: usize) -> Vec<Result<Vec<u8>, LineFault>> {
    let mut decoder = LineDecoder::new();
    let mut buffer = [0; LIMIT + LINE_OVERHEAD];
    let mut units = Vec::new();
    for mut piece in wire.chunks(piece) {
        loop {
            let (used, unit) = match decoder.handle_input(piece, &mut buffer) {
                LineUnit::Incomplete => break,
                LineUnit::Frame { used, range } => {
                    assert!(range.len() <= LIMIT);
                    (used, Ok(buffer[range].to_vec()))
                }
                LineUnit::Fault { used, fault } => (used, Err(fault)),
            };
            assert!(used > 0 && used <= piece.len());
            units.push(unit);
            piece = &piece[used..];
        }
    }
    units
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let piece = 1 + input.below(200);
    let count = input.below(20);
    let mut encoder = LineEncoder::new();
    let mut wire = BytesMut::new();
    let mut sent = Vec::new();
    for index in 0..count {
        // A connection begins with a frame of kind 0.
        let frame = if index == 0 { &[0][..] } else { input.bytes() };
        let (header, rest) = frame.split_at(frame.len().min(1));
        let (front, body) = rest.split_at(rest.len() / 2);
        let before = wire.len();
        encoder.encode(&[header, front, body], &mut wire).expect("BytesMut takes all");
        assert!(wire.len() - before <= line_len_max(frame.len()));
        sent.push(Ok(frame.to_vec()));
    }
    assert_eq!(decode(&wire, piece), sent);
    while !input.is_used_up() {
        wire.extend_from_slice(input.bytes());
    }
    let units = decode(&wire, wire.len().max(1));
    assert_eq!(units[..sent.len()], sent);
    assert_eq!(decode(&wire, piece), units);
});
