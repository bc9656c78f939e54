//! Messages by hand: fields of any number and type, in any order.

use palm_proto::message::MessageRef;

/// Our own fields, by number.
pub(super) const TASK: u32 = 1001;
pub(super) const ATTEMPT: u32 = 1002;
pub(super) const SEQUENCE: u32 = 1003;
pub(super) const STATUS: u32 = 1004;
pub(super) const ERROR: u32 = 1005;
pub(super) const PRIORITY: u32 = 1007;
pub(super) const PARTIAL: u32 = 1008;

/// The status of a message that a worker hands back.
pub(super) const HANDED_BACK: u64 = 6;

/// A field with a number in it.
pub(super) fn varint(field: u32, value: u64) -> Vec<u8> {
    let mut out = key(field, 0);
    put(&mut out, value);
    out
}

/// A field of eight bytes.
pub(super) fn fixed64(field: u32, value: u64) -> Vec<u8> {
    [key(field, 1), value.to_le_bytes().to_vec()].concat()
}

/// A field of bytes.
pub(super) fn bytes(field: u32, value: &[u8]) -> Vec<u8> {
    let mut out = key(field, 2);
    put(&mut out, value.len() as u64);
    out.extend(value);
    out
}

/// What a worker of Python's sends back for a message: the fields that it knows with the new payload, then all others as they were.
/// `None` if the message does not parse, of which such a worker would die.
pub(super) fn answer(message: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let parsed = MessageRef::parse(message).ok()?;
    let mut out = Vec::with_capacity(message.len() + payload.len());
    for field in parsed.raw_fields().filter(|field| field.number < 6) {
        out.extend(field.bytes);
    }
    if !payload.is_empty() {
        out.extend(bytes(6, payload));
    }
    for field in parsed.raw_fields().filter(|field| field.number > 6) {
        out.extend(field.bytes);
    }
    Some(out)
}

fn key(field: u32, wire_type: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, u64::from(field << 3 | wire_type));
    out
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written() {
        let message =
            [bytes(2, b"c"), fixed64(TASK, 7), varint(STATUS, HANDED_BACK), varint(ATTEMPT, 300), bytes(ERROR, b"why")];
        let message = message.concat();
        let extension = MessageRef::parse(&message).unwrap().extension;
        assert_eq!((extension.task.unwrap().0, extension.attempt, extension.error), (7, 300, "why"));
        assert_eq!(u64::from(extension.status.code()), HANDED_BACK);
        let answer = answer(&message, b"p").unwrap();
        let parsed = MessageRef::parse(&answer).unwrap();
        assert_eq!((parsed.client, parsed.payload, parsed.extension), ("c", &b"p"[..], extension));
    }
}
