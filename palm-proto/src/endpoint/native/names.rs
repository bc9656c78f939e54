//! The aliases that clients have told for functions.

use crate::buffer::{Buffer, Span};
use crate::collections::{Link, Linked};
use crate::message::wire::FieldHead;
use crate::message::{field, is_addressed, word};
use crate::native::{Alias, SessionId};
use crate::random::split_mix;
use crate::uuid;

use super::sessions::opening;
use super::{NativeStorage, Natives};

/// One name in so many is set aside for those who have few.
const SET_ASIDE: usize = 4;

/// A function's name, and by which alias which client knows it; named only by storage types.
#[derive(Debug)]
pub struct Name<B> {
    peer: u32,
    alias: Alias,
    /// The fields that the messages of this client with this function begin with: pipeline, client and function.
    pub(super) opening: Span<B>,
    /// Length of the name, at the end of that.
    pub(super) len: usize,
    /// Hash of the name.
    pub(super) hash: u64,
    pub(super) is_addressed: bool,
    link: Link,
}

/// The list of a peer's names.
#[derive(Debug)]
pub(super) struct OfPeer;

impl<B> Linked<OfPeer> for Name<B> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
    fn peek_link(&self) -> Link {
        self.link
    }
}

/// Where an alias is looked for: two small numbers that we know or bound, so that nobody can choose them to collide.
fn place(peer: u32, alias: Alias) -> u64 {
    split_mix(u64::from(peer) << 16 | u64::from(alias.number()))
}

impl<N: NativeStorage> Natives<N> {
    /// `alias` is the function `name` from now on. If there is no room for that the alias means nothing, and the tasks that name it
    /// fail: other functions go on.
    pub(super) fn declare(&mut self, peer: u32, session: u32, alias: Alias, name: &[u8]) {
        if !self.try_declare(peer, session, alias, name) {
            if let Some(known) = self.find_name(peer, alias) {
                self.peers[peer].names.remove(&mut self.names, known);
                self.remove_name(peer, known);
            }
            self.peers[peer].lacks_names = true;
        }
    }

    fn try_declare(&mut self, peer: u32, session: u32, alias: Alias, name: &[u8]) -> bool {
        // A native task has one stage.
        let name = word(name, 0).unwrap_or_default();
        let (hash, is_addressed) = (self.function_hash(name), is_addressed(name, 0));
        let head = FieldHead::of_bytes(field::FUNCTION, name.len());
        let opening = N::Opening::joined(&[&opening(&self.sessions[session].id), &head, name]);
        let (Some(opening), len) = (opening.map(Span::whole), name.len()) else { return false };
        if let Some(known) = self.find_name(peer, alias) {
            let known = &mut self.names[known];
            (known.opening, known.len, known.hash, known.is_addressed) = (opening, len, hash, is_addressed);
            return true;
        }
        if !self.may_declare(peer) {
            return false;
        }
        let entry = Name { peer, alias, opening, len, hash, is_addressed, link: Link::UNLINKED };
        let Ok(index) = self.names.insert(entry) else { return false };
        if !self.by_alias.insert(place(peer, alias), index) {
            self.names.remove(index);
            return false;
        }
        self.names_shared += u32::from(self.peers[peer].names.len() >= self.names_aside());
        self.peers[peer].names.push_back(&mut self.names, index);
        true
    }

    /// Whether there is room for one more name of a client: for those that are set aside for each, and for further ones as long as it
    /// has no more of these than are left free. So no client keeps others out.
    fn may_declare(&self, peer: u32) -> bool {
        let (own, aside) = (self.peers[peer].names.len(), self.names_aside());
        let shared = self.names.capacity().saturating_sub(aside * self.peers.capacity());
        own < aside || own - aside < shared.saturating_sub(self.names_shared as usize)
    }

    /// Names that are set aside for each client; none where the table is small.
    fn names_aside(&self) -> usize {
        self.names.capacity() / self.peers.capacity().max(1) / SET_ASIDE
    }

    /// What a client means by `alias`.
    #[inline]
    pub(super) fn function(&self, peer: u32, alias: Alias) -> Option<&Name<N::Opening>> {
        self.find_name(peer, alias).map(|index| &self.names[index])
    }

    /// What stands for a function's name; never 0.
    pub(super) fn function_hash(&self, name: &[u8]) -> u64 {
        self.hash.hash(name).max(1)
    }

    /// What stands for what a worker tells to be known by.
    pub(in super::super) fn identity_hash(&self, name: &[u8]) -> u64 {
        self.hash.hash(name)
    }

    /// Forgets what a client has told. O(its aliases).
    pub(super) fn forget_names(&mut self, peer: u32) {
        while let Some(index) = self.peers[peer].names.pop_front(&mut self.names) {
            self.remove_name(peer, index);
        }
    }

    /// Takes a name out that is in no list any more.
    fn remove_name(&mut self, peer: u32, index: u32) {
        if let Some(name) = self.names.remove(index) {
            self.names_shared -= u32::from(self.peers[peer].names.len() >= self.names_aside());
            self.by_alias.remove(place(peer, name.alias), index);
        }
    }

    fn find_name(&self, peer: u32, alias: Alias) -> Option<u32> {
        self.by_alias.candidates(place(peer, alias)).find(|&index| {
            let name = &self.names[index];
            name.peer == peer && name.alias == alias
        })
    }
}

/// A session's id as text.
pub(super) fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    let mut out = [0; 32];
    for (digits, word) in out.as_chunks_mut().0.iter_mut().zip(bytes.as_chunks().0) {
        *digits = uuid::hex(u32::from_be_bytes(*word));
    }
    out
}

/// The session whose id `text` is, if it is one.
pub(super) fn session_of(text: &[u8]) -> Option<SessionId> {
    let id = u128::from_str_radix(core::str::from_utf8(text).ok()?, 16).ok()?.to_be_bytes();
    // There are other ways to write the number.
    (hex(&id) == text).then_some(SessionId(id))
}
