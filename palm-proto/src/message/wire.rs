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
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next field, `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        let start = self.position;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed(start))?;
        if number == 0 || number > (1 << 29) - 1 {
            return Err(Malformed(start));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let at = self.position;
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed(at))?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed(start)),
        };
        Ok(Some(Field { number, value, start, end: self.position }))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.position..).unwrap_or(&[]);
        let taken = rest.get(..len).ok_or(Malformed(self.position))?;
        self.position += len;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let at = self.position;
        self.take(N)?.try_into().map_err(|_| Malformed(at))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let start = self.position;
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        let mut value = 0_u64;
        for (index, &byte) in rest.iter().take(VARINT_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.position = start + index + 1;
                return Ok(value);
            }
        }
        Err(Malformed(start))
    }
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
