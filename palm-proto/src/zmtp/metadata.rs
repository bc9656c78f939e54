//! Properties of an application, which a READY carries beside those of ZMTP (`docs/spec.md`, section 4.2).

use super::command;

/// Most bytes that the properties of an application take in a READY.
pub const METADATA_MAX: usize = 256;

/// Whether a component knows our extension fields: `1`.
pub const EXTENSIONS: &str = "X-Palm-Extensions";
/// The longest message that a component takes, in bytes, as decimal digits.
pub const MAX_MESSAGE: &str = "X-Palm-Max-Message";
/// Where a component takes native peers.
pub const NATIVE_ADDRESS: &str = "X-Palm-Native-Address";

/// Properties that each READY of a component carries, encoded once. ZMTP leaves names that begin with `X-` to applications, and
/// libzmq passes over those that it does not know.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    bytes: heapless::Vec<u8, METADATA_MAX>,
}

impl Metadata {
    /// None.
    pub const fn new() -> Self {
        Self { bytes: heapless::Vec::new() }
    }

    /// Adds a property; `false`, and nothing is changed, if there is no room for it, or its name has not 1 to 255 bytes.
    pub fn add(&mut self, name: &str, value: &[u8]) -> bool {
        let before = self.bytes.len();
        let added = !name.is_empty() && command::put_property(&mut self.bytes, name.as_bytes(), value).is_ok();
        if !added {
            self.bytes.truncate(before);
        }
        added
    }

    /// As they stand in a READY.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The value of a property among those of a peer's READY, as [`Decoded::Ready`](super::Decoded::Ready) tells where they are. Names
/// are compared without regard to case; of a property that comes twice the last one counts.
pub fn property<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    let mut rest = properties;
    while let Some((each, value, after)) = command::property(rest) {
        if each.eq_ignore_ascii_case(name.as_bytes()) {
            found = Some(value);
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_again() {
        let mut metadata = Metadata::new();
        assert!(metadata.add("X-A", b"1") && metadata.add("X-B", b"") && metadata.add("X-A", b"2"));
        assert_eq!(property(metadata.as_bytes(), "x-a"), Some(&b"2"[..]));
        assert_eq!(property(metadata.as_bytes(), "X-B"), Some(&b""[..]));
        assert_eq!(property(metadata.as_bytes(), "X-C"), None);
        assert_eq!(property(b"\xff", "X-C"), None);
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut metadata = Metadata::new();
        assert!(!metadata.add("", b"1"));
        assert!(!metadata.add("X-Long", &[b'x'; METADATA_MAX]));
        assert!(!metadata.add(core::str::from_utf8(&[b'x'; 256]).unwrap(), b""));
        assert!(metadata.as_bytes().is_empty());
        assert!(metadata.add("X-Short", b"1"));
    }
}
