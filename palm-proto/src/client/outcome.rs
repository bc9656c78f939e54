//! What comes out of a job.

use core::fmt;

use super::reply::Reply;
use crate::buffer::Buffer;
use crate::message::Status;
use crate::time::Instant;

/// A message to be sent now.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a, B> {
    /// The message's number.
    pub sequence: u64,
    /// The serialised message.
    pub message: &'a B,
}

/// One result of a message, or its failure.
#[derive(Debug)]
pub struct Outcome<B> {
    /// The message's number.
    pub sequence: u64,
    /// Whether it is the message's last.
    pub last: bool,
    /// How often the message was sent again.
    pub retries: u32,
    /// When the message was submitted.
    pub submitted: Instant,
    /// The result, or what went wrong.
    pub result: Result<Reply<B>, Failure<B>>,
}

/// What went wrong with a message.
#[derive(Debug)]
pub struct Failure<B> {
    /// The kind of failure.
    pub status: Status,
    /// The answer that said so; `None` if the job itself did, because the time was up.
    pub reply: Option<Reply<B>>,
}

impl<B: Buffer> Failure<B> {
    /// What the answer said about it; may be empty.
    pub fn text(&self) -> &str {
        self.reply.as_ref().map_or("no answer in time", Reply::error)
    }
}

/// Counts since the job began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages submitted.
    pub submitted: u64,
    /// Messages handed out to be sent, repeats among them.
    pub transmitted: u64,
    /// Results accepted.
    pub results: u64,
    /// Messages that ended in a failure.
    pub failures: u64,
    /// Messages tried again.
    pub retries: u64,
    /// Messages sent again because the connection was a new one.
    pub resent: u64,
    /// Results of messages that had ended, dropped.
    pub duplicates: u64,
    /// Results of messages that this job never had, dropped.
    pub unmatched: u64,
    /// Results that tell that another follows, beyond those that a message has room for, dropped.
    pub parts_dropped: u64,
    /// Results without a sequence number, taken for those of the message unanswered longest.
    pub unsequenced: u64,
}

/// A message was not taken; it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitError<B> {
    /// The message.
    pub message: B,
    /// Why not.
    pub kind: SubmitErrorKind,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitErrorKind {
    /// The window is full: take outcomes first.
    WindowFull,
    /// The sequence number is not above those before it.
    NotAscending,
}

impl<B> fmt::Display for SubmitError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SubmitErrorKind::WindowFull => "the job's window is full",
            SubmitErrorKind::NotAscending => "sequence numbers must ascend",
        })
    }
}

impl<B: fmt::Debug> core::error::Error for SubmitError<B> {}
