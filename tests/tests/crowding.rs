//! No stranger crowds others out: each resource with a bound has a share for each.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::net::TcpStream;
use std::time::Duration;

use palm_tests::hostile::{assert_log_not_flooded, assert_normal_job, closes, thrown, victim};
use palm_tests::within;
use palm_tests::zmtp::{PATIENCE, Peer, dial};
use palm_transport_tcp::{Call, Client, MasterConfig};

/// Connections that a master of these tests may have.
const CONNECTIONS: usize = 64;

fn flags() -> [&'static str; 2] {
    ["--connections", "64"]
}

/// A peer of version 3.0, which cannot be asked whether it lives.
fn of_version_3_0(address: &str, socket_type: &str) -> Option<Peer> {
    Peer::handshake(dial(address).ok()?, socket_type, 0).ok()
}

#[test]
fn idle_connections_give_way_to_peers_that_have_something_to_do() {
    within(120, || {
        let (mut master, _worker) = victim(&flags());
        let mut held = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            held.extend(of_version_3_0(&master.addresses.publish, "SUB"));
            held.extend(of_version_3_0(&master.addresses.worker_pull, "PUSH"));
        }
        // New peers get in, and a worker that has been at work is still there.
        for _ in 0..3 {
            assert_normal_job(&mut master);
        }
        let open = held.iter().filter(|peer| !closes(&mut peer.stream().unwrap(), Duration::from_millis(1))).count();
        assert!(open <= CONNECTIONS, "the oldest were closed: {open} are open");
        assert!(!master.logged("WARNING").is_empty(), "it is told");
        assert_log_not_flooded(&master, 200);
    });
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    within(120, || {
        let (mut master, _worker) = victim(&flags());
        let addresses: Vec<String> =
            master.addresses.named().iter().map(|(_, address)| (*address).to_owned()).collect();
        let held: Vec<TcpStream> =
            addresses.iter().flat_map(|address| (0..CONNECTIONS).map(|_| thrown(address, b""))).collect();
        assert_normal_job(&mut master);
        drop(held);
    });
}

#[test]
fn one_connection_with_all_topics_that_it_may_have_keeps_no_other_from_its_own() {
    within(120, || {
        let (mut master, _worker) = victim(&flags());
        let mut greedy = Peer::connect(&master.addresses.publish, "SUB").unwrap();
        let mut taken = 0_u32;
        // It may be closed before all are written.
        while taken < 5_000 && greedy.subscribe(&taken.to_be_bytes()).is_ok() {
            taken += 1;
        }
        let mut stream = greedy.stream().unwrap();
        assert!(closes(&mut stream, PATIENCE), "that was one too many");
        assert_normal_job(&mut master);
    });
}

#[test]
fn who_listens_to_everything_takes_nothing_from_a_client_that_comes_late() {
    const MESSAGES: usize = 500;
    within(120, || {
        let (mut master, _worker) = victim(&[]);
        let mut all = Peer::connect(&master.addresses.publish, "SUB").unwrap();
        all.subscribe(b"").unwrap();
        let mut stuck = Peer::connect(&master.addresses.publish, "SUB").unwrap();
        stuck.subscribe(b"").unwrap();
        // What went this way and came back shows that they are subscribed.
        assert_normal_job(&mut master);
        let mut push = Peer::pusher(&master.addresses.pull).unwrap();
        for number in 0..MESSAGES {
            let message = palm_tests::raw::message("late", &master.call("echo"), number.to_string().as_bytes());
            push.send(&[&message]).unwrap();
        }
        let mut heard = 0;
        while heard < MESSAGES {
            heard += usize::from(all.recv().unwrap()[0] == b"late");
        }
        let mut own = palm_tests::raw::subscriber(&master.addresses, "late").unwrap();
        for _ in 0..MESSAGES {
            palm_tests::raw::result(&mut own, "late").unwrap();
        }
    });
}

#[test]
fn connections_without_a_token_keep_none_with_one_out_of_a_native_master() {
    within(120, || {
        let config = MasterConfig { token: "secret".into(), connections: 16, ..MasterConfig::on_free_port("native") };
        let master = palm_transport_tcp::Master::bind(config).unwrap();
        let (address, handle) = (master.addresses()[0].to_string(), master.handle());
        let mastering = std::thread::spawn(move || master.run());
        let worker = palm_transport_tcp::Worker::builder(&address).token("secret");
        let worker = worker.function("echo", |call: Call| Ok::<_, String>(call.payload().to_vec())).build().unwrap();
        let stop = worker.handle();
        let working = std::thread::spawn(move || worker.run());
        let first = Client::builder(&address).token("secret").connect().unwrap();
        assert_eq!(&first.eval("echo", "first").unwrap()[..], b"first");
        let held: Vec<TcpStream> = (0..200).map(|_| thrown(&format!("tcp://{}", host(&address)), b"")).collect();
        let second = Client::builder(&address).token("secret").connect().unwrap();
        assert_eq!(&second.eval("echo", "second").unwrap()[..], b"second");
        assert_eq!(&first.eval("echo", "again").unwrap()[..], b"again", "and those who are there stay");
        drop((first, second, held));
        stop.shutdown();
        working.join().unwrap().unwrap();
        handle.shutdown();
        mastering.join().unwrap().unwrap();
    });
}

/// HOST:PORT of an address.
fn host(address: &str) -> &str {
    address.strip_prefix("tcp://").unwrap_or(address)
}
