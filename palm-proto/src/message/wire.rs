//! The protobuf wire format, as far as a PALM message needs it: varints, tags and the four wire types in use.

/// Longest varint of a 64-bit value, in bytes.
pub(crate) const VARINT_MAX: usize = 10;

/// Wire types of protobuf; 3 and 4 (groups) have no meaning in proto3 and are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// One field as it lies in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    /// Where the field's key begins.
    pub(crate) start: usize,
    /// Where the next field begins.
    pub(crate) end: usize,
}

/// A message's bytes end, or go wrong, at this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) usize);

/// Reads fields one after the other; never past the end, never panics.
///
/// A master reads each message twice, so the common cases (a varint of one or two bytes) are laid out first.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The fields from `at` on, where one begins.
    pub(crate) fn after(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next field if it is of the commonest kind: up to 127 bytes under a number up to 15. The number, and where the bytes
    /// begin and end. `None` if it is of another kind, or malformed, or there is none.
    #[inline(always)]
    pub(crate) fn next_short(&mut self) -> Option<(usize, usize, usize)> {
        let [key, len] = *self.rest().first_chunk()?;
        let start = self.at + 2;
        let end = start + usize::from(len);
        if key & 0x87 != 2 || key < 8 || len >= 0x80 || end > self.bytes.len() {
            return None;
        }
        self.at = end;
        Some((usize::from(key >> 3), start, end))
    }

    /// The next field, `None` at the end.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        let start = self.at;
        if start >= self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed(start))?;
        if number == 0 || number > (1 << 29) - 1 {
            return Err(Malformed(start));
        }
        let value = match key & 7 {
            2 => {
                let at = self.at;
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed(at))?;
                Value::Bytes(self.take(len)?)
            }
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed(start)),
        };
        Ok(Some(Field { number, value, start, end: self.at }))
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    #[inline(always)]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.rest().get(..len).ok_or(Malformed(self.at))?;
        self.at += len;
        Ok(taken)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.rest().first_chunk().ok_or(Malformed(self.at))?;
        self.at += N;
        Ok(*taken)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match *self.rest() {
            [only, ..] if only < 0x80 => {
                self.at += 1;
                Ok(u64::from(only))
            }
            [first, last, ..] if last < 0x80 => {
                self.at += 2;
                Ok(u64::from(first & 0x7f) | u64::from(last) << 7)
            }
            _ => {
                let (value, len) = long_varint(self.rest()).ok_or(Malformed(self.at))?;
                self.at += len;
                Ok(value)
            }
        }
    }
}

/// A varint of any length, and its length.
#[cold]
#[inline(never)]
fn long_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(VARINT_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Whether `bytes` are UTF-8; quicker about short ASCII than `core` is.
#[cold]
#[inline(never)]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let ascii = ascii_prefix(bytes);
    bytes.get(ascii..).is_some_and(|rest| rest.is_ascii() || core::str::from_utf8(rest).is_ok())
}

/// Length of a run of ASCII that `bytes` begin with: looks no further than 256 bytes, in steps of 32, stops up to 31 bytes early,
/// and does not look at less than 8 bytes.
///
/// In a message the strings come first, and are ids and names: one quick look settles for most messages that all their
/// strings are UTF-8.
#[inline(always)]
pub(crate) fn ascii_prefix(bytes: &[u8]) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, _) = bytes.as_chunks::<8>();
    let (blocks, words) = words.as_chunks::<4>();
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
    let is_ascii = |[a, b, c, d]: &[[u8; 8]; 4]| (word(a) | word(b) | word(c) | word(d)) & HIGH == 0;
    let whole = blocks.iter().take(8).take_while(|block| is_ascii(block)).count();
    if whole < blocks.len() {
        return 32 * whole;
    }
    // The last word overlaps what is before it, so that there is no rest to look at byte by byte.
    let last = bytes.last_chunk().map_or(HIGH, word);
    if (words.iter().fold(last, |all, next| all | word(next))) & HIGH == 0 { bytes.len() } else { 32 * whole }
}

/// Number of bytes of `value` as a varint.
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes `value` as a varint to the front of `out`; its length, or `None` if `out` is too short.
pub(crate) fn put_varint(out: &mut [u8], mut value: u64) -> Option<usize> {
    let len = varint_len(value);
    let target = out.get_mut(..len)?;
    for byte in target.iter_mut() {
        *byte = (value as u8 & 0x7f) | 0x80;
        value >>= 7;
    }
    if let Some(last) = target.last_mut() {
        *last &= 0x7f;
    }
    Some(len)
}

/// What stands before the bytes of a field: its key and their length.
pub(crate) struct FieldHead {
    len: u8,
    bytes: [u8; 2 * VARINT_MAX],
}

impl FieldHead {
    /// That of `len` bytes under `number`.
    #[inline]
    pub(crate) fn of_bytes(number: u32, len: usize) -> Self {
        let mut bytes = [0; 2 * VARINT_MAX];
        if number < 16 && len < 0x80 {
            let [key, short, ..] = &mut bytes;
            (*key, *short) = ((number << 3) as u8 | 2, len as u8);
            return Self { len: 2, bytes };
        }
        let key = put_varint(&mut bytes, u64::from(number) << 3 | 2).unwrap_or(0);
        let end = key + bytes.get_mut(key..).and_then(|rest| put_varint(rest, len as u64)).unwrap_or(0);
        Self { len: end as u8, bytes }
    }
}

impl core::ops::Deref for FieldHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_back_and_have_the_length_foretold() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = [0; VARINT_MAX];
            let len = put_varint(&mut out, value).unwrap();
            assert_eq!(len, varint_len(value));
            let mut fields = Fields::new(&out[..len]);
            assert_eq!(fields.varint(), Ok(value));
            assert!(put_varint(&mut out[..len - 1], value).is_none());
        }
    }

    #[test]
    fn an_ascii_prefix_ends_before_what_is_not_ascii() {
        for len in 0..300 {
            let mut bytes = std::vec![b'a'; len];
            let seen = match len {
                0..8 => 0,
                8..288 => len,
                _ => 256,
            };
            assert_eq!(ascii_prefix(&bytes), seen, "{len}");
            for at in 0..len {
                bytes[at] = 0xe9;
                assert!((at.saturating_sub(31).min(256)..=at).contains(&ascii_prefix(&bytes)), "{len}, {at}");
                bytes[at] = b'a';
            }
        }
    }

    #[test]
    fn refuses_what_is_cut_short_or_has_no_meaning() {
        for bytes in [
            &b"\x0a"[..],
            b"\x0a\x05abc",
            b"\x08",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x00\x01",
            b"\x0b",
            b"\x0f",
            b"\x09\x01\x02",
            b"\x0d\x01\x02",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let mut fields = Fields::new(bytes);
            assert!(fields.next().is_err(), "{bytes:?}");
        }
    }
}
