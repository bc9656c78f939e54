//! The machine as a whole: byte vectors, two of them with each other, and properties.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { max_frame: 1000, max_command: 400, max_topic: 300 };

/// What a driver is told, with the bytes that it is told of.
#[derive(Clone, Debug, PartialEq)]
enum Unit {
    Consumed,
    Ready(Vec<u8>),
    Frame(Vec<u8>, bool),
    Subscribe(Vec<u8>),
    Cancel(Vec<u8>),
    Error(ProtocolError),
}

/// A driver's receive buffer: bytes come in pieces of any size.
#[derive(Default)]
struct Receiver {
    buffer: Vec<u8>,
    units: Vec<Unit>,
}

impl Receiver {
    fn receive(&mut self, connection: &mut Connection, bytes: &[u8]) {
        self.buffer.extend(bytes);
        loop {
            let bytes = |range: core::ops::Range<usize>| self.buffer[range].to_vec();
            let (used, unit) = match connection.handle_input(&self.buffer) {
                Ok(Decoded::Incomplete { total, message }) => {
                    assert!(total > self.buffer.len(), "{total} {}", self.buffer.len());
                    let max = LIMITS.max_frame.max(u64::from(LIMITS.max_command)) as usize;
                    assert!(total <= max + FRAME_HEADER_MAX);
                    assert!(!message || connection.is_ready());
                    return;
                }
                Ok(Decoded::Consumed { used }) => (used, Unit::Consumed),
                Ok(Decoded::Ready { used, identity, .. }) => (used, Unit::Ready(bytes(identity))),
                Ok(Decoded::Frame { used, body, more }) => (used, Unit::Frame(bytes(body), more)),
                Ok(Decoded::Subscribe { used, topic }) => (used, Unit::Subscribe(bytes(topic))),
                Ok(Decoded::Cancel { used, topic }) => (used, Unit::Cancel(bytes(topic))),
                Err(error) => {
                    self.units.push(Unit::Error(error));
                    assert_eq!(connection.handle_input(&self.buffer), Err(ProtocolError::Closed));
                    assert!(!connection.has_transmit() && !connection.is_ready());
                    self.buffer.clear();
                    return;
                }
            };
            assert!(used > 0);
            self.buffer.drain(..used);
            self.units.push(unit);
        }
    }
}

fn transmitted(connection: &mut Connection) -> Vec<u8> {
    let mut sent = Vec::new();
    while connection.has_transmit() {
        let mut out = [0; CONTROL_MAX];
        let len = connection.poll_transmit(&mut out);
        assert!(len > 0, "CONTROL_MAX bytes always take a unit");
        sent.extend(&out[..len]);
    }
    sent
}

fn greeting(minor: u8) -> Vec<u8> {
    let mut bytes = Vec::from(*b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL");
    bytes[11] = minor;
    bytes.resize(64, 0);
    bytes
}

fn ready(socket: &str) -> Vec<u8> {
    let mut bytes = Vec::from([4, 22 + socket.len() as u8, 5]);
    bytes.extend(b"READY\x0bSocket-Type\0\0\0");
    bytes.push(socket.len() as u8);
    bytes.extend(socket.as_bytes());
    bytes
}

/// A connection of `ours` that has shaken hands with a `peer` that greeted as ZMTP 3.`minor`.
fn connected(ours: SocketType, peer: SocketType, minor: u8) -> Connection {
    let mut connection = Connection::new(ours, LIMITS);
    let mut receiver = Receiver::default();
    receiver.receive(&mut connection, &[greeting(minor), ready(peer.name())].concat());
    assert_eq!(receiver.units, [Unit::Consumed, Unit::Ready(Vec::new())]);
    assert!(connection.is_ready());
    transmitted(&mut connection);
    connection
}

/// What `bytes` from the peer come to on `connection`.
fn units(connection: &mut Connection, bytes: &[u8]) -> Vec<Unit> {
    let mut receiver = Receiver::default();
    receiver.receive(connection, bytes);
    receiver.units
}

/// What `bytes` from the peer come to on a PULL socket of a peer that has shaken hands.
fn pulled(bytes: &[u8]) -> Vec<Unit> {
    units(&mut connected(SocketType::Pull, SocketType::Push, 1), bytes)
}

fn text(text: &str) -> ShortText {
    ShortText::new(text.as_bytes())
}

#[test]
fn shakes_hands_as_the_specification_has_it() {
    let mut connection = Connection::new(SocketType::Pull, LIMITS);
    assert_eq!(transmitted(&mut connection)[..16], *b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL");
    assert_eq!(units(&mut connection, &greeting(0)), [Unit::Consumed]);
    assert_eq!(transmitted(&mut connection), b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PULL");
    assert!(!connection.is_ready());
    assert_eq!(units(&mut connection, &ready("PUSH")), [Unit::Ready(Vec::new())]);
    assert!(connection.is_ready());
    assert_eq!(connection.peer_type(), Some(SocketType::Push));
    assert_eq!(connection.peer_version(), Some((3, 0)));
}

#[test]
fn two_connections_of_every_pair_of_types_shake_hands_or_refuse_each_other() {
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            for piece in [1, 3, 4096] {
                let mut a = Connection::new(ours, LIMITS).with_identity(b"the one").unwrap();
                let mut b = Connection::new(theirs, LIMITS).with_identity(b"the other").unwrap();
                let (mut to_a, mut to_b) = (Receiver::default(), Receiver::default());
                while a.has_transmit() || b.has_transmit() {
                    for bytes in transmitted(&mut a).chunks(piece) {
                        to_b.receive(&mut b, bytes);
                    }
                    for bytes in transmitted(&mut b).chunks(piece) {
                        to_a.receive(&mut a, bytes);
                    }
                }
                assert_eq!(a.is_ready() && b.is_ready(), ours.accepts(theirs), "{ours} {theirs}");
                if !ours.accepts(theirs) {
                    continue;
                }
                assert_eq!((a.peer_type(), b.peer_type()), (Some(theirs), Some(ours)));
                assert_eq!(to_a.units, [Unit::Consumed, Unit::Ready(Vec::from(b"the other"))]);
            }
        }
    }
}

#[test]
fn control_bytes_come_in_whole_units() {
    let mut connection = Connection::new(SocketType::Pull, LIMITS);
    assert_eq!(connection.poll_transmit(&mut [0; 63]), 0);
    assert_eq!(connection.poll_transmit(&mut [0; 64]), 64);
    assert!(!connection.has_transmit());
    let mut connection = Connection::new(SocketType::Router, LIMITS).with_identity(&[b'x'; IDENTITY_MAX]).unwrap();
    units(&mut connection, &greeting(1));
    transmitted(&mut connection);
    assert_eq!(Connection::new(SocketType::Req, LIMITS).with_identity(b"\0x").unwrap_err(), InvalidIdentity);
    assert!(Connection::new(SocketType::Req, LIMITS).with_identity(&[b'x'; IDENTITY_MAX + 1]).is_err());
}

#[test]
fn refuses_those_who_do_not_speak_zmtp_with_nulls_security() {
    let first = |bytes: &[u8]| units(&mut Connection::new(SocketType::Pull, LIMITS), bytes);
    let not_zmtp = |offset, byte| [Unit::Error(ProtocolError::NotZmtp { offset, byte })];
    assert_eq!(first(b"GET / HTTP/1.1\r\n"), not_zmtp(0, b'G'));
    assert_eq!(first(b"\x16\x03\x01\x02\0\x01"), not_zmtp(0, 0x16));
    assert_eq!(first(b"\x01"), not_zmtp(0, 1));
    assert_eq!(first(b"\xff\0\0\0\0\0\0\0\0\0"), not_zmtp(9, 0));
    assert_eq!(first(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01"), [Unit::Error(ProtocolError::OldVersion { major: 1 })]);
    let mut curve = greeting(1);
    curve[12..17].copy_from_slice(b"CURVE");
    assert_eq!(first(&curve), [Unit::Error(ProtocolError::Mechanism { name: text("CURVE") })]);
}

#[test]
fn refuses_what_has_no_place_in_the_handshake() {
    let second = |bytes: &[u8]| {
        let mut connection = Connection::new(SocketType::Pull, LIMITS);
        units(&mut connection, &greeting(1));
        units(&mut connection, bytes)
    };
    for flags in 0..=3 {
        assert_eq!(second(&[flags]), [Unit::Error(ProtocolError::MessageBeforeReady)]);
    }
    let error = |name| [Unit::Error(ProtocolError::UnexpectedCommand { name: text(name) })];
    assert_eq!(second(b"\x04\x07\x04PING\0\0"), error("PING"));
    assert_eq!(second(b"\x04\x07\x06HELLO!"), error("HELLO!"));
    assert_eq!(second(b"\x04\x0a\x05ERROR\x03400"), [Unit::Error(ProtocolError::PeerError { reason: text("400") })]);
    assert_eq!(
        second(b"\x06\0\0\0\0\0\0\x01\x91"),
        [Unit::Error(ProtocolError::CommandTooLong { len: 401, max: LIMITS.max_command })]
    );
    for peer in ["PULL", "PAIR", "push", ""] {
        let error = ProtocolError::IncompatibleSocket { ours: SocketType::Pull, peer: text(peer) };
        assert_eq!(second(&ready(peer)), [Unit::Error(error)]);
    }
}

#[test]
fn a_second_ready_and_a_late_error_end_the_connection() {
    assert_eq!(
        pulled(&ready("PUSH")),
        [Unit::Error(ProtocolError::UnexpectedCommand { name: ShortText::new(b"READY") })]
    );
    assert_eq!(pulled(b"\x04\x06\x05ERROR"), [Unit::Error(ProtocolError::PeerError { reason: text("") })]);
}

#[test]
fn frames_of_either_form_are_frames() {
    assert_eq!(
        pulled(b"\x01\x02ab\0\0\x03\0\0\0\0\0\0\0\x01c\x02\0\0\0\0\0\0\0\0"),
        [
            Unit::Frame(Vec::from(b"ab"), true),
            Unit::Frame(Vec::new(), false),
            Unit::Frame(Vec::from(b"c"), true),
            Unit::Frame(Vec::new(), false),
        ]
    );
}

#[test]
fn a_command_between_the_frames_of_a_message_is_taken() {
    // libzmq puts its heartbeats there.
    let mut connection = connected(SocketType::Pull, SocketType::Push, 1);
    let units = units(&mut connection, b"\x01\x01a\x04\x09\x04PING\0\x64hi\0\x01b");
    assert_eq!(units, [Unit::Frame(Vec::from(b"a"), true), Unit::Consumed, Unit::Frame(Vec::from(b"b"), false)]);
    assert_eq!(connection.peer_ttl(), 100);
    assert_eq!(transmitted(&mut connection), b"\x04\x07\x04PONGhi");
}

#[test]
fn only_the_newest_ping_is_answered() {
    let mut connection = connected(SocketType::Pull, SocketType::Push, 1);
    units(&mut connection, b"\x04\x08\x04PING\0\0a\x04\x09\x04PING\0\0bc\x04\x07\x04PING\0\0");
    assert_eq!(transmitted(&mut connection), b"\x04\x05\x04PONG");
}

#[test]
fn pings_go_only_to_those_who_answer_them() {
    let mut connection = Connection::new(SocketType::Push, LIMITS);
    assert!(!connection.queue_ping(0));
    for (minor, speaks) in [(0, false), (1, true), (2, true)] {
        let mut connection = connected(SocketType::Push, SocketType::Pull, minor);
        assert_eq!(connection.speaks_ping(), speaks);
        assert_eq!(connection.queue_ping(300), speaks);
        let sent = transmitted(&mut connection);
        assert_eq!(sent, if speaks { &b"\x04\x07\x04PING\x01\x2c"[..] } else { b"" });
        assert_eq!(units(&mut connection, b"\x04\x05\x04PONG"), [Unit::Consumed]);
    }
}

#[test]
fn unknown_commands_are_passed_over() {
    assert_eq!(pulled(b"\x04\x04\x03NEW\x04\x0b\x09SUBSCRIBE."), [Unit::Consumed, Unit::Consumed]);
}

#[test]
fn refuses_by_the_header_alone() {
    let long = |flags: u8, len: u64| [&[flags][..], &len.to_be_bytes()].concat();
    for len in [1001, 1 << 36, u64::from(u32::MAX) + 1, 1 << 62, u64::MAX >> 1, 1 << 63, u64::MAX] {
        let error = ProtocolError::FrameTooLong { len, max: 1000 };
        assert_eq!(pulled(&long(2, len)), [Unit::Error(error)]);
        let error = ProtocolError::CommandTooLong { len, max: 400 };
        assert_eq!(pulled(&long(6, len)), [Unit::Error(error)]);
    }
    assert_eq!(pulled(&long(2, 1000)), []);
    assert_eq!(pulled(&long(6, 400)), []);
    for flags in [5, 7, 8, 0x10, 0x80, 0xff] {
        assert_eq!(pulled(&[flags]), [Unit::Error(ProtocolError::Flags { flags })]);
    }
    let mut push = connected(SocketType::Push, SocketType::Pull, 1);
    assert_eq!(units(&mut push, b"\0"), [Unit::Error(ProtocolError::UnexpectedMessage { ours: SocketType::Push })]);
}

#[test]
fn limits_of_any_size_are_safe() {
    let limits = Limits { max_frame: u64::MAX, max_command: u32::MAX, max_topic: u16::MAX };
    for socket in [SocketType::Pull, SocketType::XPub] {
        let mut connection = Connection::new(socket, limits);
        let peer = if socket == SocketType::Pull { "PUSH" } else { "SUB" };
        let mut input = [greeting(1), ready(peer)].concat();
        input.drain(..64);
        assert!(connection.handle_input(&greeting(1)).is_ok());
        assert!(connection.handle_input(&input).is_ok());
        let max = isize::MAX as u64 - 16;
        for (len, accepted) in [(max, true), (max + 1, false)] {
            let header = [&[2][..], &len.to_be_bytes()].concat();
            assert_eq!(connection.handle_input(&header).is_ok(), accepted);
        }
    }
}

#[test]
fn subscriptions_come_in_two_forms() {
    for socket in [SocketType::Pub, SocketType::XPub] {
        let mut connection = connected(socket, SocketType::Sub, 1);
        assert_eq!(
            units(
                &mut connection,
                b"\0\x03\x01ab\0\x01\x01\0\x02\0c\x04\x0c\x09SUBSCRIBEde\x04\x0a\x09SUBSCRIBE\x04\x08\x06CANCELf"
            ),
            [
                Unit::Subscribe(Vec::from(b"ab")),
                Unit::Subscribe(Vec::new()),
                Unit::Cancel(Vec::from(b"c")),
                Unit::Subscribe(Vec::from(b"de")),
                Unit::Subscribe(Vec::new()),
                Unit::Cancel(Vec::from(b"f")),
            ]
        );
    }
}

#[test]
fn what_only_looks_like_a_subscription_is_a_frame() {
    let mut connection = connected(SocketType::XPub, SocketType::XSub, 1);
    assert_eq!(
        units(&mut connection, b"\0\0\0\x02\x02x\x01\x02\x01a\0\x02\x01b\0\x02\x01c"),
        [
            Unit::Frame(Vec::new(), false),
            Unit::Frame(Vec::from(b"\x02x"), false),
            Unit::Frame(Vec::from(b"\x01a"), true),
            Unit::Frame(Vec::from(b"\x01b"), false),
            Unit::Subscribe(Vec::from(b"c")),
        ]
    );
    assert_eq!(pulled(b"\0\x02\x01a"), [Unit::Frame(Vec::from(b"\x01a"), false)]);
}

#[test]
fn topics_have_a_limit() {
    let message = |len: u64| [&[2][..], &(len + 1).to_be_bytes(), &[1], &[b'x'; 400][..len as usize]].concat();
    let command = |len: u64| {
        [b"\x06\0\0\0\0\0\0", &(len + 10).to_be_bytes()[6..], b"\x09SUBSCRIBE", &[b'x'; 400][..len as usize]].concat()
    };
    for socket in [SocketType::Pub, SocketType::XPub] {
        for bytes in [message, command] {
            let result = units(&mut connected(socket, SocketType::Sub, 0), &bytes(300));
            assert_eq!(result, [Unit::Subscribe(Vec::from([b'x'; 300]))]);
            let result = units(&mut connected(socket, SocketType::Sub, 0), &bytes(301));
            assert_eq!(result, [Unit::Error(ProtocolError::TopicTooLong { len: 301, max: 300 })]);
        }
    }
}

#[test]
fn subscribes_in_the_form_that_the_peer_understands() {
    for (minor, subscribe, cancel) in
        [(0, &b"\0\x02\x01"[..], &b"\0\x02\0"[..]), (1, b"\x04\x0b\x09SUBSCRIBE", b"\x04\x08\x06CANCEL")]
    {
        let sub = connected(SocketType::Sub, SocketType::Pub, minor);
        assert_eq!(sub.subscribe_header(1).as_ref(), subscribe);
        assert_eq!(sub.cancel_header(1).as_ref(), cancel);
        let mut publisher = connected(SocketType::Pub, SocketType::Sub, minor);
        for len in [0, 1, 245, 246, 254, 255, 300] {
            let topic = [b't'; 300][..len].to_vec();
            let bytes = [sub.subscribe_header(len).as_ref(), &topic, sub.cancel_header(len).as_ref(), &topic].concat();
            assert_eq!(units(&mut publisher, &bytes), [Unit::Subscribe(topic.clone()), Unit::Cancel(topic)]);
        }
    }
}

#[test]
fn a_reason_for_failing_is_told_in_the_handshake_only() {
    let mut connection = Connection::new(SocketType::Pull, LIMITS);
    connection.fail("no");
    assert_eq!(transmitted(&mut connection), b"");

    let mut connection = Connection::new(SocketType::Pull, LIMITS);
    transmitted(&mut connection);
    units(&mut connection, &greeting(1));
    connection.fail("too many connections for this one to be served");
    assert_eq!(transmitted(&mut connection), b"\x04\x27\x05ERROR\x20too many connections for this on");
    assert_eq!(connection.handle_input(&ready("PUSH")), Err(ProtocolError::Closed));

    let mut connection = connected(SocketType::Pull, SocketType::Push, 1);
    connection.fail("no");
    assert_eq!(transmitted(&mut connection), b"");
    assert_eq!(connection.handle_input(b"\0\x01a"), Err(ProtocolError::Closed));
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Connection>() <= 160, "{}", size_of::<Connection>());
}

#[test]
fn frames_of_all_lengths_about_the_change_of_form_come_back() {
    for len in (0..20).chain(240..270).chain([999, 1000]) {
        for more in [false, true] {
            let body: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let bytes = [frame_header(len, more).as_ref(), &body].concat();
            assert_eq!(pulled(&bytes), [Unit::Frame(body, more)]);
        }
    }
}

fn arbitrary_unit() -> impl Strategy<Value = Vec<u8>> {
    let body = || prop_oneof![prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(0..3_u8, 200..350)];
    let frame = |flags: u8, long: bool, body: Vec<u8>| {
        if long || body.len() > 255 {
            [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), &body].concat()
        } else {
            [&[flags, body.len() as u8][..], &body].concat()
        }
    };
    prop_oneof![
        4 => (0..2_u8, any::<bool>(), body()).prop_map(move |(flags, long, body)| frame(flags, long, body)),
        4 => (
            prop::sample::select(Vec::from(["PING", "PONG", "SUBSCRIBE", "CANCEL", "READY", "ERROR", "OTHER"])),
            any::<bool>(),
            body()
        )
            .prop_map(move |(name, long, data)| frame(4, long, [&[name.len() as u8], name.as_bytes(), &data].concat())),
        1 => body(),
    ]
}

fn arbitrary_stream() -> impl Strategy<Value = (SocketType, Vec<u8>)> {
    let pair = prop::sample::select(Vec::from([
        (SocketType::Pull, "PUSH"),
        (SocketType::Push, "PULL"),
        (SocketType::Pub, "SUB"),
        (SocketType::XPub, "XSUB"),
        (SocketType::Rep, "REQ"),
    ]));
    (pair, 0..3_u8, prop::collection::vec(arbitrary_unit(), 0..12)).prop_map(|((socket, peer), minor, units)| {
        let mut stream = [greeting(minor), ready(peer)].concat();
        stream.extend(units.concat());
        (socket, stream)
    })
}

proptest! {
    #[test]
    fn a_stream_comes_to_the_same_however_it_is_cut(
        (socket, stream) in arbitrary_stream(),
        cuts in prop::collection::vec(1..100_usize, 1..200),
    ) {
        let mut whole = Connection::new(socket, LIMITS);
        let expected = units(&mut whole, &stream);
        let mut connection = Connection::new(socket, LIMITS);
        let mut receiver = Receiver::default();
        let mut rest = &stream[..];
        for cut in cuts.into_iter().cycle() {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            receiver.receive(&mut connection, piece);
            if after.is_empty() || matches!(receiver.units.last(), Some(Unit::Error(_))) {
                break;
            }
            rest = after;
        }
        prop_assert_eq!(receiver.units, expected);
        prop_assert_eq!(transmitted(&mut connection), transmitted(&mut whole));
    }

    #[test]
    fn arbitrary_bytes_come_to_units_or_an_error(
        socket in prop::sample::select(Vec::from(SocketType::ALL)),
        greeted in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut connection = Connection::new(socket, LIMITS);
        let mut receiver = Receiver::default();
        if greeted {
            let peer = SocketType::ALL.into_iter().find(|&peer| socket.accepts(peer)).unwrap();
            receiver.receive(&mut connection, &[greeting(1), ready(peer.name())].concat());
        }
        receiver.receive(&mut connection, &bytes);
        transmitted(&mut connection);
    }
}
