//! A job under way, whatever its messages go over.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use palm_transport_zmq::{Client, JobOptions, Status};

use super::messages::Messages;
use super::native;

/// How a job is done.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Messages without a result at a time.
    pub(crate) window: u32,
    /// Whether outcomes come in the order of the messages.
    pub(crate) ordered: bool,
    /// How long a try may take.
    pub(crate) timeout: Duration,
    /// Further tries at a message that is late, or was lost with its workers or its master.
    pub(crate) retries: u32,
    /// Results of each message.
    pub(crate) results: u32,
    /// What goes beside each payload.
    pub(crate) user_data: String,
    /// How urgent the messages are, from 0 to 3.
    pub(crate) priority: u8,
    /// How long a result is of use.
    pub(crate) deadline: Option<Duration>,
}

impl Options {
    /// The same for a client over ZeroMQ.
    pub(crate) fn zmq(&self) -> JobOptions {
        JobOptions {
            window: self.window,
            ordered: self.ordered,
            timeout: Some(self.timeout),
            retries: self.retries,
            retry_dead_letters: self.retries > 0,
            results: self.results,
            cache: self.user_data.clone(),
            priority: self.priority,
            deadline: self.deadline,
        }
    }
}

/// One result of a message, or its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Number of the message, from 0.
    pub(crate) sequence: u64,
    pub(crate) result: Result<Bytes, Failure>,
}

/// Why a message has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// More about it; may be empty.
    pub(crate) text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

/// A job.
pub(crate) enum Job {
    /// Over ZeroMQ.
    Zmq(palm_transport_zmq::Job<Messages>),
    /// Over the native protocol.
    Native(native::Job<Messages>),
    /// Over ZeroMQ, since its master takes no native clients any more.
    Moved(native::Moved<Messages>),
    /// Neither: it is on its way from one to the other.
    Between,
}

impl Job {
    /// The same over ZeroMQ, if it is not.
    #[must_use]
    pub(crate) fn over_zmq(self, client: &Client) -> Self {
        match self {
            Self::Native(job) => Self::Moved(job.over_zmq(client)),
            other => other,
        }
    }

    /// The next outcome; `None` when every message has had its last. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        match self {
            Self::Zmq(job) => {
                let outcome = job.next().await?;
                let result = outcome.result.map_err(|failure| Failure { status: failure.status, text: failure.text });
                Some(Outcome { sequence: outcome.sequence, result })
            }
            Self::Native(job) => job.next().await,
            Self::Moved(job) => job.next().await,
            Self::Between => None,
        }
    }
}
