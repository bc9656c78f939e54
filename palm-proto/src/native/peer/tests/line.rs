use super::*;
use crate::native::{LINE_OVERHEAD, LineEncoder, LineFault};

/// All that comes of `input`.
fn deframed(framing: &mut Framing, mut input: &[u8]) -> Vec<Result<Vec<u8>, FramingFault>> {
    let mut buffer = [0; 256 + LINE_OVERHEAD];
    let mut units = Vec::new();
    loop {
        let used = match framing.handle_input(input, &mut buffer, 256) {
            Deframed::Incomplete { used, .. } => {
                assert!(matches!(framing, Framing::Stream) || used == input.len());
                return units;
            }
            Deframed::Frame { used, frame } => {
                units.push(Ok(frame.to_vec()));
                used
            }
            Deframed::Fault { used, fault } => {
                units.push(Err(fault));
                used
            }
        };
        input = &input[used..];
    }
}

fn line(encoder: &mut LineEncoder, frame: &[u8]) -> Vec<u8> {
    let mut sink = heapless::Vec::<u8, 300>::new();
    encoder.encode(&[frame, &[], &[]], &mut sink).unwrap();
    sink.to_vec()
}

#[test]
fn frames_are_read_as_they_were_written() {
    let hello = Frame { header: ToPeer::Ping, front: &[], body: &[] };
    for mut framing in [Framing::Stream, Framing::line()] {
        let mut sink = heapless::Vec::<u8, 300>::new();
        let mut other = framing.clone();
        let refused = Frame::with_body(ToPeer::Refused { code: RefusalCode::Full }, b"text");
        for frame in [refused, hello] {
            framing.encode(&frame, &mut sink).unwrap();
        }
        let expected = [said(refused.header, b"text"), said(ToPeer::Ping, b"")].map(Ok);
        assert_eq!(deframed(&mut other, &sink), expected);
        let mut small = heapless::Vec::<u8, 2>::new();
        assert_eq!(framing.encode(&refused, &mut small), Err(NotFramed::NoRoom));
    }
    let mut framing = Framing::Stream;
    assert_eq!(
        deframed(&mut framing, b"\x00\x01\x02"),
        [Ok(b"".to_vec()), Ok(b"\x02".to_vec())],
        "a sign of life counts"
    );
    assert_eq!(deframed(&mut framing, b"\xff\x7f"), [Err(FramingFault::TooLong)]);
    let needed = framing.handle_input(b"\x05\x02", &mut [], 256);
    assert_eq!(needed, Deframed::Incomplete { used: 0, needed: 6 });
}

#[test]
fn a_line_is_passed_over_until_it_begins_and_again_after_a_fault() {
    let mut framing = Framing::line();
    let mut encoder = LineEncoder::new();
    framing.begin();
    let wire = [b"noise\0", &line(&mut LineEncoder::new(), b"\x02")[..], b"\x03\0"].concat();
    assert_eq!(deframed(&mut framing, &wire), [], "whoever spoke before");
    let welcome = line(&mut encoder, &welcome(1, 0));
    assert_eq!(deframed(&mut framing, &welcome).len(), 1);
    let mut broken = line(&mut encoder, b"\x02");
    broken[1] ^= 0x40;
    let fault = FramingFault::Line(LineFault::Checksum);
    assert_eq!(deframed(&mut framing, &[&broken[..], b"more\0noise\0"].concat()), [Err(fault)], "once");
    framing.begin();
    let late = line(&mut encoder, b"\x02");
    assert_eq!(deframed(&mut framing, &late), [], "of the connection that broke");
    assert_eq!(deframed(&mut framing, &welcome).len(), 1);
}
