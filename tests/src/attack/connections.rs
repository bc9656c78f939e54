//! Connections that take up room and say nothing.

use std::io::Write;

use super::{Attack, Outcome, Scene, Target};
use crate::hostile::{counterpart, raise_open_files};
use crate::zmtp::{greeting, ready};

pub(super) const ATTACKS: [Attack; 5] = [
    Attack {
        family: "connections",
        name: "idle",
        tries: "more connections than a master has room for, spread over its sockets, none of which says anything",
        holds: "honest peers get in meanwhile, and those from before are served",
        native: false,
        run: |scene| crowd(scene, &[]),
    },
    Attack {
        family: "connections",
        name: "half-handshakes",
        tries: "as many that stop after a greeting, or within it",
        holds: "honest peers get in meanwhile, and those from before are served",
        native: false,
        run: |scene| crowd(scene, &greeting(1)),
    },
    Attack {
        family: "connections",
        name: "old-peers",
        tries: "as many that shake hands as ZMTP 3.0, which knows no PING, and never speak again",
        holds: "honest peers get in meanwhile, and those from before are served",
        native: false,
        run: old_peers,
    },
    Attack {
        family: "connections",
        name: "drip",
        tries: "a hundred at each socket that send a greeting and a long frame byte by byte",
        holds: "honest peers are served meanwhile",
        native: false,
        run: drip,
    },
    Attack {
        family: "connections",
        name: "come-and-go",
        tries: "connections that shake hands and go at once, one after the other",
        holds: "honest peers are served meanwhile",
        native: false,
        run: come_and_go,
    },
];

/// Connections that come one after the other before honest peers have to be served.
const LOT: usize = 200;

/// Connections that send the same few bytes, whole or cut short, and no more.
fn crowd(scene: &mut Scene<'_>, bytes: &[u8]) -> Outcome {
    raise_open_files();
    let target = scene.target;
    let mut held = Vec::new();
    let sockets = target.addresses.named();
    let places = sockets.iter().cycle().take(target.bounds.connections).enumerate();
    for (number, (_, address)) in places {
        // A master may take no more, or close what it has taken.
        let Ok(mut stream) = target.dial(address) else { break };
        let _closed = stream.write_all(bytes.get(..bytes.len() - number % 2 * bytes.len() / 2).unwrap_or_default());
        held.push(stream);
    }
    scene.served().map_err(|broken| broken.after(&format!("beside {} connections", held.len())))
}

fn old_peers(scene: &mut Scene<'_>) -> Outcome {
    raise_open_files();
    let target = scene.target;
    let mut held = Vec::new();
    for (socket, address) in no_workers(target).into_iter().cycle().take(target.bounds.connections) {
        let Ok(mut stream) = target.dial(address) else { break };
        // All at once: one that waited for the other side's greeting would wait in vain where there is no more room.
        let _closed = stream.write_all(&[&greeting(0)[..], &ready(counterpart(socket))].concat());
        held.push(stream);
    }
    scene.served().map_err(|broken| broken.after(&format!("beside {} connections of ZMTP 3.0", held.len())))
}

/// The sockets but that of workers: who shakes hands there is given messages as any worker is, and honest ones would be with it when it
/// goes.
fn no_workers(target: &Target) -> Vec<(&'static str, &str)> {
    target.addresses.named().into_iter().filter(|(socket, _)| *socket != "worker push").collect()
}

fn drip(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let bytes = [&greeting(1)[..], &[2, 0, 0, 0, 0, 3, 0, 0, 0], &[0x12; 100]].concat();
    let mut all = Vec::new();
    for (_, address) in target.addresses.named() {
        for _ in 0..100 {
            all.push(target.dial(address)?);
        }
    }
    for (place, byte) in bytes.iter().enumerate() {
        for stream in &mut all {
            let _closed = stream.write_all(&[*byte]);
        }
        if place % 20 == 0 {
            scene.answered().map_err(|broken| broken.after(&format!("after {place} bytes of each")))?;
        }
    }
    Ok(())
}

fn come_and_go(scene: &mut Scene<'_>) -> Outcome {
    let target = scene.target;
    let sockets = no_workers(target);
    for lot in 0..target.bounds.connections.div_ceil(LOT) {
        for (socket, address) in sockets.iter().cycle().take(LOT) {
            let Ok(mut stream) = target.dial(address) else { continue };
            let _closed = stream.write_all(&[&greeting(1)[..], &ready(counterpart(socket))].concat());
        }
        scene.answered().map_err(|broken| broken.after(&format!("after {} connections", (lot + 1) * LOT)))?;
    }
    Ok(())
}
