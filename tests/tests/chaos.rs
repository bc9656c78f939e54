//! Three nodes on one machine, twenty components, and everything is killed once.
//!
//! How long it takes until what the registry shows is right is printed, not asserted (`--nocapture` shows it).

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]
#![expect(clippy::print_stdout, reason = "the tests tell what they have measured")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use palm_tests::fleet::{Node, Printers, Watch};
use palm_tests::registry::Registry;
use palm_tests::{postgres, until, within};
use rustix::process::Signal;

const COMPONENTS: usize = 20;
/// Of each node: together a little more than there are components.
const SLOTS: usize = 7;
const END: Duration = Duration::from_secs(60);

/// Kills a component, a runner and the registry, and cuts the network, so many times.
fn chaos(mut registry: Registry, lines: usize, rounds: usize) {
    let printers = Arc::new(Printers::add(&registry, COMPONENTS, lines));
    let mut nodes: Vec<_> = (1..=3).map(|number| Node::start(&registry, number, SLOTS)).collect();
    printers.settle("start", &registry, &[]);
    let watch = Watch::start(Arc::clone(&printers));
    let mut cut = Vec::new();
    for round in 0..rounds {
        printers.kill(7 * round % COMPONENTS);
        printers.settle("a component killed", &registry, &[]);

        // What is in flight when a runner dies is lost with it, as is said in docs/registry.md.
        cut.extend(printers.processes().into_values().flatten());
        let node = &mut nodes[round % 3];
        node.runner.signal(Signal::KILL);
        node.runner.exit(END);
        printers.settle("a runner killed", &registry, &[&node.name]);
        node.start_again();
        printers.settle("the runner back", &registry, &[]);
        // Those that live on are on other nodes.
        let living: Vec<_> = printers.processes().into_values().flatten().collect();
        cut.retain(|pid| !living.contains(pid));

        registry.process.kill();
        thread::sleep(Duration::from_secs(2));
        registry.serve_again();
        printers.settle("the registry killed and started again", &registry, &[]);

        let before = printers.processes();
        let node = &nodes[(round + 1) % 3];
        node.network.hold(true);
        printers.settle("a network cut", &registry, &[&node.name]);
        thread::sleep(Duration::from_secs(2));
        node.network.hold(false);
        printers.settle("the network back", &registry, &[]);
        assert_eq!(printers.processes(), before, "what runs goes on while the network is cut");
    }
    let kept = printers.check_lines(&registry, &cut);
    println!("{kept} lines, all there, once, and in order");
    watch.end();
    for node in &nodes {
        node.runner.signal(Signal::TERM);
    }
    for node in &mut nodes {
        node.runner.exit(END);
    }
    printers.gone();
}

#[test]
fn whatever_dies_the_state_is_right_and_no_line_is_lost() {
    within(600, || chaos(Registry::start("chaos"), 150, 1));
}

#[test]
fn so_it_is_on_postgresql() {
    within(600, || {
        if let Some(database) = postgres::database() {
            chaos(Registry::start_on("chaos-postgresql", database), 150, 1);
        }
    });
}

/// `cargo test -p palm-tests --test chaos -- --ignored --nocapture`
#[test]
#[ignore = "it takes some minutes"]
fn again_and_again() {
    within(3600, || chaos(Registry::start("chaos-long"), 1000, 10));
}

#[test]
fn of_two_registries_one_goes_on() {
    within(600, || {
        let Some(database) = postgres::database() else { return };
        let mut first = Registry::start_on("first", database);
        let second = first.beside("second");
        let printers = Arc::new(Printers::add(&first, 12, 150));
        let mut nodes: Vec<_> =
            [(&first, 1), (&second, 2), (&first, 3)].map(|(registry, number)| Node::start(registry, number, 4)).into();
        printers.settle("two registries", &second, &[]);
        printers.settle("the same shown by the other", &first, &[]);
        let before = printers.processes();
        let watch = Watch::start(Arc::clone(&printers));
        first.process.kill();
        printers.settle("one killed", &second, &["node1", "node3"]);
        // As whoever balances the load does.
        for node in &nodes {
            node.network.redirect(second.address());
        }
        printers.settle("all with the other", &second, &[]);
        assert_eq!(printers.processes(), before, "nothing was started again");
        let kept = printers.check_lines(&second, &[]);
        assert_eq!(kept, 12 * 150);
        watch.end();
        nodes.iter().for_each(|node| node.runner.signal(Signal::TERM));
        nodes.iter_mut().for_each(|node| _ = node.runner.exit(END));
        printers.gone();
        until("the other still answers", END, || second.status().map(drop));
    });
}
