//! What has come over the line and has not been looked at: an interrupt puts it in, the main loop takes it out.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// A queue of `N` bytes, a power of two, between one context that puts in and one that takes out.
pub(crate) struct Ring<const N: usize> {
    bytes: [AtomicU8; N],
    /// Bytes put in so far, and taken out.
    put: AtomicUsize,
    taken: AtomicUsize,
}

impl<const N: usize> Ring<N> {
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two());
        Self { bytes: [const { AtomicU8::new(0) }; N], put: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
    }

    /// Puts a byte in. One for which there is no room is lost, which the checksum of its frame tells.
    pub(crate) fn put(&self, byte: u8) {
        let put = self.put.load(Ordering::Relaxed);
        if put.wrapping_sub(self.taken.load(Ordering::Acquire)) < N {
            self.bytes[put % N].store(byte, Ordering::Relaxed);
            self.put.store(put.wrapping_add(1), Ordering::Release);
        }
    }

    /// Takes the oldest byte out.
    pub(crate) fn take(&self) -> Option<u8> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.put.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes[taken % N].load(Ordering::Relaxed);
        self.taken.store(taken.wrapping_add(1), Ordering::Release);
        Some(byte)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.put.load(Ordering::Acquire)
    }
}
