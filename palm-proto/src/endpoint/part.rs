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

impl<B: Buffer + Debug> Part<Self> for Span<B> {
    fn some(part: Self) -> Option<Self> {
        Some(part)
    }

    fn part(&self) -> &Self {
        self
    }

    fn part_mut(&mut self) -> &mut Self {
        self
    }

    fn into_part(self) -> Self {
        self
    }
}

impl Part<Self> for Control {
    fn some(part: Self) -> Option<Self> {
        Some(part)
    }

    fn part(&self) -> &Self {
        self
    }

    fn part_mut(&mut self) -> &mut Self {
        self
    }

    fn into_part(self) -> Self {
        self
    }
}

impl<B: Debug> Part<Self> for ZeroMq<B> {
    fn some(part: Self) -> Option<Self> {
        Some(part)
    }

    fn part(&self) -> &Self {
        self
    }

    fn part_mut(&mut self) -> &mut Self {
        self
    }

    fn into_part(self) -> Self {
        self
    }
}
