//! Whatever a peer sends comes to units within the limits or to an error, and to the same however it is cut.
//!
//! First byte of the input: type of our socket, whether the peer has shaken hands, and length of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palm_proto::zmtp::{
    CONTROL_MAX, Connection, Decoded, EXTENSIONS, FRAME_HEADER_MAX, Limits, ProtocolError, SocketType, property,
};

const LIMITS: Limits = Limits { max_frame: 4096, max_command: 512, max_topic: 64 };
const GREETING: &[u8; 16] = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL";

/// Feeds `input` in pieces of `piece` bytes; the units, each with the bytes that it tells of, and the answers.
fn run(mut connection: Connection, input: &[u8], piece: usize) -> (Vec<(Decoded, Vec<u8>)>, Option<ProtocolError>) {
    let mut units = Vec::new();
    let mut taken = 0;
    let mut offered = 0;
    while offered < input.len() {
        offered = input.len().min(offered + piece);
        loop {
            let rest = &input[taken..offered];
            let decoded = match connection.handle_input(rest) {
                Ok(decoded) => decoded,
                Err(error) => {
                    assert_eq!(connection.handle_input(rest), Err(ProtocolError::Closed));
                    assert!(!connection.has_transmit() && !connection.is_ready());
                    return (units, Some(error));
                }
            };
            let (used, bytes) = match &decoded {
                Decoded::Incomplete { total, message } => {
                    assert!(*total > rest.len() && *total <= LIMITS.max_frame as usize + FRAME_HEADER_MAX);
                    assert!(!message || connection.is_ready());
                    break;
                }
                Decoded::Consumed { used } => (*used, &[][..]),
                Decoded::Ready { used, identity, properties } => {
                    assert!(connection.is_ready() && identity.len() <= 255 && properties.end == *used);
                    let _ = property(&rest[properties.clone()], EXTENSIONS);
                    (*used, &rest[identity.clone()])
                }
                Decoded::Frame { used, body, .. } => {
                    assert!(connection.is_ready() && body.len() as u64 <= LIMITS.max_frame);
                    (*used, &rest[body.clone()])
                }
                Decoded::Subscribe { used, topic } | Decoded::Cancel { used, topic } => {
                    assert!(connection.is_ready() && topic.len() <= usize::from(LIMITS.max_topic));
                    (*used, &rest[topic.clone()])
                }
            };
            assert!(used > 0 && used <= rest.len());
            units.push((decoded.clone(), bytes.to_vec()));
            taken += used;
        }
        let mut out = [0; CONTROL_MAX];
        while connection.has_transmit() {
            assert!(connection.poll_transmit(&mut out) > 0);
        }
    }
    (units, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    let socket = SocketType::ALL[usize::from(choice) % SocketType::ALL.len()];
    let mut stream = Vec::new();
    if choice & 0x80 == 0 {
        let peer = SocketType::ALL.into_iter().find(|&peer| socket.accepts(peer)).expect("each type has a peer");
        stream.extend(GREETING);
        stream.resize(64, 0);
        stream.extend([4, 22 + peer.name().len() as u8]);
        stream.extend(b"\x05READY\x0bSocket-Type\0\0\0");
        stream.push(peer.name().len() as u8);
        stream.extend(peer.name().as_bytes());
    }
    stream.extend(rest);
    let connection = Connection::new(socket, LIMITS);
    let whole = run(connection.clone(), &stream, stream.len().max(1));
    let pieces = run(connection, &stream, 1 + usize::from(choice >> 4 & 7));
    assert_eq!(whole, pieces);
});
