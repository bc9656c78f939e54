//! A cluster's state as people look at it.

use std::collections::BTreeMap;

use super::show;
use crate::api::status::{NodeStatus, ProcessStatus, Status};
use crate::cluster::{Cluster, start_order};

/// How a process, a node or a cluster is, at a glance: a shape, a colour, and a word beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The class by which it has its colour.
    pub(super) fn class(self) -> &'static str {
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
    pub(super) fn glyph(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Busy => "◐",
            Self::Bad => "▲",
            Self::Off => "■",
            Self::Lacks => "○",
            Self::Unknown => "◇",
        }
    }
}

/// One of a component's processes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Copy {
    pub(super) number: u32,
    pub(super) node: String,
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    pub(super) since: i64,
    pub(super) pid: String,
    pub(super) restarts: u64,
    pub(super) exit: String,
    pub(super) cpu: String,
    pub(super) memory: String,
}

impl Copy {
    /// What it is, in one line.
    pub(super) fn line(&self) -> String {
        let place = if self.node.is_empty() { String::new() } else { format!(" on {}", self.node) };
        format!("copy {}: {}{place}", self.number, self.word)
    }
    pub(super) fn machine(&self) -> String {
        show::machine(self.since)
    }
    pub(super) fn instant(&self) -> String {
        show::instant(self.since)
    }
}

/// A socket that a component binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) name: String,
    pub(super) address: String,
}

/// A component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Card {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) stopped: bool,
    pub(super) copies: Vec<Copy>,
    pub(super) bound: Vec<Bound>,
    pub(super) cpu: String,
    pub(super) memory: String,
}

impl Card {
    /// How its copies are, the most frequent first: `3 ready, 1 failed`.
    pub(super) fn summary(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for copy in &self.copies {
            *counts.entry(copy.word).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    /// What most needs to be looked at.
    pub(super) fn tone(&self) -> Tone {
        const BY_NEED: [Tone; 6] = [Tone::Bad, Tone::Unknown, Tone::Lacks, Tone::Busy, Tone::Off, Tone::Good];
        let has = |tone: &Tone| self.copies.iter().any(|copy| copy.tone == *tone);
        BY_NEED.into_iter().find(has).unwrap_or(Tone::Off)
    }

    /// Where its copies are.
    pub(super) fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<_> =
            self.copies.iter().map(|copy| copy.node.as_str()).filter(|node| !node.is_empty()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// Two components that are connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Index of the component that binds, or comes first.
    pub(super) from: usize,
    /// Index of the one that connects.
    pub(super) to: usize,
    /// The sockets, by name; none: it is only placed after the other.
    pub(super) sockets: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeView {
    pub(super) name: String,
    pub(super) ip: String,
    pub(super) load: String,
    pub(super) seen: Option<i64>,
    pub(super) word: &'static str,
    pub(super) tone: Tone,
}

impl NodeView {
    pub(super) fn new(node: &NodeStatus) -> Self {
        // One that never gives a sign of life runs the Python runner, or has said that it leaves.
        let (word, tone) = match (node.silent, node.seen) {
            (true, Some(_)) => ("silent", Tone::Bad),
            (true, None) => ("left", Tone::Off),
            (false, Some(_)) => ("alive", Tone::Good),
            (false, None) => ("gives no signs of life", Tone::Unknown),
        };
        let load = format!("{} of {}", node.placed, node.processors);
        Self { name: node.name.clone(), ip: node.ip.clone(), load, seen: node.seen, word, tone }
    }
    pub(super) fn machine(&self) -> String {
        self.seen.map(show::machine).unwrap_or_default()
    }
    pub(super) fn instant(&self) -> String {
        self.seen.map(show::instant).unwrap_or_default()
    }
}

/// A cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) cards: Vec<Card>,
    pub(super) links: Vec<Link>,
    pub(super) nodes: Vec<NodeView>,
    pub(super) missing: Vec<String>,
    /// Processes that run.
    pub(super) running: usize,
    /// Processes in all.
    pub(super) wanted: usize,
    pub(super) word: String,
    pub(super) tone: Tone,
}

impl View {
    pub(super) fn new(cluster: &Cluster, status: &Status) -> Self {
        let silent: Vec<&str> = status.nodes.iter().filter(|node| node.silent).map(|node| node.name.as_str()).collect();
        let (links, binds) = links(cluster, status);
        let cards: Vec<_> = status
            .components
            .iter()
            .enumerate()
            .map(|(index, component)| {
                let copy = |process| self::copy(process, component.stopped, &silent);
                let bound = binds.iter().filter(|(_, owner)| **owner == index).map(|(name, _)| {
                    let socket = status.sockets.iter().find(|socket| socket.name == *name);
                    let address = socket.and_then(|socket| socket.address.clone()).unwrap_or_default();
                    Bound { name: (*name).to_owned(), address }
                });
                let seconds: f64 = component.processes.iter().map(|process| process.cpu_seconds).sum();
                let memory = component.processes.iter().map(|process| process.memory_bytes).sum();
                Card {
                    name: component.name.clone(),
                    role: component.role.clone().unwrap_or_default(),
                    stopped: component.stopped,
                    copies: component.processes.iter().map(copy).collect(),
                    bound: bound.collect(),
                    cpu: show::seconds(seconds),
                    memory: show::bytes(memory),
                }
            })
            .collect();
        let all = || cards.iter().flat_map(|card| &card.copies);
        let (running, wanted) = (all().filter(|copy| copy.tone == Tone::Good).count(), all().count());
        let bad = all().filter(|copy| copy.tone == Tone::Bad).count();
        let (word, tone) = match () {
            () if !silent.is_empty() => (counted(silent.len(), "silent node"), Tone::Bad),
            () if bad > 0 => (counted(bad, "failing process"), Tone::Bad),
            () if !status.missing.is_empty() => (format!("{} missing", status.missing.len()), Tone::Lacks),
            () if wanted > 0 && running == wanted => ("all running".to_owned(), Tone::Good),
            () if all().all(|copy| copy.tone == Tone::Off) => ("stopped".to_owned(), Tone::Off),
            () if all().any(|copy| copy.tone == Tone::Busy) => ("starting or stopping".to_owned(), Tone::Busy),
            () if all().any(|copy| copy.tone == Tone::Unknown) => ("placed".to_owned(), Tone::Unknown),
            () => ("partly running".to_owned(), Tone::Good),
        };
        let missing = status.missing.iter().map(|lack| lack.reason.clone()).collect();
        let nodes = status.nodes.iter().map(NodeView::new).collect();
        Self { cards, links, nodes, missing, running, wanted, word, tone }
    }
}

fn counted(count: usize, what: &str) -> String {
    match (count, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{count} {what}es"),
        _ => format!("{count} {what}s"),
    }
}

fn copy(process: &ProcessStatus, stopped: bool, silent: &[&str]) -> Copy {
    let node = process.node.clone().unwrap_or_default();
    let (word, tone) = match (process.state.as_deref(), &process.node) {
        (_, None) => ("no place", Tone::Lacks),
        (_, Some(node)) if silent.contains(&node.as_str()) => ("unknown", Tone::Unknown),
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
    };
    let exit = match (process.exit_code, process.exit_signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    };
    Copy {
        number: process.copy,
        node,
        word,
        tone,
        since: process.since.unwrap_or_default(),
        pid: process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        restarts: process.restarts,
        exit,
        cpu: show::seconds(process.cpu_seconds),
        memory: show::bytes(process.memory_bytes),
    }
}

/// Who is connected with whom, and which component binds which socket.
fn links<'a>(cluster: &'a Cluster, status: &'a Status) -> (Vec<Link>, BTreeMap<&'a str, usize>) {
    let index = |name: &str| cluster.components.iter().position(|component| component.name == name);
    let mut binds: BTreeMap<&str, usize> = BTreeMap::new();
    for socket in &status.sockets {
        if let Some(owner) = index(&socket.owner) {
            binds.insert(&socket.name, owner);
        }
    }
    // What is not bound yet will be by the first that is placed.
    for first in start_order(cluster) {
        for socket in cluster.components[first].sockets() {
            binds.entry(socket).or_insert(first);
        }
    }
    let mut pairs: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (to, component) in cluster.components.iter().enumerate() {
        for socket in component.sockets() {
            let from = binds.get(socket).copied().unwrap_or(to);
            let names = pairs.entry((from, to)).or_default();
            if from != to && !names.iter().any(|name| name == socket) {
                names.push(socket.to_owned());
            }
        }
    }
    for (to, component) in cluster.components.iter().enumerate() {
        for from in component.connected.iter().filter_map(|name| index(name)) {
            pairs.entry((from, to)).or_default();
        }
    }
    pairs.retain(|(from, to), _| from != to);
    (pairs.into_iter().map(|((from, to), sockets)| Link { from, to, sockets }).collect(), binds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "[Master]\nScript = m\n--db = _1\n[Worker]\nScript = w\n--db = _1\nConnected = Master\nReplicas = 1\n";

    fn process(copy: u32, node: Option<&str>, state: Option<&str>) -> ProcessStatus {
        ProcessStatus {
            copy,
            node: node.map(str::to_owned),
            state: state.map(str::to_owned),
            since: None,
            pid: None,
            restarts: 0,
            exit_code: None,
            exit_signal: None,
            cpu_seconds: 0.0,
            memory_bytes: 0,
        }
    }

    #[test]
    fn of_a_node_that_says_nothing_nobody_knows_what_it_runs() {
        let reported = process(0, Some("n"), Some("ready"));
        assert_eq!((copy(&reported, false, &[]).word, copy(&reported, false, &["n"]).word), ("ready", "unknown"));
        assert_eq!(copy(&process(0, None, Some("ready")), false, &[]).tone, Tone::Lacks);
        let ended = process(0, Some("n"), Some("exited"));
        assert_eq!((copy(&ended, true, &[]).word, copy(&ended, false, &[]).word), ("stopped", "exited"));
        assert_eq!(copy(&process(0, Some("n"), Some("crash-loop")), false, &[]).tone, Tone::Bad);
    }

    #[test]
    fn who_will_bind_a_socket_is_known_before_it_is_placed() {
        let cluster = Cluster::from_ini(FILE).unwrap();
        let status = Status {
            ready: false,
            components: Vec::new(),
            sockets: Vec::new(),
            nodes: Vec::new(),
            missing: Vec::new(),
        };
        let (found, binds) = links(&cluster, &status);
        assert_eq!(found, [Link { from: 0, to: 1, sockets: vec!["1".to_owned()] }]);
        assert_eq!(binds.get("1"), Some(&0));
    }

    #[test]
    fn counts_are_words() {
        assert_eq!(
            (counted(1, "silent node"), counted(2, "silent node")),
            ("1 silent node".into(), "2 silent nodes".into())
        );
        assert_eq!(counted(2, "failing process"), "2 failing processes");
    }
}
