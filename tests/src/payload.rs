//! The payloads of a job, the same as `payload_of` in `tests/python/common.py` makes.

/// Payload number `index`, `size` bytes: its number and a colon, then bytes that depend on both.
pub fn payload(index: usize, size: usize) -> Vec<u8> {
    let mut out = format!("{index}:").into_bytes();
    let head = out.len();
    out.resize(size, 0);
    for (place, byte) in out.iter_mut().skip(head).enumerate() {
        *byte = u8::try_from((index + place % 251) % 251).unwrap_or_default();
    }
    out
}

/// The number that a payload starts with.
pub fn index_of(payload: &[u8]) -> Option<usize> {
    let colon = payload.iter().take(20).position(|byte| *byte == b':')?;
    std::str::from_utf8(payload.get(..colon)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_its_size_and_number() {
        assert_eq!((payload(7, 0), payload(123, 2)), (vec![], b"12".to_vec()));
        assert_eq!(payload(3, 6), [b'3', b':', 3, 4, 5, 6]);
        assert_eq!(index_of(&payload(54_321, 10)), Some(54_321));
        assert_eq!(index_of(b"x:"), None);
    }
}
