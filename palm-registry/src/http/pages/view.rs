//! A cluster's state as people look at it: however many nodes and copies it has, a few numbers of each component and of a page of nodes.

use std::collections::{BTreeMap, HashMap, HashSet};

use links::{bound, links};

use super::paging::Pages;
use super::processes::Row;
use super::show;
use super::tone::{self, Tone};
use crate::api::status::{ComponentStatus, NodeStatus, ProcessStatus, Status};
use crate::cluster::Cluster;

/// Nodes of a component that are shown each by itself, unless there are no more than one more.
const GROUPS: usize = 5;
/// Copies on a node that are shown each by itself.
pub(super) const MARKS: usize = 6;
/// Components that a node runs, or nodes that a component is on, which are named.
const NAMED: usize = 4;
/// Processes in trouble that are shown.
const TROUBLES: usize = 10;

/// The clusters' state in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glance {
    pub(super) word: String,
    pub(super) tone: Tone,
    /// Processes that run.
    pub(super) running: usize,
    /// Processes in all.
    pub(super) wanted: usize,
    pub(super) nodes: usize,
    pub(super) silent: usize,
    /// What is missing, as sentences.
    pub(super) missing: Vec<String>,
}

impl Glance {
    pub(super) fn new(status: &Status) -> Self {
        let silent = silent(status);
        let mut counts: HashMap<Tone, usize> = HashMap::new();
        for component in &status.components {
            for process in &component.processes {
                *counts.entry(tone_of(component, process, &silent).1).or_default() += 1;
            }
        }
        let count = |tone| counts.get(&tone).copied().unwrap_or_default();
        let (running, bad, wanted) = (count(Tone::Good), count(Tone::Bad), counts.values().sum());
        let missing = status.missing.len();
        let (word, tone) = match () {
            () if !silent.is_empty() => (counted(silent.len(), "silent node"), Tone::Bad),
            () if bad > 0 => (counted(bad, "failing process"), Tone::Bad),
            () if missing > 0 => (format!("{missing} missing"), Tone::Lacks),
            () if wanted > 0 && running == wanted => ("all running".to_owned(), Tone::Good),
            () if count(Tone::Off) == wanted => ("stopped".to_owned(), Tone::Off),
            () if count(Tone::Busy) > 0 => ("starting or stopping".to_owned(), Tone::Busy),
            () if count(Tone::Unknown) > 0 => ("placed".to_owned(), Tone::Unknown),
            () => ("partly running".to_owned(), Tone::Good),
        };
        let missing = status.missing.iter().map(|lack| lack.reason.clone()).collect();
        Self { word, tone, running, wanted, nodes: status.nodes.len(), silent: silent.len(), missing }
    }
}

/// Copies that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    pub(super) count: usize,
}

/// One copy of few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) tone: Tone,
    pub(super) title: String,
}

/// Copies of a component on one node, or on all the nodes that are not shown by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The node; empty: without a place.
    pub(super) node: String,
    pub(super) is_silent: bool,
    /// How many nodes more this stands for.
    pub(super) rest: usize,
    /// Each copy, if they are few.
    pub(super) marks: Vec<Mark>,
    /// How many there are of each kind, what most needs to be looked at first.
    pub(super) counts: Vec<(Tone, usize)>,
}

impl Group {
    fn add(&mut self, tone: Tone, count: usize) {
        match self.counts.iter_mut().find(|(other, _)| *other == tone) {
            Some((_, known)) => *known += count,
            None => self.counts.push((tone, count)),
        }
    }
    fn need(&self) -> usize {
        self.counts.iter().map(|(tone, _)| tone.need()).min().unwrap_or(usize::MAX)
    }
    /// Copies in all.
    pub(super) fn copies(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
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
    pub(super) copies: usize,
    /// Its copies by what they do, the most frequent first.
    pub(super) counts: Vec<Counted>,
    /// Its copies by node.
    pub(super) groups: Vec<Group>,
    /// Where they are, in words.
    pub(super) nodes: String,
    pub(super) bound: Vec<Bound>,
    pub(super) cpu: String,
    pub(super) memory: String,
    /// Messages that its copies have handled; empty: they do not tell.
    pub(super) messages: String,
    /// And a second.
    pub(super) rate: String,
}

impl Card {
    fn new(component: &ComponentStatus, bound: Vec<Bound>, silent: &HashSet<&str>) -> Self {
        let all = &component.processes;
        let mut counts: Vec<Counted> = Vec::new();
        for process in all {
            let (word, tone) = tone_of(component, process, silent);
            match counts.iter_mut().find(|counted| counted.word == word) {
                Some(counted) => counted.count += 1,
                None => counts.push(Counted { word, tone, count: 1 }),
            }
        }
        counts.sort_by_key(|counted| std::cmp::Reverse(counted.count));
        let (groups, nodes) = groups(component, silent);
        let rates: Vec<f64> = all.iter().filter_map(|process| process.rate).collect();
        let totals: Vec<u64> = all.iter().filter_map(|process| process.messages).collect();
        Self {
            name: component.name.clone(),
            role: component.role.clone().unwrap_or_default(),
            stopped: component.stopped,
            copies: all.len(),
            counts,
            groups,
            nodes,
            bound,
            cpu: show::seconds(all.iter().map(|process| process.cpu_seconds).sum()),
            memory: show::bytes(all.iter().map(|process| process.memory_bytes).sum()),
            messages: if totals.is_empty() {
                String::new()
            } else {
                show::count(totals.iter().fold(0, |sum, total| sum.saturating_add(*total)))
            },
            rate: if rates.is_empty() { String::new() } else { show::rate(rates.iter().sum()) },
        }
    }

    /// How its copies are, the most frequent first: `3 ready, 1 failed`.
    pub(super) fn summary(&self) -> String {
        let counts =
            self.counts.iter().map(|counted| format!("{} {}", show::count(counted.count as u64), counted.word));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// What most needs to be looked at.
    pub(super) fn tone(&self) -> Tone {
        self.counts.iter().map(|counted| counted.tone).min_by_key(|tone| tone.need()).unwrap_or(Tone::Off)
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
    /// The components that it has copies of.
    pub(super) runs: String,
}

impl NodeView {
    pub(super) fn new(node: &NodeStatus) -> Self {
        let (word, tone) = tone::of_node(node);
        let load = format!("{} of {}", node.placed, node.processors);
        Self { name: node.name.clone(), ip: node.ip.clone(), load, seen: node.seen, word, tone, runs: String::new() }
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
    pub(super) glance: Glance,
    /// A page of its components; all, if it can be drawn.
    pub(super) cards: Vec<Card>,
    pub(super) card_pages: Pages,
    pub(super) links: Vec<Link>,
    /// A page of its nodes, with those that say nothing first.
    pub(super) nodes: Vec<NodeView>,
    pub(super) node_pages: Pages,
    /// The first of those that fail.
    pub(super) troubles: Vec<Row>,
}

impl View {
    /// What a page shows, with these pages of components and of nodes.
    pub(super) fn new(cluster: &Cluster, status: &Status, cards: &str, nodes: &str) -> Self {
        let silent = silent(status);
        let (links, binds) = links(cluster, status);
        let mut bound = bound(&binds, status);
        let card = |(index, component): (usize, &ComponentStatus)| {
            Card::new(component, bound.remove(&index).unwrap_or_default(), &silent)
        };
        let card_pages = Pages::new(cards, status.components.len(), "?components=".to_owned());
        let components = status.components.iter().enumerate();
        let node_pages = Pages::new(nodes, status.nodes.len(), "?nodes=".to_owned());
        let mut order: Vec<_> = status.nodes.iter().collect();
        order.sort_by_key(|node| !silent.contains(node.name.as_str()));
        let mut nodes: Vec<_> =
            order.get(node_pages.range()).unwrap_or_default().iter().map(|node| NodeView::new(node)).collect();
        fill(&mut nodes, status);
        let troubles = status.components.iter().flat_map(|component| {
            let bad = component.processes.iter().filter(|process| tone_of(component, process, &silent).1 == Tone::Bad);
            bad.map(|process| Row::new(component, process, &silent))
        });
        Self {
            glance: Glance::new(status),
            cards: components.skip(card_pages.range().start).take(card_pages.range().len()).map(card).collect(),
            card_pages,
            links,
            troubles: troubles.take(TROUBLES).collect(),
            nodes,
            node_pages,
        }
    }
}

/// The nodes that should have given a sign of life.
pub(super) fn silent(status: &Status) -> HashSet<&str> {
    status.nodes.iter().filter(|node| node.silent).map(|node| node.name.as_str()).collect()
}

pub(super) fn tone_of(
    component: &ComponentStatus,
    process: &ProcessStatus,
    silent: &HashSet<&str>,
) -> (&'static str, Tone) {
    tone::of_process(process, component.stopped, |node| silent.contains(node))
}

/// A component's copies by node, and the names of those in words.
fn groups(component: &ComponentStatus, silent: &HashSet<&str>) -> (Vec<Group>, String) {
    let mut by_node: BTreeMap<&str, Group> = BTreeMap::new();
    for process in &component.processes {
        let node = process.node.as_deref().unwrap_or_default();
        let (word, tone) = tone_of(component, process, silent);
        let group = by_node.entry(node).or_default();
        group.add(tone, 1);
        // One too many tells that they are not few.
        if group.marks.len() <= MARKS {
            group.marks.push(Mark { tone, title: format!("copy {}: {word}", process.copy) });
        }
    }
    let names: Vec<_> = by_node.keys().filter(|name| !name.is_empty()).copied().collect();
    let words = some(&names);
    let mut groups: Vec<_> = by_node
        .into_iter()
        .map(|(node, group)| Group { node: node.to_owned(), is_silent: silent.contains(node), ..group })
        .collect();
    if groups.len() > GROUPS + 1 {
        groups.sort_by_key(Group::need);
        let mut rest = Group::default();
        for group in groups.drain(GROUPS..) {
            rest.rest += usize::from(!group.node.is_empty());
            group.counts.iter().for_each(|(tone, count)| rest.add(*tone, *count));
        }
        groups.push(rest);
    }
    for group in &mut groups {
        group.counts.sort_by_key(|(tone, _)| tone.need());
        if group.marks.len() > MARKS {
            group.marks.clear();
        }
    }
    (groups, words)
}

/// Says what each of these nodes runs.
fn fill(nodes: &mut [NodeView], status: &Status) {
    let index: HashMap<String, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.name.clone(), index)).collect();
    let mut runs: Vec<Vec<String>> = vec![Vec::new(); nodes.len()];
    for component in &status.components {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for process in &component.processes {
            if let Some(index) = process.node.as_ref().and_then(|node| index.get(node)) {
                *counts.entry(*index).or_default() += 1;
            }
        }
        for (index, count) in counts {
            let copies = if count > 1 { format!(" ×{count}") } else { String::new() };
            runs[index].push(format!("{}{copies}", component.name));
        }
    }
    for (node, runs) in nodes.iter_mut().zip(runs) {
        node.runs = some(&runs);
    }
}

/// The first of some names, and how many more there are.
fn some(names: &[impl AsRef<str>]) -> String {
    let named = names.iter().take(if names.len() > NAMED + 1 { NAMED } else { names.len() });
    let text = named.map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 | 1 => text,
        more => format!("{text} and {more} more"),
    }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) if what.ends_with('s') => format!("{count} {what}es"),
        (_, None) => format!("{count} {what}s"),
    }
}

mod links;
#[cfg(test)]
mod tests;
