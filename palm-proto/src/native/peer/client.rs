//! The client's machine (`docs/spec.md`, section 9.7).

use crate::message::Status;
use crate::native::{Alias, FUNCTION_MAX, Frame, Interned, Interner, RefusalCode, Role, ToMaster, ToPeer, When};
use crate::random::Seed;
use crate::time::Instant;

use super::cache::CacheAnswer;
use super::config::{PeerConfig, Retry};
use super::error::{Fault, Lost, NotSent};
use super::link::{Heard, Link, unexpected};
use super::storage::{ClientStorage, FixedClientStorage};
use super::submission::{Book, Resubmit, Submit, Submitted};

/// A client's end of the native protocol.
///
/// It knows the tasks that have no last result. The caller keeps what they are made of: when a connection broke, or the master had no
/// room, it is asked to submit again what the master may not know ([`poll_resubmit`](Self::poll_resubmit)). Every task has exactly one last result,
/// [`Result`](ClientEvent::Result) with `last` or [`Failed`](ClientEvent::Failed), whatever breaks; the others of several may come twice.
#[derive(Debug)]
pub struct Client<S: ClientStorage> {
    link: Link,
    name: S::Text,
    token: S::Text,
    book: Book<S::Submissions, S::SubmissionPlaces>,
    functions: Interner<S::Name, S::Names, S::NamePlaces>,
    /// Tasks that may be submitted now.
    allowed: u32,
    /// Results that the master may send without Received.
    window: u32,
    /// Those that it has sent.
    unacknowledged: u32,
    /// Whether they are to be acknowledged even if they are few.
    acknowledge: bool,
    /// Whether Accepted is to come first.
    resuming: bool,
    /// Whether the master is to be told that what comes next is submitted again.
    restart: bool,
    repeated: u64,
}

/// A client of at most `TASKS` tasks without a last result, and `NAMES` functions, that lie in itself.
pub type FixedClient<B, const TASKS: usize, const NAMES: usize> = Client<FixedClientStorage<B, TASKS, NAMES>>;

/// A client with its tables on the heap.
#[cfg(feature = "alloc")]
pub type HeapClient = Client<super::HeapClientStorage>;

/// What a client learns.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent<'a> {
    /// The connection is established.
    Connected {
        /// The master's name.
        master: &'a str,
        /// Another one at each start of the master.
        epoch: u64,
        /// Whether it is the same as in the connection before.
        resumed: bool,
    },
    /// A result.
    Result {
        /// What the caller calls the task.
        key: u64,
        /// The client's number for it.
        sequence: u64,
        /// The result.
        payload: &'a [u8],
        /// Whether no other comes.
        last: bool,
    },
    /// A task failed; no result comes.
    Failed {
        /// What the caller calls it.
        key: u64,
        /// The client's number for it.
        sequence: u64,
        /// What became of it.
        status: Status,
        /// More about it.
        text: &'a str,
    },
    /// How far a task is.
    Progress {
        /// What the caller calls it.
        key: u64,
        /// The client's number for it.
        sequence: u64,
        /// In thousandths.
        permille: u16,
        /// More about it.
        text: &'a str,
    },
    /// There may be more to submit than before.
    Window,
    /// The cache's answer to a request.
    Cache {
        /// Which request.
        id: u32,
        /// It.
        answer: CacheAnswer<'a>,
    },
    /// The master does not want this client. The connection is over.
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

impl<B: crate::Buffer + core::fmt::Debug, const TASKS: usize, const NAMES: usize> FixedClient<B, TASKS, NAMES> {
    /// A client without a connection. `seed` is to be unknown to whoever chooses the names of functions.
    pub fn fixed(config: PeerConfig<&'static str>, seed: Seed) -> Self {
        let functions = Interner::with_tables(heapless::Vec::new(), heapless::Vec::new(), seed);
        Self::new(config, heapless::Vec::new(), heapless::Vec::new(), functions)
    }
}

#[cfg(feature = "alloc")]
impl HeapClient {
    /// A client without a connection, of at most `tasks` tasks without a last result. `seed` is to be unknown to whoever
    /// chooses the names of functions.
    pub fn sized(config: PeerConfig<alloc::boxed::Box<str>>, tasks: usize, seed: Seed) -> Self {
        use crate::collections::HeapTable;
        let functions = crate::native::HeapInterner::new(Alias::BOUND, seed);
        Self::new(config, HeapTable::new(tasks), HeapTable::new(tasks.saturating_mul(2)), functions)
    }
}

impl<S: ClientStorage> Client<S> {
    /// A client without a connection, in empty tables: for tasks without a last result, and to find them, with at least as many
    /// places; and for the names of functions.
    pub fn new(
        config: PeerConfig<S::Text>,
        submissions: S::Submissions,
        places: S::SubmissionPlaces,
        functions: Interner<S::Name, S::Names, S::NamePlaces>,
    ) -> Self {
        Self {
            link: Link::new(Role::Client, &config),
            name: config.name,
            token: config.token,
            book: Book::new(submissions, places),
            functions,
            allowed: 0,
            window: config.window.max(1),
            unacknowledged: 0,
            acknowledge: false,
            resuming: false,
            restart: false,
            repeated: 0,
        }
    }

    /// A connection is there: Hello is to be sent.
    pub fn handle_connected(&mut self, now: Instant) {
        self.link.handle_connected(now);
    }

    /// The connection is over. Tasks without a last result are kept.
    pub fn handle_disconnected(&mut self) {
        self.link.close();
    }

    /// Takes a frame; an empty one is a sign of life. What it says is to be dealt with before the next call: the master may be told
    /// then that it need not keep it any longer.
    ///
    /// Takes O(tasks without a last result) for Accepted, once in a connection, and for NoRoom if the task was cancelled.
    ///
    /// # Errors
    /// If the master breaks the protocol: the connection is over.
    pub fn handle_frame<'a>(&mut self, now: Instant, frame: &'a [u8]) -> Result<Option<ClientEvent<'a>>, Fault> {
        let event = match self.link.handle_frame(now, frame)? {
            Heard::Nothing => return Ok(None),
            Heard::Welcome { master, epoch, window, resumed } => {
                self.on_welcome(window, resumed);
                ClientEvent::Connected { master, epoch, resumed }
            }
            Heard::Refused { code, text } => ClientEvent::Refused { code, text, retry: code.retry() },
            Heard::Goodbye => ClientEvent::Goodbye,
            Heard::Cache { id, answer } => ClientEvent::Cache { id, answer },
            Heard::ForRole(parsed) => {
                let event = self.on_frame(&parsed, frame);
                if event.is_err() {
                    self.link.close();
                }
                return event;
            }
        };
        Ok(Some(event))
    }

    /// The next frame that the client has to send on its own account; call again until `None`.
    pub fn poll_transmit(&mut self) -> Option<Frame<'_, ToMaster>> {
        if !self.link.is_connected() {
            return self.link.poll_hello(self.name.as_ref(), self.token.as_ref(), self.window, 0);
        }
        if let Some(heartbeat) = self.link.poll_heartbeat() {
            return Some(Frame::new(heartbeat));
        }
        if core::mem::take(&mut self.restart) {
            return Some(Frame::new(ToMaster::Restart));
        }
        let many = self.unacknowledged >= self.window.div_ceil(2) || self.link.is_bye_due();
        let acknowledge = core::mem::take(&mut self.acknowledge) || many;
        if acknowledge && self.unacknowledged > 0 {
            return Some(Frame::new(ToMaster::Received { results: core::mem::take(&mut self.unacknowledged) }));
        }
        self.link.poll_bye().map(Frame::new)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None`: not before something else has happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    /// Time has passed; a call that comes early does nothing. `Some`: the connection is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Lost> {
        self.link.handle_timeout(now)
    }

    /// Submits a task, which the caller calls `key`. It has a number from now on, and the frames are to be sent.
    ///
    /// # Errors
    /// If it cannot be submitted now, or never: nothing has happened then.
    pub fn submit<'a>(&mut self, key: u64, submit: &Submit<'a>) -> Result<Submitted<'a>, NotSent> {
        let sequence = self.book.next_sequence();
        self.check(submit, sequence)?;
        if !self.has_room() {
            return Err(NotSent::NoRoom);
        }
        let submitted = self.frames(submit, sequence)?;
        // There is room, as was seen.
        self.book.insert(key);
        Ok(submitted)
    }

    /// The next task that the master may not know, if it may be submitted: the caller looks it up and calls
    /// [`resubmit`](Self::resubmit), or [`cancel`](Self::cancel) if it has lost it. Until there is none no other can be submitted.
    pub fn poll_resubmit(&self) -> Option<Resubmit> {
        if !self.link.is_connected() || self.resuming || self.allowed == 0 {
            return None;
        }
        self.book.again()
    }

    /// Submits the task again that [`poll_resubmit`](Self::poll_resubmit) names.
    ///
    /// # Errors
    /// If it cannot be submitted now, or never: nothing has happened then.
    pub fn resubmit<'a>(&mut self, submit: &Submit<'a>) -> Result<Submitted<'a>, NotSent> {
        let Resubmit { sequence, .. } = self.poll_resubmit().ok_or(NotSent::NoRoom)?;
        self.check(submit, sequence)?;
        let submitted = self.frames(submit, sequence)?;
        self.book.submitted_again();
        Ok(submitted)
    }

    /// Forgets a task, whose results are not wanted any more: there are no more events about it. The frame is to be sent, if there
    /// is one: there is none if the task is not known any more, or without a connection, where the master is left to do it for nothing.
    pub fn cancel(&mut self, sequence: u64) -> Option<Frame<'static, ToMaster>> {
        let (index, _) = self.book.find(sequence)?;
        self.book.remove(index);
        let frame = Frame::new(ToMaster::Cancel { sequence });
        self.link.check(&frame).is_ok().then_some(frame)
    }

    /// Lets the next [`poll_transmit`](Self::poll_transmit) tell the master that all results so far are safe. To be called when
    /// no more input is at hand; when there are many it tells so without.
    pub fn acknowledge(&mut self) {
        self.acknowledge = true;
    }

    /// Whether there are results that the master has not been told are safe.
    pub fn owes_acknowledgement(&self) -> bool {
        self.unacknowledged > 0
    }

    /// The client goes. The connection is over when [`poll_transmit`](Self::poll_transmit) has said so.
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

    /// Whether another task may be submitted now.
    pub fn has_room(&self) -> bool {
        let behind = self.resuming || self.book.again().is_some();
        self.link.is_connected() && self.allowed > 0 && !self.book.is_full() && !behind
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Whether there is no connection, and none is being established: the driver is to close it, if it has not.
    pub fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// Number of tasks without a last result.
    pub fn pending(&self) -> usize {
        self.book.len()
    }

    /// Longest frame that the master takes; 0 before the first connection.
    pub fn max_frame(&self) -> u32 {
        self.link.max_frame()
    }

    /// Number of results that were dropped, since they had come before or their task was cancelled.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    fn on_welcome(&mut self, window: u32, resumed: bool) {
        self.functions.clear();
        (self.allowed, self.unacknowledged, self.acknowledge, self.restart) = (window, 0, false, false);
        // To the same master it is known only with Accepted what is missing; another one has nothing.
        self.resuming = resumed && self.book.len() > 0;
        if self.resuming {
            self.book.submit_none_again();
        } else {
            self.book.submit_again(0);
        }
    }

    fn on_frame<'a>(&mut self, frame: &Frame<'a, ToPeer>, bytes: &[u8]) -> Result<Option<ClientEvent<'a>>, Fault> {
        match frame.header {
            ToPeer::Accepted { up_to } => {
                if core::mem::take(&mut self.resuming) {
                    self.book.submit_again(up_to);
                }
                Ok(Some(ClientEvent::Window))
            }
            ToPeer::Window { more } => {
                self.allowed = self.allowed.saturating_add(more);
                Ok(Some(ClientEvent::Window))
            }
            ToPeer::NoRoom { from } => {
                // What was submitted since is lost, and until the master has heard so all that is submitted.
                (self.allowed, self.restart) = (0, true);
                self.book.submit_again(from);
                Ok(None)
            }
            ToPeer::Result { sequence } => self.on_result(sequence, frame.body, true),
            ToPeer::Partial { sequence } => self.on_result(sequence, frame.body, false),
            ToPeer::Failed { sequence, code } => {
                let key = self.take_result(sequence, true)?;
                let (status, text) = (Status::from_code(code), frame.body_text());
                Ok(key.map(|key| ClientEvent::Failed { key, sequence, status, text }))
            }
            ToPeer::Progress { sequence, permille } => {
                let text = frame.body_text();
                let found = self.book.find(sequence);
                Ok(found.map(|(_, key)| ClientEvent::Progress { key, sequence, permille: permille.min(1000), text }))
            }
            _ => Err(unexpected(bytes)),
        }
    }

    fn on_result<'a>(
        &mut self,
        sequence: u64,
        payload: &'a [u8],
        last: bool,
    ) -> Result<Option<ClientEvent<'a>>, Fault> {
        let key = self.take_result(sequence, last)?;
        Ok(key.map(|key| ClientEvent::Result { key, sequence, payload, last }))
    }

    /// Counts a result, and gives the key of its task, which is over with the last one.
    fn take_result(&mut self, sequence: u64, last: bool) -> Result<Option<u64>, Fault> {
        if self.unacknowledged >= self.window {
            return Err(Fault::Window);
        }
        self.unacknowledged += 1;
        let Some((index, key)) = self.book.find(sequence) else {
            self.repeated += 1;
            return Ok(None);
        };
        if last {
            self.book.remove(index);
        }
        Ok(Some(key))
    }

    /// Whether the frames of a task can be sent, whatever the alias.
    fn check(&self, submit: &Submit<'_>, sequence: u64) -> Result<(), NotSent> {
        if !(1..=FUNCTION_MAX).contains(&submit.function.len()) {
            return Err(NotSent::Function);
        }
        let longest = Alias::LAST;
        self.link.check(&task(submit, sequence, longest))?;
        self.link.check(&declaration(submit.function, longest))
    }

    /// The frames of a task that has been checked.
    fn frames<'a>(&mut self, submit: &Submit<'a>, sequence: u64) -> Result<Submitted<'a>, NotSent> {
        let interned = self.functions.intern(submit.function.as_bytes()).ok_or(NotSent::Function)?;
        let declaration = match interned {
            Interned::Known(_) => None,
            Interned::New(alias) => Some(declaration(submit.function, alias)),
        };
        self.allowed = self.allowed.saturating_sub(1);
        Ok(Submitted { sequence, declaration, task: task(submit, sequence, interned.alias()) })
    }
}

const fn declaration(function: &str, alias: Alias) -> Frame<'_, ToMaster> {
    Frame { header: ToMaster::Function { alias }, front: &[], body: function.as_bytes() }
}

fn task<'a>(submit: &Submit<'a>, sequence: u64, function: Alias) -> Frame<'a, ToMaster> {
    let Submit { payload, priority, deadline_ms, cache, .. } = *submit;
    if priority == 0 && deadline_ms.is_none() && cache.is_empty() {
        return Frame::with_body(ToMaster::Submit { sequence, function }, payload);
    }
    // No frame can carry what is cut here.
    let cache_len = u32::try_from(cache.len()).unwrap_or(u32::MAX);
    let header = ToMaster::SubmitWith { sequence, function, priority, deadline_ms, cache_len };
    Frame { header, front: cache.as_bytes(), body: payload }
}
