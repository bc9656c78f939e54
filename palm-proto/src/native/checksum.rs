//! CRC-32, the checksum of frames on a line (`docs/spec.md`, section 9.4).

/// CRC-32 (ISO-HDLC: that of Ethernet, zip and PNG) of what is put in.
///
/// Half a byte at a time: its table takes 64 bytes, where the usual one takes 1 KiB, and it is still faster than a line.
#[derive(Clone, Copy, Debug)]
pub struct Checksum(u32);

impl Checksum {
    /// That of nothing yet.
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Adds `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 ^= u32::from(byte);
            for _ in 0..2 {
                // The index is below 16.
                self.0 = self.0 >> 4 ^ TABLE[(self.0 & 0xf) as usize];
            }
        }
    }

    /// The checksum as it stands on the wire.
    pub const fn to_bytes(self) -> [u8; 4] {
        (!self.0).to_le_bytes()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

const TABLE: [u32; 16] = table();

const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < table.len() {
        let mut remainder = index as u32;
        let mut bit = 0;
        while bit < 4 {
            remainder = remainder >> 1 ^ if remainder & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[index] = remainder;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_usual_crc_32() {
        let mut checksum = Checksum::new();
        assert_eq!(checksum.to_bytes(), [0; 4]);
        checksum.put(b"1234");
        checksum.put(b"56789");
        assert_eq!(checksum.to_bytes(), 0xcbf4_3926_u32.to_le_bytes());
    }
}
