//! Who gives way to whom when all places for connections are taken.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

const NEAR: Source = Source(7);
const FAR: Source = Source(8);

/// A bench with 32 places, of which 4 are kept for workers, and room for 4 that are on their way out.
fn bench() -> Bench {
    let sizes = TableSizes { tasks: 64, peers: 36, subscriptions: 144 };
    let config = EndpointConfig { connections: Some(32), ..config() };
    let endpoint = Endpoint::new("server", &config, heap_tables(&sizes, 16).with_native(&sizes), Seed::from_u64(3));
    Bench { endpoint: endpoint.unwrap(), now: Instant::from_millis(1) }
}

impl Bench {
    /// Closes what gives way, as a driver does; how many that were.
    fn close_all(&mut self, ends: &mut Vec<End>) -> usize {
        while self.endpoint.poll_ready().is_some() {}
        let before = ends.len();
        let endpoint = &mut self.endpoint;
        ends.retain(|end| {
            let closing = endpoint.is_closing(end.id);
            if closing {
                endpoint.handle_close(Instant::from_millis(1), end.id);
            }
            !closing
        });
        before - ends.len()
    }

    /// As many subscribers of a source as are taken, and closes what gives way. They ask for everything.
    fn flood(&mut self, source: Source, count: usize, ends: &mut Vec<End>) -> usize {
        for _ in 0..count {
            if let Some(end) = self.join_from(Service::Publish, SocketType::Sub, source) {
                ends.push(end);
            }
            self.close_all(ends);
        }
        ends.len()
    }
}

#[test]
fn what_has_been_of_no_use_gives_way_to_newcomers_and_what_has_keeps_its_place() {
    let mut bench = bench();
    let mut client = bench.join(Service::Pull, SocketType::Push);
    bench.send_message(&mut client, &work("me", b"x"));
    let mut worker = bench.join(Service::WorkerPush, SocketType::Pull);
    bench.pump(&mut worker);
    assert_eq!(worker.messages.len(), 1);
    let mut idle = Vec::new();
    bench.flood(Source::LOCAL, 100, &mut idle);
    assert_eq!((idle.len(), bench.endpoint.connections()), (26, 28), "four are kept for workers");
    assert_eq!((bench.endpoint.counters().gave_way, bench.endpoint.counters().refused), (74, 0));
    assert!([&client, &worker].iter().all(|end| !bench.endpoint.is_closing(end.id)), "these have been of use");
    let other = bench.join(Service::Cache, SocketType::Req);
    assert!(bench.endpoint.is_closing(idle[0].id) && !bench.endpoint.is_closing(idle[1].id), "the oldest gives way");
    assert!(!bench.endpoint.is_closing(other.id));
    let fault = core::iter::from_fn(|| bench.endpoint.poll_event())
        .any(|event| matches!(event, EndpointEvent::Fault { fault: Fault::GaveWay, service: Service::Publish, .. }));
    assert!(fault, "it is told why");
}

#[test]
fn where_all_have_been_of_use_newcomers_are_turned_away() {
    let mut bench = bench();
    let mut known = Vec::new();
    for _ in 0..28 {
        let mut client = bench.join(Service::Pull, SocketType::Push);
        bench.send_message(&mut client, &work("me", b"x"));
        known.push(client);
    }
    while bench.endpoint.poll_event().is_some() {}
    assert!(bench.join_from(Service::Pull, SocketType::Push, Source::LOCAL).is_none());
    assert_eq!(bench.endpoint.poll_event(), Some(EndpointEvent::TurnedAway { service: Service::Pull }));
    assert_eq!((bench.endpoint.counters().refused, bench.close_all(&mut known)), (1, 0));
    bench.now = bench.now + config().heartbeat;
    assert!(bench.join_from(Service::Pull, SocketType::Push, FAR).is_none(), "a cluster on this host keeps its places");
    assert!(bench.join_from(Service::WorkerPush, SocketType::Pull, Source::LOCAL).is_some(), "a worker has one");
}

#[test]
fn a_flood_of_one_source_makes_room_for_itself_and_for_others() {
    let mut bench = bench();
    let (mut few, mut many, mut late) = (Vec::new(), Vec::new(), Vec::new());
    bench.flood(FAR, 3, &mut few);
    bench.flood(NEAR, 200, &mut many);
    assert_eq!((many.len(), bench.close_all(&mut few)), (25, 0), "it is its own that give way");
    for _ in 0..5 {
        late.push(bench.join_from(Service::Cache, SocketType::Req, FAR).unwrap());
        assert_eq!(bench.close_all(&mut many), 1);
    }
    assert_eq!(bench.close_all(&mut few) + bench.close_all(&mut late), 0);
}

#[test]
fn a_source_that_is_of_use_everywhere_makes_room_for_one_that_has_few() {
    let mut bench = bench();
    let mut known = Vec::new();
    for _ in 0..28 {
        let mut client = bench.join_from(Service::Pull, SocketType::Push, NEAR).unwrap();
        bench.send_message(&mut client, &work("me", b"x"));
        known.push(client);
    }
    assert!(bench.join_from(Service::Pull, SocketType::Push, FAR).is_none(), "they have just been of use");
    bench.now = bench.now + config().heartbeat;
    let mut others = 0;
    for _ in 0..28 {
        others += usize::from(bench.join_from(Service::Pull, SocketType::Push, FAR).is_some_and(|mut client| {
            bench.send_message(&mut client, &work("you", b"x"));
            true
        }));
        bench.close_all(&mut known);
    }
    assert_eq!((others, known.len()), (9, 19), "as long as it has less than half as many");
}

#[test]
fn of_a_crowd_who_holds_a_task_and_who_has_the_token_keep_their_places() {
    let mut bench = bench();
    // The first of their source, so that they are looked at first.
    let mut worker = bench.join_from(Service::WorkerPush, SocketType::Pull, NEAR).unwrap();
    let mut trusted = bench.join_from(Service::Pull, SocketType::Push, NEAR).unwrap();
    bench.send_message(&mut trusted, &work("me", b"x"));
    bench.pump(&mut worker);
    assert_eq!(worker.messages.len(), 1, "it holds a task");
    // As if its Hello had shown the token; nothing else tells it from the others.
    bench.endpoint.peers[trusted.id.index].trusted = true;
    let mut known = Vec::new();
    for _ in 0..26 {
        let mut client = bench.join_from(Service::Pull, SocketType::Push, NEAR).unwrap();
        bench.send_message(&mut client, &work("me", b"x"));
        known.push(client);
    }
    bench.now = bench.now + config().heartbeat;
    assert!(bench.join_from(Service::Pull, SocketType::Push, FAR).is_some());
    assert!(!bench.endpoint.is_closing(worker.id) && !bench.endpoint.is_closing(trusted.id));
    assert!(bench.endpoint.is_closing(known[0].id), "it has been of use longest ago, and holds nothing");
}

#[test]
fn who_has_not_said_what_it_is_gives_way_first() {
    let mut bench = bench();
    let mut idle = Vec::new();
    bench.flood(NEAR, 10, &mut idle);
    let mut strangers = Vec::new();
    for number in 0..100 {
        bench.now = bench.now + Duration::from_millis(1);
        let source = Source(100 + number);
        strangers.extend(bench.endpoint.handle_accept_from(bench.now, Service::Native, source));
        while bench.endpoint.poll_ready().is_some() {}
        strangers.retain(|&id| {
            let closing = bench.endpoint.is_closing(id);
            if closing {
                bench.endpoint.handle_close(bench.now, id);
            }
            !closing
        });
    }
    assert_eq!((strangers.len(), bench.close_all(&mut idle)), (18, 0));
    bench.now = bench.now + Duration::from_millis(1);
    assert!(bench.join_from(Service::Publish, SocketType::Sub, FAR).is_some());
    assert!(bench.endpoint.is_closing(strangers[0]) && !bench.endpoint.is_closing(strangers[1]));
}

#[test]
fn those_that_say_nothing_to_the_sockets_of_workers_keep_nobody_out() {
    let mut bench = bench();
    let mut silent = Vec::new();
    let close_all = |bench: &mut Bench, silent: &mut Vec<ConnectionId>| {
        while bench.endpoint.poll_ready().is_some() {}
        let (closing, rest) = silent.drain(..).partition(|&id| bench.endpoint.is_closing(id));
        let closing: Vec<ConnectionId> = closing;
        closing.iter().for_each(|&id| bench.endpoint.handle_close(bench.now, id));
        *silent = rest;
    };
    // The places that are kept for workers are theirs as well, and some are not closed yet.
    for _ in 0..3 {
        for _ in 0..40 {
            bench.now = bench.now + Duration::from_millis(1);
            silent.extend(bench.endpoint.handle_accept(bench.now, Service::WorkerPush));
            close_all(&mut bench, &mut silent);
        }
        assert_eq!((silent.len(), bench.endpoint.counters().refused), (32, 0));
        for (service, socket) in [(Service::Cache, SocketType::Req), (Service::WorkerPull, SocketType::Push)] {
            bench.now = bench.now + Duration::from_millis(1);
            let end = bench.join_from(service, socket, Source::LOCAL).expect("there is always a place for a newcomer");
            assert!(!bench.endpoint.is_closing(end.id));
            bench.endpoint.handle_close(bench.now, end.id);
        }
    }
}

#[test]
fn one_connection_does_not_use_up_the_subscriptions() {
    let mut bench = bench();
    let mut greedy = bench.join(Service::Publish, SocketType::Sub);
    let mut taken = 0;
    while !bench.endpoint.is_closing(greedy.id) {
        assert!(taken < 144, "it is stopped");
        let topic = std::format!("topic {taken}");
        let frame = [&[0, 1 + topic.len() as u8, 1], topic.as_bytes()].concat();
        bench.send(&mut greedy, &frame);
        taken += 1;
    }
    assert!(taken > 40, "{taken}");
    assert_eq!(bench.endpoint.counters().subscriptions_refused, 1);
    // It does so on as many connections as it may have; nobody is kept out.
    for _ in 0..27 {
        let mut other = bench.join(Service::Publish, SocketType::Sub);
        bench.send(&mut other, b"\x00\x03\x01me");
        assert!(!bench.endpoint.is_closing(other.id), "each has one at least");
        for number in 0..100_u8 {
            bench.send(&mut other, &[0, 2, 1, number]);
        }
    }
}

#[test]
fn a_source_is_a_host() {
    let source = |address: IpAddr| Source::from(address);
    assert_eq!(source(Ipv4Addr::LOCALHOST.into()), Source::LOCAL);
    assert_eq!(source(Ipv4Addr::new(127, 9, 9, 9).into()), Source::LOCAL);
    assert_eq!(source(Ipv6Addr::LOCALHOST.into()), Source::LOCAL);
    let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
    assert_eq!(source(mapped.into()), source(Ipv4Addr::new(10, 0, 0, 1).into()));
    let [one, other, third] =
        ["2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"].map(|text| source(text.parse().unwrap()));
    assert!(one == other && one != third && one != Source::LOCAL);
}

#[test]
fn a_worker_at_its_first_message_keeps_the_connection_that_it_will_answer_over() {
    let mut bench = bench();
    let answers = bench.join(Service::WorkerPull, SocketType::Push);
    let mut idle = Vec::new();
    bench.flood(Source::LOCAL, 100, &mut idle);
    assert!(bench.endpoint.counters().gave_way > 0 && !bench.endpoint.is_closing(answers.id));
    // Nor does it give way to those that open the same.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.extend(bench.join_from(Service::WorkerPull, SocketType::Push, Source::LOCAL));
        bench.close_all(&mut idle);
        bench.close_all(&mut crowd);
    }
    assert!(idle.is_empty() && !bench.endpoint.is_closing(answers.id));
    let newcomer = bench.join_from(Service::WorkerPush, SocketType::Pull, Source::LOCAL);
    assert!(newcomer.is_some(), "the newest of them gives way");
}
