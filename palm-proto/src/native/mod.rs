//! The native protocol's frames: what PALM's components say to each other where no Python peer listens (`docs/spec.md`,
//! section 9).
//!
//! A connection carries frames in both directions. A [`Frame`] is a small header, [`ToMaster`] or [`ToPeer`], that
//! [`postcard`] encodes, then bytes that are never copied here: for a few kinds a *front* whose length the header tells, then
//! the *body*, which is the rest. How frames follow each other is one of two framings:
//! - on a byte stream (TCP, Unix sockets) each has its length before it: [`decode_stream`], [`Frame::stream_head`];
//! - on a serial line each is stuffed with COBS and has a counter and a checksum: [`LineDecoder`], [`LineEncoder`].
//!
//! Names of functions and ids of sessions are told once and are a small [`Alias`] from then on: [`Interner`] gives them
//! out, [`AliasTable`] knows what those of the other side mean.
//!
//! [`Worker`] and [`Client`] are the peers' machines; the front page of [`peer`] says how to drive them.
//!
//! ```
//! use palm_proto::native::{Alias, Frame, Header, Streamed, ToMaster, decode_stream};
//!
//! let function = Alias::new(0).expect("0 is below the bound");
//! let submit = Frame::with_body(ToMaster::Submit { sequence: 7, function }, b"payload");
//! let wire = [submit.stream_head()?.as_slice(), submit.front, submit.body].concat();
//! assert_eq!(wire.len(), 4 + b"payload".len());
//!
//! let Streamed::Frame { used, range } = decode_stream(&wire, 1 << 20)? else { panic!("it is whole") };
//! assert_eq!(used, wire.len());
//! assert_eq!(ToMaster::decode(&wire[range])?, Some(submit));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alias;
mod cache;
mod checksum;
mod cobs;
mod frame;
mod handshake;
mod line;
mod numbers;
pub mod peer;
mod stream;
mod task_number;
#[cfg(test)]
mod tests;
mod to_master;
mod to_peer;

pub use alias::{Alias, AliasEntry, AliasError, AliasTable, FixedAliasTable, FixedInterner, Interned, Interner};
#[cfg(feature = "alloc")]
pub use alias::{HeapAliasTable, HeapInterner};
pub use cache::{CacheRefusalCode, When};
pub use checksum::Checksum;
pub use frame::{Content, Frame, FrameError, HEADER_MAX, Header, HeaderBytes, Shape, front_of};
pub(crate) use frame::{STREAM_HEAD_MAX, header_on_stream};
pub use handshake::{Magic, RefusalCode, Role, SessionId, Versions, token_matches};
pub use line::{LINE_OVERHEAD, LineDecoder, LineEncoder, LineFault, LineUnit, line_len_max};
pub use numbers::Numbers;
pub use peer::{
    CacheAnswer, Client, ClientEvent, ClientStorage, Deframed, Fault, FixedClient, FixedClientStorage, FixedWorker,
    FixedWorkerStorage, Framing, FramingFault, FunctionName, HeldId, HeldTask, LineFraming, Lost, NotFramed, NotSent,
    PeerConfig, Resubmit, Retry, Submission, Submit, Submitted, TaskEvent, Worker, WorkerEvent, WorkerStorage,
};
#[cfg(feature = "alloc")]
pub use peer::{HeapClient, HeapClientStorage, HeapWorker, HeapWorkerStorage};
pub use stream::{FrameTooLong, STREAM_FRAME_MAX, Streamed, decode_stream};
pub use task_number::TaskNumber;
pub use to_master::ToMaster;
pub use to_peer::ToPeer;

/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 1;

/// Longest name of a peer, in bytes.
pub const NAME_MAX: usize = 255;

/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 255;

/// Longest name of a function, or list of several, in bytes.
pub const FUNCTION_MAX: usize = 1024;

/// Longest text that goes with a failure, a refusal or progress, in bytes; [`front_of`] cuts longer ones.
pub const TEXT_MAX: usize = 4096;

/// Longest frame that a peer may send before its connection is established, in bytes: a Hello fits.
pub const FIRST_FRAME_MAX: u32 = 1024;
