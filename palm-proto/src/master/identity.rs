//! By what the connections of one worker are known to belong together.

use core::fmt;

/// What a worker's connections have in common: that over which it is sent tasks, and that over which it answers.
///
/// A stock Python worker tells nothing of the kind: then the name of a task, which only who was sent it knows, is all the proof there is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(u64);

impl Identity {
    /// Of a connection that tells none.
    pub const NONE: Self = Self(0);
    /// Of a worker that is sent tasks and answers over one connection: no other's answers count for what it holds.
    pub const OWN: Self = Self(ANSWERS << 1);

    /// That of connections which tell a name with this hash.
    pub const fn from_hash(hash: u64) -> Self {
        // Those below are taken.
        Self((hash | 1 << 63) & !ANSWERS)
    }

    /// Whether there is any.
    pub const fn is_some(self) -> bool {
        self.0 != Self::NONE.0
    }
}

impl fmt::Debug for Identity {
    /// It is a hash of what strangers are not to learn.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NONE => "none",
            Self::OWN => "own",
            _ => "told",
        })
    }
}

/// The bit for whether a connection for answers with the identity has been seen.
const ANSWERS: u64 = 1;

/// What a worker is known by, which tells whose answers count for what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder(Identity);

impl Holder {
    /// Somebody of whom nothing is known.
    pub(super) const UNKNOWN: Self = Self(Identity::NONE);

    /// A worker of this identity; `answers`: a connection for answers with it has been seen.
    pub(super) const fn new(Identity(identity): Identity, answers: bool) -> Self {
        let answers = if answers && identity != 0 { ANSWERS } else { 0 };
        Self(Identity(identity | answers))
    }

    pub(super) const fn identity(self) -> Identity {
        Identity((self.0).0 & !ANSWERS)
    }

    /// Whether an answer counts that comes over a connection of this identity: over the worker's own, or over one without, if the
    /// worker has shown none of its own.
    #[inline]
    pub(super) const fn believes(self, Identity(answerer): Identity) -> bool {
        answerer == self.identity().0 || answerer == 0 && (self.0).0 & ANSWERS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_from_where_they_can_be_told_to_come() {
        let [a, b] = [0, u64::MAX].map(Identity::from_hash);
        for (holder, counts) in [
            // Nobody, A, B, a worker that answers over the same connection.
            (Holder::UNKNOWN, [true, false, false, false]),
            (Holder::new(Identity::NONE, true), [true, false, false, false]),
            (Holder::new(a, false), [true, true, false, false]),
            (Holder::new(a, true), [false, true, false, false]),
            (Holder::new(b, true), [false, false, true, false]),
            (Holder::new(Identity::OWN, true), [false, false, false, true]),
        ] {
            let believed = [Identity::NONE, a, b, Identity::OWN].map(|answerer| holder.believes(answerer));
            assert_eq!(believed, counts, "{holder:?}");
        }
        assert_eq!(Holder::new(b, true).identity(), b);
    }
}
