use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::cluster::Cluster;
use crate::cluster::tests::PALM;

fn offer(name: &str, ip: &str, processors: u32, ports_from: u16) -> NodeOffer {
    NodeOffer { name: name.into(), ip: ip.into(), processors, ports_from }
}

fn lines(plan: &Plan, node: &str) -> Vec<String> {
    plan.commands(node).map(|command| command.line).collect()
}

fn missing(plan: &Plan) -> Vec<String> {
    plan.missing().iter().map(ToString::to_string).collect()
}

const MASTER: &str = "python3 master.py --pull tcp://127.0.0.1:5555 --pub tcp://127.0.0.1:5556 --wpush tcp://127.0.0.1:5557 --wpull \
                      tcp://127.0.0.1:5558 --db tcp://127.0.0.1:5559";
const WORKER: &str = "python3 worker.py --db tcp://127.0.0.1:5559";

#[test]
fn one_node_has_all_of_the_example() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    assert_eq!(
        missing(&plan),
        [
            "Valuation Master: there is no node",
            "Valuation Worker: waits for Valuation Master",
            "Valuation Worker (copy 1): waits for Valuation Master"
        ]
    );
    let node = "[DEFAULT]\nName = My node\nIp = 127.0.0.1\nProcessors = 3\nPorts_from = 5555\n";
    for _ in 0..2 {
        // Asked again it says the same.
        plan.offer(NodeOffer::from_ini(node).unwrap());
        assert_eq!(lines(&plan, "My node"), [MASTER, WORKER, WORKER]);
        assert!(plan.is_ready());
    }
}

#[test]
fn two_nodes_share_the_example() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "127.0.0.1", 1, 5555));
    assert_eq!(lines(&plan, "one"), [MASTER]);
    assert_eq!(missing(&plan)[0], "Valuation Worker: no node has 1 slot free");
    plan.offer(offer("two", "127.0.0.2", 2, 5555));
    assert_eq!(lines(&plan, "two"), [WORKER, WORKER]);
    assert!(plan.is_ready());
}

#[test]
fn nodes_on_one_ip_do_not_collide() {
    let mut plan = Plan::new(
        Cluster::from_ini("[a]\nScript=a\n--x=_x\n[ab]\nScript=ab\n--y=_y\n[abc]\nScript=abc\n--z=_z\n").unwrap(),
    );
    for name in ["one", "two", "three"] {
        plan.offer(offer(name, "10.0.0.1", 1, 7000));
    }
    let all: Vec<_> = ["one", "two", "three"].iter().flat_map(|name| lines(&plan, name)).collect();
    assert_eq!(all, ["a --x tcp://10.0.0.1:7000", "ab --y tcp://10.0.0.1:7001", "abc --z tcp://10.0.0.1:7002"]);
}

#[test]
fn what_a_lost_node_ran_is_placed_again_and_who_needs_it_waits_until_then() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "127.0.0.1", 1, 5555));
    plan.offer(offer("two", "127.0.0.2", 2, 6000));
    assert!(plan.remove_node("one"));
    assert_eq!(lines(&plan, "two"), Vec::<String>::new(), "the address is no more");
    assert_eq!(
        missing(&plan),
        [
            "Valuation Master: no node has 1 slot free",
            "Valuation Worker: waits for an address of Valuation Master",
            "Valuation Worker (copy 1): waits for an address of Valuation Master"
        ]
    );
    plan.offer(offer("three", "127.0.0.3", 1, 7000));
    assert_eq!(lines(&plan, "two"), ["python3 worker.py --db tcp://127.0.0.3:7004"; 2]);
    assert!(plan.is_ready());
    assert!(!plan.remove_node("one"));
}

#[test]
fn a_node_that_moves_takes_what_it_has_along() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "127.0.0.1", 3, 5555));
    plan.offer(offer("one", "::1", 3, 5555));
    assert_eq!(lines(&plan, "one")[1], "python3 worker.py --db tcp://[::1]:5559");
    plan.offer(offer("one", "::1", 1, 5555));
    assert_eq!(lines(&plan, "one").len(), 1, "it has fewer slots");
}

#[test]
fn a_component_is_scaled_and_a_file_replaced() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "127.0.0.1", 4, 5555));
    assert!(plan.scale("Valuation Worker", 3) && !plan.scale("Worker", 1));
    assert_eq!(
        missing(&plan),
        [
            "Valuation Worker (copy 2): goes to one when that asks",
            "Valuation Worker (copy 3): goes to one when that asks"
        ]
    );
    plan.offer(offer("one", "127.0.0.1", 4, 5555));
    assert_eq!(missing(&plan), ["Valuation Worker (copy 3): no node has 1 slot free"]);
    plan.scale("Valuation Worker", 0);
    assert_eq!(lines(&plan, "one"), [MASTER, WORKER]);
    plan.replace(Cluster::from_ini(&PALM.replace("--db = _5\n\n", "--db = _5\n--more = _6\n\n")).unwrap());
    assert!(lines(&plan, "one")[0].ends_with("--db tcp://127.0.0.1:5559 --more tcp://127.0.0.1:5560"));
    plan.reset();
    assert!(plan.nodes().is_empty() && plan.sockets().is_empty());
}

#[test]
fn components_stop_start_and_start_anew() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "127.0.0.1", 3, 5555));
    let (master, worker) = ("Valuation Master", "Valuation Worker");
    assert!(plan.stop(worker) && plan.restart(master) && plan.restart(master));
    assert!(!plan.stop("Worker") && !plan.start("Worker") && !plan.restart("Worker"));
    assert_eq!(plan.wanted(worker), Wanted { stopped: true, generation: 0, replicas: None });
    assert_eq!(plan.wanted(master), Wanted { stopped: false, generation: 2, replicas: None });
    assert_eq!(lines(&plan, "one"), [MASTER, WORKER, WORKER], "they keep their places");
    plan.replace(Cluster::from_ini(PALM).unwrap());
    assert!(plan.wanted(worker).stopped, "also if the file is set again");
    assert!(plan.start(worker) && !plan.all_wanted().contains_key(worker));
    plan.stop(worker);
    plan.restart(worker);
    assert_eq!(plan.wanted(worker), Wanted { stopped: false, generation: 1, replicas: None });
    plan.replace(Cluster::from_ini("[Valuation Master]\nScript = m\n").unwrap());
    assert_eq!(plan.all_wanted().keys().collect::<Vec<_>>(), [master]);
}

#[test]
fn a_scaled_component_is_so_until_its_file_is_another() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "127.0.0.1", 9, 5555));
    plan.scale("Valuation Worker", 4);
    let (nodes, wanted) = (plan.nodes().to_vec(), plan.all_wanted().clone());
    let stored = Plan::restored(Cluster::from_ini(PALM).unwrap(), nodes, plan.sockets().clone(), wanted);
    assert_eq!(stored, plan);
    plan.replace(Cluster::from_ini(PALM).unwrap());
    assert_eq!(plan.cluster().components[1].copies(), 2);
}

#[test]
fn components_may_ask_for_nodes_and_slots() {
    let text = "[[component]]\nname = 'big'\nscript = 'b'\nprocessors = 3\nnodes = ['strong', 'stronger']\n";
    let mut plan = Plan::new(Cluster::from_toml(text).unwrap());
    plan.offer(offer("weak", "h", 9, 1));
    assert_eq!(missing(&plan), ["big: none of its nodes is there: strong, stronger"]);
    plan.offer(offer("strong", "h", 2, 1));
    assert_eq!(missing(&plan), ["big: no node has 3 slots free"]);
    plan.offer(offer("strong", "h", 3, 1));
    assert!(plan.is_ready());
}

#[test]
fn a_node_may_run_out_of_ports() {
    let mut plan = Plan::new(Cluster::from_ini(PALM).unwrap());
    plan.offer(offer("one", "h", 3, 65_533));
    assert_eq!(missing(&plan)[0], "Valuation Master: one has no port left for its sockets");
}

#[test]
fn an_offer_that_is_none_is_told_with_what_was_expected() {
    for (text, told) in [
        ("", "line 1: expected the section `[DEFAULT]` with Ip, Processors and Ports_from"),
        (
            "[DEFAULT]\nName = n",
            "line 1, [DEFAULT], Ip: expected `Ip = ADDRESS`, where others reach the node, found none",
        ),
        (
            "[DEFAULT]\nName=n\nIp=10.0.0.7 --tcp x",
            "line 3, [DEFAULT], Ip: expected an address, such as 10.0.0.7, or a host's name, found `10.0.0.7 --tcp x`",
        ),
        (
            "[DEFAULT]\nName=n\nIp=h",
            "line 1, [DEFAULT], Processors: expected a number of slots from 0 to 65535, found none",
        ),
        (
            "[DEFAULT]\nName=n\nIp=h\nProcessors = x",
            "line 4, [DEFAULT], Processors: expected a number of slots from 0 to 65535, found `x`",
        ),
        (
            "[DEFAULT]\nName=n\nIp=h\nProcessors = 1\nports_FROM=0",
            "line 5, [DEFAULT], Ports_from: expected a port from 1 to 65535, found `0`",
        ),
    ] {
        assert_eq!(NodeOffer::from_ini(text).unwrap_err().to_string(), told);
    }
    let text = "\u{feff}[DEFAULT]\r\nslots = 1_0\r\nIp: %(host)s\r\nhost = h\r\nProcessors = %(slots)s\r\nPorts_from = +7\r\n[x]\r\nIp = y\r\n";
    let offer = NodeOffer { name: "h".to_owned(), ip: "h".to_owned(), processors: 10, ports_from: 7 };
    assert_eq!(NodeOffer::from_ini(text), Ok(offer));
}

#[derive(Clone, Debug)]
enum Step {
    Offer { node: u8, ip: u8, processors: u32 },
    Remove(u8),
    Scale(u8, u32),
    Restart(u8),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..4_u8, 0..2_u8, 0..5_u32).prop_map(|(node, ip, processors)| Step::Offer { node, ip, processors }),
        1 => (0..4_u8).prop_map(Step::Remove),
        1 => (0..5_u8, 0..4_u32).prop_map(|(component, replicas)| Step::Scale(component, replicas)),
        1 => (0..5_u8).prop_map(Step::Restart),
        1 => Just(Step::Restore),
    ]
}

/// Component 0 binds sockets for all; each may be connected to some before it.
fn cluster(connected: &[Vec<u8>]) -> Cluster {
    let mut text = String::new();
    for (index, connected) in connected.iter().enumerate() {
        let before: BTreeSet<_> = connected.iter().filter(|&&other| usize::from(other) < index).collect();
        let names: Vec<_> = before.iter().map(|other| format!("c{other}")).collect();
        text += &format!(
            "[c{index}]\nScript = run{index}\n--own = _own{index}\n--all = _all\nConnected = {}\n",
            names.join(",")
        );
    }
    Cluster::from_ini(&text).unwrap()
}

#[test]
fn one_node_may_have_all_of_a_large_cluster() {
    let component = |index| format!("[c{index}]\nScript = s\n--all = _all\n--own = _own{index}\nReplicas = 9999\n");
    let cluster = |count: usize| Cluster::from_ini(&(0..count).map(component).collect::<String>()).unwrap();
    let mut plan = Plan::new(cluster(5));
    plan.offer(offer("big", "10.0.0.1", 65_535, 5555));
    assert!(plan.is_ready() && plan.is_settled(&offer("big", "10.0.0.1", 65_535, 5555)));
    assert_eq!(plan.commands("big").count(), 50_000);
    assert_eq!(plan.check_scale("c0", 9_999), Ok(()));
    plan.offer(offer("big", "10.0.0.1", 25_000, 5555));
    assert_eq!((plan.missing().len(), plan.commands("big").count()), (25_000, 25_000));
    plan.offer(offer("other", "10.0.0.2", 65_535, 5555));
    assert!(plan.is_ready());
    plan.remove_node("big");
    let nodes = plan.nodes().to_vec();
    let restored = Plan::restored(cluster(5), nodes, plan.sockets().clone(), plan.all_wanted().clone());
    assert_eq!(restored, plan);
    plan.scale("c0", 0);
    assert_eq!(plan.check_scale("c1", 20_000).unwrap_err(), "expected 50000 processes at most in all components");
}

#[test]
fn many_components_may_wait_for_many_nodes() {
    let component = |index| format!("[c{index}]\nScript = s\n--own = _own{index}\n");
    let file: String = (0..10_000).map(component).collect();
    let mut plan = Plan::new(Cluster::from_ini(&file).unwrap());
    for index in 0..200 {
        plan.offer(offer(&format!("n{index}"), "10.0.0.1", 20, 60_000));
    }
    let missing = missing(&plan);
    assert_eq!((missing.len(), plan.sockets().len()), (6_000, 4_000));
    assert_eq!(missing[0], "c4000: no node has 1 slot free");
    plan.offer(offer("late", "10.0.0.1", 2_000, 60_000));
    assert_eq!(plan.sockets().len(), 5_536, "there are no more ports");
    assert!(plan.is_settled(&offer("late", "10.0.0.1", 2_000, 60_000)));
    assert_eq!(plan.missing()[0].to_string(), "c5536: late has no port left for its sockets");
    plan.offer(offer("late", "10.0.0.9", 2_000, 60_000));
    assert_eq!(plan.sockets().len(), 6_000);
}

proptest! {
    #[test]
    fn a_plan_is_sound_whatever_nodes_do(
        connected in prop::collection::vec(prop::collection::vec(0..5_u8, 0..3), 1..5),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut plan = Plan::new(cluster(&connected));
        for step in steps {
            match step {
                Step::Offer { node, ip, processors } => {
                    let offer = offer(&format!("n{node}"), &format!("10.0.0.{ip}"), processors, 5000 + u16::from(node));
                    let (before, was_settled) = (plan.clone(), plan.is_settled(&offer));
                    plan.offer(offer.clone());
                    prop_assert_eq!(plan == before, was_settled, "it is known before whether anything will be another");
                    let once = plan.clone();
                    plan.offer(offer.clone());
                    prop_assert_eq!(&plan, &once, "asked again, it is the same");
                    prop_assert!(plan.is_settled(&offer));
                }
                Step::Remove(node) => _ = plan.remove_node(&format!("n{node}")),
                Step::Scale(component, replicas) => _ = plan.scale(&format!("c{component}"), replicas),
                Step::Restart(component) => _ = plan.restart(&format!("c{component}")),
                Step::Restore => {
                    // The file does not say how it was scaled.
                    let (nodes, wanted) = (plan.nodes().to_vec(), plan.all_wanted().clone());
                    let restored = Plan::restored(cluster(&connected), nodes, plan.sockets().clone(), wanted);
                    prop_assert_eq!(&restored, &plan);
                }
            }
            let mut placed = BTreeSet::new();
            for node in plan.nodes() {
                prop_assert!(node.instances.len() <= node.offer.processors as usize);
                for instance in &node.instances {
                    prop_assert!(placed.insert(instance.clone()), "{instance:?} is on one node");
                }
            }
            let mut addresses = BTreeMap::new();
            for name in plan.sockets().keys() {
                if let Some(address) = plan.address(name) {
                    prop_assert_eq!(addresses.insert(address, name), None, "an address is one socket's");
                }
            }
            let all: u32 = plan.cluster().components.iter().map(crate::cluster::Component::copies).sum();
            let started: usize = plan.nodes().iter().map(|node| plan.commands(&node.offer.name).count()).sum();
            prop_assert_eq!(plan.missing().len() + started, all as usize, "what is not started is missing");
            prop_assert_eq!(plan.is_ready(), plan.missing().is_empty());
        }
    }
}
