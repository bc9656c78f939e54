//! No peer can take a master down, or out: whatever reaches one of its five sockets, a normal job runs afterwards.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::io::Write;
use std::time::Duration;

use palm_proto::message::TaskId;
use palm_tests::hostile::{
    assert_log_not_flooded, assert_normal_job, assert_served, closes, counterpart, framed, frames, openings, peer,
    raise_open_files, random, thrown, victim,
};
use palm_tests::raw::{self, exchange, message, written};
use palm_tests::zmtp::{COMMAND, MORE, PATIENCE, Peer, dial, frame_header, greeting, ready};
use palm_tests::{RawClient, StockClient, within};

/// What a socket must not shake hands with.
const SOCKET_TYPES: [&str; 13] =
    ["PUSH", "PULL", "PUB", "SUB", "XPUB", "XSUB", "REQ", "REP", "DEALER", "ROUTER", "PAIR", "NONSENSE", ""];

#[test]
fn handshakes_gone_wrong_harm_nobody() {
    within(300, || {
        let (mut master, _worker) = victim(&[]);
        let mut held = Vec::new();
        for (socket, address) in master.addresses.named() {
            for (what, bytes) in openings() {
                held.push(thrown(address, &bytes));
                assert_served(&master, &format!("{what} at {socket}"));
                // And closed in the middle.
                drop(thrown(address, &bytes));
            }
        }
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 400);
    });
}

#[test]
fn frames_gone_wrong_harm_nobody() {
    within(300, || {
        let (mut master, _worker) = victim(&[]);
        let mut held = Vec::new();
        for (socket, address) in master.addresses.named() {
            for (what, bytes) in frames() {
                let mut peer = peer(socket, address);
                let _closed = peer.raw(&bytes);
                // A puller that stays would be handed messages, as a worker is, and keep them.
                if counterpart(socket) == "PULL" {
                    drop(peer);
                } else {
                    held.push(peer);
                }
                assert_served(&master, &format!("{what} at {socket}"));
            }
        }
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 400);
    });
}

#[test]
fn a_claim_of_too_many_bytes_closes_the_connection() {
    within(180, || {
        let (mut master, _worker) = victim(&[]);
        for (socket, address) in master.addresses.named() {
            for len in [1 << 36, 1 << 63, u64::MAX] {
                let mut early = thrown(address, &[&greeting(1)[..], &frame_header(COMMAND, len)].concat());
                assert!(closes(&mut early, PATIENCE), "{len} bytes claimed at {socket} before the handshake");
                let mut late = peer(socket, address);
                late.raw(&frame_header(0, len)).unwrap();
                assert!(closes(&mut late.stream().unwrap(), PATIENCE), "{len} bytes claimed at {socket}");
            }
        }
        assert_normal_job(&mut master);
    });
}

#[test]
fn wrong_socket_types_are_turned_away() {
    within(300, || {
        let (mut master, _worker) = victim(&[]);
        for (socket, address) in master.addresses.named() {
            let welcome: &[&str] = match socket {
                "publish" => &["SUB", "XSUB"],
                "cache" => &["REQ", "DEALER"],
                _ => &[counterpart(socket)],
            };
            for socket_type in SOCKET_TYPES.into_iter().filter(|socket_type| !welcome.contains(socket_type)) {
                let mut stream = thrown(address, &[&greeting(1)[..], &ready(socket_type)].concat());
                assert!(closes(&mut stream, PATIENCE), "a {socket_type:?} at {socket}");
            }
        }
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 400);
    });
}

#[test]
fn half_handshakes_are_not_held_for_ever() {
    within(180, || {
        let (mut master, _worker) = victim(&[]);
        for (socket, address) in master.addresses.named() {
            let mut silent = thrown(address, b"");
            let mut half = thrown(address, &greeting(1));
            assert!(closes(&mut silent, Duration::from_secs(40)), "a silent connection at {socket}");
            assert!(closes(&mut half, Duration::from_secs(40)), "half a handshake at {socket}");
        }
        assert_normal_job(&mut master);
    });
}

#[test]
fn a_thousand_idle_connections_harm_nobody() {
    within(180, || {
        let (mut master, _worker) = victim(&[]);
        raise_open_files();
        let mut held = Vec::new();
        let half = greeting(1);
        for (_, address) in master.addresses.named() {
            for number in 0..200 {
                held.push(thrown(address, if number % 2 == 0 { b"" } else { &half[..40] }));
            }
        }
        assert_served(&master, "a thousand connections");
        assert_normal_job(&mut master);
        drop(held);
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 300);
    });
}

#[test]
fn cache_commands_gone_wrong_are_answered() {
    within(240, || {
        let (mut master, _worker) = victim(&[]);
        let cache = master.addresses.cache.clone();
        let command = |function: &str, key: &str, payload: &[u8]| {
            written(|writer| {
                writer.client("c").function(function).cache(key).payload(payload);
            })
        };
        let absent = "an absent key".as_bytes();
        // What PALM says: an unknown verb answers nothing, as does a get of what is not there.
        let mut req = Peer::connect(&cache, "REQ").unwrap();
        assert_eq!(exchange(&mut req, &command("x.get", "", absent)).unwrap(), b"");
        assert_eq!(exchange(&mut req, &command("x.delete", "", absent)).unwrap(), absent);
        assert_eq!(exchange(&mut req, &command("x.frobnicate", "", absent)).unwrap(), b"");
        assert_eq!(exchange(&mut req, &command("x.set", "key", b"\xff\0")).unwrap(), b"key");
        assert_eq!(exchange(&mut req, &command("anything.get", "", b"key")).unwrap(), b"\xff\0");
        // What kills a stock cache: some answer, or a closed connection, and the next command is served.
        let not_utf8 = b"\x22\x03x.\xff".to_vec();
        let key_not_utf8 = command("x.get", "", b"\xff\xfe");
        let set_key_not_utf8 = [&command("x.set", "", b"v")[..], b"\x2a\x02\xff\xfe"].concat();
        let long_key = command("x.set", &"k".repeat(1 << 20), b"v");
        let long_value = command("x.set", "big", &vec![1; 40 << 20]);
        for (what, request) in [
            ("without a dot", command("get", "", b"name")),
            ("without a function", command("", "", b"name")),
            ("with a dot only", command(".", "", b"name")),
            ("with dots only", command("...", "", b"name")),
            ("for a stage that is not there", [&command("a.get b.get", "", b"name")[..], b"\x18\x63"].concat()),
            ("that is empty", vec![]),
            ("that does not parse", random(300)),
            ("whose function is not UTF-8", not_utf8),
            ("whose key is not UTF-8", key_not_utf8),
            ("to set under a key that is not UTF-8", set_key_not_utf8),
            ("with a key of a mebibyte", long_key),
            ("with a value of 40 MiB", long_value),
        ] {
            let mut req = Peer::connect(&cache, "REQ").unwrap();
            let answered = exchange(&mut req, &request).is_ok();
            let closed = !answered && closes(&mut req.stream().unwrap(), PATIENCE);
            assert!(answered || closed, "a command {what} is left without an answer");
            assert_served(&master, what);
        }
        // Requests that are no requests.
        for (what, parts) in [
            ("without a delimiter", vec![&b"x"[..]]),
            ("without a body", vec![&b""[..]]),
            ("with two bodies", vec![&b""[..], b"a", b"b"]),
            ("of a thousand parts", vec![&b""[..]; 1000]),
        ] {
            let mut req = Peer::connect(&cache, "REQ").unwrap();
            req.send(&parts).unwrap();
            assert_served(&master, &format!("a request {what}"));
        }
        // One who never reads the answers.
        let mut deaf = Peer::connect(&cache, "DEALER").unwrap();
        deaf.patience(Some(Duration::from_secs(2))).unwrap();
        raw::cache(&cache, "set", "large", &vec![7; 1 << 20], PATIENCE).unwrap();
        let request = command("x.get", "", b"large");
        let _stopped = (0..2000).try_for_each(|_| deaf.send(&[b"", &request]));
        assert_served(&master, "two thousand answers that nobody reads");
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 300);
    });
}

#[test]
fn the_keys_of_discovery_stay_as_they_are() {
    within(180, || {
        let (mut master, _worker) = victim(&[]);
        let addresses = master.addresses.clone();
        for (key, value) in [
            ("name", master.name.clone()),
            ("db_address", addresses.cache.clone()),
            ("pull_address", addresses.pull.clone()),
            ("pub_address", addresses.publish.clone()),
            ("worker_pull_address", addresses.worker_pull.clone()),
            ("worker_push_address", addresses.worker_push.clone()),
            ("palm_extensions", "1".to_owned()),
        ] {
            // Whatever the store answers, it has to answer, and to keep what it has.
            raw::cache(&addresses.cache, "set", key, b"tcp://127.0.0.1:9", PATIENCE).unwrap();
            raw::cache(&addresses.cache, "delete", key, b"", PATIENCE).unwrap();
            let kept = raw::cache(&addresses.cache, "get", key, b"", PATIENCE).unwrap();
            assert_eq!(String::from_utf8_lossy(&kept), value, "{key}");
        }
        StockClient::cache(&master, None, &["set=name=00", "delete=pull_address"]);
        assert_normal_job(&mut master);
    });
}

#[test]
fn messages_gone_wrong_harm_neither_workers_nor_others() {
    within(300, || {
        let (mut master, mut worker) = victim(&[]);
        let call = master.call("echo");
        let well = message("c", &call, b"p");
        let many: Vec<&[u8]> = vec![b"p"; 20_000];
        for (socket, address) in [("pull", &master.addresses.pull), ("worker pull", &master.addresses.worker_pull)] {
            for (what, parts) in [
                ("an empty message", vec![&b""[..]]),
                ("a message that does not parse", vec![&random(500)[..]]),
                ("a message cut short", vec![&well[..well.len() - 1]]),
                ("a client that is not UTF-8", vec![&[b"\x12\x02\xff\xfe", &well[..]].concat()[..]]),
                ("a field without end", vec![&[0xff; 40][..]]),
                ("a function without a dot", vec![&message("c", "echo", b"p")[..]]),
                ("no function", vec![&message("c", "", b"p")[..]]),
                ("a function of dots", vec![&message("c", "..", b"p")[..]]),
                ("a function of spaces", vec![&message("c", "   ", b"p")[..]]),
                (
                    "a stage that is not there",
                    vec![&[&message("c", "a.echo b.echo", b"")[..], b"\x18\x63"].concat()[..]],
                ),
                (
                    "a negative stage",
                    vec![
                        &written(|writer| {
                            writer.client("c").function("a.echo b.echo").stage(-7);
                        })[..],
                    ],
                ),
                ("no client", vec![&message("", &call, b"p")[..]]),
                ("a client's name of 100 KiB", vec![&message(&"c".repeat(100_000), &call, b"p")[..]]),
                ("two parts", vec![&well[..], &well[..]]),
                ("an empty part first", vec![&b""[..], &well[..]]),
                ("twenty thousand parts", many.clone()),
                (
                    "a forged task",
                    vec![
                        &written(|writer| {
                            writer.client("c").task(TaskId(0)).attempt(1);
                        })[..],
                    ],
                ),
                (
                    "a forged task and attempt",
                    vec![
                        &written(|writer| {
                            writer.client("c").task(TaskId(u64::MAX)).attempt(u32::MAX);
                        })[..],
                    ],
                ),
            ] {
                // One connection for each: a master may close it.
                let mut peer = peer(socket, address);
                let _closed = peer.send(&parts);
                assert_served(&master, &format!("{what} at {socket}"));
            }
        }
        assert!(worker.process.is_running(), "a message took the worker down");
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 300);
    });
}

#[test]
fn a_message_over_the_limit_is_turned_away() {
    within(240, || {
        let (mut master, _worker) = victim(&["--max-message", "1MiB"]);
        for (socket, address) in master.addresses.named() {
            if socket == "publish" || socket == "worker push" {
                continue;
            }
            let mut peer = peer(socket, address);
            let body = message("c", "victim.echo", &vec![1; (1 << 20) + 1]);
            let _closed = peer.send(&[&body]);
            assert!(closes(&mut peer.stream().unwrap(), PATIENCE), "too large a message at {socket}");
            // The same in parts, each small enough.
            let mut parts = self::peer(socket, address);
            let part = framed(MORE, &vec![1; 200_000]);
            let _closed = (0..20).try_for_each(|_| parts.raw(&part));
            assert!(closes(&mut parts.stream().unwrap(), PATIENCE), "too large a message in parts at {socket}");
        }
        let mut client = RawClient::connect(&master.addresses, "within the limit").unwrap();
        let payload = vec![5; (1 << 20) - 200];
        client.send(&master.call("echo"), &payload).unwrap();
        assert!(client.recv().unwrap() == payload, "the payload came back changed");
        assert_normal_job(&mut master);
    });
}

#[test]
fn subscribers_that_never_read_stop_nobody() {
    within(300, || {
        let (mut master, _worker) = victim(&["--memory", "64MiB"]);
        // One subscribed to everything, one to its own results, one to a hundred thousand topics.
        let mut all = Peer::connect(&master.addresses.publish, "SUB").unwrap();
        all.subscribe(b"").unwrap();
        let mut greedy = Peer::connect(&master.addresses.publish, "SUB").unwrap();
        let topics: Vec<u8> =
            (0..100_000).flat_map(|topic| framed(COMMAND, format!("\x09SUBSCRIBEtopic {topic}").as_bytes())).collect();
        let _closed = greedy.raw(&topics);
        assert_served(&master, "a hundred thousand subscriptions");
        let mut deaf = RawClient::connect(&master.addresses, "deaf").unwrap();
        deaf.push.patience(Some(Duration::from_secs(2))).unwrap();
        let payload = vec![9; 256 << 10];
        let call = master.call("echo");
        // 256 MiB, or as much as the master takes in.
        let _stopped = (0..1024).try_for_each(|_| deaf.send(&call, &payload));
        assert_served(&master, "results that nobody reads");
        assert_normal_job(&mut master);
        StockClient::echo_sizes(&master, &[4 << 20]);
        assert_normal_job(&mut master);
    });
}

#[test]
fn a_flood_of_rubbish_does_not_flood_the_log() {
    within(300, || {
        let (mut master, _worker) = victim(&[]);
        let rubbish = random(100);
        for round in 0..400 {
            for (socket, address) in master.addresses.named() {
                drop(thrown(address, &rubbish));
                if round % 4 == 0 && counterpart(socket) == "PUSH" {
                    let mut peer = peer(socket, address);
                    let _closed = (0..50).try_for_each(|_| peer.feed(&[&rubbish])).and_then(|()| peer.flush());
                }
            }
        }
        assert_served(&master, "ten thousand pieces of rubbish");
        assert_normal_job(&mut master);
        assert_log_not_flooded(&master, 300);
    });
}

#[test]
fn a_worker_that_takes_and_never_answers_does_not_keep_what_it_took() {
    within(180, || {
        let (mut master, _worker) = victim(&[]);
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        // A puller without a way to answer: it holds what it is handed until it goes.
        let mut thief = peer("worker push", &master.addresses.worker_push);
        let call = master.call("echo");
        for number in 0..500_u32 {
            client.send(&call, &number.to_be_bytes()).unwrap();
        }
        assert!(thief.recv().is_ok(), "it is handed messages like any worker");
        drop(thief);
        let mut results: Vec<_> = (0..500).map(|_| client.recv().unwrap()).collect();
        results.sort();
        let expected: Vec<_> = (0..500_u32).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(results, expected);
        assert_normal_job(&mut master);
    });
}

#[test]
fn results_of_one_client_do_not_reach_another() {
    within(120, || {
        let (master, _worker) = victim(&[]);
        let mut one = RawClient::connect(&master.addresses, "client one").unwrap();
        let mut two = RawClient::connect(&master.addresses, "client two").unwrap();
        for number in 0..100_u32 {
            one.send(&master.call("echo"), &[b"one", &number.to_be_bytes()[..]].concat()).unwrap();
            two.send(&master.call("echo"), &[b"two", &number.to_be_bytes()[..]].concat()).unwrap();
        }
        for _ in 0..100 {
            assert!(one.recv().unwrap().starts_with(b"one"));
            assert!(two.recv().unwrap().starts_with(b"two"));
        }
    });
}

#[test]
fn bytes_one_at_a_time_are_as_good_as_all_at_once() {
    within(120, || {
        let (mut master, _worker) = victim(&[]);
        let mut sub = palm_tests::raw::subscriber(&master.addresses, "slow").unwrap();
        let mut stream = dial(&master.addresses.pull).unwrap();
        let body = message("slow", &master.call("echo"), b"dripping");
        let bytes = [&greeting(0)[..], &ready("PUSH"), &framed(0, &body)].concat();
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(raw::result(&mut sub, "slow").unwrap(), b"dripping");
        assert_normal_job(&mut master);
    });
}

#[test]
fn a_subscription_of_zmtp_3_0_counts() {
    within(120, || {
        let (master, _worker) = victim(&[]);
        let stream = dial(&master.addresses.publish).unwrap();
        let mut sub = Peer::handshake(stream, "SUB", 0).unwrap();
        sub.subscribe(b"old").unwrap();
        let mut push = Peer::pusher(&master.addresses.pull).unwrap();
        push.send(&[&message("old", &master.call("echo"), b"p")]).unwrap();
        assert_eq!(raw::result(&mut sub, "old").unwrap(), b"p");
    });
}
