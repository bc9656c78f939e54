//! What chance decides, all from one seed.

use std::time::Duration;

use palm_proto::random::{Random, Seed};

/// The source of all chance in one run.
#[derive(Debug)]
pub struct Dice(Random);

impl Dice {
    /// The dice that `seed` loads.
    pub fn new(seed: u64) -> Self {
        Self(Random::new(Seed::from_u64(seed)))
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.0.below(1_000) < permille
    }

    /// A number from `low` up to and with `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.0.below((high - low + 1) as u32) as usize
    }

    /// A number from `low` up to and with `high`, each order of magnitude as likely as another.
    pub fn spread(&mut self, low: usize, high: usize) -> usize {
        let (low, high) = (low.max(1), high.max(1));
        let bits = self.between(low.ilog2() as usize, high.ilog2() as usize);
        let number = 1 << bits;
        self.between(number, 2 * number - 1).clamp(low, high)
    }

    /// A time from `low` up to `high` in microseconds, each order of magnitude as likely as another.
    pub fn time(&mut self, low: usize, high: usize) -> Duration {
        Duration::from_micros(self.spread(low, high) as u64)
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() - 1)]
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}
