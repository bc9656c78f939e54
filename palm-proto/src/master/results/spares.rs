//! Copies that give way when room is needed: for subscribers to prefixes, beside what its own client is given, and for the client
//! of a topic, beside what subscribers to prefixes are given. They hold no sender back. Extra ones, for the subscribers, have an
//! eighth of the places and of the memory at most. Those kept for the client have half. Both together have no more than is free.

use crate::collections::NONE;

use super::super::MasterStorage;
use super::super::accounts::share_of;
use super::super::delivery::{Copies, Delivery, Rank};
use super::super::journal::{Journal as _, Record};
use super::{Ledger, Results};

/// Kept copies that are looked at for one whose sender has many of them, before the oldest gives way.
const LOOKED_AT: usize = 64;

impl<S: MasterStorage> Results<S> {
    /// Copies that give way.
    pub(in super::super) fn spares(&self) -> usize {
        self.kept.len() + self.extras.len()
    }

    /// Lets copies give way until there is a place for one more result, and all are within the memory. O(1), amortised: each that
    /// gives way has come.
    #[inline]
    pub(in super::super) fn make_room(&mut self, ledger: &mut Ledger<'_, S>) {
        if self.spares() > 0 && (self.deliveries.is_full() || ledger.accounts.is_over()) {
            self.give_way(ledger);
        }
    }

    #[cold]
    fn give_way(&mut self, ledger: &mut Ledger<'_, S>) {
        while self.deliveries.is_full() || ledger.accounts.is_over() {
            if !self.drop_next(ledger) {
                return;
            }
        }
    }

    /// The first that is to give way is dropped; `false` if there is none.
    fn drop_next(&mut self, ledger: &mut Ledger<'_, S>) -> bool {
        let next = self.extras.front().or_else(|| self.next_kept(ledger)).or_else(|| self.kept.front());
        if let Some(index) = next {
            self.drop_spare(ledger, index);
        }
        next.is_some()
    }

    /// The oldest copy kept for a client whose sender has as many as others on average, or more: so none can crowd the others' out.
    /// O(1): not all are looked at.
    fn next_kept(&mut self, ledger: &Ledger<'_, S>) -> Option<u32> {
        for _ in 0..LOOKED_AT {
            let index = self.kept.front()?;
            if ledger.accounts.keeps_much(self.deliveries[index].sender) {
                return Some(index);
            }
            self.kept.move_to_back(&mut self.deliveries, index);
        }
        None
    }

    /// Drops the copies that are kept for one sender that is gone and has nothing else on its account, which is free then. O(copies
    /// that are kept).
    pub(in super::super) fn drop_parked(&mut self, ledger: &mut Ledger<'_, S>) {
        let mut parked = None;
        let mut next = self.kept.front();
        while let Some(index) = next {
            next = self.kept.next(&self.deliveries, index);
            let sender = self.deliveries[index].sender;
            if parked.is_none() && ledger.accounts.is_parked(sender) {
                parked = Some(sender);
            }
            if parked == Some(sender) {
                self.drop_spare(ledger, index);
            }
        }
    }

    /// Drops a copy, wherever it is, before its time.
    pub(super) fn drop_spare(&mut self, ledger: &mut Ledger<'_, S>, index: u32) {
        *ledger.kept_dropped += u64::from(self.deliveries[index].under != NONE);
        self.drop_expired(ledger, index);
    }

    /// Drops a copy, wherever it is, whose time to keep has passed.
    pub(super) fn drop_expired(&mut self, ledger: &mut Ledger<'_, S>, index: u32) {
        *ledger.copies_dropped += u64::from(self.deliveries[index].holder != NONE);
        self.take_out(index);
        self.forget(ledger, index);
    }

    /// Whether a copy is within the share of those of its `rank`, after others of these have given way.
    fn is_within_share(&mut self, ledger: &mut Ledger<'_, S>, rank: Rank, sender: u32, footprint: usize) -> bool {
        let kept = rank == Rank::Kept;
        let most = (self.deliveries.capacity() / share_of(kept) as usize).max(1);
        loop {
            let alike = if kept { self.kept.len() } else { self.extras.len() };
            if alike < most && ledger.accounts.is_within_share(kept, footprint) {
                return true;
            }
            let next = match kept {
                false => self.extras.front(),
                true => self.next_kept(ledger).or_else(|| {
                    let may_push = !ledger.accounts.keeps_much(sender);
                    self.kept.front().filter(|_| may_push)
                }),
            };
            let Some(next) = next else { return false };
            self.drop_spare(ledger, next);
        }
    }

    /// A result, or copy, has been taken by who matters most: what is left of it gives way from now on, or goes at once.
    pub(super) fn make_spare(&mut self, ledger: &mut Ledger<'_, S>, index: u32, rank: Rank) {
        let entry = &self.deliveries[index];
        let (sender, footprint, before) = (entry.sender, entry.message.footprint(), entry.rank);
        if before == rank {
            return;
        }
        if !self.is_within_share(ledger, rank, sender, footprint) {
            return self.drop_spare(ledger, index);
        }
        match rank {
            Rank::Kept => ledger.accounts.add_kept(sender, footprint),
            Rank::Extra | Rank::Full => ledger.accounts.add_extra(footprint),
        }
        if before == Rank::Full {
            ledger.journal.record(Record::Left { result: self.id(index) });
            ledger.accounts.remove_result(sender, footprint);
        } else {
            self.leave_spares(index);
            ledger.accounts.remove_kept(sender, footprint);
        }
        self.deliveries[index].rank = rank;
        let list = if rank == Rank::Kept { &mut self.kept } else { &mut self.extras };
        list.push_back(&mut self.deliveries, index);
    }

    /// Gives a copy of the result at `first` to one who has subscribed to a prefix, if there is room to spare.
    pub(super) fn hand_extra(&mut self, ledger: &mut Ledger<'_, S>, first: u32, subscriber: u32, copies: Copies) {
        let (sender, footprint) = (self.deliveries[first].sender, self.deliveries[first].message.footprint());
        let mut has_room = self.is_within_share(ledger, Rank::Extra, sender, footprint);
        while has_room && (self.deliveries.is_full() || !ledger.accounts.may_spare(footprint)) {
            has_room = self.extras.front().map(|oldest| self.drop_spare(ledger, oldest)).is_some();
        }
        let mut entry: Delivery<S::Buffer> = Self::delivery(ledger.now, self.copy(first), Rank::Extra);
        entry.set_copies(copies);
        let inserted = if has_room { self.deliveries.insert(entry).ok() } else { None };
        let Some(index) = inserted else {
            *ledger.copies_dropped += 1;
            return;
        };
        ledger.accounts.add_extra(footprint);
        self.ages.push_back(&mut self.deliveries, index);
        self.extras.push_back(&mut self.deliveries, index);
        self.enqueue(ledger.now, index, subscriber);
    }

    /// Takes a copy that gives way off the list of those.
    pub(super) fn leave_spares(&mut self, index: u32) {
        let list = if self.deliveries[index].rank == Rank::Kept { &mut self.kept } else { &mut self.extras };
        list.remove(&mut self.deliveries, index);
    }
}
