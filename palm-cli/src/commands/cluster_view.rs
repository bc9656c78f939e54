//! What `palm cluster` shows to people.

use std::fmt::Write as _;

use serde_json::Value;

use super::nodes;
use crate::output::latency::a_second;
use crate::output::table::{self, Table};
use crate::remote::{self, dash, instant, is, list, number, text};

/// The list of clusters.
pub(super) fn clusters(clusters: &Value) -> String {
    let mut table = Table::new(&["ALIAS", "ID", "OWNER", "STATE", "PLACED", "NODES", "CHANGED"]);
    for cluster in remote::items(clusters) {
        table.row([
            dash(text(cluster, "alias")),
            text(cluster, "id").to_owned(),
            text(cluster, "owner").to_owned(),
            if is(cluster, "ready") { "ready" } else { "incomplete" }.to_owned(),
            format!("{}/{}", number(cluster, "placed"), number(cluster, "processes")),
            list(cluster, "nodes").len().to_string(),
            instant(number(cluster, "changed")),
        ]);
    }
    table.text()
}

/// A cluster's state.
pub(super) fn status(status: &Value) -> String {
    let mut processes =
        Table::new(&["COMPONENT", "COPY", "STATE", "NODE", "PID", "RESTARTS", "RATE", "CPU", "MEMORY", "SINCE"]);
    for component in list(status, "components") {
        for process in list(component, "processes") {
            let optional = |key: &str| process.get(key).and_then(Value::as_i64);
            let ended = match (optional("exit_code"), optional("exit_signal")) {
                (Some(code), _) => format!(" (exit {code})"),
                (_, Some(signal)) => format!(" (signal {signal})"),
                _ => String::new(),
            };
            let state = match text(process, "state") {
                "" if text(process, "node").is_empty() => "no place",
                "" if is(component, "stopped") => "stopped",
                "" => "unknown",
                state => state,
            };
            processes.row([
                text(component, "name").to_owned(),
                number(process, "copy").to_string(),
                state.to_owned(),
                dash(text(process, "node")),
                optional("pid").map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                number(process, "restarts").to_string(),
                process.get("rate").and_then(Value::as_f64).map_or_else(|| "-".to_owned(), a_second),
                format!("{:.1} s", process.get("cpu_seconds").and_then(Value::as_f64).unwrap_or_default()),
                format!("{} MiB", number(process, "memory_bytes") >> 20),
                optional("since").map_or_else(|| "-".to_owned(), instant) + &ended,
            ]);
        }
    }
    let mut out = processes.text();
    if !list(status, "sockets").is_empty() {
        let mut sockets = Table::new(&["SOCKET", "ADDRESS", "OWNER"]);
        for socket in list(status, "sockets") {
            sockets.row([
                text(socket, "name").to_owned(),
                dash(text(socket, "address")),
                text(socket, "owner").to_owned(),
            ]);
        }
        out += &format!("\n{}", sockets.text());
    }
    if !list(status, "nodes").is_empty() {
        let mut table = Table::new(&["NODE", "STATE", "IP", "SLOTS", "PLACED"]);
        for node in list(status, "nodes") {
            let [name, ip] = ["name", "ip"].map(|key| text(node, key).to_owned());
            let [slots, placed] = ["processors", "placed"].map(|key| number(node, key).to_string());
            table.row([name, nodes::state(node).to_owned(), ip, slots, placed]);
        }
        out += &format!("\n{}", table.text());
    }
    out.push('\n');
    let missing = list(status, "missing");
    if missing.is_empty() {
        out += "ready: everything has a place\n";
    }
    for lack in missing {
        let _ = writeln!(out, "missing: {}", text(lack, "reason"));
    }
    out
}

/// The versions of a file.
pub(super) fn versions(versions: &Value) -> String {
    let mut table = Table::new(&["VERSION", "SET", "BY"]);
    for version in remote::items(versions) {
        let number = number(version, "number").to_string();
        table.row([number, instant(remote::number(version, "at")), text(version, "author").to_owned()]);
    }
    table.text()
}

/// With whom a cluster is shared.
pub(super) fn shares(shares: &Value) -> String {
    let mut table = Table::new(&["USER", "MAY"]);
    for share in remote::items(shares) {
        table.row([text(share, "user").to_owned(), text(share, "share").to_owned()]);
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
