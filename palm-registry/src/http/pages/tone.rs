//! How a process, a node or a cluster is, at a glance: a shape, a colour, and a word beside it.

use crate::api::status::{NodeStatus, ProcessStatus};

/// A shape and a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Somebody has to look.
    Bad,
    /// Not running on purpose.
    Off,
    /// Without a place.
    Lacks,
    /// Nobody knows.
    Unknown,
}

impl Tone {
    /// What most needs to be looked at comes first.
    pub(super) const BY_NEED: [Self; 6] = [Self::Bad, Self::Unknown, Self::Lacks, Self::Busy, Self::Off, Self::Good];

    /// The class by which it has its colour.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Bad => "bad",
            Self::Off => "off",
            Self::Lacks => "lacks",
            Self::Unknown => "unknown",
        }
    }

    /// Its shape.
    pub(super) const fn glyph(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Busy => "◐",
            Self::Bad => "▲",
            Self::Off => "■",
            Self::Lacks => "○",
            Self::Unknown => "◇",
        }
    }

    /// Where it comes in [`Self::BY_NEED`].
    pub(super) fn need(self) -> usize {
        Self::BY_NEED.iter().position(|tone| *tone == self).unwrap_or(Self::BY_NEED.len())
    }
}

/// The words for what processes do.
pub(super) const WORDS: [&str; 12] = [
    "ready",
    "running",
    "starting",
    "waiting",
    "stopping",
    "stopped",
    "exited",
    "failed",
    "crash loop",
    "no place",
    "placed",
    "unknown",
];

/// What a process does; of one on a node that says nothing, nobody knows.
pub(super) fn of_process(
    process: &ProcessStatus,
    stopped: bool,
    is_silent: impl Fn(&str) -> bool,
) -> (&'static str, Tone) {
    match (process.state.as_deref(), &process.node) {
        (_, None) => ("no place", Tone::Lacks),
        (_, Some(node)) if is_silent(node) => ("unknown", Tone::Unknown),
        (None, Some(_)) if stopped => ("stopped", Tone::Off),
        (None, Some(_)) => ("placed", Tone::Unknown),
        (Some("ready"), _) => ("ready", Tone::Good),
        (Some("running"), _) => ("running", Tone::Good),
        (Some("starting"), _) => ("starting", Tone::Busy),
        (Some("waiting"), _) => ("waiting", Tone::Busy),
        (Some("stopping"), _) => ("stopping", Tone::Busy),
        (Some("exited"), _) if stopped => ("stopped", Tone::Off),
        (Some("exited"), _) => ("exited", Tone::Off),
        (Some("crash-loop"), _) => ("crash loop", Tone::Bad),
        (Some("failed"), _) => ("failed", Tone::Bad),
        (Some(_), _) => ("unknown", Tone::Unknown),
    }
}

/// Whether a node says what it should. One that never gives a sign of life runs the Python runner, or has said that it leaves.
pub(super) const fn of_node(node: &NodeStatus) -> (&'static str, Tone) {
    match (node.silent, node.seen) {
        (true, Some(_)) => ("silent", Tone::Bad),
        (true, None) => ("left", Tone::Off),
        (false, Some(_)) => ("alive", Tone::Good),
        (false, None) => ("gives no signs of life", Tone::Unknown),
    }
}
