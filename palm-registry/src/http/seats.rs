//! Places of which those give way that have been idle longest, where they are short.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::shares::{Full, Place, Shares};
use crate::locked::locked;

/// Who may have to give way.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Idle>);

/// Those that are idle, in the order in which they came to that.
#[derive(Debug, Default)]
struct Idle {
    seats: BTreeMap<u64, Arc<Held>>,
    next: u64,
}

/// A place, for as long as its owner has it and has not had to give way. It is idle at first.
#[derive(Debug)]
pub(super) struct Seat {
    all: Arc<Seats>,
    /// Which one it is among those that are idle, if it is.
    number: Mutex<Option<u64>>,
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    shares: Arc<Shares>,
    whose: String,
    /// None: it has given way.
    place: Mutex<Option<Place>>,
    left: Notify,
}

impl Seats {
    /// A place for somebody; `None`: there is none, and nobody gives way. Either this one is counted as refused, or who gives way is.
    pub(super) fn enter(self: &Arc<Self>, shares: &Arc<Shares>, whose: &str) -> Option<Seat> {
        let place = loop {
            match shares.try_enter(whose) {
                Ok(place) => break Mutex::new(Some(place)),
                Err(full) => {
                    shares.refuse();
                    if !self.push_one_out(shares, (full == Full::Own).then_some(whose)) {
                        return None;
                    }
                }
            }
        };
        let held = Arc::new(Held { shares: shares.clone(), whose: whose.to_owned(), place, left: Notify::new() });
        let seat = Seat { all: self.clone(), number: Mutex::default(), held };
        seat.rest();
        Some(seat)
    }

    /// Has the one give way that has been idle longest, of one owner if one is named. Whether there was one.
    fn push_one_out(&self, shares: &Arc<Shares>, whose: Option<&str>) -> bool {
        let mut idle = locked(&self.0);
        let may = |held: &Held| Arc::ptr_eq(&held.shares, shares) && whose.is_none_or(|whose| whose == held.whose);
        let found = idle.seats.iter().find(|(_, held)| may(held)).map(|(&number, _)| number);
        let Some(held) = found.and_then(|number| idle.seats.remove(&number)) else { return false };
        *locked(&held.place) = None;
        held.left.notify_one();
        true
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        locked(&self.0).seats.len()
    }
}

impl Seat {
    /// Returns once it has to give way.
    pub(super) async fn left(&self) {
        self.held.left.notified().await;
    }

    /// Who entered.
    pub(super) fn whose(&self) -> &str {
        &self.held.whose
    }

    /// It is of use, and gives way to nobody.
    pub(super) fn begin(&self) {
        let mut number = locked(&self.number);
        if let Some(number) = number.take() {
            locked(&self.all.0).seats.remove(&number);
        }
    }

    /// It is idle from now on.
    pub(super) fn rest(&self) {
        let mut number = locked(&self.number);
        let mut idle = locked(&self.all.0);
        let next = idle.next;
        idle.next += 1;
        idle.seats.insert(next, self.held.clone());
        *number = Some(next);
    }

    /// It has another place, in place of its own.
    pub(super) fn exchange(&self, place: Place) {
        *locked(&self.held.place) = Some(place);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.begin();
    }
}
