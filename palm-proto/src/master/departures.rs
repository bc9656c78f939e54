//! Connections of workers that broke: whether the worker was lost, or only the connection.
//!
//! A message that was out over a connection that breaks may have killed its worker, or the line was noisy. Nobody can tell before the
//! same process is back, or has had the time for it. So a loss is in doubt until then: it counts, so that a message which kills its
//! workers is kept apart in time, but nothing is given up for it; and it counts no more once the process is back.

use core::time::Duration;

use crate::collections::Table;
use crate::time::Instant;

/// Time in which a process that lives is back. With the usual heartbeat of 5 s both ends have noticed by then that their connection is
/// dead, and the process has tried to connect more than once.
const RETURN_TIME: Duration = Duration::from_secs(15);

/// The number of a departure, from 1 and round again: long before it comes again nobody asks for the one before.
pub(super) type DepartureId = u16;

/// None, or one that has been looked at.
pub(super) const NO_DEPARTURE: DepartureId = 0;

/// A connection that broke; named only by storage types.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    id: DepartureId,
    process: u32,
    /// Until when it may come back; [`LOST`] and [`RETURNED`] have meanings of their own.
    until: Instant,
}

const LOST: Instant = Instant::ZERO;
const RETURNED: Instant = Instant::from_micros(u64::MAX);

/// What became of who departed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may come back until then.
    Open(Instant),
    /// It is back.
    Returned,
    /// It does not come back, or too late.
    Lost,
}

/// The last so many departures: the oldest makes room for the newest, and counts as lost.
#[derive(Debug)]
pub(super) struct Departures<T> {
    entries: T,
    last: DepartureId,
}

impl<T: Table<Departure>> Departures<T> {
    pub(super) fn new(entries: T) -> Self {
        Self { entries, last: NO_DEPARTURE }
    }

    /// The connection of a process broke.
    pub(super) fn add(&mut self, now: Instant, process: u32) -> DepartureId {
        let id = if self.last >= self.ids() { 1 } else { self.last + 1 };
        let entry = Departure { id, process, until: now + RETURN_TIME };
        let Some(at) = self.position(id) else { return NO_DEPARTURE };
        self.last = id;
        match self.entries.as_mut().get_mut(at) {
            Some(oldest) => *oldest = entry,
            None => _ = self.entries.push(entry),
        }
        id
    }

    /// Which process departed, as long as that is remembered. O(1).
    pub(super) fn process(&self, id: DepartureId) -> Option<u32> {
        let entry = self.position(id).and_then(|at| self.entries.as_ref().get(at)).filter(|entry| entry.id == id);
        entry.map(|entry| entry.process)
    }

    /// What became of who departed. O(1).
    pub(super) fn verdict(&self, now: Instant, id: DepartureId) -> Verdict {
        let entry = self.position(id).and_then(|at| self.entries.as_ref().get(at)).filter(|entry| entry.id == id);
        match entry.map(|entry| entry.until) {
            Some(RETURNED) => Verdict::Returned,
            Some(until) if until > now => Verdict::Open(until),
            Some(_) | None => Verdict::Lost,
        }
    }

    /// The process is back, or another is in its place: so ends what is open of it. Whether anything was. O(departures of the last
    /// 15 s).
    pub(super) fn settle(&mut self, now: Instant, process: u32, is_back: bool) -> bool {
        let verdict = if is_back { RETURNED } else { LOST };
        let (mut any, mut id) = (false, self.last);
        for _ in 0..self.entries.as_ref().len() {
            let Some(entry) = self.position(id).and_then(|at| self.entries.as_mut().get_mut(at)) else { break };
            match entry.until {
                LOST | RETURNED => {}
                until if until <= now => break,
                _ if entry.process == process => (any, entry.until) = (true, verdict),
                _ => {}
            }
            id = if id <= 1 { self.ids() } else { id - 1 };
        }
        any
    }

    /// How many numbers there are: a multiple of the places, so that each number's place follows that of the one before.
    fn ids(&self) -> DepartureId {
        let places = self.entries.capacity().clamp(1, usize::from(DepartureId::MAX)) as DepartureId;
        DepartureId::MAX - DepartureId::MAX % places
    }

    fn position(&self, id: DepartureId) -> Option<usize> {
        usize::from(id.wrapping_sub(1)).checked_rem(self.entries.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_lost_that_does_not_come_back_in_time_or_was_so_long_ago() {
        let mut departures: Departures<heapless::Vec<Departure, 3>> = Departures::new(heapless::Vec::new());
        let now = Instant::from_millis(1);
        let ids: std::vec::Vec<DepartureId> = (1..=5).map(|process| departures.add(now, process)).collect();
        let open = Verdict::Open(now + RETURN_TIME);
        assert_eq!(
            ids.iter().map(|&id| departures.verdict(now, id)).collect::<std::vec::Vec<_>>(),
            [Verdict::Lost, Verdict::Lost, open, open, open]
        );
        assert!(!departures.settle(now, 1, true), "it is not known any more");
        assert!(departures.settle(now, 4, true) && !departures.settle(now, 4, true));
        assert!(departures.settle(now, 5, false));
        let late = now + RETURN_TIME;
        assert!(!departures.settle(late, 3, true));
        let verdicts = [3, 4, 5].map(|at| departures.verdict(late, ids[at - 1]));
        assert_eq!(verdicts, [Verdict::Lost, Verdict::Returned, Verdict::Lost]);
        assert_eq!(departures.verdict(now, NO_DEPARTURE), Verdict::Lost);
        let mut none: Departures<heapless::Vec<Departure, 0>> = Departures::new(heapless::Vec::new());
        assert_eq!((none.add(now, 1), none.settle(now, 1, true)), (NO_DEPARTURE, false));
    }

    #[test]
    fn all_that_are_remembered_are_found_also_when_their_numbers_begin_again() {
        let mut departures: Departures<heapless::Vec<Departure, 4>> = Departures::new(heapless::Vec::new());
        let now = Instant::from_millis(1);
        for process in 1..=u32::from(DepartureId::MAX) + 8 {
            let id = departures.add(now, process);
            if process >= 65_520 {
                // The oldest of the four that are remembered, which then is not open any more.
                assert!(departures.settle(now, process - 3, true), "after {process} departures");
                assert!(matches!(departures.verdict(now, id), Verdict::Open(_)), "after {process} departures");
            }
        }
    }
}
