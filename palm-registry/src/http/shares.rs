//! Places that many have in common, of which nobody has more than a share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many places, and so many of one.
#[derive(Debug)]
pub(super) struct Shares {
    all: usize,
    of_one: usize,
    taken: Mutex<Taken>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<String, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// Who asks has its share.
    Own,
}

impl Shares {
    pub(super) fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { all, of_one, taken: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// A place for somebody, until it is dropped; who finds none is counted as refused.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn enter(self: &Arc<Self>, whose: &str) -> Result<Place, Full> {
        self.try_enter(whose).inspect_err(|_| self.refuse())
    }

    /// Somebody is refused.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A place for somebody, until it is dropped.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn try_enter(self: &Arc<Self>, whose: &str) -> Result<Place, Full> {
        let mut taken = self.lock();
        let own = taken.each.get(whose).copied().unwrap_or(0);
        if own >= self.of_one {
            return Err(Full::Own);
        }
        if taken.all >= self.all {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.each.insert(whose.to_owned(), own + 1);
        Ok(Place { shares: self.clone(), whose: whose.to_owned() })
    }

    /// Places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.lock().all
    }

    /// How often somebody was refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place of somebody's.
#[derive(Debug)]
pub(super) struct Place {
    shares: Arc<Shares>,
    whose: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        taken.all -= 1;
        if let Some(own) = taken.each.get_mut(&self.whose) {
            *own -= 1;
            if *own == 0 {
                taken.each.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_share_and_all_have_no_more_than_there_is() {
        let shares = Shares::new(3, 2);
        let first = shares.enter("ann").unwrap();
        let _second = shares.enter("ann").unwrap();
        assert_eq!(shares.enter("ann").unwrap_err(), Full::Own);
        let _other = shares.enter("bob").unwrap();
        assert_eq!(shares.enter("eve").unwrap_err(), Full::All);
        assert_eq!((shares.taken(), shares.refused()), (3, 2));
        drop(first);
        let third = shares.enter("eve").unwrap();
        assert_eq!(shares.enter("ann").unwrap_err(), Full::All);
        drop(third);
        assert!(shares.enter("ann").is_ok());
    }
}
