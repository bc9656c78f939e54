//! How many messages a worker is given ahead.
//!
//! Enough that it never waits for the next one, and no more, so that a slow worker hoards nothing: as much work as lasts
//! for a horizon of a few milliseconds and the way there and back, at the pace that the worker was seen to keep.

use core::time::Duration;

use crate::time::Instant;

use super::WindowLimits;

/// Answers after which the pace is looked at again.
const SAMPLE_ANSWERS: u64 = 16;
/// Busy time after which the pace is looked at again, in microseconds.
const SAMPLE_MICROS: u64 = 200;
/// Unit of the pace: fractions of a microsecond a message.
const PACE_UNIT: u64 = 256;

/// The window of one worker.
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    fixed: bool,
    /// Messages that the worker works on at the same time: it is always given so many.
    jobs: u32,
    max: u32,
    horizon: u64,
    round_trip: u64,
    /// Time a message, in 1/256 microseconds; 0: not known yet.
    pace: u64,
    /// From here on busy time has not been counted yet.
    busy_from: Instant,
    last_answer: Instant,
    busy_micros: u64,
    answers: u64,
    /// Answers that came with the last input, whose time is counted with the next.
    fresh: u64,
}

impl Window {
    /// The window of a worker that works on `jobs` messages at the same time.
    pub(super) fn new(fixed: Option<u32>, jobs: u32, limits: &WindowLimits) -> Self {
        let jobs = jobs.max(1);
        Self {
            size: fixed.unwrap_or(jobs).max(1),
            fixed: fixed.is_some(),
            jobs,
            max: limits.messages.max(jobs),
            horizon: limits.horizon.as_micros() as u64,
            round_trip: 0,
            pace: 0,
            busy_from: Instant::ZERO,
            last_answer: Instant::ZERO,
            busy_micros: 0,
            answers: 0,
            fresh: 0,
        }
    }

    /// The window of a worker that says itself how many messages it takes.
    pub(super) fn of_size(size: u32, limits: &WindowLimits) -> Self {
        Self { size, ..Self::new(Some(size), size, limits) }
    }

    /// Adds to a window that is fixed.
    pub(super) fn widen(&mut self, more: u32) {
        if self.fixed {
            self.size = self.size.saturating_add(more);
        }
    }

    /// Takes one place off a window that is fixed.
    pub(super) fn narrow(&mut self) {
        if self.fixed {
            self.size = self.size.saturating_sub(1);
        }
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// The way to the worker and back takes this long.
    pub(super) fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip.as_micros() as u64;
    }

    /// The worker, which had nothing, was given something.
    pub(super) fn on_busy(&mut self, now: Instant) {
        self.busy_from = now;
        self.last_answer = now;
    }

    /// The worker answered. Several answers that come in one input have the same `now`.
    pub(super) fn on_answer(&mut self, now: Instant) {
        if self.fixed {
            return;
        }
        if now != self.last_answer {
            self.count_up_to_last_answer();
            self.last_answer = now;
        }
        self.fresh += 1;
        if self.pace == 0 {
            // The first answer of all: a first idea at once.
            self.count_up_to_last_answer();
            self.learn();
        } else if self.answers >= SAMPLE_ANSWERS || self.busy_micros >= SAMPLE_MICROS {
            self.learn();
        }
    }

    /// The worker has nothing more.
    pub(super) fn on_idle(&mut self) {
        self.count_up_to_last_answer();
    }

    fn count_up_to_last_answer(&mut self) {
        self.busy_micros += (self.last_answer - self.busy_from).as_micros() as u64;
        self.busy_from = self.last_answer;
        self.answers += core::mem::take(&mut self.fresh);
    }

    fn learn(&mut self) {
        if self.answers == 0 {
            return;
        }
        let mut pace = (self.busy_micros * PACE_UNIT / self.answers).max(1);
        if self.size == self.jobs {
            // Nothing was on the way while it worked: the way counts as its own.
            pace = pace.saturating_sub(self.round_trip * PACE_UNIT / u64::from(self.jobs)).max(1);
        }
        self.pace = if self.pace == 0 { pace } else { (self.pace * 3 + pace) / 4 };
        let ahead = (self.horizon + self.round_trip) * PACE_UNIT / self.pace.max(1);
        // A window grows by doubling, so that one odd sample does not hand a worker hundreds of messages.
        let most = u64::from(self.size) * 2;
        self.size = (u64::from(self.jobs) + ahead).min(most).clamp(u64::from(self.jobs), u64::from(self.max)) as u32;
        self.busy_micros = 0;
        self.answers = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that takes `service` microseconds a message, at the end of a way of `way` microseconds each direction.
    fn settled(service: u64, way: u64, told: bool) -> u32 {
        let mut window = Window::new(None, 1, &WindowLimits::default());
        if told {
            window.set_round_trip(Duration::from_micros(2 * way));
        }
        let mut outstanding: heapless::Deque<u64, 4096> = heapless::Deque::new();
        let (mut now, mut worker_free) = (0, 0);
        window.on_busy(Instant::ZERO);
        for _ in 0..20_000 {
            while (outstanding.len() as u32) < window.size() {
                worker_free = worker_free.max(now + way) + service;
                outstanding.push_back(worker_free + way).unwrap();
            }
            now = outstanding.pop_front().unwrap();
            window.on_answer(Instant::from_micros(now));
        }
        window.size()
    }

    #[test]
    fn a_slow_worker_has_one_and_a_fast_one_a_few_milliseconds_worth() {
        assert_eq!(settled(100_000, 30, false), 1);
        assert_eq!(settled(10_000, 30, false), 1);
        let fast = settled(10, 30, false);
        assert!((300..=500).contains(&fast), "{fast}");
        assert_eq!(settled(1, 30, false), 2_048);
    }

    #[test]
    fn a_long_way_is_filled() {
        let window = settled(5_000, 25_000, true);
        assert!((10..=20).contains(&window), "5 ms of work behind a round trip of 50 ms needs 11: {window}");
    }

    #[test]
    fn a_fixed_window_stays() {
        let mut window = Window::new(Some(7), 1, &WindowLimits::default());
        for at in 1..1_000 {
            window.on_answer(Instant::from_micros(at));
        }
        assert_eq!(window.size(), 7);
    }
}
