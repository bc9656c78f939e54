//! A worker's connection, for those who bring their own loop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::event::Event;
use mio::{Registry, Token};
use palm_proto::collections::{HeapTable, Slot};
use palm_proto::native::{
    Alias, Fault, Frame, FunctionName, HeldId, HeldTask, Lost, NotSent, SessionId, ToMaster, Worker as WorkerMachine,
    WorkerEvent as Said, WorkerStorage,
};
use palm_proto::{Seed, Status};

use crate::address::Address;
use crate::clock::Clock;
use crate::peer::{BuildError, CacheBook, CacheRequest, Keeper, Link, Machine, Out, PeerOptions, Verdict};

/// A worker's connection to its master, for a loop of one's own: it connects, and again whenever the connection breaks, and keeps
/// what is to be said until it can be.
///
/// After [`register`](Self::register) call [`turn`](Self::turn): once at first, then after events, which
/// [`on_ready`](Self::on_ready) is told about, after something was said, and when [`next_timeout`](Self::next_timeout) has
/// passed. Then take what has come from [`poll_event`](Self::poll_event).
///
/// ```no_run
/// use mio::{Events, Poll, Token};
/// use palm_transport_tcp::{PeerOptions, WorkerConnection, WorkerEvent};
///
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// let mut connection = WorkerConnection::new(&PeerOptions::new("tcp://127.0.0.1:5560"))?;
/// connection.register(poll.registry(), Token(0))?;
/// loop {
///     connection.turn();
///     while let Some(event) = connection.poll_event() {
///         if let WorkerEvent::Task(task) = event {
///             connection.done(task.id, task.payload);
///         }
///     }
///     poll.poll(&mut events, connection.next_timeout())?;
///     events.iter().for_each(|event| connection.on_ready(event));
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WorkerConnection {
    link: Link,
    side: Side,
}

/// What a worker's connection has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// It is established.
    Connected {
        /// The master's name.
        master: String,
        /// Whether it is the same master as before.
        resumed: bool,
    },
    /// A task has come, to be ended by [`done`](WorkerConnection::done), [`failed`](WorkerConnection::failed) or
    /// [`hand_back`](WorkerConnection::hand_back).
    Task(Task),
    /// Nobody wants a task's result any more. It is still to be ended.
    Cancelled {
        /// Which.
        id: HeldId,
    },
    /// The connection is gone; another one is looked for.
    Disconnected {
        /// Why.
        why: String,
    },
    /// The connection is over for good: the worker has said goodbye, or the master wants no more of it.
    Ended {
        /// Why; empty after a goodbye.
        why: String,
    },
}

/// A task that has come.
#[derive(Debug)]
#[non_exhaustive]
pub struct Task {
    /// What it is called when it is ended.
    pub id: HeldId,
    /// What is to be done, `server.method`; `None` if the name found no room.
    pub function: Option<Arc<str>>,
    /// Whose it is, if that found room.
    pub session: Option<SessionId>,
    /// Its client's number for it.
    pub sequence: u64,
    /// Which dispatch of it this is, from 1.
    pub attempt: u32,
    /// When its client stops waiting.
    pub deadline: Option<Instant>,
    /// What the client has put beside the payload.
    pub user_data: String,
    /// The payload.
    pub payload: Bytes,
}

/// What is to be said when it can be.
#[derive(Debug)]
enum Word {
    Done(HeldId, Bytes),
    Failed(HeldId, Status, String),
    Partial(HeldId, Bytes),
    Progress(HeldId, u16, String),
    HandBack(HeldId),
}

impl Word {
    fn len(&self) -> usize {
        match self {
            Self::Done(_, bytes) | Self::Partial(_, bytes) => bytes.len(),
            Self::Failed(_, _, text) | Self::Progress(_, _, text) => text.len(),
            Self::HandBack(_) => 0,
        }
    }
}

impl WorkerConnection {
    /// A connection, not begun.
    ///
    /// # Errors
    /// If the options cannot work.
    pub fn new(options: &PeerOptions) -> Result<Self, BuildError> {
        let address = options.check()?;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let config = options.machine();
        let aliases = usize::from(Alias::BOUND);
        let tasks = HeapTable::new(options.window.clamp(1, WINDOW_MAX) as usize);
        let worker = WorkerMachine::new(
            palm_proto::native::PeerConfig { window: options.window, ..config },
            tasks,
            HeapTable::new(aliases),
            HeapTable::new(aliases),
        );
        Ok(Self {
            link: Link::new(address, options, Seed::from_words([high, low])),
            side: Side {
                worker,
                clock: Clock::start(),
                events: VecDeque::new(),
                words: VecDeque::new(),
                words_len: 0,
                cache: CacheBook::default(),
                keeper: Keeper::default(),
                connected: false,
                leaving: false,
            },
        })
    }

    /// Has events told to `registry` under `token`, now and for all connections to come.
    ///
    /// # Errors
    /// If the registry cannot be kept.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.link.register(registry, token)
    }

    /// Notes an event; [`turn`](Self::turn) is to be called after it.
    pub fn on_ready(&mut self, event: &Event) {
        self.link.on_ready(event);
    }

    /// How long [`turn`](Self::turn) has time without an event.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.link.timeout(self.side.clock.now(), &self.side)
    }

    /// Does what there is to do, a bounded part of it at a time.
    pub fn turn(&mut self) {
        let was_over = self.link.is_over();
        self.link.turn(self.side.clock.now(), &mut self.side);
        if !was_over && self.link.is_over() {
            self.side.end();
        }
    }

    /// What has come.
    pub fn poll_event(&mut self) -> Option<WorkerEvent> {
        self.side.events.pop_front()
    }

    /// Whether something has come that has not been taken.
    pub(super) fn has_event(&self) -> bool {
        !self.side.events.is_empty()
    }

    /// The task is done.
    pub fn done(&mut self, id: HeldId, result: Bytes) {
        self.say(Word::Done(id, result));
    }

    /// The task failed. A text that is too long is cut.
    pub fn failed(&mut self, id: HeldId, status: Status, text: impl Into<String>) {
        self.say(Word::Failed(id, status, text.into()));
    }

    /// One of several results of a task, which goes on.
    pub fn partial(&mut self, id: HeldId, result: Bytes) {
        self.say(Word::Partial(id, result));
    }

    /// How far a task is, in thousandths.
    pub fn progress(&mut self, id: HeldId, permille: u16, text: impl Into<String>) {
        self.say(Word::Progress(id, permille, text.into()));
    }

    /// The task has not been begun, and is for others to do. The worker takes one less at once from then on.
    pub fn hand_back(&mut self, id: HeldId) {
        self.say(Word::HandBack(id));
    }

    /// Takes no more tasks.
    pub fn drain(&mut self) {
        self.side.worker.drain();
    }

    /// Says goodbye when all that was said has left, and gives up what tasks there still are.
    pub fn bye(&mut self) {
        self.side.leaving = true;
        if !self.is_connected() {
            self.link.end(&mut self.side);
            self.side.end();
        }
    }

    /// Whether it is established.
    pub fn is_connected(&self) -> bool {
        self.side.worker.is_connected()
    }

    /// Whether it is over for good.
    pub fn is_over(&self) -> bool {
        self.link.is_over()
    }

    /// Tasks that have come and not been ended, as far as the master has been told.
    pub fn held(&self) -> usize {
        self.side.worker.held()
    }

    /// Bytes that were said and have not left the process.
    pub fn unsent(&self) -> usize {
        self.side.words_len + self.link.unsent()
    }

    pub(super) fn relocate(&mut self, address: Address) {
        self.link.relocate(address);
    }

    pub(super) fn ask_cache(&mut self, request: CacheRequest) {
        self.side.cache.push(request);
        if self.link.is_over() {
            self.side.cache.close();
        }
    }

    fn say(&mut self, word: Word) {
        if self.side.words.is_empty() && self.link.out.has_room() {
            match self.side.say(word, &mut self.link.out) {
                None => {}
                Some(word) => self.side.keep(word),
            }
        } else {
            self.side.keep(word);
        }
    }
}

/// The machine, and what is kept for it.
#[derive(Debug)]
struct Side {
    worker: WorkerMachine<Storage>,
    clock: Clock,
    events: VecDeque<WorkerEvent>,
    words: VecDeque<Word>,
    words_len: usize,
    cache: CacheBook,
    keeper: Keeper,
    connected: bool,
    /// Goodbye is to be said when there are no more words.
    leaving: bool,
}

impl Side {
    fn keep(&mut self, word: Word) {
        self.words_len += word.len();
        self.words.push_back(word);
    }

    /// Says it, or gives it back if there is no connection.
    fn say(&mut self, word: Word, out: &mut Out) -> Option<Word> {
        let worker = &mut self.worker;
        let sent = match &word {
            Word::Done(id, result) => worker.done(*id, result).map(|frame| out.frame_with(&frame, result)),
            Word::Partial(id, result) => worker.partial(*id, result).map(|frame| out.frame_with(&frame, result)),
            Word::Failed(id, status, text) => worker.failed(*id, *status, text).map(|frame| out.frame(&frame)),
            Word::Progress(id, permille, text) => worker.progress(*id, *permille, text).map(|frame| out.frame(&frame)),
            Word::HandBack(id) => worker.hand_back(*id).map(|frame| out.frame(&frame)),
        };
        match (sent, &word) {
            (Err(NotSent::NotConnected), _) => return Some(word),
            (Err(NotSent::TooLong), Word::Done(id, result) | Word::Partial(id, result)) => {
                let text = format!("a result of {} bytes, and the master takes {}", result.len(), worker.max_frame());
                if let Ok(frame) = worker.failed(*id, Status::TooLong, &text) {
                    out.frame(&frame);
                }
            }
            // There is nobody to tell: it was cancelled, or has been ended before.
            (Err(_), _) | (Ok(()), _) => {}
        }
        None
    }

    fn end(&mut self) {
        self.cache.close();
        self.words.clear();
        self.words_len = 0;
    }
}

impl Machine for Side {
    fn handle_connected(&mut self, now: palm_proto::Instant) {
        self.worker.handle_connected(now);
    }

    fn handle_disconnected(&mut self, why: &str, for_good: bool) {
        self.worker.handle_disconnected();
        self.cache.on_disconnected();
        if for_good {
            self.events.push_back(WorkerEvent::Ended { why: why.into() });
        } else if std::mem::take(&mut self.connected) {
            self.events.push_back(WorkerEvent::Disconnected { why: why.into() });
        }
    }

    fn handle_frame(
        &mut self,
        now: palm_proto::Instant,
        frame: &[u8],
        whole: Option<&Bytes>,
    ) -> Result<Verdict, Fault> {
        let Some(said) = self.worker.handle_frame(now, frame)? else { return Ok(Verdict::Stays) };
        let useful = matches!(said, Said::Task(_));
        let event = match said {
            Said::Task(task) => WorkerEvent::Task(Task {
                id: task.id,
                function: task.function.map(|Name(name)| Arc::clone(name)),
                session: task.session,
                sequence: task.sequence,
                attempt: task.attempt,
                deadline: task.deadline.and_then(|left| Instant::now().checked_add(left)),
                user_data: task.cache.into(),
                payload: self.keeper.keep(task.payload, whole),
            }),
            Said::Cancelled { id } => WorkerEvent::Cancelled { id },
            Said::Connected { master, resumed, .. } => {
                self.connected = true;
                self.events.push_back(WorkerEvent::Connected { master: master.into(), resumed });
                return Ok(Verdict::Established);
            }
            Said::Cache { id, answer } => {
                self.cache.handle_answer(id, answer, whole);
                return Ok(Verdict::Stays);
            }
            Said::Refused { code, text, .. } => return Ok(Verdict::refused(text, code)),
            Said::Goodbye => return Ok(Verdict::goodbye()),
        };
        self.events.push_back(event);
        Ok(if useful { Verdict::Useful } else { Verdict::Stays })
    }

    fn poll_transmit(&mut self) -> Option<Frame<'_, ToMaster>> {
        self.worker.poll_transmit()
    }

    fn fill(&mut self, _: palm_proto::Instant, out: &mut Out) {
        while out.has_room()
            && let Some(word) = self.words.pop_front()
        {
            let len = word.len();
            match self.say(word, out) {
                Some(word) => {
                    self.words.push_front(word);
                    break;
                }
                None => self.words_len -= len,
            }
        }
        self.cache.fill(out, &mut self.worker);
        if self.leaving && self.words.is_empty() {
            self.worker.bye();
        }
    }

    fn poll_timeout(&self) -> Option<palm_proto::Instant> {
        self.worker.poll_timeout()
    }

    fn handle_timeout(&mut self, now: palm_proto::Instant) -> Option<Lost> {
        self.worker.handle_timeout(now)
    }

    fn is_closed(&self) -> bool {
        self.worker.is_closed()
    }
}

/// Widest window, in tasks.
const WINDOW_MAX: u32 = 8_192;

/// A function's name, shared by all its tasks.
#[derive(Debug)]
struct Name(Arc<str>);

impl FunctionName for Name {
    fn from_name(name: &str) -> Option<Self> {
        Some(Self(name.into()))
    }
}

/// The machine's tables.
#[derive(Debug)]
struct Storage;

impl WorkerStorage for Storage {
    type Text = Box<str>;
    type Function = Name;
    type Held = HeapTable<Slot<HeldTask>>;
    type Functions = HeapTable<Option<Option<Name>>>;
    type Sessions = HeapTable<Option<SessionId>>;
}
