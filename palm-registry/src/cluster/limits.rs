//! How large a cluster may be (`docs/registry.md`, section 1). A file that was taken before is read whatever its size.

use std::collections::HashSet;

use super::{Cluster, Component, Flag, Readiness};
use crate::words;

/// Components of a file.
const COMPONENTS_MAX: usize = 10_000;
/// Flags of a component.
const FLAGS_MAX: usize = 1_000;
/// Sockets of a cluster.
const SOCKETS_MAX: usize = 10_000;
/// Processes of a cluster, all copies of all components.
pub(crate) const PROCESSES_MAX: u64 = 50_000;
/// Longest command line, in bytes.
const COMMAND_MAX: usize = 64 << 10;
/// Longest environment of a component, in bytes, with its directory, its check and the names of its nodes.
const ENVIRONMENT_MAX: usize = 64 << 10;
/// What nodes are told of all processes of a cluster, in bytes.
const TOLD_MAX: u64 = 16 << 20;

/// Bytes that an address has, about, where a socket stands.
const ADDRESS: usize = 64;

/// Something of which there is too much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch {
    /// The component that it is about, as an index; `None`: the file.
    pub(super) component: Option<usize>,
    /// The key that it is about.
    pub(super) key: Option<&'static str>,
    /// What there is, and how much there may be.
    pub(super) reason: String,
}

/// The first thing of which a cluster has too much. It takes one pass over the file.
pub(super) fn check(cluster: &Cluster) -> Result<(), TooMuch> {
    let count = cluster.components.len();
    if count > COMPONENTS_MAX {
        let reason = format!("expected {COMPONENTS_MAX} components at most, found {count}");
        return Err(TooMuch { component: Some(COMPONENTS_MAX), key: None, reason });
    }
    let mut sockets = HashSet::new();
    for (index, component) in cluster.components.iter().enumerate() {
        let too_much = |key, what: &str, most: usize, found: usize| {
            let reason = format!("expected {what} of {most} bytes at most, found {found}");
            Err(TooMuch { component: Some(index), key: Some(key), reason })
        };
        if component.flags.len() > FLAGS_MAX {
            let reason = format!("expected {FLAGS_MAX} flags at most, found {}", component.flags.len());
            return Err(TooMuch { component: Some(index), key: Some("flags"), reason });
        }
        let (command, surroundings) = (command(component), surroundings(component));
        if command > COMMAND_MAX {
            return too_much("script", "a command line", COMMAND_MAX, command);
        }
        if surroundings > ENVIRONMENT_MAX {
            return too_much("environment", "an environment", ENVIRONMENT_MAX, surroundings);
        }
        sockets.extend(component.sockets());
        if sockets.len() > SOCKETS_MAX {
            let reason = format!("expected {SOCKETS_MAX} sockets at most in all components");
            return Err(TooMuch { component: Some(index), key: Some("flags"), reason });
        }
    }
    size(cluster.components.iter().map(|component| (component, component.copies())))
        .map_err(|(component, reason)| TooMuch { component: Some(component), key: Some("replicas"), reason })
}

/// Whether so many copies of components are not too many in all; otherwise the index of the first that is too much, and why.
pub(crate) fn size<'a>(copies: impl Iterator<Item = (&'a Component, u32)>) -> Result<(), (usize, String)> {
    let (mut processes, mut told) = (0_u64, 0_u64);
    for (index, (component, copies)) in copies.enumerate() {
        processes += u64::from(copies);
        let each = (command(component) + surroundings(component)) as u64;
        told = told.saturating_add(each.saturating_mul(u64::from(copies)));
        if processes > PROCESSES_MAX {
            return Err((index, format!("expected {PROCESSES_MAX} processes at most in all components")));
        }
        if told > TOLD_MAX {
            let reason =
                format!("expected command lines and environments of {TOLD_MAX} bytes at most in all processes");
            return Err((index, reason));
        }
    }
    Ok(())
}

/// Bytes of a component's command line, with its name.
fn command(component: &Component) -> usize {
    let value = |flag: &Flag| {
        let words: usize = flag.words().iter().map(|word| words::quote(word).len() + 1).sum();
        words + flag.socket().map_or(0, |socket| socket.len() + 2 + ADDRESS)
    };
    let flags = component.flags.iter().map(|flag| flag.name.len() + 1 + value(flag));
    component.name.len() + component.script.len() + flags.sum::<usize>()
}

/// Bytes of what else is said of each process.
fn surroundings(component: &Component) -> usize {
    let extras = &component.extras;
    let variables = extras.environment.iter().map(|(name, value)| name.len() + value.len() + 2);
    let ready = match &extras.ready {
        None => 0,
        Some(Readiness::Cache(text) | Readiness::Tcp(text) | Readiness::Command(text) | Readiness::Line(text)) => {
            text.len()
        }
    };
    let nodes: usize = extras.nodes.iter().map(String::len).sum();
    nodes + variables.sum::<usize>() + extras.directory.as_ref().map_or(0, String::len) + ready
}
