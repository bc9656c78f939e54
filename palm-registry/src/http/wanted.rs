//! What a node is to run, as its runner is told.

use std::collections::HashMap;

use crate::cluster::Readiness;
use crate::plan::{Command, Instance, Plan};
use crate::store::Nodes;
use crate::wire::WantedProcess;

/// Processes of a node, and copies that they wait for, from which on it takes long to say what they are to be.
const MANY: usize = 256;
const COPIES: u64 = 2000;
/// How long a process may take to end if its file does not say, in seconds.
const GRACE_SECONDS: u64 = 10;

/// Whether it takes long to say what a node is to run: it has many processes, or they are connected to many.
pub(super) fn is_long(plan: &Plan, node: &str) -> bool {
    let instances = plan.node(node).map_or(&[][..], |node| &node.instances);
    if instances.len() > MANY {
        return true;
    }
    let mut names: Vec<_> = instances.iter().map(|instance| instance.component.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut left = COPIES;
    names.into_iter().filter_map(|name| plan.component(name)).flat_map(|component| &component.connected).any(|name| {
        let copies = plan.component(name).map_or(1, |component| component.copies().into());
        let fits = left >= copies;
        left = left.saturating_sub(copies);
        !fits
    })
}

/// What a node is to run, in the order in which it is to be started.
pub(super) fn of(plan: &Plan, node: &str, heard: &Nodes, now: i64) -> Vec<WantedProcess> {
    let mut awaited = Awaited { plan, heard, now, known: HashMap::new() };
    // What one copy of a component waits for the others wait for.
    let mut holds: HashMap<&str, bool> = HashMap::new();
    let mut wanted = |command: Command<'_>| {
        let component = plan.component(&command.component.name)?;
        let hold = *holds
            .entry(&component.name)
            .or_insert_with(|| component.connected.iter().any(|name| awaited.is_awaited(name)));
        Some(process(plan, &command, hold))
    };
    plan.commands(node).filter_map(&mut wanted).collect()
}

fn process(plan: &Plan, command: &Command<'_>, hold: bool) -> WantedProcess {
    let (component, wanted) = (command.component, plan.wanted(&command.component.name));
    let extras = &component.extras;
    WantedProcess {
        component: component.name.clone(),
        copy: command.instance.copy,
        command: command.line.clone(),
        environment: extras.environment.clone(),
        directory: extras.directory.clone(),
        restart: extras.restart,
        grace_seconds: extras.grace.map_or(GRACE_SECONDS, |grace| grace.as_secs()),
        ready: extras.ready.as_ref().map(|ready| resolved(plan, ready)),
        run: !wanted.stopped,
        hold,
        generation: wanted.generation,
        level: Some(plan.level(&component.name)),
    }
}

/// What is connected to a component that is not up waits for it.
struct Awaited<'a> {
    plan: &'a Plan,
    heard: &'a Nodes,
    now: i64,
    /// By component.
    known: HashMap<String, bool>,
}

impl Awaited<'_> {
    /// Whether a copy of a component that is not stopped on purpose is not up yet, as its node says. Of copies on nodes that say nothing
    /// nobody knows.
    fn is_awaited(&mut self, name: &str) -> bool {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let Some(component) = self.plan.component(name) else { return false };
        let is_down = |copy: u32| {
            let place = self.plan.place(&Instance { component: name.to_owned(), copy });
            let node = place.and_then(|node| self.heard.get(&node.offer.name));
            let Some(node) = node.filter(|node| !node.is_silent(self.now)) else { return false };
            !node.process(name, copy).is_some_and(|process| process.state.lets_others_start())
        };
        let is_awaited = !self.plan.wanted(name).stopped && (0..component.copies()).any(is_down);
        self.known.insert(name.to_owned(), is_awaited);
        is_awaited
    }
}

/// A check with the address in place of the socket.
fn resolved(plan: &Plan, ready: &Readiness) -> Readiness {
    let address = |text: &String| {
        let socket = text.strip_prefix('_').and_then(|socket| plan.address(socket));
        socket.unwrap_or_else(|| text.clone())
    };
    match ready {
        Readiness::Cache(text) => Readiness::Cache(address(text)),
        Readiness::Tcp(text) => Readiness::Tcp(address(text)),
        Readiness::Command(_) | Readiness::Line(_) => ready.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::plan::NodeOffer;

    #[test]
    fn it_takes_long_for_those_who_have_much_or_wait_for_many() {
        let is_long = |replicas: u32, of_node: u32, connected: &str| {
            let file = format!(
                "[Many]\nScript = m\nReplicas = {replicas}\n[Few]\nScript = f\n[Last]\nScript = l\nConnected = {connected}\n"
            );
            let mut plan = Plan::new(Cluster::from_ini(&file).unwrap());
            for (name, processors) in [("first", replicas + 2 - of_node), ("last", of_node + 1)] {
                let (name, ip) = (name.to_owned(), "127.0.0.1".to_owned());
                plan.offer(NodeOffer { name, ip, processors, ports_from: 1000 });
            }
            super::is_long(&plan, "last")
        };
        assert!(!is_long(1999, 0, "Many") && !is_long(5000, 0, "Few") && !is_long(5000, 255, "Few"));
        assert!(is_long(2000, 0, "Many") && is_long(5000, 256, "Few"));
        assert!(!super::is_long(&Plan::new(Cluster::from_ini("[A]\nScript = a\n").unwrap()), "nowhere"));
    }
}
