//! Where a table's entries lie: inline, or on the heap.

/// A vector with a capacity that is chosen when it is made and never exceeded.
///
/// [`heapless::Vec`] keeps its entries inline; `HeapTable` (with the `alloc` feature) on the heap, in memory that is
/// touched only as entries come into use.
pub trait Table<T>: AsRef<[T]> + AsMut<[T]> {
    /// Most entries that it can hold.
    fn capacity(&self) -> usize;

    /// Adds an entry.
    ///
    /// # Errors
    /// Gives the entry back if the table is full.
    fn push(&mut self, entry: T) -> Result<(), T>;

    /// Takes the last entry out.
    fn pop(&mut self) -> Option<T>;
}

impl<T, const N: usize> Table<T> for heapless::Vec<T, N> {
    fn capacity(&self) -> usize {
        N
    }

    fn push(&mut self, entry: T) -> Result<(), T> {
        Self::push(self, entry)
    }

    fn pop(&mut self) -> Option<T> {
        Self::pop(self)
    }
}

/// A table on the heap, sized at run time.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct HeapTable<T> {
    entries: alloc::vec::Vec<T>,
    capacity: usize,
}

#[cfg(feature = "alloc")]
impl<T> HeapTable<T> {
    /// A table for up to `capacity` entries, for all of which it sets memory aside.
    pub fn new(capacity: usize) -> Self {
        Self { entries: alloc::vec::Vec::with_capacity(capacity), capacity }
    }
}

#[cfg(feature = "alloc")]
impl<T> AsRef<[T]> for HeapTable<T> {
    fn as_ref(&self) -> &[T] {
        &self.entries
    }
}

#[cfg(feature = "alloc")]
impl<T> AsMut<[T]> for HeapTable<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.entries
    }
}

#[cfg(feature = "alloc")]
impl<T> Table<T> for HeapTable<T> {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn push(&mut self, entry: T) -> Result<(), T> {
        if self.entries.len() == self.capacity {
            return Err(entry);
        }
        self.entries.push(entry);
        Ok(())
    }

    fn pop(&mut self) -> Option<T> {
        self.entries.pop()
    }
}
