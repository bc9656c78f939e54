//! When the side that called asks a peer whether it lives, and when it gives it up (`docs/spec.md`, sections 7.4 and 8.3).

use core::time::Duration;

use crate::time::Instant;

/// Shortest time between two signs of life that a peer can ask for.
const SHORTEST: Duration = Duration::from_millis(100);

/// Watches over a connection to a peer that answers PING: silence for a heartbeat leads to a PING, and if nothing comes for two
/// heartbeats more, the peer is lost.
///
/// Who does not read for a while, as it has no room for what comes, hears no answer. It cannot judge then, but shows with a PING
/// each heartbeat that it lives itself.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    heartbeat: Duration,
    /// How often the peer wants a sign of life, if it said.
    wanted: Duration,
    heard: Instant,
    asked: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Nothing,
    /// A PING.
    Ask,
    /// The peer is lost.
    Lost,
}

impl Pulse {
    /// Of a connection that has just shaken hands; a heartbeat of zero asks nothing and gives nobody up.
    pub const fn new(now: Instant, heartbeat: Duration) -> Self {
        Self { heartbeat, wanted: heartbeat, heard: now, asked: None }
    }

    /// Something has come.
    pub const fn handle_heard(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, None);
    }

    /// The peer's PING has told a time to live, in tenths of a second: it gives up who is silent for so long, of which a
    /// third is its own heartbeat. 0 tells nothing.
    pub fn handle_ttl(&mut self, deciseconds: u16) {
        if deciseconds > 0 {
            let third = Duration::from_millis(u64::from(deciseconds) * 100 / 3);
            self.wanted = third.max(SHORTEST).min(self.heartbeat);
        }
    }

    /// The time to live that a PING of this side tells, in tenths of a second.
    pub fn ttl(&self) -> u16 {
        u16::try_from(self.heartbeat.as_millis() * 3 / 100).unwrap_or(u16::MAX)
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called. `reads`: whether what comes is read.
    pub fn poll_timeout(&self, reads: bool) -> Option<Instant> {
        if self.heartbeat.is_zero() {
            return None;
        }
        Some(match self.asked {
            _ if !reads => self.asked.unwrap_or(self.heard) + self.wanted,
            Some(asked) => asked + self.heartbeat * 2,
            None => self.heard + self.heartbeat,
        })
    }

    /// What is due now. Harmless when early.
    pub fn handle_timeout(&mut self, now: Instant, reads: bool) -> Beat {
        if self.poll_timeout(reads).is_none_or(|due| now < due) {
            return Beat::Nothing;
        }
        if reads && self.asked.is_some() {
            return Beat::Lost;
        }
        // From now: who was asleep for long, or did not read, has not listened either.
        self.asked = Some(now);
        Beat::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn silence_is_asked_about_and_then_given_up_within_three_heartbeats() {
        let mut pulse = Pulse::new(at(0), SECOND);
        assert_eq!(pulse.handle_timeout(at(999), true), Beat::Nothing);
        assert_eq!(pulse.poll_timeout(true), Some(at(1000)));
        assert_eq!(pulse.handle_timeout(at(1000), true), Beat::Ask);
        assert_eq!(pulse.poll_timeout(true), Some(at(3000)));
        assert_eq!(pulse.handle_timeout(at(3000), true), Beat::Lost);
    }

    #[test]
    fn anything_that_comes_ends_the_silence() {
        let mut pulse = Pulse::new(at(0), SECOND);
        assert_eq!(pulse.handle_timeout(at(1000), true), Beat::Ask);
        pulse.handle_heard(at(2900));
        assert_eq!(pulse.handle_timeout(at(3000), true), Beat::Nothing);
        assert_eq!(pulse.poll_timeout(true), Some(at(3900)));
    }

    #[test]
    fn who_was_asleep_asks_first() {
        let mut pulse = Pulse::new(at(0), SECOND);
        assert_eq!(pulse.handle_timeout(at(60_000), true), Beat::Ask);
        assert_eq!(pulse.handle_timeout(at(61_999), true), Beat::Nothing);
        assert_eq!(pulse.handle_timeout(at(62_000), true), Beat::Lost);
    }

    #[test]
    fn who_does_not_read_shows_that_it_lives_and_judges_nobody() {
        let mut pulse = Pulse::new(at(0), SECOND);
        for second in 1..100 {
            assert_eq!(pulse.handle_timeout(at(second * 1000), false), Beat::Ask);
        }
        // The peer asks more often.
        pulse.handle_ttl(6);
        assert_eq!(pulse.poll_timeout(false), Some(at(99_200)));
        pulse.handle_ttl(u16::MAX);
        assert_eq!(pulse.poll_timeout(false), Some(at(100_000)));
        // It reads again: from its last question on.
        assert_eq!(pulse.handle_timeout(at(100_900), true), Beat::Nothing);
        assert_eq!(pulse.handle_timeout(at(101_000), true), Beat::Lost);
    }

    #[test]
    fn without_a_heartbeat_nothing_is_due() {
        let mut pulse = Pulse::new(at(0), Duration::ZERO);
        assert_eq!(pulse.poll_timeout(true), None);
        assert_eq!(pulse.handle_timeout(at(1 << 40), true), Beat::Nothing);
    }
}
