//! A short queue, of a capacity that its type says.

use core::fmt::Debug;

/// First in, first out, inline.
pub trait Queue<T>: Default + Debug {
    /// Adds an entry.
    ///
    /// # Errors
    /// Gives the entry back if the queue is full.
    fn push(&mut self, entry: T) -> Result<(), T>;

    /// Takes the first entry out.
    fn pop(&mut self) -> Option<T>;
}

impl<T: Debug, const N: usize> Queue<T> for heapless::Deque<T, N> {
    fn push(&mut self, entry: T) -> Result<(), T> {
        self.push_back(entry)
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }
}
