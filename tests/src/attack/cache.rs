//! The cache: its own keys, more keys than it holds, and requests that are none.

use super::client::{name, shown};
use super::{Attack, Broken, Outcome, Scene};
use crate::hostile::random;
use crate::raw::{exchange, written};

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        family: "cache",
        name: "presets",
        tries: "the keys that peers find the master by are set and deleted",
        holds: "they stay as they are",
        native: false,
        run: presets,
    },
    Attack {
        family: "cache",
        name: "requests",
        tries: "commands that there are not, absent keys, keys that are no text, requests that are no messages and have no envelope",
        holds: "the next command is answered",
        native: false,
        run: requests,
    },
    Attack {
        family: "cache",
        name: "many-keys",
        tries: "keys without end; they are deleted afterwards",
        holds: "peers find the master, and are served",
        native: false,
        run: many_keys,
    },
    Attack {
        family: "cache",
        name: "never-reads",
        tries: "a peer asks for a large value again and again, and reads no answer",
        holds: "peers are served meanwhile",
        native: false,
        run: never_reads,
    },
];

fn presets(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let keys =
        ["name", "db_address", "pull_address", "pub_address", "worker_pull_address", "worker_push_address"].into_iter();
    let keys = keys.chain(["palm_extensions", "palm_max_message", "palm_native_address"]);
    for key in keys {
        let before = target.cache("get", key, b"")?;
        if before.is_empty() {
            // There is no such key, and so everybody may set it.
            continue;
        }
        let tampered = |after: &[u8]| (after != before).then(|| shown(after));
        let _answer = target.cache("set", key, b"tcp://127.0.0.1:9")?;
        let set = tampered(&target.cache("get", key, b"")?);
        let _answer = target.cache("delete", key, b"")?;
        let deleted = tampered(&target.cache("get", key, b"")?);
        if set.is_some() || deleted.is_some() {
            // As it was, for those that come behind.
            let _answer = target.cache("set", key, &before)?;
            return Err(Broken(format!("{key} is {set:?} after a set, {deleted:?} after a delete")));
        }
    }
    Ok(())
}

fn requests(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let command = |function: &str, key: &str, payload: &[u8]| {
        written(|writer| {
            writer.client("c").function(function).cache(key).payload(payload);
        })
    };
    let absent = name("absent");
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("an absent key to get", command("x.get", "", absent.as_bytes())),
        ("a command that there is not", command("x.frobnicate", &absent, b"x")),
        ("no dot", command("get", "", b"name")),
        ("no function", command("", "", b"name")),
        ("dots", command("...", "", b"name")),
        ("several functions", command("a.get b.get", "", b"name")),
        ("a key that is no text", command("x.get", "", b"\xff\xfe")),
        ("a key to set that is no text", [&command("x.set", "", b"v")[..], b"\x2a\x02\xff\xfe"].concat()),
        ("a function that is no text", b"\x22\x03x.\xff".to_vec()),
        ("a key of a mebibyte", command("x.get", "", &[b'k'; 1 << 20])),
        ("nothing", Vec::new()),
        ("bytes that are no message", random(300)),
        ("an absent key to delete", command("x.delete", "", absent.as_bytes())),
    ];
    for (what, body) in &bodies {
        let mut peer = target.peer(&target.addresses.cache, "REQ", 1)?;
        // Whether there is an answer, or the connection is closed, is the cache's choice.
        peer.send(&[b"", body])?;
        scene.answered().map_err(|broken| broken.after(&format!("after a request with {what}")))?;
    }
    let envelopes: [(&str, Vec<&[u8]>); 4] = [
        ("no envelope", vec![b"x"]),
        ("an envelope and no body", vec![b""]),
        ("two bodies", vec![b"", b"a", b"b"]),
        ("a thousand parts", vec![b""; 1_000]),
    ];
    for (what, parts) in &envelopes {
        let mut peer = target.peer(&target.addresses.cache, "DEALER", 1)?;
        let _closed = peer.send(parts);
        scene.answered().map_err(|broken| broken.after(&format!("after a request with {what}")))?;
    }
    Ok(())
}

fn many_keys(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let mut peer = target.peer(&target.addresses.cache, "REQ", 1)?;
    let prefix = name("key");
    let request = |verb: &str, number: usize| {
        let key = format!("{prefix}-{number}");
        written(|writer| {
            match verb {
                "set" => writer.client("c").function("x.set").cache(&key).payload(b"v"),
                _ => writer.client("c").function("x.delete").payload(key.as_bytes()),
            };
        })
    };
    let mut set = 0;
    while set < target.bounds.keys {
        // An empty answer: no more are taken.
        if exchange(&mut peer, &request("set", set))?.is_empty() {
            break;
        }
        set += 1;
    }
    let outcome = scene.served().map_err(|broken| broken.after(&format!("beside {set} keys of a stranger")));
    for number in 0..set {
        exchange(&mut peer, &request("delete", number))?;
    }
    outcome
}

fn never_reads(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let key = name("large");
    let _answer = target.cache("set", &key, &vec![7; 1 << 20])?;
    let mut deaf = target.peer(&target.addresses.cache, "DEALER", 0)?;
    deaf.patience(Some(std::time::Duration::from_secs(1)))?;
    let request = written(|writer| {
        writer.client("c").function("x.get").payload(key.as_bytes());
    });
    for number in 0..2_000 {
        // Once no more requests are taken it is held back, which is right.
        if deaf.send(&[b"", &request]).is_err() {
            break;
        }
        if number % 200 == 0 {
            scene.answered().map_err(|broken| broken.after(&format!("after {number} answers that nobody reads")))?;
        }
    }
    let outcome = scene.served().map_err(|broken| broken.after("beside a peer that reads no answer"));
    drop(deaf);
    let _answer = target.cache("delete", &key, b"")?;
    outcome
}
