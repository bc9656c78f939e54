//! Secrets that are shown once, and known by their hashes from then on.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A new secret: 256 random bits in hexadecimal digits.
///
/// # Panics
/// If the operating system has no random numbers; there is nothing safe to do then.
#[must_use]
pub fn secret() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    hexadecimal(&bytes)
}

/// A new cluster's key: 128 random bits, in the form of a UUID.
///
/// # Panics
/// As [`secret`].
#[must_use]
pub fn key() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// By what a secret is known. As it is random, one round is enough; and as it is looked up by this, no time tells anything of it.
#[must_use]
pub fn hash(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret.as_bytes()))
}

/// Whether two secrets are one. What is compared are their hashes, of which a time tells nothing.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    hash(one) == hash(other)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
