//! The greeting: 64 bytes with which each side begins (`docs/spec.md`, section 4.1).

use super::{ProtocolError, ShortText};

/// Length of a greeting, in bytes.
pub(super) const LEN: usize = 64;

const MECHANISM: usize = 12;
const NULL: &[u8; 20] = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Ours: signature, version 3.1, mechanism NULL, not a server, filler.
pub(super) const OURS: [u8; LEN] = *b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \0\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Looks at a greeting of which any number of bytes may be missing yet; the peer's version once it is whole.
///
/// The padding of the signature is passed over, as libzmq has put a length there since it had to look like ZMTP 1.0; so
/// are the as-server bit, which has no meaning to NULL, and the filler.
pub(super) fn check(input: &[u8]) -> Result<Option<(u8, u8)>, ProtocolError> {
    for (offset, expected) in [(0, 0xff), (9, 0x7f)] {
        match input.get(offset) {
            Some(&byte) if byte != expected => return Err(ProtocolError::NotZmtp { offset: offset as u8, byte }),
            _ => {}
        }
    }
    match input.get(10) {
        Some(&major) if major < 3 => return Err(ProtocolError::OldVersion { major }),
        _ => {}
    }
    let Some(greeting) = input.get(..LEN) else {
        return Ok(None);
    };
    let name = greeting.get(MECHANISM..MECHANISM + NULL.len()).unwrap_or(&[]);
    if name != NULL {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        return Err(ProtocolError::Mechanism { name: ShortText::new(name.get(..end).unwrap_or(&[])) });
    }
    Ok(greeting.get(10).copied().zip(greeting.get(11).copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_accepted_and_as_the_specification_has_it() {
        assert_eq!(check(&OURS), Ok(Some((3, 1))));
        for cut in 0..LEN {
            assert_eq!(check(&OURS[..cut]), Ok(None));
        }
        assert_eq!(OURS[..12], [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1]);
        assert_eq!(OURS[12..32], *NULL);
        assert_eq!(OURS[32..], [0; 32]);
    }

    #[test]
    fn what_has_no_meaning_to_us_is_passed_over() {
        let mut greeting = OURS;
        greeting[8] = 1;
        greeting[10] = 4;
        greeting[11] = 7;
        greeting[32] = 1;
        greeting[63] = 9;
        assert_eq!(check(&greeting), Ok(Some((4, 7))));
    }

    #[test]
    fn others_are_known_by_their_first_wrong_byte() {
        assert_eq!(check(b"G"), Err(ProtocolError::NotZmtp { offset: 0, byte: b'G' }));
        assert_eq!(check(b"\x16\x03\x01"), Err(ProtocolError::NotZmtp { offset: 0, byte: 0x16 }));
        assert_eq!(check(b"\xff12345678!"), Err(ProtocolError::NotZmtp { offset: 9, byte: b'!' }));
        assert_eq!(check(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01"), Err(ProtocolError::OldVersion { major: 1 }));
        let mut greeting = OURS;
        greeting[12..17].copy_from_slice(b"CURVE");
        assert_eq!(check(&greeting), Err(ProtocolError::Mechanism { name: ShortText::new(b"CURVE") }));
        greeting[12..18].copy_from_slice(b"NULL\0x");
        assert!(check(&greeting).is_err());
    }
}
