//! Headers of frames: flags and a length of one or eight bytes (`docs/spec.md`, section 4.3).

use super::ProtocolError;

/// More frames of the same message follow.
pub(super) const MORE: u8 = 1;
/// The length takes eight bytes.
pub(super) const LONG: u8 = 2;
/// The frame is a command.
pub(super) const COMMAND: u8 = 4;

/// Longest header of a frame, in bytes.
pub const FRAME_HEADER_MAX: usize = 9;

/// Up to `N` bytes that go before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

/// What goes before the body of a message frame.
pub type FrameHeader = Header<FRAME_HEADER_MAX>;

/// What goes before the data of a command or the topic of a subscription: a frame's header and a name.
pub type CommandHeader = Header<20>;

impl<const N: usize> Header<N> {
    const EMPTY: Self = Self { len: 0, bytes: [0; N] };

    /// Appends `bytes`, of which as many are taken as fit.
    fn push(&mut self, bytes: &[u8]) {
        for (to, &from) in self.bytes.iter_mut().skip(usize::from(self.len)).zip(bytes) {
            *to = from;
            self.len += 1;
        }
    }
}

impl<const N: usize> AsRef<[u8]> for Header<N> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The header of a message frame whose body has `len` bytes; `more` frames of the message follow, or it is the last.
#[inline]
pub fn frame_header(len: usize, more: bool) -> FrameHeader {
    header(u8::from(more), len)
}

/// Length of the header of a message frame whose body has `len` bytes.
#[inline]
pub const fn frame_header_len(len: usize) -> usize {
    if len <= 0xff { 2 } else { FRAME_HEADER_MAX }
}

/// What goes before the `data_len` bytes of data of the command `name`, which is no longer than SUBSCRIBE.
pub(super) fn command_header(name: &[u8], data_len: usize) -> CommandHeader {
    let mut result = CommandHeader::EMPTY;
    result.push(header(COMMAND, 1 + name.len() + data_len).as_ref());
    result.push(&[name.len() as u8]);
    result.push(name);
    result
}

/// What goes before a topic in a subscription of ZMTP 3.0: a message frame of which the first byte tells what it is.
pub(super) fn subscription_header(subscribe: bool, topic_len: usize) -> CommandHeader {
    let mut result = CommandHeader::EMPTY;
    result.push(frame_header(topic_len + 1, false).as_ref());
    result.push(&[u8::from(subscribe)]);
    result
}

#[inline]
fn header(flags: u8, len: usize) -> FrameHeader {
    if let Ok(short) = u8::try_from(len) {
        return Header { len: 2, bytes: [flags, short, 0, 0, 0, 0, 0, 0, 0] };
    }
    let [a, b, c, d, e, f, g, h] = (len as u64).to_be_bytes();
    Header { len: 9, bytes: [flags | LONG, a, b, c, d, e, f, g, h] }
}

/// A frame's header as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) flags: u8,
    /// Length of the header itself.
    pub(super) header: usize,
    /// Length of the body.
    pub(super) len: u64,
}

/// The header at the front of `input`, of whatever flags; or the number of bytes that it needs.
#[inline]
pub(super) fn head(input: &[u8]) -> Result<Head, usize> {
    match *input {
        [] => Err(1),
        [flags, ref rest @ ..] if flags & LONG == 0 => match *rest {
            [len, ..] => Ok(Head { flags, header: 2, len: u64::from(len) }),
            [] => Err(2),
        },
        [flags, a, b, c, d, e, f, g, h, ..] => {
            Ok(Head { flags, header: FRAME_HEADER_MAX, len: u64::from_be_bytes([a, b, c, d, e, f, g, h]) })
        }
        _ => Err(FRAME_HEADER_MAX),
    }
}

/// Refuses flags that have no meaning: reserved bits, and a command that goes on.
pub(super) fn check_flags(flags: u8) -> Result<(), ProtocolError> {
    match flags {
        0..=3 | COMMAND | 6 => Ok(()),
        _ => Err(ProtocolError::Flags { flags }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_specification() {
        assert_eq!(frame_header(0, false).as_ref(), [0, 0]);
        assert_eq!(frame_header(255, true).as_ref(), [1, 255]);
        assert_eq!(frame_header(256, false).as_ref(), [2, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(frame_header(256, true).as_ref(), [3, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(command_header(b"SUBSCRIBE", 1).as_ref(), b"\x04\x0b\x09SUBSCRIBE");
        assert_eq!(command_header(b"SUBSCRIBE", 246).as_ref(), b"\x06\0\0\0\0\0\0\x01\0\x09SUBSCRIBE");
        assert_eq!(subscription_header(true, 1).as_ref(), [0, 2, 1]);
        assert_eq!(subscription_header(false, 255).as_ref(), [2, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn headers_are_read_back() {
        for len in (0..600).chain([65_535, 65_536, usize::MAX]) {
            for more in [false, true] {
                let bytes = frame_header(len, more);
                let bytes = bytes.as_ref();
                assert_eq!(bytes.len(), frame_header_len(len));
                let read = head(bytes).unwrap();
                assert_eq!((read.flags & !LONG, read.header, read.len), (u8::from(more), bytes.len(), len as u64));
                for cut in 0..bytes.len() {
                    let needed = head(&bytes[..cut]).unwrap_err();
                    assert!(cut < needed && needed <= bytes.len(), "{cut} {needed}");
                }
            }
        }
    }

    #[test]
    fn only_flags_with_a_meaning_pass() {
        let good: std::vec::Vec<u8> = (0..=255).filter(|&flags| check_flags(flags).is_ok()).collect();
        assert_eq!(good, [0, 1, 2, 3, 4, 6]);
    }
}
