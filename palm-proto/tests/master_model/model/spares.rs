//! Copies that give way.

use palm_proto::master::MESSAGE_OVERHEAD;

use super::{Model, Rank};

impl Model {
    /// Results that stay.
    pub(super) fn full(&self) -> usize {
        self.deliveries.iter().filter(|entry| entry.rank == Rank::Full).count()
    }

    fn spares(&self) -> usize {
        self.deliveries.len() - self.full()
    }

    pub(super) fn spare_bytes(&self) -> u64 {
        let spares = self.deliveries.iter().filter(|entry| entry.rank != Rank::Full);
        spares.map(|entry| entry.len as u64 + MESSAGE_OVERHEAD).sum()
    }

    pub(super) fn kept_bytes(&self, sender: Option<usize>) -> u64 {
        let kept = self.deliveries.iter().filter(|entry| entry.rank == Rank::Kept && entry.sender == sender);
        kept.map(|entry| entry.len as u64 + MESSAGE_OVERHEAD).sum()
    }

    pub(super) fn make_room(&mut self) {
        while self.spares() > 0
            && (self.deliveries.len() == self.capacities.deliveries || self.spare_bytes() > self.free())
        {
            self.drop_next();
        }
    }

    fn is_within_share(&mut self, rank: Rank, sender: Option<usize>, len: usize) -> bool {
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        loop {
            let alike = self.deliveries.iter().filter(|entry| entry.rank == rank);
            let held: u64 = alike.clone().map(|entry| entry.len as u64 + MESSAGE_OVERHEAD).sum();
            let share = if rank == Rank::Kept { 2 } else { 8 };
            let most = (self.capacities.deliveries / share).max(1);
            if alike.count() < most && held + bytes <= self.config.memory / share as u64 {
                return true;
            }
            let next = if rank == Rank::Extra {
                self.extras.first().copied()
            } else {
                let much = self.keeps_much(sender);
                self.next_kept().or(self.kept.first().copied().filter(|_| !much))
            };
            let Some(next) = next else { return false };
            self.drop_spare(next);
        }
    }

    /// What is left of a result that somebody has taken gives way, or goes.
    pub(super) fn make_spare(&mut self, id: usize, rank: Rank) {
        let entry = self.deliveries.iter().find(|entry| entry.id == id).unwrap().clone();
        if entry.rank == rank {
            return;
        }
        if !self.is_within_share(rank, entry.sender, entry.len) {
            return self.drop_spare(id);
        }
        if entry.rank == Rank::Full {
            self.let_go(entry.sender, entry.len);
        }
        self.kept.retain(|&other| other != id);
        self.entry(id).rank = rank;
        if rank == Rank::Kept { self.kept.push(id) } else { self.extras.push(id) }
    }

    pub(super) fn has_room_for_extra(&mut self, sender: Option<usize>, len: usize) -> bool {
        let mut has_room = self.is_within_share(Rank::Extra, sender, len);
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        while has_room
            && (self.deliveries.len() == self.capacities.deliveries || self.spare_bytes() + bytes > self.free())
        {
            has_room = self.extras.first().copied().map(|oldest| self.drop_spare(oldest)).is_some();
        }
        has_room
    }

    /// Whether as much is kept for a sender as for others on average, or more.
    fn keeps_much(&self, sender: Option<usize>) -> bool {
        let accounts: Vec<u64> =
            (0..self.senders.len()).map(Some).chain([None]).map(|sender| self.kept_bytes(sender)).collect();
        let keepers = accounts.iter().filter(|bytes| **bytes > 0).count() as u64;
        self.kept_bytes(sender) * keepers >= accounts.iter().sum()
    }

    /// The oldest of those that are kept for one who has many. The others go to the end.
    fn next_kept(&mut self) -> Option<usize> {
        for _ in 0..64 {
            let first = *self.kept.first()?;
            let sender = self.deliveries.iter().find(|entry| entry.id == first).unwrap().sender;
            if self.keeps_much(sender) {
                return Some(first);
            }
            self.kept.rotate_left(1);
        }
        None
    }

    fn drop_next(&mut self) {
        let extra = self.extras.first().copied();
        let next = extra.or_else(|| self.next_kept()).or_else(|| self.kept.first().copied());
        self.drop_spare(next.expect("there is one"));
    }

    pub(super) fn drop_spare(&mut self, id: usize) {
        let is_claimed = self.subscribers.values().any(|subscriber| subscriber.claimed.contains(&id));
        if is_claimed || self.waiting.contains(&id) {
            self.counters.kept_dropped += 1;
        }
        self.drop_expired(id);
    }

    pub(super) fn drop_expired(&mut self, id: usize) {
        let position = self.deliveries.iter().position(|entry| entry.id == id).unwrap();
        if self.subscribers.values().any(|subscriber| subscriber.queue.contains(&id)) {
            self.counters.copies_dropped += 1;
        }
        self.forget(position);
    }

    /// Drops what is kept for one sender that is gone and has nothing else.
    pub(super) fn drop_parked(&mut self) {
        let sender = |id: &usize| self.deliveries.iter().find(|entry| entry.id == *id).unwrap().sender;
        let is_parked = |sender: &usize| !self.senders[*sender].open && self.senders[*sender].held == 0;
        let Some(parked) = self.kept.iter().filter_map(sender).find(is_parked) else { return };
        let of_parked: Vec<usize> = self.kept.iter().copied().filter(|id| sender(id) == Some(parked)).collect();
        for id in of_parked {
            self.drop_spare(id);
        }
    }
}
