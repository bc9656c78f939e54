//! What servers that mean harm do to those who connect.

use std::io::{self, Read, Write};

use palm_proto::message::MessageRef;
use palm_proto::native::{Alias, Frame, Magic, ToPeer};

use super::serve::Visitor;
use crate::zmtp::{COMMAND, LONG, MORE, frame_header, greeting, ready};

/// Something that is done to a visitor.
pub struct Trick {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    pub(super) act: fn(&mut Visitor) -> io::Result<()>,
}

/// The name that all servers give themselves.
pub(super) const NAME: &str = "victim";

/// A name that would do something to a terminal, and is no text.
const NO_NAME: &[u8] = b"\x1b]52;c;aGk=\x07\xe2\x80\xae\xff\n\nvictim";

/// Of servers that speak ZeroMQ, or pretend to.
pub const TRICKS: [Trick; 19] = [
    Trick { name: "silent", does: "says nothing", act: Visitor::ignore },
    Trick { name: "closes", does: "closes at once", act: |visitor| visitor.trick(b"") },
    Trick { name: "noise", does: "sends noise", act: |visitor| visitor.pour(&crate::hostile::random(4_096)) },
    Trick { name: "length-first", does: "claims 2^36 bytes for a greeting", act: |v| claim(v, 1 << 36) },
    Trick { name: "length-first-62", does: "claims 2^62 bytes for a greeting", act: |v| claim(v, 1 << 62) },
    Trick { name: "endless-greeting", does: "greets without end", act: endless_greeting },
    Trick { name: "drip", does: "greets and shakes hands byte by byte, and goes on with empty frames", act: drip },
    Trick { name: "length-greeted", does: "claims 2^36 bytes after its greeting", act: |v| greeted(v, 0, 1 << 36) },
    Trick { name: "length-greeted-48", does: "claims 2^48 bytes after its greeting", act: |v| greeted(v, 0, 1 << 48) },
    Trick { name: "length-greeted-62", does: "claims 2^62 bytes after its greeting", act: |v| greeted(v, 0, 1 << 62) },
    Trick { name: "length-greeted-64", does: "claims 2^64 - 1 bytes", act: |v| greeted(v, 0, u64::MAX) },
    Trick { name: "long-ready", does: "claims 2^36 bytes for READY", act: |v| greeted(v, COMMAND, 1 << 36) },
    Trick { name: "endless-ready", does: "sends a READY without end", act: endless_ready },
    Trick {
        name: "length-shaken",
        does: "claims 2^36 bytes after the handshake, at each socket that it leads to",
        act: |visitor| shaken(visitor, |visitor| visitor.trick(&frame_header(0, 1 << 36))),
    },
    Trick {
        name: "endless-parts",
        does: "sends parts of one message without end after the handshake, at each socket that it leads to",
        act: |visitor| shaken(visitor, |visitor| visitor.pour(&[MORE, 0])),
    },
    Trick {
        name: "endless-part",
        does: "sends a message without end after the handshake, at each socket that it leads to",
        act: |visitor| {
            shaken(visitor, |visitor| {
                visitor.stream.write_all(&[&[LONG][..], &(1_u64 << 33).to_be_bytes()].concat())?;
                visitor.pour(&[0x12; 100])
            })
        },
    },
    Trick { name: "endless-answer", does: "answers its cache without end", act: |v| cache(v, Answer::Endless) },
    Trick {
        name: "claimed-answer",
        does: "claims 2^40 bytes for its cache's answer",
        act: |v| cache(v, Answer::Claimed),
    },
    Trick {
        name: "wrong-names",
        does: "has names and addresses in its cache that are none",
        act: |v| cache(v, Answer::Wrong),
    },
];

/// Of servers that speak the native protocol, or pretend to.
pub const NATIVE: [Trick; 6] = [
    Trick { name: "silent", does: "says nothing", act: Visitor::ignore },
    Trick {
        name: "long-frame",
        does: "claims the longest frame, and begins it",
        act: |v| v.pour(&[0xff, 0xff, 0xff, 0x7f]),
    },
    Trick { name: "noise", does: "sends noise", act: |visitor| visitor.pour(&crate::hostile::random(4_096)) },
    Trick { name: "names", does: "tells of functions without end", act: |v| welcomed(v, &functions()) },
    Trick {
        name: "windows",
        does: "opens windows without end",
        act: |v| welcomed(v, &wire(&Frame::new(ToPeer::Window { more: u32::MAX }))),
    },
    Trick {
        name: "endless-frame",
        does: "sends a frame without end after Welcome",
        act: |v| welcomed(v, &[0xff, 0xff, 0xff, 0x7f]),
    },
];

/// Of servers that speak HTTP, or pretend to.
pub const WEB: [Trick; 6] = [
    Trick { name: "silent", does: "says nothing", act: Visitor::ignore },
    Trick { name: "noise", does: "sends noise", act: |visitor| visitor.pour(&crate::hostile::random(4_096)) },
    Trick {
        name: "endless-head",
        does: "sends headers without end",
        act: |v| answered(v, b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n"),
    },
    Trick {
        name: "endless-body",
        does: "sends a body without end",
        act: |visitor| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            answered(visitor, head, &[b"10000\r\n".to_vec(), vec![b'['; 0x10000], b"\r\n".to_vec()].concat())
        },
    },
    Trick {
        name: "claimed-body",
        does: "claims a body of 2^62 bytes, and begins it",
        act: |visitor| {
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4611686018427387904\r\n\r\n";
            answered(visitor, head, b"[[[[[[[[[[[[[[[[")
        },
    },
    Trick {
        name: "endless-error",
        does: "refuses, with a text without end",
        act: |visitor| answered(visitor, b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n", b"\x1b]52;c;aGk=\x07 no "),
    },
];

/// Nine bytes for a greeting.
fn claim(visitor: &mut Visitor, len: u64) -> io::Result<()> {
    visitor.trick(&[&[LONG][..], &len.to_be_bytes()].concat())?;
    visitor.stay()
}

fn endless_greeting(visitor: &mut Visitor) -> io::Result<()> {
    visitor.stream.write_all(&greeting(0)[..20])?;
    visitor.pour(&[0])
}

fn drip(visitor: &mut Visitor) -> io::Result<()> {
    let bytes = [&greeting(0)[..], &ready("REP"), &[MORE, 0].repeat(500)].concat();
    visitor.drip(&bytes)
}

/// A greeting, and a frame of a length.
fn greeted(visitor: &mut Visitor, flags: u8, len: u64) -> io::Result<()> {
    visitor.stream.write_all(&greeting(0))?;
    visitor.stream.read_exact(&mut [0; 64])?;
    visitor.trick(&[&[flags | LONG][..], &len.to_be_bytes()].concat())?;
    visitor.stay()
}

fn endless_ready(visitor: &mut Visitor) -> io::Result<()> {
    visitor.stream.write_all(&greeting(0))?;
    visitor.stream.read_exact(&mut [0; 64])?;
    let header = [&[COMMAND | LONG][..], &(1_u64 << 33).to_be_bytes()].concat();
    visitor.stream.write_all(&[&header[..], b"\x05READY"].concat())?;
    visitor.pour(b"\x01x\0\0\0\x01y")
}

/// A handshake, then `trick`; but a cache first answers as it should, and leads to this server for all its sockets.
fn shaken(visitor: &mut Visitor, trick: fn(&mut Visitor) -> io::Result<()>) -> io::Result<()> {
    if handshake(visitor)? == "REQ" {
        let server = visitor.server;
        return requests(visitor, |visitor, key| {
            let value = match key {
                "name" => NAME.to_owned(),
                "palm_extensions" => "1".to_owned(),
                key if key.ends_with("_address") && !key.starts_with("palm") => format!("tcp://{server}"),
                _ => String::new(),
            };
            reply(visitor, value.as_bytes())
        });
    }
    trick(visitor)?;
    visitor.stay()
}

/// How a cache answers.
#[derive(Clone, Copy)]
enum Answer {
    Endless,
    Claimed,
    Wrong,
}

fn cache(visitor: &mut Visitor, answer: Answer) -> io::Result<()> {
    handshake(visitor)?;
    requests(visitor, |visitor, key| match answer {
        Answer::Endless => visitor.pour(&[MORE, 1, b'x']),
        Answer::Claimed => visitor.trick(&[&[MORE, 0, LONG][..], &(1_u64 << 40).to_be_bytes()].concat()),
        Answer::Wrong => {
            visitor.trick(b"")?;
            let is_name = key == "name";
            reply(visitor, if is_name { NO_NAME } else { b"tcp://\xff\xfe:99999999999999999999" })
        }
    })
}

/// Shakes hands as the counterpart of what the visitor says he is. His type.
fn handshake(visitor: &mut Visitor) -> io::Result<&'static str> {
    visitor.stream.write_all(&greeting(0))?;
    visitor.stream.read_exact(&mut [0; 64])?;
    let (_, body) = frame(visitor)?;
    let types = [("REQ", "REP"), ("PUSH", "PULL"), ("PULL", "PUSH"), ("SUB", "PUB"), ("DEALER", "ROUTER")];
    let says = |name: &str| {
        let property = [&b"\x0bSocket-Type\0\0\0"[..], &[name.len() as u8], name.as_bytes()].concat();
        body.windows(property.len()).any(|bytes| bytes == property)
    };
    let found = types.into_iter().find(|(name, _)| says(name));
    let (name, counterpart) = found.ok_or_else(|| io::Error::other("a visitor of another kind"))?;
    visitor.stream.write_all(&ready(counterpart))?;
    Ok(name)
}

/// Hands the key of each request to `answer`, a thousand at most.
fn requests(visitor: &mut Visitor, answer: impl Fn(&mut Visitor, &str) -> io::Result<()>) -> io::Result<()> {
    for _ in 0..1_000 {
        let body = loop {
            let (flags, body) = frame(visitor)?;
            if flags & (MORE | COMMAND) == 0 {
                break body;
            }
        };
        let request = MessageRef::parse(&body).map_err(io::Error::other)?;
        answer(visitor, &String::from_utf8_lossy(request.payload))?;
    }
    Ok(())
}

fn reply(visitor: &mut Visitor, value: &[u8]) -> io::Result<()> {
    visitor.stream.write_all(&[&[MORE, 0][..], &frame_header(0, value.len() as u64), value].concat())
}

/// The visitor's next frame, of 64 KiB at most.
fn frame(visitor: &mut Visitor) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 2];
    visitor.stream.read_exact(&mut header)?;
    let [flags, short] = header;
    let len = if flags & LONG == 0 {
        u64::from(short)
    } else {
        let mut rest = [0; 7];
        visitor.stream.read_exact(&mut rest)?;
        rest.iter().fold(u64::from(short), |len, byte| len << 8 | u64::from(*byte))
    };
    let len = usize::try_from(len).ok().filter(|len| *len <= 64 << 10);
    let mut body = vec![0; len.ok_or_else(|| io::Error::other("a long frame"))?];
    visitor.stream.read_exact(&mut body)?;
    Ok((flags, body))
}

/// A Welcome, then bytes again and again.
fn welcomed(visitor: &mut Visitor, bytes: &[u8]) -> io::Result<()> {
    let header =
        ToPeer::Welcome { magic: Magic, version: 1, epoch: 7, max_frame: 1 << 20, window: 64, heartbeat_ms: 0 };
    visitor.stream.write_all(&wire(&Frame::with_body(header, NAME.as_bytes())))?;
    visitor.pour(bytes)
}

/// Names for an alias each.
fn functions() -> Vec<u8> {
    let name = [b'n'; 1_000];
    let declared =
        (0..1_024).filter_map(Alias::new).map(|alias| wire(&Frame::with_body(ToPeer::Function { alias }, &name)));
    declared.collect::<Vec<_>>().concat()
}

fn wire(frame: &Frame<'_, ToPeer>) -> Vec<u8> {
    let head = frame.stream_head().map(|head| head.as_slice().to_vec()).unwrap_or_default();
    [&head, frame.front, frame.body].concat()
}

/// A head for whatever is asked for, then bytes again and again.
fn answered(visitor: &mut Visitor, head: &[u8], bytes: &[u8]) -> io::Result<()> {
    let mut asked = [0; 4_096];
    let _asked = visitor.stream.read(&mut asked)?;
    visitor.stream.write_all(head)?;
    visitor.pour(bytes)
}
