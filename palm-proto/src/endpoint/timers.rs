//! What a connection is given time for. All connections of a class have the same time, so a list by age tells who is next.

use core::time::Duration;

use crate::collections::{List, Slab, Slot, Table};
use crate::time::Instant;

use super::peer::{InTimer, Peer};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The end of the handshake.
    Handshake,
    /// Anything at all, from a peer that can be asked whether it lives.
    Quiet,
    /// Anything at all, from a peer that has been asked.
    Pinged,
    /// More of a message that has come in part.
    Partial,
    /// Room for what a native peer says, which is shown in the meantime that the master lives.
    Unread,
}

const CLASSES: usize = 5;

#[derive(Debug)]
pub(super) struct Timers {
    lists: [List<InTimer>; CLASSES],
    /// In microseconds, which takes half the room of a duration.
    delays: [u64; CLASSES],
}

impl Timers {
    /// `handshake` and `partial` are given up after; a peer is asked after `heartbeat`, and given up after twice that more.
    pub(super) fn new(handshake: Duration, heartbeat: Duration, partial: Duration) -> Self {
        let delays = [handshake, heartbeat, heartbeat * 2, partial, (heartbeat / 2).max(Duration::from_millis(1))];
        let delays = delays.map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        Self { lists: [const { List::new() }; CLASSES], delays }
    }

    pub(super) fn start<Z, T: Table<Slot<Peer<Z>>>>(
        &mut self,
        peers: &mut Slab<Peer<Z>, T>,
        now: Instant,
        index: u32,
        class: Class,
    ) {
        self.stop(peers, index);
        let peer = &mut peers[index];
        peer.timer = Some(class);
        peer.timer_since = now;
        self.lists[class as usize].push_back(peers, index);
    }

    pub(super) fn stop<Z, T: Table<Slot<Peer<Z>>>>(&mut self, peers: &mut Slab<Peer<Z>, T>, index: u32) {
        if let Some(class) = peers[index].timer.take() {
            self.lists[class as usize].remove(peers, index);
        }
    }

    /// Connections whose handshake is not over.
    pub(super) fn strangers(&self) -> usize {
        self.lists[Class::Handshake as usize].len()
    }

    /// They themselves, those whose handshake has taken longest first.
    pub(super) fn oldest_strangers<Z, T: Table<Slot<Peer<Z>>>>(
        &self,
        peers: &Slab<Peer<Z>, T>,
    ) -> impl Iterator<Item = u32> {
        let list = &self.lists[Class::Handshake as usize];
        core::iter::successors(list.front(), |&index| list.next(peers, index))
    }

    pub(super) fn next<Z, T: Table<Slot<Peer<Z>>>>(&self, peers: &Slab<Peer<Z>, T>) -> Option<Instant> {
        let first = |(list, &delay): (&List<InTimer>, &u64)| {
            Some(peers[list.front()?].timer_since + Duration::from_micros(delay))
        };
        self.lists.iter().zip(&self.delays).filter_map(first).min()
    }

    /// Somebody whose time is over, taken off the list.
    pub(super) fn expire<Z, T: Table<Slot<Peer<Z>>>>(
        &mut self,
        peers: &mut Slab<Peer<Z>, T>,
        now: Instant,
    ) -> Option<(u32, Class)> {
        for (list, &delay) in self.lists.iter_mut().zip(&self.delays) {
            let Some(index) = list.front() else { continue };
            if peers[index].timer_since + Duration::from_micros(delay) <= now {
                list.remove(peers, index);
                return peers[index].timer.take().map(|class| (index, class));
            }
        }
        None
    }
}
