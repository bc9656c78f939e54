//! What happened in a run: as a number that tells two runs apart, and in words for who wants to read it.

use std::fmt;

use palm_proto::Instant;

/// Takes the lines of a trace.
pub type Listener = Box<dyn FnMut(String)>;

/// Hashes everything that happens, and tells it to a listener if there is one.
#[derive(Default)]
pub(super) struct Trace {
    hash: u64,
    listener: Option<Listener>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x})", self.hash)
    }
}

impl Trace {
    /// A trace that `listener` is told.
    pub(super) fn told_to(listener: Option<Listener>) -> Self {
        Self { hash: 0, listener }
    }

    /// Something happened: `template` with a `{}` for each number.
    pub(super) fn note(&mut self, now: Instant, template: &'static str, numbers: &[u64]) {
        self.mix(now.as_micros());
        self.mix(template.len() as u64);
        numbers.iter().for_each(|&number| self.mix(number));
        if self.listener.is_some() {
            let mut line = String::new();
            let mut numbers = numbers.iter();
            for part in template.split_inclusive("{}") {
                line.push_str(part.trim_end_matches("{}"));
                if part.ends_with("{}") {
                    line.push_str(&numbers.next().map_or_else(String::new, u64::to_string));
                }
            }
            self.say(now, &line);
        }
    }

    /// Something happened that is told, and not hashed.
    pub(super) fn say(&mut self, now: Instant, line: &str) {
        if let Some(listener) = &mut self.listener {
            listener(format!("{:>14.6} {line}", now.as_micros() as f64 / 1e6));
        }
    }

    /// Whether anybody listens.
    pub(super) fn is_told(&self) -> bool {
        self.listener.is_some()
    }

    /// What tells this run apart from others.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}
