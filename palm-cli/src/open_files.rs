//! How many files the process may have open, of which each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a component has open besides its connections: sockets, streams, its store, the runtime's own.
const OTHERS: u64 = 64;

/// Raises the number as far as it may be raised, so that there is room for what was promised, and no further: programs that are
/// started inherit it. `otherwise` says what else a person
/// can do if that is not enough.
pub(crate) fn make_room_for(files: usize, what: &str, otherwise: &str) {
    let wanted = u64::try_from(files).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit { current: Some(limit.maximum.map_or(wanted, |most| most.min(wanted))), ..limit };
    if setrlimit(Resource::Nofile, raised).is_err() || raised.current.is_some_and(|current| current < wanted) {
        tracing::warn!(
            "the system allows {} open files, too few for {files} {what}: raise it (ulimit -n){otherwise}",
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        );
    }
}
