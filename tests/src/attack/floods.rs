//! More messages than the master can have done: who else waits for how long?

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use palm_proto::message::MessageRef;

use super::client::{Client, name};
use super::wire::{PRIORITY, answer, varint};
use super::{Attack, Broken, Outcome, Scene, Target};
use crate::raw::message;
use crate::zmtp::Peer;

pub(super) const ATTACKS: [Attack; 3] = [
    Attack {
        family: "floods",
        name: "priority",
        tries: "messages of the highest priority without end, from one client",
        holds: "a message of the usual priority from another is answered before the flood is over",
        native: false,
        run: priority,
    },
    Attack {
        family: "floods",
        name: "never-reads",
        tries: "a client that sends and never reads, without and with a subscription",
        holds: "others are served meanwhile",
        native: false,
        run: never_reads,
    },
    Attack {
        family: "floods",
        name: "many-senders",
        tries: "two hundred connections that send as much as is taken",
        holds: "others are served meanwhile",
        native: false,
        run: many_senders,
    },
];

/// Messages of the flood that wait at any time: more than a worker has at once.
const AHEAD: usize = 3_000;

/// How far the only worker is.
#[derive(Default)]
struct Progress {
    answered: AtomicUsize,
    /// The worker has had the other client's message.
    seen: AtomicBool,
    over: AtomicBool,
}

fn priority(scene: &mut Scene<'_>) -> Outcome {
    scene.dismiss();
    let outcome = flooded(scene.target);
    scene.hire()?;
    outcome
}

fn flooded(target: &Target) -> Outcome {
    let progress = Arc::new(Progress::default());
    let mut other = Client::connect(target, &name("other"))?;
    let flooding = flood(target, &progress)?;
    // The worker comes when the flood is there.
    let (working, pull) = worker(target, &progress)?;
    let outcome = await_other(target, &progress, &mut other);
    progress.over.store(true, Ordering::Release);
    let _ended = flooding.join();
    // What is left of the flood is for the workers that come now.
    let _closed = pull.shutdown(Shutdown::Both);
    let _ended = working.join();
    outcome
}

/// Sends the one message once the worker is in the middle of the flood, and waits until it has it or has done so many others.
fn await_other(target: &Target, progress: &Progress, other: &mut Client) -> Outcome {
    let patience = target.bounds.patience;
    let most = target.bounds.messages;
    let (mut moved, mut last) = (Instant::now(), 0);
    let mut sent_at = None;
    loop {
        let answered = progress.answered.load(Ordering::Acquire);
        if progress.seen.load(Ordering::Acquire) {
            return Ok(());
        }
        if answered > last {
            (last, moved) = (answered, Instant::now());
        }
        match sent_at {
            None if answered > 0 => {
                other.send(&message(&other.id, &target.call(), b"other"))?;
                sent_at = Some(answered);
            }
            Some(before) if answered - before >= most => {
                return Err(Broken(format!(
                    "{} of the flood were done, and the other message was not",
                    answered - before
                )));
            }
            _ if moved.elapsed() > patience => return Err(Broken("the only worker is given nothing".to_owned())),
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// A client that has so many messages ahead of the worker, and reads all its results.
fn flood(target: &Target, progress: &Arc<Progress>) -> Outcome<thread::JoinHandle<()>> {
    let mut client = Client::connect(target, &name("flood"))?;
    let urgent = [message(&client.id, &target.call(), b"flood"), varint(PRIORITY, 3)].concat();
    for _ in 0..AHEAD {
        client.feed(&urgent)?;
    }
    client.send(&urgent)?;
    let (progress, most) = (Arc::clone(progress), 2 * target.bounds.messages);
    Ok(thread::spawn(move || {
        let mut sent = AHEAD + 1;
        while sent < AHEAD + most && !progress.over.load(Ordering::Acquire) {
            let Ok(result) = client.next_within(Duration::from_millis(100)) else { return };
            if result.is_some() {
                if client.send(&urgent).is_err() {
                    return;
                }
                sent += 1;
            }
        }
    }))
}

/// The only worker, and its connection.
fn worker(target: &Target, progress: &Arc<Progress>) -> io::Result<(thread::JoinHandle<()>, TcpStream)> {
    let mut push = target.honest_peer(&target.addresses.worker_pull, "PUSH", 0)?;
    let mut pull = target.honest_peer(&target.addresses.worker_push, "PULL", 1)?;
    let stream = pull.stream()?;
    let progress = Arc::clone(progress);
    let most = AHEAD + 3 * target.bounds.messages;
    let working = thread::spawn(move || {
        for _ in 0..most {
            let Ok(mut parts) = pull.recv() else { return };
            let taken = parts.pop().unwrap_or_default();
            let Ok(parsed) = MessageRef::parse(&taken) else { return };
            if parsed.payload == b"other" {
                progress.seen.store(true, Ordering::Release);
            }
            progress.answered.fetch_add(1, Ordering::AcqRel);
            let answer = answer(&taken, parsed.payload).unwrap_or_default();
            if push.send(&[&answer]).is_err() {
                return;
            }
        }
    });
    Ok((working, stream))
}

fn never_reads(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    for subscribed in [false, true] {
        let id = name("deaf");
        let mut sub = target.peer(&target.addresses.publish, "SUB", 0)?;
        if subscribed {
            sub.subscribe(id.as_bytes())?;
        }
        let mut push = target.peer(&target.addresses.pull, "PUSH", 0)?;
        push.patience(Some(Duration::from_secs(1)))?;
        let large = message(&id, &target.call(), &[b'd'; 16 << 10]);
        for number in 0..target.bounds.messages / 4 {
            // Once nothing more is taken it is held back, which is right.
            if push.feed(&[&large]).is_err() {
                break;
            }
            if number % 500 == 0 {
                scene
                    .answered()
                    .map_err(|broken| broken.after(&format!("after {number} messages of a deaf client")))?;
            }
        }
        scene.served().map_err(|broken| broken.after("beside a deaf client"))?;
    }
    Ok(())
}

fn many_senders(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let each = (target.bounds.messages / 200).max(1);
    let over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..200)
        .map_while(|number| {
            let mut push: Peer = target.peer(&target.addresses.pull, "PUSH", 0).ok()?;
            push.patience(Some(Duration::from_secs(1))).ok()?;
            let message = message(&format!("sender {number}"), &target.call(), &[b's'; 1_000]);
            let over = Arc::clone(&over);
            Some(thread::spawn(move || {
                let sent = (0..each).take_while(|_| !over.load(Ordering::Acquire) && push.send(&[&message]).is_ok());
                sent.count()
            }))
        })
        .collect();
    let outcome = (0..10).try_for_each(|_| scene.answered());
    over.store(true, Ordering::Release);
    let sent: usize = senders.into_iter().filter_map(|sender| sender.join().ok()).sum();
    outcome.map_err(|broken| broken.after(&format!("beside senders of {sent} messages")))
}
