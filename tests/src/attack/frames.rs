//! Bytes that are no ZMTP: handshakes and frames that no peer sends, at each of the five sockets.

use super::{Attack, Broken, Outcome, Scene};
use crate::hostile::{closes, counterpart, frames, openings};
use crate::zmtp::{COMMAND, frame_header, greeting};
use std::io::Write;

pub(super) const ATTACKS: [Attack; 3] = [
    Attack {
        family: "frames",
        name: "handshakes",
        tries: "two dozen openings that are no handshake, at each socket, held open and closed in the middle",
        holds: "clients are answered after each",
        native: false,
        run: handshakes,
    },
    Attack {
        family: "frames",
        name: "frames",
        tries: "two dozen frames that no peer sends, after a proper handshake, at each socket",
        holds: "clients are answered after each",
        native: false,
        run: frames_after,
    },
    Attack {
        family: "frames",
        name: "lengths",
        tries: "frames that claim 2^36 bytes to 2^64 - 1, before and after the handshake, at each socket",
        holds: "the connection is closed, and nothing is set aside for them",
        native: false,
        run: lengths,
    },
];

fn handshakes(scene: &mut Scene<'_>) -> Outcome {
    let mut held = Vec::new();
    for (socket, address) in scene.target.addresses.clone().named() {
        for (what, bytes) in openings() {
            for hold in [true, false] {
                let mut stream = scene.target.dial(address)?;
                // It may be closed already, which is right.
                let _closed = stream.write_all(&bytes);
                if hold {
                    held.push(stream);
                }
            }
            scene.answered().map_err(|broken| broken.after(&format!("after {what} at {socket}")))?;
        }
    }
    Ok(())
}

fn frames_after(scene: &mut Scene<'_>) -> Outcome {
    let mut held = Vec::new();
    for (socket, address) in scene.target.addresses.clone().named() {
        for (what, bytes) in frames() {
            let mut peer = scene.target.peer(address, counterpart(socket), 1)?;
            let _closed = peer.raw(&bytes);
            // A puller that stays would be handed messages as a worker is, and keep them, as a worker that hangs does.
            if counterpart(socket) != "PULL" {
                held.push(peer);
            } else {
                drop(peer);
            }
            scene.answered().map_err(|broken| broken.after(&format!("after {what} at {socket}")))?;
        }
    }
    Ok(())
}

fn lengths(scene: &mut Scene<'_>) -> Outcome {
    let patience = scene.target.bounds.patience;
    for (socket, address) in scene.target.addresses.clone().named() {
        for len in [1 << 36, 1 << 48, 1 << 62, 1 << 63, u64::MAX] {
            let mut early = scene.target.dial(address)?;
            let _closed = early.write_all(&[&greeting(1)[..], &frame_header(COMMAND, len)].concat());
            let mut late = scene.target.peer(address, counterpart(socket), 1)?;
            let _closed = late.raw(&frame_header(0, len));
            if scene.target.ours && !(closes(&mut early, patience) && closes(&mut late.stream()?, patience)) {
                return Err(Broken(format!("a claim of {len} bytes at {socket} leaves the connection open")));
            }
            drop((early, late));
            scene.answered().map_err(|broken| broken.after(&format!("after a claim of {len} bytes at {socket}")))?;
        }
    }
    Ok(())
}
