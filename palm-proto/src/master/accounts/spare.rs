//! Copies of results that give way when room is needed: they are counted beside all else, and hold nobody back.

use crate::collections::{Slot, Table};

use super::super::MESSAGE_OVERHEAD;
use super::{Accounts, Sender};

/// Of the copies that give way, those that are kept for their own clients have one part in so many, and no more than is free: who
/// subscribes to a prefix, which anybody may, is to take as little from these as can be.
const KEPT_SHARE: u64 = 2;
/// The same for those that are extra.
const EXTRA_SHARE: u64 = 8;

/// Copies that are `kept`, or extra, have one part in so many.
pub(in super::super) const fn share_of(kept: bool) -> u64 {
    if kept { KEPT_SHARE } else { EXTRA_SHARE }
}

/// Copies that give way when room is needed.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// Bytes of those that are for subscribers to prefixes.
    extra: u64,
    /// Bytes of those that are kept for a topic's own client.
    kept: u64,
    /// Bytes among these that are on nobody's account.
    stray: u64,
    /// Accounts that have some of these.
    keepers: u32,
}

impl<T: Table<Slot<Sender>>> Accounts<T> {
    /// Whether one more copy that is `kept`, or extra, is within the share of those.
    pub(in super::super) fn is_within_share(&self, kept: bool, footprint: usize) -> bool {
        let held = if kept { self.spare.kept } else { self.spare.extra };
        held + footprint as u64 + MESSAGE_OVERHEAD <= self.limit / share_of(kept)
    }

    /// Whether there is room for it beside all else.
    pub(in super::super) fn may_spare(&self, footprint: usize) -> bool {
        self.spare() + footprint as u64 + MESSAGE_OVERHEAD <= self.free()
    }

    /// Whether the copies that give way take more than is left free.
    #[inline]
    pub(in super::super) fn is_over(&self) -> bool {
        self.spare() > self.free()
    }

    /// Bytes of copies that give way, which are beside what is used.
    pub(in super::super) fn spare(&self) -> u64 {
        self.spare.kept + self.spare.extra
    }

    pub(in super::super) fn add_extra(&mut self, footprint: usize) {
        self.spare.extra += footprint as u64 + MESSAGE_OVERHEAD;
    }

    pub(in super::super) fn remove_extra(&mut self, footprint: usize) {
        self.spare.extra -= footprint as u64 + MESSAGE_OVERHEAD;
    }

    /// A copy of a result is kept for its client.
    pub(in super::super) fn add_kept(&mut self, id: u32, footprint: usize) {
        let bytes = footprint as u64 + MESSAGE_OVERHEAD;
        let kept = self.senders.get_mut(id).map_or(&mut self.spare.stray, |sender| &mut sender.kept_bytes);
        self.spare.keepers += u32::from(*kept == 0);
        *kept += bytes;
        self.spare.kept += bytes;
    }

    pub(in super::super) fn remove_kept(&mut self, id: u32, footprint: usize) {
        let bytes = footprint as u64 + MESSAGE_OVERHEAD;
        let kept = self.senders.get_mut(id).map_or(&mut self.spare.stray, |sender| &mut sender.kept_bytes);
        *kept -= bytes;
        self.spare.keepers -= u32::from(*kept == 0);
        self.spare.kept -= bytes;
        self.reap(id);
    }

    /// Whether nothing but kept copies is on the account of a sender that is gone.
    pub(in super::super) fn is_parked(&self, id: u32) -> bool {
        self.senders.get(id).is_some_and(|sender| !sender.open && sender.held == 0)
    }

    /// Whether as many bytes are kept for a sender as for others on average, or more.
    pub(in super::super) fn keeps_much(&self, id: u32) -> bool {
        let kept = self.senders.get(id).map_or(self.spare.stray, |sender| sender.kept_bytes);
        kept.saturating_mul(u64::from(self.spare.keepers)) >= self.spare.kept
    }
}
