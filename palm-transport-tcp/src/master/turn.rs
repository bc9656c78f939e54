//! What a connection does in its turn, and what it is lent for it.

use palm_proto::buffer::Spare;
use palm_proto::endpoint::{Endpoint, HeapEndpoint};
use palm_proto::{Instant, PooledBuffer};

pub(super) type MasterEndpoint = Endpoint<HeapEndpoint<PooledBuffer>>;

/// Bytes read at a time. More would let a batch of small messages fall out of the processor's cache before it is sent on.
const SCRATCH: usize = 64 << 10;
/// Buffers for large messages that are kept to be used again, and how large each may be.
const SPARE: usize = 8;
const SPARE_MAX: usize = 1 << 20;
/// Reads after which others have their turn.
pub(super) const READS_A_TURN: usize = 4;

/// Where what comes is read to.
#[derive(Debug)]
pub(super) struct Scratch {
    /// For small messages.
    pub(super) bytes: Vec<u8>,
    pub(super) large: LargeBuffers,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; SCRATCH], large: LargeBuffers::default() }
    }
}

/// Buffers for large messages, which the endpoint copies.
#[derive(Debug, Default)]
pub(super) struct LargeBuffers(Vec<Vec<u8>>);

impl LargeBuffers {
    /// One of at least `len` bytes, of whatever value.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut buffer = self.0.pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        buffer
    }

    /// Gives it back.
    pub(super) fn put(&mut self, buffer: Vec<u8>) {
        if self.0.len() < SPARE && buffer.capacity() <= SPARE_MAX {
            self.0.push(buffer);
        }
    }
}

/// What all connections use in turn.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) endpoint: &'a mut MasterEndpoint,
    pub(super) scratch: &'a mut Scratch,
    pub(super) spare: &'a mut Spare,
    pub(super) now: Instant,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to do.
    Again,
    /// Nothing is to be done before an event, or before the endpoint names the connection.
    Idle,
    /// The connection is over.
    Over,
}
