//! Answers from strangers: for tasks that they guess, for none, many times, and messages handed back again and again.

use std::collections::HashSet;
use std::io;
use std::time::Instant;

use palm_proto::message::MessageRef;

use super::client::{Client, name, numbered, random, shown};
use super::wire::{HANDED_BACK, STATUS, TASK, answer, bytes, fixed64, varint};
use super::{Attack, Broken, Outcome, Scene, Target};
use crate::raw::message;
use crate::zmtp::Peer;

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        family: "answers",
        name: "guessed-tasks",
        tries: "a worker guesses from the tasks that it sees those of other workers, and answers them and hands them back",
        holds: "no guess names a task that is out, and each message has its genuine result",
        native: false,
        run: guessed_tasks,
    },
    Attack {
        family: "answers",
        name: "strays",
        tries: "thousands of answers without a task, or with one that never was, for clients that never were",
        holds: "clients have their own results",
        native: false,
        run: strays,
    },
    Attack {
        family: "answers",
        name: "duplicates",
        tries: "a worker answers each of its messages a hundred times, and hands it back afterwards",
        holds: "messages of others have their genuine results",
        native: false,
        run: duplicates,
    },
    Attack {
        family: "answers",
        name: "hands-all-back",
        tries: "a worker hands every message back, as often as it gets one",
        holds: "each message is answered by a worker that does it",
        native: false,
        run: hands_all_back,
    },
];

/// Messages that are out while a stranger answers.
const OUT: u64 = 64;
/// Messages that a strange worker takes at most.
const TAKEN: usize = 2_000;

/// A worker of a stranger's: one connection that takes, one that answers.
struct Spy {
    pull: Peer,
    push: Peer,
}

impl Spy {
    fn connect(target: &Target) -> io::Result<Self> {
        let push = target.peer(&target.addresses.worker_pull, "PUSH", 0)?;
        Ok(Self { pull: target.peer(&target.addresses.worker_push, "PULL", 1)?, push })
    }

    fn take(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.pull.recv()?.pop().unwrap_or_default())
    }

    fn answer(&mut self, message: &[u8], payload: &[u8]) -> Outcome {
        let answer = answer(message, payload).ok_or_else(|| Broken("a worker is sent no message".to_owned()))?;
        Ok(self.push.send(&[&answer])?)
    }
}

fn guessed_tasks(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    scene.hold();
    let tried = guess(scene, target);
    scene.release();
    let (mut victim, numbers) = tried?;
    // What the spy has not answered goes to others, now that it is gone.
    let is_genuine = |number: &u64| format!("genuine {number}").into_bytes();
    let mut missing: HashSet<u64> = numbers.into_iter().collect();
    while !missing.is_empty() {
        let result = victim.next().map_err(|broken| broken.after(&format!("{} results missing", missing.len())))?;
        let result = MessageRef::parse(&result).map_err(|cause| Broken(cause.to_string()))?;
        // An answer that names no message of its own a client passes over.
        let Some(number) = result.extension.sequence else { continue };
        if result.payload != is_genuine(&number) {
            return Err(Broken(format!("a client has a forged result: {:?}", shown(result.payload))));
        }
        missing.remove(&number);
    }
    Ok(())
}

/// With the honest workers holding what they have, a spy answers what it guesses. The client, and the numbers of its messages.
fn guess(scene: &Scene<'_>, target: &Target) -> Outcome<(Client, Vec<u64>)> {
    let mut victim = Client::connect(target, &name("victim"))?;
    let mut spy = Spy::connect(target)?;
    let numbers: Vec<u64> = (0..OUT).map(|_| random() >> 1).collect();
    for &number in &numbers {
        victim.send(&numbered(&victim.id, &target.call(), format!("genuine {number}").as_bytes(), number))?;
    }
    let seen = spy.take()?;
    // Until each of the honest workers has some, too.
    let start = Instant::now();
    while scene.held().is_empty() && start.elapsed() < target.bounds.patience {
        std::thread::yield_now();
    }
    let task = |message: &[u8]| MessageRef::parse(message).ok().and_then(|message| message.extension.task);
    let held: HashSet<u64> = scene.held().iter().filter_map(|message| task(message)).map(|task| task.0).collect();
    if let Some(seen) = task(&seen) {
        let guesses = guesses(seen.0);
        for (count, guess) in guesses.iter().enumerate() {
            let mut forged = [message(&victim.id, &target.call(), b"forged"), fixed64(TASK, *guess)].concat();
            if count % 8 == 0 {
                forged = [message(&victim.id, &target.call(), b"0"), varint(STATUS, HANDED_BACK)].concat();
                forged.extend(fixed64(TASK, *guess));
            }
            spy.push.feed(&[&forged])?;
        }
        let hits = guesses.intersection(&held).count();
        if hits > 0 {
            return Err(Broken(format!(
                "of {} tasks that honest workers hold, {hits} are among {} guesses from {:016x}",
                held.len(),
                guesses.len(),
                seen.0
            )));
        }
    }
    spy.answer(&seen, MessageRef::parse(&seen).map(|message| message.payload).unwrap_or_default())?;
    Ok((victim, numbers))
}

/// What comes to mind to one who sees a task's name: those beside it, in either half.
fn guesses(seen: u64) -> HashSet<u64> {
    let beside = (1..=1_024).flat_map(|step: u64| [seen.wrapping_add(step), seen.wrapping_sub(step)]);
    let above = (1..=64_u64).flat_map(|step| [seen.wrapping_add(step << 32), seen.wrapping_sub(step << 32)]);
    let places = (0..1_024).map(|place| seen & !0xffff_ffff | place);
    let bits = (0..64).map(|bit| seen ^ 1 << bit);
    beside.chain(above).chain(places).chain(bits).chain(0..256).filter(|&guess| guess != seen).collect()
}

fn strays(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let mut push = target.peer(&target.addresses.worker_pull, "PUSH", 0)?;
    for number in 0..target.bounds.messages {
        let mut stray = message(&format!("nobody {}", number % 1_000), &target.call(), b"stray");
        if number % 2 == 0 {
            stray.extend(fixed64(TASK, random()));
        }
        // A master may stop reading them, or close the connection.
        if push.feed(&[&stray]).is_err() {
            break;
        }
        if number % 2_000 == 0 {
            scene.answered().map_err(|broken| broken.after(&format!("after {number} answers for nobody")))?;
        }
    }
    Ok(())
}

fn duplicates(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let mut victim = Client::connect(target, &name("victim"))?;
    let numbers: Vec<u64> = (0..OUT).map(|_| random() >> 1).collect();
    let mut spy = Spy::connect(target)?;
    let mut bait = Client::connect(target, &name("bait"))?;
    for round in 0..OUT {
        bait.feed(&message(&bait.id, &target.call(), format!("bait {round}").as_bytes()))?;
    }
    bait.send(&message(&bait.id, &target.call(), b"bait"))?;
    let taken = spy.take()?;
    for _ in 0..100 {
        spy.answer(&taken, b"again")?;
    }
    let handed = [&taken[..], &bytes(6, b"0"), &varint(STATUS, HANDED_BACK)].concat();
    spy.push.send(&[&handed])?;
    drop(spy);
    for &number in &numbers {
        victim.send(&numbered(&victim.id, &target.call(), &number.to_be_bytes(), number))?;
    }
    victim.all(&numbers, |number| number.to_be_bytes().to_vec())
}

fn hands_all_back(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let mut victim = Client::connect(target, &name("victim"))?;
    let mut spy = Spy::connect(target)?;
    if !target.ours {
        // Others take what is handed back for a result.
        return Ok(());
    }
    let numbers: Vec<u64> = (0..OUT).map(|_| random() >> 1).collect();
    for &number in &numbers {
        victim.feed(&numbered(&victim.id, &target.call(), &number.to_be_bytes(), number))?;
    }
    victim.send(&message(&victim.id, &target.call(), b"last"))?;
    let stream = spy.pull.stream()?;
    let worker = std::thread::spawn(move || {
        for _ in 0..TAKEN {
            let Ok(message) = spy.take() else { break };
            let Some(parsed) = MessageRef::parse(&message).ok().and_then(|parsed| parsed.extension.task) else { break };
            let fields = MessageRef::parse(&message).map(|parsed| message_without_task(&parsed)).unwrap_or_default();
            let handed = [fields, varint(STATUS, HANDED_BACK), fixed64(TASK, parsed.0)].concat();
            if spy.push.send(&[&handed]).is_err() {
                break;
            }
        }
    });
    let mut results = HashSet::new();
    let outcome = victim.until(b"last", |result| {
        results.extend(result.extension.sequence);
        Ok(())
    });
    let missing: Vec<u64> = numbers.into_iter().filter(|number| !results.contains(number)).collect();
    let outcome = outcome.and_then(|()| victim.all(&missing, |number| number.to_be_bytes().to_vec()));
    let _closed = stream.shutdown(std::net::Shutdown::Both);
    let _ended = worker.join();
    outcome
}

/// A message's fields, without the master's name for it.
fn message_without_task(message: &MessageRef<'_>) -> Vec<u8> {
    message.raw_fields().filter(|field| field.number != TASK).flat_map(|field| field.bytes.to_vec()).collect()
}
