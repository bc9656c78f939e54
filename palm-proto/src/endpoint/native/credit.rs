//! How much a client may submit, what becomes of what there is no room for, and who waits for what all share.
//!
//! A client's Submit is never left unread: what stands behind it may be what makes room. So a client has credit, as much as there
//! is room for; but credit sets nothing aside, and memory is counted in bytes, which nobody knows before they come. What has come
//! and has no room is dropped, with all that its client submits before it has heard so (NoRoom, Restart): it submits again when
//! it has credit anew, which now counts with messages as long as the longest that came (`docs/spec.md`, section 9.7).

use crate::collections::{Link, Linked};
use crate::master::SenderId;
use crate::native::{CacheRefusalCode, ToMaster, ToPeer, header_on_stream};

use super::super::input::Next;
use super::super::machine::Endpoint;
use super::super::peer::Role;
use super::super::storage::EndpointStorage;
use super::peer::{NativePeer, Reply, Stage};
use super::{MALFORMED, NativeStorage, Natives};

/// Tasks that a client may submit at most that the master has not read yet.
const CREDIT: usize = 4_096;
/// Connections that wait that are looked at after a call.
const WOKEN_A_CALL: usize = 8;
/// More is given only if it is one part in so many of what the client has here: not a Window for each task.
const WORTH_SAYING: usize = 8;

/// What a client may submit.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// Tasks that it may submit still.
    left: u32,
    /// The longest task that it has submitted lately, in bytes.
    longest: u32,
    /// Whether it may be time to give it more.
    due: bool,
    dropping: Dropping,
    /// Bytes of a frame that is dropped while it comes.
    skipping: u32,
    /// From which sequence on tasks are dropped, if they are.
    from: u64,
}

impl Credit {
    /// What a client may submit at first is to be told.
    pub(super) fn new() -> Self {
        Self { due: true, ..Self::default() }
    }

    /// Whether the client may have to be told something.
    pub(super) fn has_word(&self) -> bool {
        self.due || self.dropping == Dropping::Unsaid
    }

    /// Whether the client has to be given some.
    fn is_spent(&self) -> bool {
        self.left == 0 && self.dropping == Dropping::No
    }
}

/// Whether what a client submits is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Dropping {
    #[default]
    No,
    /// It has to be told from where on.
    Unsaid,
    /// It has been told, and has not said that it has heard it.
    Said,
}

/// Native connections that had something to be sent, or were to be told, and wait for what others give back.
#[derive(Debug)]
pub(super) struct IsStalled;

impl<V, A> Linked<IsStalled> for NativePeer<V, A> {
    fn link(&mut self) -> &mut Link {
        &mut self.stalled_link
    }
    fn peek_link(&self) -> Link {
        self.stalled_link
    }
}

impl<N: NativeStorage> Natives<N> {
    /// It waits for something that is not its own.
    pub(super) fn stall(&mut self, native: u32) {
        if !self.peers[native].stalled_link.is_linked() {
            self.stalled.push_back(&mut self.peers, native);
        }
    }

    /// It waits for nothing any more.
    pub(super) fn forget_stalled(&mut self, native: u32) {
        if self.peers[native].stalled_link.is_linked() {
            self.stalled.remove(&mut self.peers, native);
        }
    }

    /// Whether any connection waits.
    pub(in super::super) fn has_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    /// Whether what comes belongs to a frame that is dropped.
    #[inline]
    pub(super) fn skips(&self, native: u32) -> bool {
        self.peers[native].credit.skipping > 0
    }

    /// How many of the bytes that have come belong to a frame that is dropped.
    pub(super) fn skip(&mut self, native: u32, available: usize) -> usize {
        let skipping = &mut self.peers[native].credit.skipping;
        let skipped = u32::try_from(available).unwrap_or(u32::MAX).min(*skipping);
        *skipping -= skipped;
        skipped as usize
    }

    /// From which task on a client has to be told that there was no room, if so.
    pub(super) fn take_no_room(&mut self, native: u32) -> Option<u64> {
        let credit = &mut self.peers[native].credit;
        if credit.dropping != Dropping::Unsaid {
            return None;
        }
        credit.dropping = Dropping::Said;
        Some(credit.from)
    }

    /// A client has heard that there was no room; `false` if it has not been told so. What it may submit is told anew.
    pub(super) fn on_restart(&mut self, native: u32) -> bool {
        let credit = &mut self.peers[native].credit;
        let was_told = credit.dropping == Dropping::Said;
        if was_told {
            (credit.dropping, credit.left, credit.due) = (Dropping::No, 0, true);
        }
        was_told
    }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// Counts a Submit of `len` bytes: whether it is to be looked at, or dropped; `None` if it may not be sent.
    pub(super) fn spend_credit(&mut self, index: u32, native: u32, len: usize) -> Option<bool> {
        let credit = &mut self.native.peers[native].credit;
        credit.left = credit.left.checked_sub(1)?;
        if credit.dropping != Dropping::No {
            return Some(false);
        }
        credit.longest = credit.longest.max(u32::try_from(len).unwrap_or(u32::MAX));
        if credit.left as usize <= CREDIT / 2 {
            credit.due = true;
            self.mark_ready(index);
        }
        Some(true)
    }

    /// There is no room for this task of a client.
    pub(super) fn turn_away(&mut self, index: u32, native: u32, sequence: u64) {
        self.counters.turned_away += 1;
        let credit = &mut self.native.peers[native].credit;
        (credit.dropping, credit.from) = (Dropping::Unsaid, sequence);
        self.mark_ready(index);
    }

    /// How many tasks more a client is to be told that it may submit; 0 if that is not worth a word now.
    pub(super) fn take_grant(&mut self, native: u32, sender: SenderId, session: u32) -> u32 {
        if !core::mem::take(&mut self.native.peers[native].credit.due) {
            return 0;
        }
        let more = self.grant(native, sender, session);
        let credit = &mut self.native.peers[native].credit;
        credit.left += more;
        if more > 0 {
            // One long task does not count for ever.
            credit.longest -= credit.longest / 8;
        } else if credit.is_spent() {
            self.native.stall(native);
        }
        more
    }

    fn grant(&self, native: u32, sender: SenderId, session: u32) -> u32 {
        let credit = &self.native.peers[native].credit;
        if credit.left as usize > CREDIT / 2 || credit.dropping != Dropping::No || self.draining {
            return 0;
        }
        let room = self.native.room_to_note(session).min(self.master.room_for(sender, credit.longest as usize));
        let (reach, left) = (room.min(CREDIT), credit.left as usize);
        let more = reach.saturating_sub(left);
        let worth = (self.native.submissions_of(session) / WORTH_SAYING).min(CREDIT / 4);
        if left <= reach / 2 && more >= worth { more as u32 } else { 0 }
    }

    /// Names connections for which there is now what they have waited for.
    pub(in super::super) fn wake_stalled(&mut self) {
        for _ in 0..WOKEN_A_CALL.min(self.native.stalled.len()) {
            let Some(native) = self.native.stalled.pop_front(&mut self.native.peers) else { return };
            let index = self.native.peers[native].connection;
            let (may, waits) = match self.peers[index].role {
                Role::NativeWorker(_) => {
                    let may = self.native.may_send();
                    (may, !may)
                }
                Role::NativeClient { sender, session, .. } => {
                    let has_place = self.native.may_keep(session);
                    let woken = has_place && core::mem::take(&mut self.native.peers[native].awaits_place);
                    let is_spent = self.native.peers[native].credit.is_spent();
                    let due = is_spent && self.grant(native, sender, session) > 0;
                    let peer = &mut self.native.peers[native];
                    peer.credit.due |= due;
                    (due || woken, is_spent && !due || peer.awaits_place)
                }
                Role::Stranger
                | Role::Sender(_)
                | Role::Worker(_)
                | Role::Answerer
                | Role::Subscriber(_)
                | Role::CacheClient => continue,
            };
            if may {
                self.mark_ready(index);
            }
            if waits {
                self.native.stall(native);
            }
        }
    }

    /// A part of a long frame is there. What has no room is dropped while it comes if it could be in the way of what makes room.
    pub(super) fn on_long_frame(&mut self, index: u32, native: u32, begun: &[u8], total: usize) -> Next {
        if self.native.peers[native].stage != Stage::Established {
            return Next::Read { message: 0 };
        }
        if self.peers[index].reserved > 0 {
            return Next::Read { message: total };
        }
        let header = match header_on_stream(begun) {
            Ok(Some(header)) => header,
            // A later version knows it.
            Ok(None) => return self.drop_frame(native, total),
            Err(_) => return self.break_off(index, native, MALFORMED),
        };
        match header {
            ToMaster::Submit { sequence, .. } | ToMaster::SubmitWith { sequence, .. } => {
                self.on_long_submit(index, native, sequence, total)
            }
            ToMaster::Set { id, .. } | ToMaster::Delete { id, .. } if self.lacks_room(index, total) => {
                let header = ToPeer::CacheRefused { id, code: CacheRefusalCode::Full };
                self.refuse_request(index, native, header, total)
            }
            ToMaster::Get { id } if self.lacks_room(index, total) => {
                self.refuse_request(index, native, ToPeer::Absent { id }, total)
            }
            _ => self.on_incomplete(index, total, true),
        }
    }

    fn on_long_submit(&mut self, index: u32, native: u32, sequence: u64, total: usize) -> Next {
        let (Role::NativeClient { session, .. }, 1..) = (self.peers[index].role, self.native.peers[native].credit.left)
        else {
            return self.break_off(index, native, MALFORMED);
        };
        let is_here = sequence < self.native.sessions[session].accepted;
        let is_dropped = self.native.peers[native].credit.dropping != Dropping::No;
        if !is_here && !is_dropped && self.may_begin_task(index, total) {
            self.reserve(index, total);
            return Next::Read { message: total };
        }
        match self.spend_credit(index, native, total) {
            Some(true) if is_here => self.counters.submitted_again += 1,
            Some(true) => self.turn_away(index, native, sequence),
            _ => {}
        }
        self.drop_frame(native, total)
    }

    fn drop_frame(&mut self, native: u32, total: usize) -> Next {
        self.native.peers[native].credit.skipping = u32::try_from(total).unwrap_or(u32::MAX);
        Next::Read { message: 0 }
    }

    /// Whether a request to the cache could be answered, and has no room.
    fn lacks_room(&self, index: u32, total: usize) -> bool {
        self.replied(index) && !self.may_begin(index, total)
    }

    fn refuse_request(&mut self, index: u32, native: u32, header: ToPeer, total: usize) -> Next {
        self.counters.cache_requests += 1;
        self.native.peers[native].reply = Some(Reply { header, body: None });
        self.mark_ready(index);
        self.drop_frame(native, total)
    }
}
