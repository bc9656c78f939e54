//! What a function is called with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::Request;

use super::connection::Task;
use super::pool::{Answer, Shared};
use crate::peer::Cache;

/// One task, as the function that it is for sees it.
pub struct Call {
    pub(super) task: Task,
    /// Which of the worker's functions it is for, if it has that.
    pub(super) function: Option<usize>,
    /// Told apart from all others of the worker.
    pub(super) ticket: u64,
    pub(super) shared: Arc<Shared>,
}

impl Call {
    /// The data.
    pub fn payload(&self) -> &Bytes {
        &self.task.payload
    }

    /// The data, without copying it.
    pub fn into_payload(self) -> Bytes {
        self.task.payload
    }

    /// Name of the function.
    pub fn method(&self) -> &str {
        let name = self.task.function.as_deref().unwrap_or_default();
        name.split_once('.').map_or(name, |(_, method)| method)
    }

    /// What the client has put beside the payload.
    pub fn user_data(&self) -> &str {
        &self.task.user_data
    }

    /// Id of the client's session, 32 hexadecimal digits; zeros if it is not known.
    pub fn client(&self) -> String {
        let id = self.task.session.map_or([0; 16], |session| session.0);
        uuid::Uuid::from_bytes(id).simple().to_string()
    }

    /// Its client's number for the task.
    pub fn sequence(&self) -> u64 {
        self.task.sequence
    }

    /// Which attempt at the task this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.task.attempt
    }

    /// When the client stops waiting for the result, if it said.
    pub fn deadline(&self) -> Option<Instant> {
        self.task.deadline
    }

    /// Whether nobody wants the result any more: the function may end in whatever way.
    pub fn is_cancelled(&self) -> bool {
        self.shared.board.get(self.task.id.index()).is_some_and(|ticket| ticket.load(Ordering::Relaxed) == self.ticket)
    }

    /// Tells the client how far the function is, in thousandths, and in words.
    pub fn progress(&self, permille: u16, text: impl Into<String>) {
        self.shared.answer(Answer::Progress(self.task.id, permille, text.into()));
    }

    /// The master's cache. Not for functions that run inline, which would wait for themselves.
    pub fn cache(&self) -> Cache {
        Cache::new(Arc::<Shared>::clone(&self.shared), self.shared.timeout)
    }
}

impl Request for Call {
    type Payload = Bytes;

    fn payload(&self) -> &Bytes {
        self.payload()
    }

    fn into_payload(self) -> Bytes {
        self.into_payload()
    }

    fn method(&self) -> &str {
        self.method()
    }

    fn user_data(&self) -> &str {
        self.user_data()
    }

    fn client(&self) -> impl AsRef<str> {
        self.client()
    }

    fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("task", &self.task).finish_non_exhaustive()
    }
}

/// Takes the results of a function that has several, as they are made.
#[derive(Debug)]
pub struct Results {
    pub(super) id: palm_proto::native::HeldId,
    pub(super) shared: Arc<Shared>,
}

impl Results {
    /// Hands in a result; waits while the worker has many bytes that have not left. What is handed in after the function has ended
    /// is dropped.
    pub fn send(&self, result: impl Into<Bytes>) {
        self.shared.wait_for_room();
        self.shared.answer(Answer::Partial(self.id, result.into()));
    }
}
