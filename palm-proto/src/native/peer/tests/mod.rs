//! Peers against a master that is written down here.

mod client;
mod line;
mod model;
mod worker;

use core::time::Duration;
use std::vec::Vec;

use super::*;
use crate::Instant;
use crate::native::{Frame, Header, Magic, RefusalCode, SessionId, ToMaster, ToPeer};

type Name = heapless::String<16>;

const SESSION: SessionId = SessionId(*b"0123456789abcdef");
const OTHER: SessionId = SessionId(*b"fedcba9876543210");
const NOBODY: SessionId = SessionId::NOBODY;

fn config() -> PeerConfig<&'static str> {
    PeerConfig { max_frame: 256, ..PeerConfig::new("peer", "secret", SESSION) }
}

/// A frame from the master, as it arrives.
fn said(header: ToPeer, body: &[u8]) -> Vec<u8> {
    [&header.encode(), body].concat()
}

fn welcome(epoch: u64, window: u32) -> Vec<u8> {
    let heartbeat_ms = 1000;
    said(ToPeer::Welcome { magic: Magic, version: 1, epoch, max_frame: 256, window, heartbeat_ms }, b"server")
}

/// A frame to the master, as it leaves.
fn wire(frame: &Frame<'_, ToMaster>) -> Vec<u8> {
    [&frame.header.encode(), frame.front, frame.body].concat()
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}
