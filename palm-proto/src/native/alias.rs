//! Short numbers for names that are told once in a connection (`docs/spec.md`, section 9.6).

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::buffer::Buffer;
#[cfg(feature = "alloc")]
use crate::collections::HeapTable;
use crate::collections::{Index, Place, Table};
use crate::hash::KeyedHash;
use crate::random::Seed;

/// What stands for a function's name or a session's id in one direction of a connection: a number below [`Alias::BOUND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Alias(u16);

impl Alias {
    /// Number of aliases. Those below 128 take one byte, the others two.
    pub const BOUND: u16 = 1024;

    /// The largest.
    pub const LAST: Self = Self(Self::BOUND - 1);

    /// The alias of this number; `None` if it is too large for one.
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::BOUND { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl From<Alias> for u16 {
    fn from(alias: Alias) -> Self {
        alias.0
    }
}

impl TryFrom<u16> for Alias {
    type Error = AliasError;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        Self::new(number).ok_or(AliasError)
    }
}

/// An alias is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasError;

impl fmt::Display for AliasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an alias that is larger than it may be")
    }
}

impl core::error::Error for AliasError {}

/// What the aliases of the other side mean.
#[derive(Debug)]
pub struct AliasTable<T, S> {
    meanings: S,
    meaning: core::marker::PhantomData<T>,
}

/// A table for aliases below `N` that lies in itself.
pub type FixedAliasTable<T, const N: usize> = AliasTable<T, heapless::Vec<Option<T>, N>>;

/// A table on the heap.
#[cfg(feature = "alloc")]
pub type HeapAliasTable<T> = AliasTable<T, HeapTable<Option<T>>>;

impl<T, const N: usize> FixedAliasTable<T, N> {
    /// An empty table.
    pub const fn new() -> Self {
        Self { meanings: heapless::Vec::new(), meaning: core::marker::PhantomData }
    }
}

impl<T, const N: usize> Default for FixedAliasTable<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "alloc")]
impl<T> HeapAliasTable<T> {
    /// An empty table for aliases below `bound`. Memory is touched as aliases come into use.
    ///
    /// # Panics
    /// If so much memory cannot be set aside.
    pub fn new(bound: u16) -> Self {
        Self::with_table(HeapTable::new(usize::from(bound.min(Alias::BOUND))))
    }
}

impl<T, S: Table<Option<T>>> AliasTable<T, S> {
    /// An empty table in an empty `meanings`, whose capacity is the bound of the aliases that it takes.
    pub const fn with_table(meanings: S) -> Self {
        Self { meanings, meaning: core::marker::PhantomData }
    }

    /// From now on `alias` means `meaning`, whatever it meant before.
    ///
    /// O(1), but for as many places as lie between it and the largest so far.
    ///
    /// # Errors
    /// If the alias is beyond the table's capacity.
    pub fn declare(&mut self, alias: Alias, meaning: T) -> Result<(), AliasError> {
        let at = usize::from(alias.0);
        while self.meanings.as_ref().len() <= at {
            self.meanings.push(None).map_err(|_| AliasError)?;
        }
        *self.meanings.as_mut().get_mut(at).ok_or(AliasError)? = Some(meaning);
        Ok(())
    }

    /// What `alias` means; `None` if that has not been told.
    #[inline]
    pub fn meaning(&self, alias: Alias) -> Option<&T> {
        self.meanings.as_ref().get(usize::from(alias.0))?.as_ref()
    }

    /// Whether there is room for what `alias` means.
    pub fn admits(&self, alias: Alias) -> bool {
        usize::from(alias.0) < self.meanings.capacity()
    }

    /// Forgets all, for a new connection.
    pub fn clear(&mut self) {
        self.meanings.as_mut().fill_with(|| None);
    }
}

/// Gives out aliases for what is sent. When all are given out, the one that was given out first gets a new meaning: so an
/// alias is good for frames that are written before the next one is asked for, not for some that are kept.
#[derive(Debug)]
pub struct Interner<B, S, P> {
    names: S,
    by_name: Index<P>,
    hash: KeyedHash,
    /// The alias to give out next, when all are.
    oldest: u16,
    /// The alias that was asked for last: runs of the same name are the rule.
    last: u16,
    buffer: core::marker::PhantomData<B>,
}

/// A name that has an alias; named only by storage types.
#[derive(Debug)]
pub struct AliasEntry<B> {
    /// `None` after [`Interner::clear`].
    name: Option<B>,
    hash: u64,
}

/// An interner of at most `N` aliases that lies in itself.
pub type FixedInterner<B, const N: usize> = Interner<B, heapless::Vec<AliasEntry<B>, N>, heapless::Vec<Place, N>>;

/// An interner on the heap.
#[cfg(feature = "alloc")]
pub type HeapInterner = Interner<bytes::Bytes, HeapTable<AliasEntry<bytes::Bytes>>, HeapTable<Place>>;

/// The alias of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interned {
    /// The other side knows it.
    Known(Alias),
    /// It is to be told what this alias means from now on, before the alias is used.
    New(Alias),
}

impl Interned {
    /// The alias.
    pub const fn alias(self) -> Alias {
        match self {
            Self::Known(alias) | Self::New(alias) => alias,
        }
    }
}

impl<B: Buffer, const N: usize> FixedInterner<B, N> {
    /// An empty interner. `seed` is to be unknown to whoever chooses the names.
    pub fn new(seed: Seed) -> Self {
        Self::with_tables(heapless::Vec::new(), heapless::Vec::new(), seed)
    }
}

#[cfg(feature = "alloc")]
impl HeapInterner {
    /// An empty interner of at most `bound` aliases. `seed` is to be unknown to whoever chooses the names.
    ///
    /// # Panics
    /// If so much memory cannot be set aside: about 80 bytes for each alias.
    pub fn new(bound: u16, seed: Seed) -> Self {
        let bound = usize::from(bound.min(Alias::BOUND));
        Self::with_tables(HeapTable::new(bound), HeapTable::new(2 * bound), seed)
    }
}

impl<B: Buffer, S: Table<AliasEntry<B>>, P: Table<Place>> Interner<B, S, P> {
    /// An empty interner in empty tables: one for the names, whose capacity is the number of aliases, and one that finds
    /// them, with at least as many places.
    pub fn with_tables(names: S, places: P, seed: Seed) -> Self {
        let hash = KeyedHash::new(seed.derive("alias hash"));
        Self { names, by_name: Index::new(places), hash, oldest: 0, last: 0, buffer: core::marker::PhantomData }
    }

    /// The alias of `name`; `None` if a `B` cannot hold it, or there are no aliases at all.
    ///
    /// O(length of the name), as a rule; the same name again takes one comparison.
    #[inline]
    pub fn intern(&mut self, name: &[u8]) -> Option<Interned> {
        if self.is_name_of(self.last, name) {
            return Some(Interned::Known(Alias(self.last)));
        }
        self.find_or_add(name)
    }

    /// Forgets all, for a new connection.
    pub fn clear(&mut self) {
        for (at, entry) in (0..).zip(self.names.as_mut()) {
            if entry.name.take().is_some() {
                self.by_name.remove(entry.hash, at);
            }
        }
        (self.oldest, self.last) = (0, 0);
    }

    fn find_or_add(&mut self, name: &[u8]) -> Option<Interned> {
        let hash = self.hash.hash(name);
        let found = self.by_name.candidates(hash).find(|&at| self.is_name_of(at as u16, name));
        if let Some(at) = found {
            self.last = at as u16;
            return Some(Interned::Known(Alias(self.last)));
        }
        let at = self.place(AliasEntry { name: Some(B::copy_from(name)?), hash })?;
        // With fewer places than names some are not found again, and told anew each time.
        self.by_name.insert(hash, u32::from(at));
        self.last = at;
        Some(Interned::New(Alias(at)))
    }

    /// Puts an entry where there is room, or where the oldest is.
    fn place(&mut self, entry: AliasEntry<B>) -> Option<u16> {
        let capacity = u16::try_from(self.names.capacity()).map_or(Alias::BOUND, |capacity| capacity.min(Alias::BOUND));
        let at = self.oldest;
        if at >= capacity {
            return None;
        }
        self.oldest = if at + 1 == capacity { 0 } else { at + 1 };
        match self.names.as_mut().get_mut(usize::from(at)) {
            Some(old) => {
                if old.name.is_some() {
                    self.by_name.remove(old.hash, u32::from(at));
                }
                *old = entry;
            }
            // Places are filled in order, so that this is the next one.
            None => self.names.push(entry).ok()?,
        }
        Some(at)
    }

    #[inline]
    fn is_name_of(&self, at: u16, name: &[u8]) -> bool {
        let entry = self.names.as_ref().get(usize::from(at));
        entry.and_then(|entry| entry.name.as_ref()).is_some_and(|known| known.as_ref() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    type Name = heapless::Vec<u8, 4>;

    #[test]
    fn aliases_are_bounded() {
        assert_eq!(Alias::new(1023).map(Alias::number), Some(1023));
        assert_eq!(Alias::new(1024), None);
        let mut table = FixedAliasTable::<u8, 2>::new();
        let [zero, one, two] = [0, 1, 2].map(Alias);
        assert_eq!(table.declare(two, 9), Err(AliasError));
        assert_eq!((table.declare(one, 5), table.meaning(zero), table.meaning(one)), (Ok(()), None, Some(&5)));
        table.declare(one, 6).unwrap();
        assert_eq!(table.meaning(one), Some(&6));
        table.clear();
        assert_eq!(table.meaning(one), None);
        let mut none = FixedInterner::<Name, 0>::new(Seed::from_u64(1));
        assert_eq!(none.intern(b"a"), None);
        let mut one = FixedInterner::<Name, 1>::new(Seed::from_u64(1));
        assert_eq!(one.intern(b"longer"), None, "a buffer has four bytes");
        assert_eq!(one.intern(b"a"), Some(Interned::New(Alias(0))));
    }

    proptest! {
        #[test]
        fn both_sides_agree(steps in prop::collection::vec(prop::option::weighted(0.95, 0_u8..9), 0..200)) {
            let mut interner = FixedInterner::<Name, 5>::new(Seed::from_u64(1));
            let mut table = FixedAliasTable::<Vec<u8>, 5>::new();
            let mut known = Vec::new();
            for step in steps {
                let Some(step) = step else {
                    interner.clear();
                    table.clear();
                    known.clear();
                    continue;
                };
                let name = [b'a' + step; 2];
                let interned = interner.intern(&name).unwrap();
                prop_assert_eq!(matches!(interned, Interned::Known(_)), known.contains(&step));
                if let Interned::New(alias) = interned {
                    table.declare(alias, name.to_vec()).unwrap();
                    if known.len() == 5 {
                        known.remove(0);
                    }
                    known.push(step);
                }
                prop_assert_eq!(table.meaning(interned.alias()), Some(&name.to_vec()));
            }
        }
    }
}
