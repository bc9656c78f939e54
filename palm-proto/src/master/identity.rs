//! How the master tells which connections belong to one worker.

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

    /// The same of a process that may come back over another connection.
    pub const fn of_process(process: u32) -> Self {
        Self((process as u64) << 3 | PROCESS | Self::OWN.0)
    }

    /// Which process it is of, if it is of one.
    pub(super) const fn process(self) -> Option<u32> {
        if self.0 & (TOLD | PROCESS) == PROCESS { Some((self.0 >> 3) as u32) } else { None }
    }

    /// That of connections which tell a name with this hash.
    pub const fn from_hash(hash: u64) -> Self {
        Self((hash | TOLD) & !ANSWERS)
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
            _ if self.0 & TOLD != 0 => "told",
            _ => "own",
        })
    }
}

/// The bit of those that are told.
const TOLD: u64 = 1 << 63;
/// The bit of those that are a process's, and not told.
const PROCESS: u64 = 4;
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
        for process in [0, 7, u32::MAX] {
            let holder = Holder::new(Identity::of_process(process), true);
            assert_eq!(holder.identity().process(), Some(process));
            assert!(![Identity::NONE, a, b].into_iter().any(|answerer| holder.believes(answerer)));
        }
        assert_eq!([Identity::NONE, a, b, Identity::OWN].map(Identity::process), [None; 4]);
    }
}
