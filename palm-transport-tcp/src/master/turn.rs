//! What a connection does in its turn, and what it is lent for it.

use palm_proto::buffer::Spare;
use palm_proto::endpoint::{Endpoint, HeapEndpoint};
use palm_proto::{Instant, PooledBuffer};

pub(super) type MasterEndpoint = Endpoint<HeapEndpoint<PooledBuffer>>;

/// Bytes read at a time. More would let a batch of small messages fall out of the processor's cache before it is sent on.
pub(super) const SCRATCH: usize = 64 << 10;
/// Reads after which others have their turn.
pub(super) const READS_A_TURN: usize = 4;

/// What all connections use in turn.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) endpoint: &'a mut MasterEndpoint,
    pub(super) scratch: &'a mut Vec<u8>,
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
