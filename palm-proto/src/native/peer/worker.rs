//! The worker's machine (`docs/spec.md`, section 9.6).

use core::time::Duration;

use crate::collections::Table;
use crate::message::Status;
use crate::native::{
    Alias, AliasTable, Frame, RefusalCode, Role, SessionId, TEXT_MAX, TaskNumber, ToMaster, ToPeer, When, front_of,
};
use crate::time::Instant;

use super::cache::CacheAnswer;
use super::config::{PeerConfig, Retry};
use super::error::{Fault, Lost, NotSent};
use super::held::{Book, HeldId};
use super::link::{Heard, Link, unexpected};
use super::storage::{FixedWorkerStorage, WorkerStorage};

/// Widest window, in tasks, so that numbers never run out.
const WINDOW_MAX: u32 = 8192;

/// A worker's end of the native protocol.
///
/// It knows the tasks that have come and have not been answered. When a connection breaks it keeps them, and announces them in
/// the next one, so that the caller goes on with them as if nothing had happened. What was answered just before may not have arrived:
/// then the master does not find it among the tasks that are announced, and dispatches it once more. So a function may be called twice for one
/// task, but its client has one result.
///
/// A task that is cancelled stays with the worker, and takes room, until the caller ends it; the master then sends another.
#[derive(Debug)]
pub struct Worker<S: WorkerStorage> {
    link: Link,
    name: S::Text,
    token: S::Text,
    book: Book<S::Held>,
    functions: AliasTable<Option<S::Function>, S::Functions>,
    sessions: AliasTable<SessionId, S::Sessions>,
    /// Tasks that the master may have with this worker at once.
    window: u32,
    credit_due: u32,
    draining: bool,
    drain_due: bool,
}

/// A worker of at most `WINDOW` tasks, and `ALIASES` functions and sessions each, that lie in itself.
pub type FixedWorker<F, const WINDOW: usize, const ALIASES: usize> = Worker<FixedWorkerStorage<F, WINDOW, ALIASES>>;

/// A worker with its tables on the heap.
#[cfg(feature = "alloc")]
pub type HeapWorker = Worker<super::HeapWorkerStorage>;

/// What a worker learns.
#[derive(Debug)]
pub enum WorkerEvent<'a, F> {
    /// The connection is established.
    Connected {
        /// The master's name.
        master: &'a str,
        /// Another one at each start of the master.
        epoch: u64,
        /// Whether it is the same as in the connection before.
        resumed: bool,
    },
    /// A task has come.
    Task(TaskEvent<'a, F>),
    /// Nobody wants a task's result any more: the caller may break off. It ends the task nevertheless, in whatever way.
    Cancelled {
        /// Which.
        id: HeldId,
    },
    /// The cache's answer to a request.
    Cache {
        /// Which request.
        id: u32,
        /// It.
        answer: CacheAnswer<'a>,
    },
    /// The master does not want this worker. The connection is over.
    Refused {
        /// Why.
        code: RefusalCode,
        /// More about it.
        text: &'a str,
        /// Whether to try again.
        retry: Retry,
    },
    /// The master goes. The connection is over.
    Goodbye,
}

/// A task that has come.
#[derive(Debug)]
pub struct TaskEvent<'a, F> {
    /// What it is called when it is answered.
    pub id: HeldId,
    /// What is to be done. `None` if it is none of the worker's functions, or the tables have no room for its name: then it is to
    /// be answered with [`Status::NoSuchFunction`].
    pub function: Option<&'a F>,
    /// Whose it is, if the tables have room for that.
    pub session: Option<SessionId>,
    /// Its client's number for it.
    pub sequence: u64,
    /// Which dispatch of it this is, from 1.
    pub attempt: u32,
    /// How long its client still waits for it, from now.
    pub deadline: Option<Duration>,
    /// User data.
    pub cache: &'a str,
    /// The payload.
    pub payload: &'a [u8],
}

impl<F: super::FunctionName, const WINDOW: usize, const ALIASES: usize> FixedWorker<F, WINDOW, ALIASES> {
    /// A worker without a connection.
    pub fn fixed(config: PeerConfig<&'static str>) -> Self {
        Self::new(config, heapless::Vec::new(), heapless::Vec::new(), heapless::Vec::new())
    }
}

#[cfg(feature = "alloc")]
impl HeapWorker {
    /// A worker without a connection, whose tables are as large as its window and the protocol ask for.
    pub fn sized(config: PeerConfig<alloc::boxed::Box<str>>) -> Self {
        use crate::collections::HeapTable;
        let aliases = usize::from(Alias::BOUND);
        let held = HeapTable::new(config.window.clamp(1, WINDOW_MAX) as usize);
        Self::new(config, held, HeapTable::new(aliases), HeapTable::new(aliases))
    }
}

impl<S: WorkerStorage> Worker<S> {
    /// A worker without a connection, in empty tables: for tasks, of which it has no more at once, and for the functions and
    /// sessions that it is told about.
    pub fn new(config: PeerConfig<S::Text>, held: S::Held, functions: S::Functions, sessions: S::Sessions) -> Self {
        let link = Link::new(Role::Worker, &config);
        let book = Book::new(held);
        Self {
            window: config.window.min(book.capacity()).clamp(1, WINDOW_MAX),
            link,
            name: config.name,
            token: config.token,
            book,
            functions: AliasTable::with_table(functions),
            sessions: AliasTable::with_table(sessions),
            credit_due: 0,
            draining: false,
            drain_due: false,
        }
    }

    /// A connection is there: Hello is to be sent.
    pub fn handle_connected(&mut self, now: Instant) {
        self.link.handle_connected(now);
    }

    /// The connection is over. Tasks that have not been answered are kept.
    pub fn handle_disconnected(&mut self) {
        self.link.close();
    }

    /// Takes a frame; an empty one is a sign of life. What it says is to be dealt with before the next call.
    ///
    /// Takes O(window) for Welcome and CancelTask.
    ///
    /// # Errors
    /// If the master breaks the protocol: the connection is over.
    pub fn handle_frame<'a>(
        &'a mut self,
        now: Instant,
        frame: &'a [u8],
    ) -> Result<Option<WorkerEvent<'a, S::Function>>, Fault> {
        let event = match self.link.handle_frame(now, frame)? {
            Heard::Nothing => return Ok(None),
            Heard::Welcome { master, epoch, resumed, .. } => {
                self.on_welcome();
                WorkerEvent::Connected { master, epoch, resumed }
            }
            Heard::Refused { code, text } => WorkerEvent::Refused { code, text, retry: code.retry() },
            Heard::Goodbye => WorkerEvent::Goodbye,
            Heard::Cache { id, answer } => WorkerEvent::Cache { id, answer },
            Heard::ForRole(parsed) => return self.on_frame(parsed, frame),
        };
        Ok(Some(event))
    }

    /// The next frame that the worker has to send on its own account; call again until `None`.
    pub fn poll_transmit(&mut self) -> Option<Frame<'_, ToMaster>> {
        if !self.link.is_connected() {
            let held = self.book.len();
            // None is as narrow as one.
            let window = if self.draining { held } else { self.window }.max(1);
            let hello = self.link.poll_hello(self.name.as_ref(), self.token.as_ref(), window, held)?;
            self.credit_due = 0;
            return Some(hello);
        }
        self.poll_header().map(Frame::new)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None`: not before something else has happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    /// Time has passed; a call that comes early does nothing. `Some`: the connection is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Lost> {
        self.link.handle_timeout(now)
    }

    /// The task is done. The frame is to be sent, and the task is none of the worker's any more.
    ///
    /// # Errors
    /// If it cannot be said now, or never: the task stays with the worker, unless that is what the error says.
    pub fn done<'a>(&mut self, id: HeldId, result: &'a [u8]) -> Result<Frame<'a, ToMaster>, NotSent> {
        let (number, cancelled) = self.number(id)?;
        self.end(id, Frame::with_body(ToMaster::Done { number }, if cancelled { &[] } else { result }))
    }

    /// One of several results; the task goes on.
    ///
    /// # Errors
    /// If it cannot be said now, or nobody wants it.
    pub fn partial<'a>(&mut self, id: HeldId, result: &'a [u8]) -> Result<Frame<'a, ToMaster>, NotSent> {
        let number = self.wanted(id)?;
        let frame = Frame::with_body(ToMaster::Partial { number }, result);
        self.link.check(&frame).map(|()| frame)
    }

    /// How far the task is, in thousandths.
    ///
    /// # Errors
    /// If it cannot be said now, or nobody wants to know.
    pub fn progress<'a>(&mut self, id: HeldId, permille: u16, text: &'a str) -> Result<Frame<'a, ToMaster>, NotSent> {
        let number = self.wanted(id)?;
        let frame = Frame::with_body(ToMaster::Progress { number, permille }, self.text(text));
        self.link.check(&frame).map(|()| frame)
    }

    /// The task failed. A text that is too long is cut.
    ///
    /// # Errors
    /// As [`done`](Self::done).
    pub fn failed<'a>(&mut self, id: HeldId, status: Status, text: &'a str) -> Result<Frame<'a, ToMaster>, NotSent> {
        let (number, cancelled) = self.number(id)?;
        let text = if cancelled { &[] } else { self.text(text) };
        self.end(id, Frame::with_body(ToMaster::Failed { number, code: status.code() }, text))
    }

    /// The task has not been begun, and is for others to do. The window is narrower by it, until [`widen`](Self::widen) is
    /// called.
    ///
    /// # Errors
    /// As [`done`](Self::done).
    pub fn hand_back(&mut self, id: HeldId) -> Result<Frame<'static, ToMaster>, NotSent> {
        let (number, _) = self.number(id)?;
        let frame = self.end(id, Frame::new(ToMaster::HandBack { number }))?;
        self.window = self.window.saturating_sub(1);
        Ok(frame)
    }

    /// The worker takes so many tasks more at once, as far as its tables allow.
    pub fn widen(&mut self, more: u32) {
        let window = self.window.saturating_add(more).min(self.book.capacity()).min(WINDOW_MAX);
        self.credit_due += window.saturating_sub(self.window);
        self.window = window.max(self.window);
    }

    /// The worker takes no more tasks, in any connection.
    pub fn drain(&mut self) {
        if !self.draining {
            (self.draining, self.drain_due) = (true, true);
        }
    }

    /// Whether it takes no more tasks and has none: time for [`bye`](Self::bye).
    pub fn is_drained(&self) -> bool {
        self.draining && self.book.len() == 0
    }

    /// The worker goes, and gives up what it has. The connection is over when [`poll_transmit`](Self::poll_transmit) has said so.
    pub fn bye(&mut self) {
        self.link.bye();
    }

    /// Asks the cache for a value. Gives the number that the answer will have, and the frame to send. What has no answer when the
    /// connection breaks gets none.
    ///
    /// # Errors
    /// If it cannot be asked now.
    pub fn cache_get<'a>(&mut self, key: &'a [u8]) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.link.cache_get(key)
    }

    /// Sets a value in the cache, for so many milliseconds, or for good; otherwise as [`cache_get`](Self::cache_get).
    ///
    /// # Errors
    /// If it cannot be asked now.
    pub fn cache_set<'a>(
        &mut self,
        key: &'a [u8],
        value: &'a [u8],
        ttl_ms: Option<u32>,
        when: When,
    ) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.link.cache_set(key, value, ttl_ms, when)
    }

    /// Deletes a value from the cache; otherwise as [`cache_get`](Self::cache_get).
    ///
    /// # Errors
    /// If it cannot be asked now.
    pub fn cache_delete<'a>(&mut self, key: &'a [u8], when: When) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.link.cache_delete(key, when)
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Whether there is no connection, and none is being established: the driver is to close it, if it has not.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Number of tasks that have come and not been answered.
    pub fn held(&self) -> usize {
        self.book.len() as usize
    }

    /// Longest frame that the master takes; 0 before the first connection.
    pub fn max_frame(&self) -> u32 {
        self.link.max_frame()
    }

    fn on_welcome(&mut self) {
        self.book.begin();
        self.functions.clear();
        self.sessions.clear();
        self.drain_due = self.draining;
    }

    fn on_frame<'a>(
        &'a mut self,
        frame: Frame<'a, ToPeer>,
        bytes: &[u8],
    ) -> Result<Option<WorkerEvent<'a, S::Function>>, Fault> {
        let task = match frame.header {
            // What there is no room for stays unknown, which its tasks say.
            ToPeer::Function { alias } => {
                let _ = self.functions.declare(alias, super::FunctionName::from_name(frame.body_text()));
                return Ok(None);
            }
            ToPeer::Session { alias, id } => {
                let _ = self.sessions.declare(alias, id);
                return Ok(None);
            }
            ToPeer::Skip { numbers } => {
                self.book.skip(numbers);
                return Ok(None);
            }
            // It may have crossed the answer.
            ToPeer::CancelTask { number } => {
                return Ok(self.book.cancel(number).map(|id| WorkerEvent::Cancelled { id }));
            }
            ToPeer::Task { function, session, sequence } => (function, session, sequence, 1, None),
            ToPeer::TaskWith { function, session, sequence, attempt, deadline_ms, .. } => {
                (function, session, sequence, attempt, deadline_ms)
            }
            _ => return self.fault(unexpected(bytes)),
        };
        let (function, session, sequence, attempt, deadline_ms) = task;
        let session = match meaning(&self.sessions, session) {
            Ok(session) => session.copied(),
            Err(fault) => return self.fault(fault),
        };
        if meaning(&self.functions, function).is_err() {
            return self.fault(Fault::Alias);
        }
        let room = self.book.len() < self.window.max(1);
        let Some(id) = room.then(|| self.book.insert(session, sequence, attempt)).flatten() else {
            return self.fault(Fault::Window);
        };
        Ok(Some(WorkerEvent::Task(TaskEvent {
            id,
            function: meaning(&self.functions, function)?.and_then(Option::as_ref),
            session,
            sequence,
            attempt,
            deadline: deadline_ms.map(|millis| Duration::from_millis(millis.into())),
            cache: frame.front_text(),
            payload: frame.body,
        })))
    }

    fn poll_header(&mut self) -> Option<ToMaster> {
        if let Some(task) = self.book.poll_announce() {
            let (session, sequence, attempt) = (task.session, task.sequence, task.attempt);
            return Some(ToMaster::Holding { session, sequence, attempt });
        }
        if let Some(heartbeat) = self.link.poll_heartbeat() {
            return Some(heartbeat);
        }
        if self.credit_due > 0 && !self.draining {
            return Some(ToMaster::Credit { more: core::mem::take(&mut self.credit_due) });
        }
        if core::mem::take(&mut self.drain_due) {
            return Some(ToMaster::Drain);
        }
        self.link.poll_bye()
    }

    /// A task's number in this connection, and whether it is cancelled.
    fn number(&self, id: HeldId) -> Result<(TaskNumber, bool), NotSent> {
        let task = self.book.get(id).ok_or(NotSent::Unknown)?;
        if !self.link.is_connected() || !self.book.is_announced() {
            return Err(NotSent::NotConnected);
        }
        Ok((task.number, task.cancelled))
    }

    fn wanted(&self, id: HeldId) -> Result<TaskNumber, NotSent> {
        let (number, cancelled) = self.number(id)?;
        if cancelled { Err(NotSent::Cancelled) } else { Ok(number) }
    }

    fn end<'a>(&mut self, id: HeldId, frame: Frame<'a, ToMaster>) -> Result<Frame<'a, ToMaster>, NotSent> {
        self.link.check(&frame)?;
        self.book.remove(id);
        Ok(frame)
    }

    /// As much of a text as a frame has room for.
    fn text<'a>(&self, text: &'a str) -> &'a [u8] {
        let room = (self.link.max_frame() as usize).saturating_sub(crate::native::HEADER_MAX);
        front_of(text, room.min(TEXT_MAX)).as_bytes()
    }

    fn fault<T>(&mut self, fault: Fault) -> Result<T, Fault> {
        self.link.close();
        Err(fault)
    }
}

/// What an alias means; nothing if the table has no room for it.
fn meaning<T, S: Table<Option<T>>>(table: &AliasTable<T, S>, alias: Alias) -> Result<Option<&T>, Fault> {
    match table.meaning(alias) {
        None if table.admits(alias) => Err(Fault::Alias),
        meaning => Ok(meaning),
    }
}
