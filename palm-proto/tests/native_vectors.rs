//! The test vectors in `docs/spec.md`, section 9.10, are what the codec makes, and are read back.
//!
//! `PALM_WRITE_VECTORS=1 cargo test -p palm-proto --test native_vectors` writes them there.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use palm_proto::native::{
    Alias, CacheRefusalCode, Frame, Header, LineDecoder, LineEncoder, LineUnit, Magic, RefusalCode, Role, SessionId,
    Streamed, TaskNumber, ToMaster, ToPeer, Versions, When, decode_stream,
};

const BEGIN: &str = "<!-- vectors: written by palm-proto/tests/native_vectors.rs -->\n";
const END: &str = "<!-- end of vectors -->\n";

#[test]
fn the_specification_has_the_vectors_of_the_codec() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec.md");
    let text = std::fs::read_to_string(&path).expect("docs/spec.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("docs/spec.md has a place for vectors");
    let (written, after) = rest.split_once(END).expect("the place for vectors ends");
    let vectors = vectors();
    if std::env::var_os("PALM_WRITE_VECTORS").is_some() {
        std::fs::write(&path, [before, BEGIN, &vectors, END, after].concat()).expect("docs/spec.md can be written");
    } else {
        assert_eq!(written, vectors, "docs/spec.md, 9.10, is not up to date; PALM_WRITE_VECTORS=1 writes it");
    }
}

fn vectors() -> String {
    let mut text = String::new();
    table(&mut text, "Frames to the master", &to_master());
    table(&mut text, "Frames from the master", &to_peer());
    streams(&mut text);
    lines(&mut text);
    text
}

const SESSION: SessionId = SessionId(*b"0123456789abcdef");

fn alias(number: u16) -> Alias {
    Alias::new(number).expect("it is below the bound")
}

fn hello() -> Frame<'static, ToMaster> {
    let header = ToMaster::Hello {
        magic: Magic,
        versions: Versions { min: 1, max: 1 },
        role: Role::Worker,
        max_frame: 1 << 20,
        window: 4,
        session: SESSION,
        resume: false,
        holding: 0,
        name_len: 2,
    };
    Frame { header, front: b"w1", body: b"secret" }
}

fn welcome() -> Frame<'static, ToPeer> {
    let header = ToPeer::Welcome {
        magic: Magic,
        version: 1,
        epoch: 0x0123_4567_89ab_cdef,
        max_frame: 64 << 20,
        window: 0,
        heartbeat_ms: 10_000,
    };
    Frame::with_body(header, b"server")
}

fn to_master() -> Vec<Frame<'static, ToMaster>> {
    let number = TaskNumber::FIRST.plus(300);
    vec![
        hello(),
        Frame::new(ToMaster::Bye),
        Frame::new(ToMaster::Ping),
        Frame::new(ToMaster::Pong),
        Frame::new(ToMaster::Credit { more: 200 }),
        Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST }, b"result"),
        Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST.plus(16_383) }, b""),
        Frame::with_body(ToMaster::Partial { number }, b"part"),
        Frame::with_body(ToMaster::Progress { number, permille: 500 }, b"half"),
        Frame::with_body(ToMaster::Failed { number, code: 1 }, "é".as_bytes()),
        Frame::new(ToMaster::HandBack { number }),
        Frame::new(ToMaster::Drain),
        Frame::new(ToMaster::Holding { session: SESSION, sequence: 1000, attempt: 2 }),
        Frame::with_body(ToMaster::Function { alias: alias(5) }, b"server.method"),
        Frame::with_body(ToMaster::Submit { sequence: 0, function: alias(5) }, b"payload"),
        Frame::with_body(ToMaster::Submit { sequence: u64::MAX, function: alias(1023) }, b""),
        Frame {
            header: ToMaster::SubmitWith {
                sequence: 1,
                function: alias(5),
                priority: 3,
                deadline_ms: Some(1500),
                cache_len: 4,
            },
            front: b"user",
            body: b"payload",
        },
        Frame::with_body(
            ToMaster::SubmitWith { sequence: 2, function: alias(5), priority: 0, deadline_ms: None, cache_len: 0 },
            b"payload",
        ),
        Frame::new(ToMaster::Cancel { sequence: 300 }),
        Frame::new(ToMaster::Received { results: 10 }),
        Frame::with_body(ToMaster::Get { id: 1 }, b"key"),
        Frame {
            header: ToMaster::Set { id: 2, ttl_ms: None, when: When::Always, key_len: 3 },
            front: b"key",
            body: b"value",
        },
        Frame {
            header: ToMaster::Set { id: 3, ttl_ms: Some(60_000), when: When::Version(7), key_len: 3 },
            front: b"key",
            body: b"",
        },
        Frame::with_body(ToMaster::Delete { id: 4, when: When::Absent }, b"key"),
        Frame::new(ToMaster::Restart),
    ]
}

fn to_peer() -> Vec<Frame<'static, ToPeer>> {
    vec![
        welcome(),
        Frame::with_body(ToPeer::Refused { code: RefusalCode::Token }, b"wrong token"),
        Frame::new(ToPeer::Refused { code: RefusalCode::NotConnected }),
        Frame::new(ToPeer::Ping),
        Frame::new(ToPeer::Pong),
        Frame::new(ToPeer::Bye),
        Frame::with_body(ToPeer::Function { alias: alias(0) }, b"server.method"),
        Frame::new(ToPeer::Session { alias: alias(1), id: SESSION }),
        Frame::with_body(ToPeer::Task { function: alias(0), session: alias(1), sequence: (1 << 28) - 1 }, b"payload"),
        Frame {
            header: ToPeer::TaskWith {
                function: alias(0),
                session: alias(1),
                sequence: 1,
                attempt: 2,
                deadline_ms: Some(1500),
                cache_len: 4,
            },
            front: b"user",
            body: b"payload",
        },
        Frame::new(ToPeer::CancelTask { number: TaskNumber::FIRST.plus(300) }),
        Frame::new(ToPeer::Accepted { up_to: 128 }),
        Frame::with_body(ToPeer::Result { sequence: 0 }, b"result"),
        Frame::with_body(ToPeer::Partial { sequence: 0 }, b"part"),
        Frame::with_body(ToPeer::Progress { sequence: 0, permille: 1000 }, b""),
        Frame::with_body(ToPeer::Failed { sequence: 0, code: 3 }, b"lost"),
        Frame::new(ToPeer::Window { more: 100 }),
        Frame::with_body(ToPeer::Value { id: 1, version: 7 }, b"value"),
        Frame::new(ToPeer::Stored { id: 2, version: 8 }),
        Frame::new(ToPeer::Deleted { id: 4 }),
        Frame::new(ToPeer::Absent { id: 1 }),
        Frame::new(ToPeer::Conflict { id: 3, version: 8 }),
        Frame::with_body(ToPeer::CacheRefused { id: 2, code: CacheRefusalCode::Full }, b"full"),
        Frame::new(ToPeer::Skip { numbers: 2 }),
        Frame::new(ToPeer::NoRoom { from: 300 }),
    ]
}

fn table<H: Header>(text: &mut String, title: &str, frames: &[Frame<'_, H>]) {
    write!(text, "\n{title}:\n\n| header | front | body | bytes |\n|---|---|---|---|\n").expect("a String takes all");
    for (index, frame) in frames.iter().enumerate() {
        let bytes = whole(frame);
        assert_eq!(H::decode(&bytes), Ok(Some(*frame)), "number {index}");
        let [header, front, body] = [fields(&frame.header), words(frame.front), words(frame.body)];
        writeln!(text, "| `{header}` | {front} | {body} | `{}` |", hex(&bytes)).expect("a String takes all");
    }
    let mut kinds: Vec<u8> = frames.iter().map(|frame| whole(frame)[0]).collect();
    kinds.dedup();
    assert_eq!(kinds, (0..H::KINDS).collect::<Vec<_>>(), "each kind is there");
}

fn streams(text: &mut String) {
    let ping = Frame::new(ToMaster::Ping);
    let long = [b'a'; 128];
    let long = Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST }, &long);
    text.push_str("\nOn a stream:\n\n| what | bytes |\n|---|---|\n");
    let row = |text: &mut String, what: &str, bytes: &str| writeln!(text, "| {what} | `{bytes}` |").expect("it does");
    row(text, "an empty frame", "00");
    for (what, frame) in [("Ping", &ping), ("Done, number 0, body 128 times `a`", &long)] {
        let head = frame.stream_head().expect("it is short enough");
        let wire = [&head, frame.body].concat();
        let frame = head.len() - frame.header.encode().len()..wire.len();
        assert_eq!(decode_stream(&wire, 200), Ok(Streamed::Frame { used: wire.len(), range: frame }));
        let more = if wire.len() > 20 { " 61 61 ..." } else { "" };
        row(text, what, &[&hex(&head), more].concat());
    }
}

fn lines(text: &mut String) {
    text.push_str("\nOn a line, one after the other:\n\n| what | bytes |\n|---|---|\n");
    let ping = Frame::new(ToMaster::Ping);
    let empty = Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST }, b"");
    let zeros = Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST.plus(1) }, b"\0a\0\0");
    let mut encoder = LineEncoder::new();
    let mut decoder = LineDecoder::new();
    let mut buffer = [0; 100];
    for (what, frame) in [
        ("the Hello above", hello()),
        ("Ping", ping),
        ("Done, number 0, no body", empty),
        ("Done, number 1, body `00 61 00 00`", zeros),
        ("the Hello above again, a new connection", hello()),
    ] {
        let mut wire = heapless::Vec::<u8, 100>::new();
        let header = frame.header.encode();
        encoder.encode(&[&header, frame.front, frame.body], &mut wire).expect("100 bytes are enough");
        let LineUnit::Frame { used, range } = decoder.handle_input(&wire, &mut buffer) else { panic!("no frame") };
        assert_eq!((used, &buffer[range]), (wire.len(), &whole(&frame)[..]));
        writeln!(text, "| {what} | `{}` |", hex(&wire)).expect("a String takes all");
    }
    text.push('\n');
}

fn whole<H: Header>(frame: &Frame<'_, H>) -> Vec<u8> {
    [&frame.header.encode(), frame.front, frame.body].concat()
}

/// A header as `Kind { field: value, ... }`, numbers without the names of their types.
fn fields(header: &impl Debug) -> String {
    let mut text = format!("{header:?}");
    for name in ["Alias(", "TaskNumber("] {
        while let Some(start) = text.find(name) {
            let end = start + text[start..].find(')').expect("the parenthesis is closed");
            text.remove(end);
            text.replace_range(start..start + name.len(), "");
        }
    }
    text
}

fn words(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).expect("the vectors' contents are text");
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
