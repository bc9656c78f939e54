//! How long to wait before the next try to connect, and when to say that it does not work.

use core::time::Duration;

use crate::random::{Random, Seed};
use crate::time::Instant;

/// Shortest time between two beginnings of the waits.
const RENEWED: Duration = Duration::from_secs(1);

/// Doubling waits up to a limit, each shortened by a random part of up to a half, so that the peers of a master that restarts do
/// not all come back in the same moment.
///
/// They begin anew after a connection that was of use: over which something was done, or that was kept for as long as the longest
/// wait. One that is only made and lost again, as with a master that is full, changes nothing. They do so once a second at most, so
/// that a master that gives something to do with each connection, and ends it, is not called more often than that allows.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    connected: Option<Instant>,
    /// Something was done since the last wait.
    useful: bool,
    /// When the waits began anew.
    renewed: Option<Instant>,
    random: Random,
}

impl Backoff {
    /// Waits from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration, seed: Seed) -> Self {
        Self { first, longest, next: first, connected: None, useful: false, renewed: None, random: Random::new(seed) }
    }

    /// There is a connection.
    pub const fn handle_connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// Something useful was done over the connection: work has come, or an answer.
    pub const fn handle_useful(&mut self) {
        self.useful = true;
    }

    /// The waits begin anew, for another reason: there is another address, say.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }

    /// Whether nothing was of use since the last wait.
    pub fn is_in_vain(&self) -> bool {
        !self.useful && self.next > self.first
    }

    /// There is no connection, or none any more: how long to wait before the next try.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let kept = self.connected.take().is_some_and(|since| now - since >= self.longest);
        let useful = core::mem::take(&mut self.useful) || kept;
        if useful && self.renewed.is_none_or(|at| now - at >= RENEWED) {
            (self.next, self.renewed) = (self.first, Some(now));
        }
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        let half = u32::try_from((whole / 2).as_micros()).unwrap_or(u32::MAX);
        whole - Duration::from_micros(u64::from(self.random.below(half)))
    }
}

/// When to say, again, that something does not work: at once, and then now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reminder {
    said: Option<Instant>,
    /// Nothing is said before.
    from: Instant,
}

impl Reminder {
    /// Time between two lines.
    pub const EVERY: Duration = Duration::from_secs(30);

    /// Time in which what has just begun may fail without a word: the other side may be starting, too.
    pub const QUIET: Duration = Duration::from_secs(1);

    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self { said: None, from: Instant::ZERO }
    }

    /// As [`new`](Self::new), for what has begun at an instant: the first time is [`QUIET`](Self::QUIET) later.
    pub fn after(begun: Instant) -> Self {
        Self { said: None, from: begun + Self::QUIET }
    }

    /// Whether it is to be said now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.from && self.said.is_none_or(|said| now - said >= Self::EVERY);
        if due {
            self.said = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(5);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn backoff() -> Backoff {
        Backoff::new(FIRST, LONGEST, Seed::from_u64(1))
    }

    #[test]
    fn waits_grow_to_the_limit_and_are_never_short() {
        let mut backoff = backoff();
        let mut whole = FIRST;
        for _ in 0..20 {
            let wait = backoff.wait(at(0));
            assert!(wait <= whole && wait >= whole / 2, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
        assert_eq!(whole, LONGEST);
        assert!(backoff.is_in_vain());
        backoff.handle_useful();
        assert!(!backoff.is_in_vain() && backoff.wait(at(0)) <= FIRST);
    }

    #[test]
    fn a_connection_that_does_nothing_is_none() {
        let mut backoff = backoff();
        let mut now = at(0);
        for _ in 0..1000 {
            backoff.handle_connected(now);
            now = now + backoff.wait(now);
        }
        // Not 100,000 tries in these seconds, but one in 2.5 at the most.
        assert!(now > at(1000 * 2000), "{now:?}");
    }

    #[test]
    fn a_little_use_with_each_connection_does_not_make_for_many() {
        let mut backoff = backoff();
        let (mut now, mut tries) = (at(0), 0);
        while now < at(60_000) {
            backoff.handle_connected(now);
            backoff.handle_useful();
            now = now + backoff.wait(now);
            tries += 1;
        }
        assert!((60..=900).contains(&tries), "{tries}");
    }

    #[test]
    fn a_connection_that_was_kept_was_of_use() {
        let mut backoff = backoff();
        for _ in 0..20 {
            backoff.wait(at(0));
        }
        backoff.handle_connected(at(1000));
        assert!(backoff.wait(at(5999)) > LONGEST / 3);
        backoff.handle_connected(at(10_000));
        assert!(backoff.wait(at(15_000)) <= FIRST);
        // The time without one is none in which it was kept.
        assert!(backoff.wait(at(60_000)) > FIRST / 2);
        assert!(backoff.wait(at(120_000)) > FIRST);
    }

    #[test]
    fn it_is_said_at_once_and_then_now_and_then() {
        let mut reminder = Reminder::new();
        assert!(reminder.is_due(at(7)));
        assert!(!reminder.is_due(at(8)) && !reminder.is_due(at(30_006)));
        assert!(reminder.is_due(at(30_007)));
        assert!(!reminder.is_due(at(30_008)));
        let mut reminder = Reminder::after(at(500));
        assert!(!reminder.is_due(at(500)) && !reminder.is_due(at(1_499)));
        assert!(reminder.is_due(at(1_500)) && !reminder.is_due(at(1_501)));
    }
}
