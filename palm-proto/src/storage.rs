//! Where a machine's tables lie: inline in the machine, or in one allocation made when the machine is.

/// A table of fixed size: `[T; N]` inline, `Box<[T]>` with the `alloc` feature, or `&mut [T]` of the caller's.
///
/// A machine never makes its tables larger or smaller.
pub trait Slots<T>: AsRef<[T]> + AsMut<[T]> {}

impl<T, S: AsRef<[T]> + AsMut<[T]>> Slots<T> for S {}

/// `len` slots in one allocation, each made by `make`.
#[cfg(feature = "alloc")]
pub(crate) fn boxed<T>(len: usize, make: impl FnMut() -> T) -> alloc::boxed::Box<[T]> {
    core::iter::repeat_with(make).take(len).collect()
}
