//! Extension fields that only a master or a worker may set, in a client's message (`docs/spec.md`, section 2).

use palm_proto::message::MessageRef;

use super::client::{Client, name, shown};
use super::wire::{ATTEMPT, ERROR, HANDED_BACK, PARTIAL, STATUS, TASK, bytes, fixed64, varint};
use super::{Attack, Broken, Outcome, Scene};
use crate::raw::message;

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        family: "fields",
        name: "handed-back",
        tries: "a client's messages say that they were handed back, alone and with an attempt beside it; workers echo that",
        holds: "every worker goes on, and so does the sender",
        native: false,
        run: handed_back,
    },
    Attack {
        family: "fields",
        name: "every-combination",
        tries: "task, attempt, status, error and partial in every combination of small and extreme values",
        holds: "the message behind them is answered, and every worker goes on",
        native: false,
        run: every_combination,
    },
    Attack {
        family: "fields",
        name: "odd-encodings",
        tries: "the same fields with other wire types, twice, before all others and with varints that are too long",
        holds: "the message behind them is answered, and every worker goes on",
        native: false,
        run: odd_encodings,
    },
    Attack {
        family: "fields",
        name: "forged-status",
        tries: "a message in another client's name says that it has failed, with a text, or that it is one part of several",
        holds: "the other client hears of no failure and of no part",
        native: false,
        run: forged_status,
    },
];

/// How many of the messages are sent before the next ones wait for the answer to one without any such field.
const BATCH: usize = 500;

fn handed_back(scene: &mut Scene<'_>) -> Outcome {
    let handed = varint(STATUS, HANDED_BACK);
    // An attempt that is not the master's jams one place of a worker each time: more than any window has places.
    let mut forged: Vec<_> = [handed.clone(), [varint(ATTEMPT, 7), handed.clone()].concat()].into_iter().collect();
    forged.extend((0..3_000).map(|number| [varint(ATTEMPT, 2 + number % 7), handed.clone()].concat()));
    send(scene, &forged)
}

fn every_combination(scene: &mut Scene<'_>) -> Outcome {
    send(scene, &combinations())
}

/// Each field absent, with each small value, and with extreme ones.
fn combinations() -> Vec<Vec<u8>> {
    let with = |small: u64, extremes: &[u64], field: &dyn Fn(u64) -> Vec<u8>| -> Vec<Vec<u8>> {
        let values = (0..=small).chain(extremes.iter().copied());
        std::iter::once(Vec::new()).chain(values.map(field)).collect()
    };
    let tasks = with(1, &[u64::MAX], &|value| fixed64(TASK, value));
    let attempts = with(3, &[7, u64::from(u32::MAX), u64::MAX], &|value| varint(ATTEMPT, value));
    let statuses = with(10, &[u64::from(u32::MAX), u64::MAX], &|value| varint(STATUS, value));
    let partials = with(1, &[u64::MAX], &|value| varint(PARTIAL, value));
    let errors = [Vec::new(), bytes(ERROR, b""), bytes(ERROR, b"forged")];
    let mut all = vec![Vec::new()];
    for field in [&tasks[..], &attempts, &statuses, &partials, &errors] {
        all = all.iter().flat_map(|front: &Vec<u8>| field.iter().map(|value| [&front[..], value].concat())).collect();
    }
    all
}

fn odd_encodings(scene: &mut Scene<'_>) -> Outcome {
    let mut forged = Vec::new();
    for field in [TASK, ATTEMPT, STATUS, ERROR, PARTIAL] {
        let six = varint(field, HANDED_BACK);
        let as_fixed = fixed64(field, HANDED_BACK);
        let as_bytes = bytes(field, &[0x80, 0xff, 6]);
        // The key with a varint of ten bytes behind it, which says 6.
        let key_len = six.len() - 1;
        let long = [&six[..key_len], &[0x86, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]].concat();
        forged.extend([six.repeat(2), as_fixed.clone(), as_bytes.clone(), long.clone()]);
        forged.push([&six[..], &as_fixed, &as_bytes, &long].concat());
        forged.push(six.repeat(400));
    }
    send(scene, &forged)?;
    // Before all fields that a Python component knows.
    let mut sender = Client::connect(scene.target, &name("fields-first"))?;
    for fields in &forged {
        let behind = message(&sender.id, &scene.target.call(), b"first");
        sender.feed(&[&fields[..], &behind].concat())?;
    }
    sender.send(&message(&sender.id, &scene.target.call(), b"behind"))?;
    sender.until(b"behind", |_| Ok(()))
}

/// Sends messages with each of these fields behind them. A message that goes to a worker behind them has to be answered.
fn send(scene: &Scene<'_>, forged: &[Vec<u8>]) -> Outcome {
    let target = scene.target;
    let mut sender = Client::connect(target, &name("fields"))?;
    for (number, batch) in forged.chunks(BATCH).enumerate() {
        for fields in batch {
            let message = message(&sender.id, &target.call(), b"forged");
            sender.feed(&[&message[..], fields].concat())?;
        }
        let behind = format!("behind {number}");
        sender.send(&message(&sender.id, &target.call(), behind.as_bytes()))?;
        sender.until(behind.as_bytes(), |_| Ok(())).map_err(|broken| {
            let sent = (number + 1) * BATCH;
            broken.after(&format!("the message behind the first {} with forged fields", sent.min(forged.len())))
        })?;
    }
    Ok(())
}

fn forged_status(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let mut victim = Client::connect(target, &name("victim"))?;
    // A stock master forgets results until it has read the subscription.
    victim.call(target, "subscribed")?;
    let mut forger = Client::connect(target, &name("forger"))?;
    for status in (1..=10).chain([u64::from(u32::MAX)]) {
        for fields in [varint(STATUS, status), varint(PARTIAL, 1)] {
            let message = message(&victim.id, &target.call(), b"forged");
            forger.feed(&[&message[..], &fields, &bytes(ERROR, b"a forged text")].concat())?;
        }
    }
    // What the forger sends in its own name comes behind.
    forger.call(target, "behind")?;
    victim.send(&message(&victim.id, &target.call(), b"mine"))?;
    victim.until(b"mine", honest)
}

/// Whether a result says what a worker that echoes says.
fn honest(result: &MessageRef<'_>) -> Outcome {
    let extension = &result.extension;
    if extension.status.code() != 0 || !extension.error.is_empty() || extension.partial {
        let (code, text, partial) = (extension.status.code(), extension.error, extension.partial);
        return Err(Broken(format!(
            "a client is told what another has forged: status {code}, text {text:?}, partial {partial}, payload {:?}",
            shown(result.payload)
        )));
    }
    Ok(())
}
