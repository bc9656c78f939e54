//! What an endpoint may do without, so that it takes no room there.

use core::fmt::Debug;

use crate::buffer::{Buffer, Span};

use super::peer::{Control, ZeroMq};

/// A part that a storage type either has, as the `T` itself, or leaves out, as [`Absent`].
pub trait Part<T>: Debug + Sized {
    /// `part`, if there is such a part here.
    fn some(part: T) -> Option<Self>;

    /// The part.
    fn part(&self) -> &T;

    /// The part.
    fn part_mut(&mut self) -> &mut T;

    /// The part.
    fn into_part(self) -> T;
}

/// A part that an endpoint does without; there is no value of this type, and the code for the part is left out.
#[derive(Clone, Copy, Debug)]
pub enum Absent {}

impl<T> Part<T> for Absent {
    fn some(_: T) -> Option<Self> {
        None
    }

    fn part(&self) -> &T {
        match *self {}
    }

    fn part_mut(&mut self) -> &mut T {
        match *self {}
    }

    fn into_part(self) -> T {
        match self {}
    }
}

/// A type that may be a part, and is one where a storage type has it.
pub trait Whole: Debug {}

impl<B: Buffer + Debug> Whole for Span<B> {}
impl Whole for Control {}
impl<B: Debug> Whole for ZeroMq<B> {}

impl<T: Whole> Part<T> for T {
    fn some(part: T) -> Option<T> {
        Some(part)
    }

    fn part(&self) -> &T {
        self
    }

    fn part_mut(&mut self) -> &mut T {
        self
    }

    fn into_part(self) -> T {
        self
    }
}
