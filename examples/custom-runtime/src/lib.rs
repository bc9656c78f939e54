//! What the programs of this folder have in common: the two things that `palm-proto` has none of, a clock and randomness.

use std::hash::{BuildHasher, RandomState};

use palm_proto::native::SessionId;
use palm_proto::{Instant, Seed};

/// A clock: machines are told the time with each call, in microseconds from any moment on.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock {
    /// The time.
    pub fn now(self) -> Instant {
        Instant::from_micros(self.0.elapsed().as_micros() as u64)
    }
}

/// What a process is called to its masters, drawn at random when it starts.
pub fn session() -> SessionId {
    let [low, high] = random().map(u128::from);
    SessionId((high << 64 | low).to_le_bytes())
}

/// Where all of a master's random numbers come from: another one in each run.
pub fn seed() -> Seed {
    Seed::from_words(random())
}

/// The standard library draws random keys for its hash maps.
fn random() -> [u64; 2] {
    [RandomState::new().hash_one(0), RandomState::new().hash_one(1)]
}
