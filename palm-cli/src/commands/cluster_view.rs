//! What `palm cluster` shows to people.

use std::fmt::Write as _;

use palm_registry::api::{clusters, shares, status::Status, versions};

use super::nodes;
use crate::output::latency::a_second;
use crate::output::table::{self, Table};
use crate::remote::{dash, instant};

/// The list of clusters.
pub(super) fn clusters(clusters: &[clusters::Entry]) -> String {
    let mut table = Table::new(&["ALIAS", "ID", "OWNER", "STATE", "PLACED", "NODES", "CHANGED"]);
    for cluster in clusters {
        table.row([
            dash(cluster.alias.as_deref()),
            cluster.id.clone(),
            cluster.owner.clone(),
            if cluster.ready { "ready" } else { "incomplete" }.to_owned(),
            format!("{}/{}", cluster.placed, cluster.processes),
            cluster.nodes.len().to_string(),
            instant(cluster.changed),
        ]);
    }
    table.text()
}

/// A cluster's state.
pub(super) fn status(status: &Status) -> String {
    let mut out = processes(status);
    if !status.sockets.is_empty() {
        let mut table = Table::new(&["SOCKET", "ADDRESS", "OWNER"]);
        for socket in &status.sockets {
            table.row([socket.name.clone(), dash(socket.address.as_deref()), socket.owner.clone()]);
        }
        out += &format!("\n{}", table.text());
    }
    if !status.nodes.is_empty() {
        let mut table = Table::new(&["NODE", "STATE", "IP", "SLOTS", "PLACED"]);
        for node in &status.nodes {
            let (slots, placed) = (node.processors.to_string(), node.placed.to_string());
            table.row([node.name.clone(), nodes::state(node).to_owned(), node.ip.clone(), slots, placed]);
        }
        out += &format!("\n{}", table.text());
    }
    out.push('\n');
    if status.missing.is_empty() {
        out += "ready: everything has a place\n";
    }
    for lack in &status.missing {
        let _ = writeln!(out, "missing: {}", lack.reason);
    }
    out
}

fn processes(status: &Status) -> String {
    let mut table =
        Table::new(&["COMPONENT", "COPY", "STATE", "NODE", "PID", "RESTARTS", "RATE", "CPU", "MEMORY", "SINCE"]);
    for component in &status.components {
        for process in &component.processes {
            let ended = match (process.exit_code, process.exit_signal) {
                (Some(code), _) => format!(" (exit {code})"),
                (_, Some(signal)) => format!(" (signal {signal})"),
                _ => String::new(),
            };
            let state = match process.state.as_deref() {
                None if process.node.is_none() => "no place",
                None if component.stopped => "stopped",
                None => "unknown",
                Some("exited") if component.stopped => "stopped",
                Some(state) => state,
            };
            table.row([
                component.name.clone(),
                process.copy.to_string(),
                state.to_owned(),
                dash(process.node.as_deref()),
                process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                process.restarts.to_string(),
                process.rate.map_or_else(|| "-".to_owned(), a_second),
                format!("{:.1} s", process.cpu_seconds),
                format!("{} MiB", process.memory_bytes >> 20),
                process.since.map_or_else(|| "-".to_owned(), instant) + &ended,
            ]);
        }
    }
    table.text()
}

/// The versions of a file.
pub(super) fn versions(versions: &[versions::Entry]) -> String {
    let mut table = Table::new(&["VERSION", "SET", "BY"]);
    for version in versions {
        table.row([version.number.to_string(), instant(version.at), version.author.clone()]);
    }
    table.text()
}

/// With whom a cluster is shared.
pub(super) fn shares(shares: &[shares::Entry]) -> String {
    let mut table = Table::new(&["USER", "MAY"]);
    for share in shares {
        table.row([share.user.clone(), share.share.name().to_owned()]);
    }
    table.text()
}

/// A difference, in colours on a terminal.
pub(super) fn diff(diff: &str) -> String {
    if !table::is_coloured() {
        return diff.to_owned();
    }
    let line = |line: &str| match line.as_bytes().first() {
        Some(b'+') => format!("\x1b[32m{line}\x1b[0m\n"),
        Some(b'-') => format!("\x1b[31m{line}\x1b[0m\n"),
        Some(b'@') => format!("\x1b[36m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    };
    diff.lines().map(line).collect()
}
