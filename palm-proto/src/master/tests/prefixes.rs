//! Subscribers to a prefix, beside a topic's own client.

use core::cell::Cell;
use std::format;

use super::*;
use crate::buffer::Buffer;

/// Does a message of `client`, which comes over `sender`.
fn do_one<B: Buffer + Clone + core::fmt::Debug>(
    master: &mut Master<HeapStorage<B>>,
    (sender, worker): (SenderId, WorkerId),
    client: &str,
    payload: &str,
) {
    let message = B::copy_from(message(client, payload).as_slice()).unwrap();
    master.handle_submit(NOW, sender, Span::whole(message)).unwrap();
    let assignment = master.poll_task(worker).unwrap();
    let mut wire = BytesMut::from(assignment.message.as_slice());
    wire.extend_from_slice(&assignment.tags(NOW));
    master.handle_result(NOW, Span::whole(B::copy_from(&wire).unwrap())).unwrap();
}

fn peers(master: &mut HostMaster) -> (SenderId, WorkerId) {
    (master.add_sender().unwrap(), master.add_worker(NOW, 1, 1).unwrap())
}

fn subscriber(master: &mut HostMaster, prefix: &str) -> SubscriberId {
    let subscriber = master.add_subscriber(NOW, 2).unwrap();
    master.handle_subscribe(NOW, subscriber, prefix.as_bytes()).unwrap();
    subscriber
}

#[test]
fn a_prefix_takes_nothing_that_waits_for_a_client() {
    let mut master = master(MasterConfig::default());
    let peers = peers(&mut master);
    do_one(&mut master, peers, "abcd", "early");
    let all = subscriber(&mut master, "");
    let named_like_it = subscriber(&mut master, "abc");
    assert!(!master.has_result(all) && !master.has_result(named_like_it), "what waits is for its own client");
    do_one(&mut master, peers, "abcd", "late");
    assert_eq!(results(&mut master, NOW, all), done(&["late"]));
    assert_eq!(results(&mut master, NOW, named_like_it), done(&["late"]));
    let own = subscriber(&mut master, "abcd");
    assert_eq!(results(&mut master, NOW, own), done(&["early", "late"]));
    do_one(&mut master, peers, "abcd", "live");
    for each in [all, named_like_it, own] {
        assert_eq!(results(&mut master, NOW, each), done(&["live"]));
    }
    assert_eq!((master.memory(), master.counters().copies_dropped), (0, 0));
}

#[test]
fn a_prefix_as_the_only_consumer_has_all_at_full_rate_in_bounded_memory() {
    let memory = 100_000;
    let mut master = master(MasterConfig { memory, ..MasterConfig::default() });
    let (sender, worker) = peers(&mut master);
    let all = subscriber(&mut master, "");
    let names: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    for (number, name) in names.iter().enumerate() {
        assert!(master.may_submit(sender, 100), "what was taken holds nobody back");
        do_one(&mut master, (sender, worker), &format!("client {}", number % 700), name);
        assert_eq!(results(&mut master, NOW, all), done(&[name]));
        assert!(master.memory() <= memory);
    }
    let spare = master.gauges().spare;
    assert!(spare > 32 && spare <= 64, "half of the places: {spare}");
    master.handle_timeout(NOW + MasterConfig::default().keep);
    let gauges = master.gauges();
    assert_eq!((gauges.results, gauges.spare, gauges.memory), (0, 0, 0));
    assert_eq!((master.counters().expired, master.poll_event()), (0, None), "they are no loss");
}

#[test]
fn a_slow_prefix_as_the_only_consumer_loses_nothing() {
    let mut master = master(MasterConfig { memory: 100_000, ..MasterConfig::default() });
    let (sender, worker) = peers(&mut master);
    let all = subscriber(&mut master, "cli");
    let mut sent = 0;
    while master.may_submit(sender, 100) {
        do_one(&mut master, (sender, worker), "client", &sent.to_string());
        sent += 1;
    }
    assert!(sent > 50 && sent < 128, "it is its sender that waits: {sent}");
    let all = results(&mut master, NOW, all);
    assert!(all.len() == sent && all.iter().enumerate().all(|(number, one)| one.0 == number.to_string()));
    assert_eq!(master.counters().copies_dropped, 0);
}

#[test]
fn a_prefix_that_takes_nothing_holds_no_client_back_that_takes_its_own() {
    let memory = 100_000;
    let mut master = master(MasterConfig { memory, ..MasterConfig::default() });
    let (sender, worker) = peers(&mut master);
    let stuck = [(); 3].map(|()| subscriber(&mut master, "c"));
    for number in 0..40 {
        do_one(&mut master, (sender, worker), "client", &number.to_string());
    }
    // Only now does the client come, which has them all; what the others have not taken is theirs while there is room.
    let own = subscriber(&mut master, "client");
    assert_eq!(results(&mut master, NOW, own).len(), 40);
    for number in 0..5_000 {
        assert!(master.may_submit(sender, 100), "the others hold nothing back");
        do_one(&mut master, (sender, worker), "client", &number.to_string());
        assert_eq!(results(&mut master, NOW, own), done(&[&number.to_string()]));
        assert!(master.memory() <= memory);
    }
    assert!(master.counters().copies_dropped > 0);
    for stuck in stuck {
        master.remove_subscriber(stuck);
    }
    assert_eq!((master.counters().expired, master.gauges().spare), (0, 0));
}

#[test]
fn what_is_kept_for_a_client_is_not_crowded_out_by_a_flood_of_others() {
    let mut master = master(MasterConfig::default());
    let (quiet, worker) = peers(&mut master);
    let loud = master.add_sender().unwrap();
    let all = subscriber(&mut master, "");
    for number in 0..7 {
        do_one(&mut master, (quiet, worker), "quiet", &number.to_string());
        results(&mut master, NOW, all);
    }
    let ring = [(); 4].map(|()| subscriber(&mut master, ""));
    for number in 0..2_000 {
        do_one(&mut master, (loud, worker), &format!("loud {number}"), "x");
        for &each in ring.iter().chain([&all]) {
            results(&mut master, NOW, each);
        }
    }
    let own = subscriber(&mut master, "quiet");
    let expected: Vec<String> = (0..7).map(|number: u32| number.to_string()).collect();
    assert_eq!(results(&mut master, NOW, own), done(&expected.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn a_client_that_comes_late_has_as_much_whoever_has_subscribed_to_a_prefix() {
    let config = MasterConfig { memory: 100_000, ..MasterConfig::default() };
    let had = |overheard: bool, count: usize| {
        let mut master = master(config);
        let peers = peers(&mut master);
        let all = overheard.then(|| subscriber(&mut master, ""));
        for _ in 0..count {
            do_one(&mut master, peers, "late", &"x".repeat(1_000));
            all.map(|all| results(&mut master, NOW, all));
        }
        let own = subscriber(&mut master, "late");
        (results(&mut master, NOW, own).len(), master.counters().kept_dropped)
    };
    // With what each takes beside its payload, half of the memory is for about 35.
    assert_eq!((had(false, 30), had(true, 30)), ((30, 0), (30, 0)));
    let (kept, dropped) = had(true, 60);
    assert!(kept >= 30 && kept as u64 + dropped == 60, "what gives way is counted: {kept} and {dropped}");
}

#[test]
fn what_a_prefix_left_untaken_waits_for_the_client() {
    let mut master = master(MasterConfig::default());
    let peers = peers(&mut master);
    let [slow, slower] = [(); 2].map(|()| subscriber(&mut master, ""));
    do_one(&mut master, peers, "client", "a");
    do_one(&mut master, peers, "client", "b");
    assert!(master.poll_result(NOW, slow).is_some());
    master.remove_subscriber(slow);
    master.remove_subscriber(slower);
    let gauges = master.gauges();
    assert_eq!((gauges.results, gauges.spare), (1, 1), "one has been taken, and the other has to wait");
    let own = subscriber(&mut master, "client");
    assert_eq!(results(&mut master, NOW, own), done(&["a", "b"]));
    assert_eq!(master.memory(), 0);
}

#[test]
fn what_waits_goes_on_to_another_when_its_taker_leaves_or_cancels() {
    let mut master = master(MasterConfig::default());
    let peers = peers(&mut master);
    for payload in ["a", "b", "c", "d"] {
        do_one(&mut master, peers, "client", payload);
    }
    let [first, second] = [(); 2].map(|()| subscriber(&mut master, "client"));
    assert!(master.poll_result(NOW, first).is_some() && !master.has_result(second));
    master.remove_subscriber(first);
    assert_eq!(master.poll_result(NOW, second).map(|outcome| payload(outcome.message.as_slice())), Some("b".into()));
    master.handle_cancel(second, b"client");
    assert!(!master.has_result(second));
    let third = subscriber(&mut master, "client");
    assert_eq!(results(&mut master, NOW, third), done(&["c", "d"]));
}

#[test]
fn a_sender_that_is_gone_makes_room_for_another_when_only_copies_are_kept_of_it() {
    let tables = Tables::<FixedStorage<heapless::Vec<u8, 128>, 8, 2>>::fixed();
    let mut master = Master::new("server", MasterConfig::default(), tables, Seed::from_u64(7)).unwrap();
    let worker = master.add_worker(NOW, 1, 1).unwrap();
    let all = master.add_subscriber(NOW, 2).unwrap();
    master.handle_subscribe(NOW, all, b"").unwrap();
    for _ in 0..20 {
        let sender = master.add_sender().expect("there is a place");
        let wire = heapless::Vec::from_slice(message("client", "a").as_slice()).unwrap();
        master.handle_submit(NOW, sender, Span::whole(wire)).unwrap();
        let assignment = master.poll_task(worker).unwrap();
        let mut wire: heapless::Vec<u8, 128> = heapless::Vec::from_slice(assignment.message.as_slice()).unwrap();
        wire.extend_from_slice(&assignment.tags(NOW)).unwrap();
        master.handle_result(NOW, Span::whole(wire)).unwrap();
        assert!(master.poll_result(NOW, all).is_some() && master.gauges().spare > 0);
        master.remove_sender(sender);
    }
}

std::thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// A buffer that counts how often anybody looks into one.
#[derive(Clone, Debug)]
struct Watched(Bytes);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        LOOKS.set(LOOKS.get() + 1);
        &self.0
    }
}

impl Buffer for Watched {
    fn copy_from(bytes: &[u8]) -> Option<Self> {
        Bytes::copy_from(bytes).map(Self)
    }
    fn joined(parts: &[&[u8]]) -> Option<Self> {
        Bytes::joined(parts).map(Self)
    }
}

/// How often anybody looks into a message or a topic meanwhile.
fn looks(mut work: impl FnMut()) -> usize {
    let before = LOOKS.get();
    work();
    LOOKS.get() - before
}

#[test]
fn a_subscription_costs_the_same_whatever_waits() {
    const TOPICS: usize = 20_000;
    let sizes = TableSizes { tasks: 2 * TOPICS, peers: 8, subscriptions: 32 };
    let tables = Tables::<HeapStorage<Watched>>::sized(&sizes);
    let mut master = Master::new("server", MasterConfig::default(), tables, Seed::from_u64(7)).unwrap();
    let (sender, worker) = (master.add_sender().unwrap(), master.add_worker(NOW, 1, 1).unwrap());
    for number in 0..TOPICS {
        do_one(&mut master, (sender, worker), &format!("client {number}"), "a");
        do_one(&mut master, (sender, worker), "many", "a");
    }
    let all = master.add_subscriber(NOW, 2).unwrap();
    for prefix in ["", "client", "client 1", "many", "client 7"] {
        let looks = looks(|| master.handle_subscribe(NOW, all, prefix.as_bytes()).unwrap());
        assert!(looks < 20, "{prefix}: {looks}");
    }
    assert!(looks(|| master.handle_cancel(all, b"many")) < 20, "nor does it to let it go");
    master.handle_subscribe(NOW, all, b"many").unwrap();
    let mut taken = 0;
    let looks = looks(|| taken = core::iter::from_fn(|| master.poll_result(NOW, all)).count());
    assert_eq!(taken, TOPICS + 2, "of the topics that it has asked for itself");
    assert!(looks < 20 * taken, "{looks}");
}

#[test]
fn a_copy_costs_the_same_however_many_have_one() {
    let cost = |subscribers: usize, prefix: &str| {
        let sizes = TableSizes { tasks: 5_000, peers: 1_000, subscriptions: 1_000 };
        let tables = Tables::<HeapStorage<Watched>>::sized(&sizes);
        let mut master = Master::new("server", MasterConfig::default(), tables, Seed::from_u64(7)).unwrap();
        let peers = (master.add_sender().unwrap(), master.add_worker(NOW, 1, 1).unwrap());
        let all: Vec<_> = (0..subscribers).map(|_| master.add_subscriber(NOW, 2).unwrap()).collect();
        all.iter().for_each(|&each| master.handle_subscribe(NOW, each, prefix.as_bytes()).unwrap());
        let looks = looks(|| {
            do_one(&mut master, peers, "client", "a");
            all.iter().for_each(|&each| assert!(master.poll_result(NOW, each).is_some()));
        });
        assert_eq!(master.counters().copies_dropped, 0);
        looks
    };
    for prefix in ["client", ""] {
        let (few, many) = (cost(10, prefix), cost(800, prefix));
        assert!(many < 80 * few * 2, "{prefix}: {few} for 10, {many} for 800");
    }
}
