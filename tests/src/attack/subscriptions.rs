//! Subscriptions of strangers: to everything, to prefixes, and more than anybody needs.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use palm_proto::message::MessageRef;

use super::client::{Client, name, numbered};
use super::{Attack, Broken, Outcome, Scene};
use crate::raw::message;
use crate::zmtp::Peer;

pub(super) const ATTACKS: [Attack; 5] = [
    Attack {
        family: "subscriptions",
        name: "everything-after",
        tries: "a subscription to everything while results of thousands of messages wait for clients that come late",
        holds: "the late clients have all of theirs, and the cache answers meanwhile",
        native: false,
        run: |scene| late(scene, &[b""], false),
    },
    Attack {
        family: "subscriptions",
        name: "everything-before",
        tries: "a subscription to everything before the messages are sent whose clients come late",
        holds: "the late clients have all of theirs",
        native: false,
        run: |scene| late(scene, &[b""], true),
    },
    Attack {
        family: "subscriptions",
        name: "first-bytes",
        tries: "subscriptions to each byte that a topic may begin with, while results wait",
        holds: "the late clients have all of theirs, and the cache answers meanwhile",
        native: false,
        run: |scene| {
            let bytes: Vec<u8> = (0..=255).collect();
            late(scene, &bytes.chunks(1).collect::<Vec<_>>(), false)
        },
    },
    Attack {
        family: "subscriptions",
        name: "many",
        tries: "as many subscriptions as there may be in all, on one connection and on 64",
        holds: "new clients can subscribe",
        native: false,
        run: many,
    },
    Attack {
        family: "subscriptions",
        name: "prefix",
        tries: "a client whose id is the beginning of another's, which comes late",
        holds: "the late client has all of its results",
        native: false,
        run: prefix,
    },
];

/// Clients that come late.
const LATE: usize = 50;

/// Messages of late clients are done; strangers subscribe after that, or before; the late clients want theirs.
fn late(scene: &mut Scene<'_>, topics: &[&[u8]], before: bool) -> Outcome {
    let target = scene.target;
    let each = (target.bounds.messages / 4 / LATE).max(1);
    let ids: Vec<_> = (0..LATE).map(|number| name(&format!("late{number}"))).collect();
    let mut strangers = Vec::new();
    if before {
        strangers.push(subscribe(scene, topics)?);
    }
    let start = Instant::now();
    submit(scene, &ids, each)?;
    if !before {
        strangers.push(subscribe(scene, topics)?);
        // The master has read the subscriptions of before once it has served those of a client behind them, or so; and the cache
        // has to answer all the while.
        for _ in 0..20 {
            scene.answered().map_err(|broken| broken.after("while strangers subscribe"))?;
        }
    }
    let outcome = ids.iter().try_for_each(|id| {
        let mut client = Client::connect(target, id)?;
        let numbers: Vec<u64> = (0..each as u64).collect();
        client.all(&numbers, |number| number.to_be_bytes().to_vec())
    });
    outcome.map_err(|broken| broken.after(&format!("a client that came {:.1} s late", start.elapsed().as_secs_f32())))
}

/// Sends so many messages in the name of each of these clients, none of which is there, and waits until workers have taken all.
fn submit(scene: &Scene<'_>, ids: &[String], each: usize) -> Outcome {
    let target = scene.target;
    let taken = scene.taken();
    let mut push = target.honest_peer(&target.addresses.pull, "PUSH", 0)?;
    for number in 0..each as u64 {
        for id in ids {
            push.feed(&[&numbered(id, &target.call(), &number.to_be_bytes(), number)])?;
        }
    }
    push.flush()?;
    let (all, start, mut last) = (taken + each * ids.len(), Instant::now(), taken);
    let mut moved = start;
    while scene.taken() < all {
        if scene.taken() > last {
            (last, moved) = (scene.taken(), Instant::now());
        }
        // Workers that are not ours take some as well: then it is enough that no more come.
        if moved.elapsed() > target.bounds.patience {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A stranger's subscriptions on one connection, which reads what comes. It ends when it is dropped.
fn subscribe(scene: &Scene<'_>, topics: &[&[u8]]) -> Outcome<Stranger> {
    let target = scene.target;
    let mut sub = target.peer(&target.addresses.publish, "SUB", 1)?;
    for topic in topics {
        sub.subscribe(topic)?;
    }
    let stream = sub.stream()?;
    let most = 2 * target.bounds.messages;
    thread::spawn(move || {
        // So many results that it could have all.
        let _ended = (0..most).try_for_each(|_| sub.recv().map(drop));
    });
    Ok(Stranger(stream))
}

struct Stranger(std::net::TcpStream);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _closed = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// Parts in which they come, after each of which honest clients have to be served.
const STEPS: usize = 64;

fn many(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let each = (target.bounds.subscriptions / STEPS).max(1);
    let mut held = Vec::new();
    for connections in [1, STEPS] {
        let mut subs = Vec::new();
        for _ in 0..connections {
            subs.push(target.peer(&target.addresses.publish, "SUB", 1)?);
        }
        for step in 0..STEPS {
            let Some(sub) = subs.get_mut(step % connections) else { break };
            // A master may close the connection, which is right.
            let _closed = (0..each).try_for_each(|number| sub.subscribe(format!("topic {step} {number}").as_bytes()));
            scene.answered().map_err(|broken| {
                let count = (step + 1) * each;
                broken.after(&format!("beside {count} subscriptions on {connections} connections"))
            })?;
        }
        for sub in subs {
            held.push(hold(sub)?);
        }
        scene.served().map_err(|broken| broken.after("beside all of them"))?;
        held.clear();
    }
    Ok(())
}

/// Keeps a peer, and answers what it is asked.
fn hold(mut peer: Peer) -> Outcome<Stranger> {
    let stream = peer.stream()?;
    thread::spawn(move || while peer.recv().is_ok() {});
    Ok(Stranger(stream))
}

fn prefix(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let short = name("client");
    let long = format!("{short}-and-more");
    let mut early = Client::connect(target, &short)?;
    early.call(target, "before")?;
    submit(scene, std::slice::from_ref(&long), LATE)?;
    // Whatever the short one is sent of the other's results, it has its own.
    early.send(&message(&short, &target.call(), b"mine"))?;
    let mut others: HashMap<String, usize> = HashMap::new();
    early.until(b"mine", |result: &MessageRef<'_>| {
        *others.entry(result.client.to_owned()).or_default() += 1;
        Ok(())
    })?;
    let mut late = Client::connect(target, &long)?;
    let numbers: Vec<u64> = (0..LATE as u64).collect();
    late.all(&numbers, |number| number.to_be_bytes().to_vec()).map_err(|broken| {
        let got = others.get(&long).copied().unwrap_or_default();
        Broken(format!("{}; the client of the shorter id was given {got} of them", broken.0))
    })
}
