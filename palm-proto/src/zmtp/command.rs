//! Bodies of commands (`docs/spec.md`, section 4.4).

use core::ops::Range;

use crate::message::{NoRoom, Sink};

use super::frame::command_header;
use super::{ProtocolError, ShortText, SocketType};

pub(super) const READY: &[u8] = b"READY";
pub(super) const ERROR: &[u8] = b"ERROR";
pub(super) const PING: &[u8] = b"PING";
pub(super) const PONG: &[u8] = b"PONG";
pub(super) const SUBSCRIBE: &[u8] = b"SUBSCRIBE";
pub(super) const CANCEL: &[u8] = b"CANCEL";

const SOCKET_TYPE: &[u8] = b"Socket-Type";
const IDENTITY: &[u8] = b"Identity";

/// Longest context of a PING, in bytes.
pub(super) const CONTEXT_MAX: usize = 16;
/// Longest identity that a peer may give itself, in bytes.
const PEER_IDENTITY_MAX: usize = 255;

/// Takes a command's body apart into name and data.
pub(super) fn split(body: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    body.split_first()
        .and_then(|(&len, rest)| rest.split_at_checked(usize::from(len)))
        .filter(|(name, _)| !name.is_empty())
        .ok_or(ProtocolError::BadCommand { name: ShortText::new(b"") })
}

/// What we look at in a READY.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Properties<'a> {
    pub(super) socket_type: &'a [u8],
    /// Where in the data the identity is; empty if there is none.
    pub(super) identity: Range<usize>,
}

/// Reads the properties that are a READY's data. Others than the two we look at are passed over.
pub(super) fn properties(data: &[u8]) -> Result<Properties<'_>, ProtocolError> {
    let malformed = ProtocolError::BadCommand { name: ShortText::new(READY) };
    let mut socket_type = None;
    let mut identity = 0..0;
    let mut rest = data;
    while !rest.is_empty() {
        let (name, value, after) = property(rest).ok_or(malformed)?;
        // Names are compared without regard to case.
        if name.eq_ignore_ascii_case(SOCKET_TYPE) {
            socket_type = Some(value);
        } else if name.eq_ignore_ascii_case(IDENTITY) {
            if value.len() > PEER_IDENTITY_MAX {
                return Err(malformed);
            }
            let end = data.len() - after.len();
            identity = end - value.len()..end;
        }
        rest = after;
    }
    Ok(Properties { socket_type: socket_type.ok_or(malformed)?, identity })
}

/// Name and value of the first property, and what follows it.
pub(super) fn property(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(len))?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    if name.is_empty() { None } else { Some((name, value, rest)) }
}

/// Takes a PING's data apart into time to live, in tenths of a second, and context.
pub(super) fn ping(data: &[u8]) -> Result<(u16, &[u8]), ProtocolError> {
    data.split_first_chunk::<2>()
        .map(|(ttl, context)| (u16::from_be_bytes(*ttl), context))
        .filter(|(_, context)| context.len() <= CONTEXT_MAX)
        .ok_or(ProtocolError::BadCommand { name: ShortText::new(PING) })
}

/// The reason in an ERROR's data. The peer has given us up, so it does not matter if it is malformed.
pub(super) fn reason(data: &[u8]) -> ShortText {
    let (&len, text) = data.split_first().unwrap_or((&0, &[]));
    ShortText::new(text.get(..usize::from(len)).unwrap_or(text))
}

/// Writes READY, with properties that are encoded already.
pub(super) fn put_ready(
    sink: &mut impl Sink,
    socket: SocketType,
    identity: &[u8],
    metadata: &[u8],
) -> Result<(), NoRoom> {
    let properties = [(SOCKET_TYPE, socket.name().as_bytes()), (IDENTITY, identity)];
    let named = socket.has_identity() || !identity.is_empty();
    let properties = properties.get(..if named { 2 } else { 1 }).unwrap_or(&[]);
    let len: usize = properties.iter().map(|(name, value)| 1 + name.len() + 4 + value.len()).sum();
    sink.put(command_header(READY, len + metadata.len()).as_ref())?;
    for (name, value) in properties {
        put_property(sink, name, value)?;
    }
    sink.put(metadata)
}

/// Writes one property of a READY.
pub(super) fn put_property(sink: &mut impl Sink, name: &[u8], value: &[u8]) -> Result<(), NoRoom> {
    let name_len = u8::try_from(name.len()).map_err(|_| NoRoom)?;
    let value_len = u32::try_from(value.len()).map_err(|_| NoRoom)?;
    sink.put(&[name_len])?;
    sink.put(name)?;
    sink.put(&value_len.to_be_bytes())?;
    sink.put(value)
}

/// Writes ERROR.
pub(super) fn put_error(sink: &mut impl Sink, reason: &ShortText) -> Result<(), NoRoom> {
    let reason = reason.as_bytes();
    sink.put(command_header(ERROR, 1 + reason.len()).as_ref())?;
    sink.put(&[reason.len() as u8])?;
    sink.put(reason)
}

/// Writes PING, without a context.
pub(super) fn put_ping(sink: &mut impl Sink, ttl_deciseconds: u16) -> Result<(), NoRoom> {
    sink.put(command_header(PING, 2).as_ref())?;
    sink.put(&ttl_deciseconds.to_be_bytes())
}

/// Writes PONG.
pub(super) fn put_pong(sink: &mut impl Sink, context: &[u8]) -> Result<(), NoRoom> {
    sink.put(command_header(PONG, context.len()).as_ref())?;
    sink.put(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(name: &[u8]) -> ProtocolError {
        ProtocolError::BadCommand { name: ShortText::new(name) }
    }

    fn written(put: impl FnOnce(&mut heapless::Vec<u8, 128>) -> Result<(), NoRoom>) -> heapless::Vec<u8, 128> {
        let mut out = heapless::Vec::new();
        put(&mut out).unwrap();
        out
    }

    #[test]
    fn commands_are_those_of_the_specification() {
        assert_eq!(
            written(|out| put_ready(out, SocketType::Push, b"", b"")),
            b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH"
        );
        assert_eq!(
            written(|out| put_ready(out, SocketType::Dealer, b"me", b"")),
            b"\x04\x2b\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x02me"
        );
        assert_eq!(
            written(|out| put_ready(out, SocketType::Push, b"me", b"\x01X\0\0\0\x01y")),
            b"\x04\x30\x05READY\x0bSocket-Type\0\0\0\x04PUSH\x08Identity\0\0\0\x02me\x01X\0\0\0\x01y"
        );
        assert_eq!(written(|out| put_error(out, &ShortText::new(b"no"))), b"\x04\x09\x05ERROR\x02no");
        assert_eq!(written(|out| put_ping(out, 300)), b"\x04\x07\x04PING\x01\x2c");
        assert_eq!(written(|out| put_pong(out, b"abc")), b"\x04\x08\x04PONGabc");
    }

    #[test]
    fn properties_are_read_whatever_their_order_and_case() {
        let data = b"\x08IDENTITY\0\0\0\x02me\x01X\0\0\0\0\x0bsocket-type\0\0\0\x03SUB";
        assert_eq!(properties(data), Ok(Properties { socket_type: b"SUB", identity: 13..15 }));
    }

    #[test]
    fn malformed_properties_are_refused() {
        for data in [
            &b""[..],
            b"\x01X\0\0\0\0",
            b"\0\0\0\0\0",
            b"\x0bSocket-Type",
            b"\x0bSocket-Type\0\0\0\x04PUS",
            b"\x0bSocket-Type\xff\xff\xff\xffPUSH",
            b"\x0bSocket-Type\0\0\0\x04PUSH\x01",
        ] {
            assert_eq!(properties(data), Err(bad(READY)), "{data:?}");
        }
        let mut long = std::vec::Vec::from(b"\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\x01\0");
        long.extend([b'x'; 256]);
        assert_eq!(properties(&long), Err(bad(READY)));
    }

    #[test]
    fn other_malformed_bodies_are_refused() {
        for body in [&b""[..], b"\0", b"\x05PING", b"\0PING"] {
            assert_eq!(split(body), Err(bad(b"")), "{body:?}");
        }
        assert_eq!(ping(b"\0"), Err(bad(PING)));
        assert_eq!(ping(b"\0\x0a0123456789abcdef"), Ok((10, &b"0123456789abcdef"[..])));
        assert_eq!(ping(b"\0\x0a0123456789abcdefX"), Err(bad(PING)));
        assert_eq!(reason(b"").as_bytes(), b"");
        assert_eq!(reason(b"\x09abc").as_bytes(), b"abc");
        assert_eq!(reason(b"\x02abc").as_bytes(), b"ab");
    }
}
