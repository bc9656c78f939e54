//! A client's connection, for those who bring their own loop.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mio::event::Event;
use mio::{Registry, Token};
use palm_proto::native::{
    ClientEvent as Said, Fault, Frame, HeapClient, Lost, NotSent, PeerConfig, Resubmit, ToMaster,
};
use palm_proto::{Seed, Status};

use super::failure::Failure;
use super::tasks::{Like, Submission, TaskKey, Tasks};
use crate::clock::Clock;
use crate::peer::{BuildError, CacheBook, CacheRequest, Keeper, Link, Machine, Out, PeerOptions, Verdict};

/// Results that the master sends before it hears that they are safe.
const RESULTS: u32 = 32_768;

/// How long the master is left without word that results are safe, if there is nothing else to say to it.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(20);

/// A client's connection to its master, for a loop of one's own: it connects, and again whenever the connection breaks, keeps what
/// was submitted until it has its last result, and submits again what the master may not know. `T` is what the caller calls a
/// task.
///
/// After [`register`](Self::register) call [`turn`](Self::turn): once at first, then after events, which
/// [`on_ready`](Self::on_ready) is told about, after something was submitted, and when [`next_timeout`](Self::next_timeout) has
/// passed. Then take what has come from [`poll_event`](Self::poll_event).
///
/// ```
/// use palm_transport_tcp::{ClientConnection, PeerOptions, Submission};
///
/// let mut connection = ClientConnection::new(&PeerOptions::new("tcp://127.0.0.1:5560"))?;
/// let key = connection.submit(Submission::new("server.method", "payload"), "the first");
/// assert_eq!(connection.pending(), 1);
/// connection.cancel(key);
/// assert_eq!(connection.pending(), 0);
/// # Ok::<(), palm_transport_tcp::BuildError>(())
/// ```
#[derive(Debug)]
pub struct ClientConnection<T> {
    link: Link,
    side: Side<T>,
}

/// What a client's connection has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent<T> {
    /// It is established.
    Connected {
        /// The master's name.
        master: String,
        /// Whether it is the same master as before.
        resumed: bool,
    },
    /// A task's last result, or why there is none.
    Last {
        /// What the caller calls the task.
        tag: T,
        /// It.
        result: Result<Bytes, Failure>,
    },
    /// One of several results.
    Partial {
        /// What the caller calls the task.
        tag: T,
        /// It.
        payload: Bytes,
    },
    /// How far a task is.
    Progress {
        /// What the caller calls the task.
        tag: T,
        /// In thousandths.
        permille: u16,
        /// More about it.
        text: String,
    },
    /// The connection is gone; another one is looked for.
    Disconnected {
        /// Why.
        why: String,
    },
    /// The connection is over for good: the client has said goodbye, or the master wants no more of it.
    Ended {
        /// Why; empty after a goodbye.
        why: String,
    },
}

impl<T: Clone> ClientConnection<T> {
    /// A connection, not begun.
    ///
    /// # Errors
    /// If the options cannot work.
    pub fn new(options: &PeerOptions) -> Result<Self, BuildError> {
        let address = options.check()?;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let seed = Seed::from_words([high, low]);
        let config = PeerConfig { window: RESULTS, ..options.machine() };
        Ok(Self {
            link: Link::new(address, options, seed.derive("link")),
            side: Side {
                client: HeapClient::sized(config, options.window.max(1) as usize, seed.derive("names")),
                clock: Clock::start(),
                tasks: Tasks::default(),
                events: VecDeque::new(),
                cache: CacheBook::default(),
                keeper: Keeper::default(),
                connected: false,
                acknowledge_at: None,
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
        let now = self.side.clock.now();
        let was_over = self.link.is_over();
        self.link.turn(now, &mut self.side);
        while let Some(key) = self.side.tasks.overdue(now) {
            let sequence = self.side.tasks.get(key).and_then(|entry| entry.sequence);
            if !self.link.is_over() && self.side.tasks.try_again(now, key, Status::DeadlineExceeded) {
                if let Some(frame) = sequence.and_then(|sequence| self.side.client.cancel(sequence)) {
                    self.link.out.frame(&frame);
                }
            } else {
                self.end(key, Failure::of(Status::DeadlineExceeded));
            }
        }
        if !was_over && self.link.is_over() {
            self.side.end();
        }
    }

    /// What has come.
    pub fn poll_event(&mut self) -> Option<ClientEvent<T>> {
        self.side.events.pop_front()
    }

    /// Submits a task, as soon as there is room for it. It has exactly one [`ClientEvent::Last`], unless it is cancelled.
    pub fn submit(&mut self, submission: Submission, tag: T) -> TaskKey {
        let clock = self.side.clock;
        let key = self.side.tasks.insert(|| clock.now(), submission, tag);
        self.submitted(key);
        key
    }

    /// Submits one of several tasks that have all but their payloads in common.
    pub(super) fn submit_like(&mut self, like: Arc<Like>, payload: Bytes, tag: T) {
        let clock = self.side.clock;
        let key = self.side.tasks.insert_like(|| clock.now(), like, payload, tag);
        self.submitted(key);
    }

    fn submitted(&mut self, key: TaskKey) {
        if self.link.is_over() {
            self.side.fail(key, Failure::of(Status::Unavailable));
        }
    }

    /// Forgets a task: no event tells of it any more, and the master is told that nobody wants its result. `false` if it was over.
    pub fn cancel(&mut self, key: TaskKey) -> bool {
        let Some(entry) = self.side.tasks.remove(key) else { return false };
        if let Some(frame) = entry.sequence.and_then(|sequence| self.side.client.cancel(sequence)) {
            self.link.out.frame(&frame);
        }
        true
    }

    /// Forgets all tasks whose tags are wanted. O(tasks).
    pub fn cancel_all(&mut self, wanted: impl FnMut(&T) -> bool) {
        for key in self.side.tasks.find(wanted) {
            self.cancel(key);
        }
    }

    /// Says goodbye, and forgets what has no result yet.
    pub fn bye(&mut self) {
        self.side.client.bye();
        if self.side.client.is_closed() {
            self.close();
        }
    }

    /// Looks for the master at another address from now on, at once if there is no connection.
    ///
    /// # Errors
    /// If that is no address.
    pub fn relocate(&mut self, address: impl Into<String>) -> Result<(), BuildError> {
        self.link.relocate(PeerOptions::new(address).check()?);
        Ok(())
    }

    /// Whether it is established.
    pub fn is_connected(&self) -> bool {
        self.side.client.is_connected()
    }

    /// Whether it is over for good.
    pub fn is_over(&self) -> bool {
        self.link.is_over()
    }

    /// Tasks without a last result.
    pub fn pending(&self) -> usize {
        self.side.tasks.len()
    }

    pub(super) fn ask_cache(&mut self, request: CacheRequest) {
        self.side.cache.push(request);
        if self.link.is_over() {
            self.side.cache.close();
        }
    }

    /// Ends the connection at once.
    pub(super) fn close(&mut self) {
        self.link.end(&mut self.side);
        self.side.end();
    }

    /// Cancels a task and tells its caller why.
    fn end(&mut self, key: TaskKey, failure: Failure) {
        let Some(tag) = self.side.tasks.get(key).map(|entry| entry.tag.clone()) else { return };
        self.cancel(key);
        self.side.events.push_back(ClientEvent::Last { tag, result: Err(failure) });
    }
}

/// The machine, and what is kept for it.
#[derive(Debug)]
struct Side<T> {
    client: HeapClient,
    clock: Clock,
    tasks: Tasks<T>,
    events: VecDeque<ClientEvent<T>>,
    cache: CacheBook,
    keeper: Keeper,
    connected: bool,
    /// When the master is to be told at the latest that results are safe.
    acknowledge_at: Option<palm_proto::Instant>,
}

impl<T: Clone> Side<T> {
    /// A task is over that the machine does not know, or does not know any more.
    fn fail(&mut self, key: TaskKey, failure: Failure) {
        if let Some(entry) = self.tasks.remove(key) {
            self.events.push_back(ClientEvent::Last { tag: entry.tag, result: Err(failure) });
        }
    }

    fn end(&mut self) {
        for key in self.tasks.find(|_| true) {
            self.fail(key, Failure::of(Status::Unavailable));
        }
        self.cache.close();
    }

    fn tag(&self, key: u64) -> Option<T> {
        self.tasks.get(TaskKey::of(key)).map(|entry| entry.tag.clone())
    }

    /// Submits again what the master may not know.
    fn resubmit(&mut self, now: palm_proto::Instant, out: &mut Out) {
        while out.has_room()
            && let Some(Resubmit { sequence, key }) = self.client.poll_resubmit()
        {
            let key = TaskKey::of(key);
            let Some(entry) = self.tasks.get(key) else {
                self.client.cancel(sequence);
                continue;
            };
            match self.client.resubmit(&entry.submit(now)) {
                Ok(submitted) => send(&submitted, &entry.payload, out),
                Err(NotSent::NotConnected | NotSent::NoRoom) => return,
                Err(refused) => {
                    self.client.cancel(sequence);
                    self.fail(key, Failure::of_refused(refused));
                }
            }
        }
    }

    fn submit(&mut self, now: palm_proto::Instant, out: &mut Out) {
        self.tasks.retry_due(now);
        while out.has_room()
            && let Some(key) = self.tasks.next()
        {
            let Some(entry) = self.tasks.get_mut(key) else { return };
            match self.client.submit(key.number(), &entry.submit(now)) {
                Ok(submitted) => {
                    send(&submitted, &entry.payload, out);
                    let sequence = submitted.sequence;
                    entry.sequence = Some(sequence);
                    self.tasks.submitted();
                }
                Err(NotSent::NotConnected | NotSent::NoRoom) => return,
                Err(refused) => self.fail(key, Failure::of_refused(refused)),
            }
        }
    }
}

fn send(submitted: &palm_proto::native::Submitted<'_>, payload: &Bytes, out: &mut Out) {
    if let Some(declaration) = &submitted.declaration {
        out.frame(declaration);
    }
    out.frame_with(&submitted.task, payload);
}

impl<T: Clone> Machine for Side<T> {
    fn handle_connected(&mut self, now: palm_proto::Instant) {
        self.client.handle_connected(now);
    }

    fn handle_disconnected(&mut self, why: &str, for_good: bool) {
        self.client.handle_disconnected();
        self.cache.on_disconnected();
        if for_good {
            self.events.push_back(ClientEvent::Ended { why: why.into() });
        } else if std::mem::take(&mut self.connected) {
            self.events.push_back(ClientEvent::Disconnected { why: why.into() });
        }
    }

    fn handle_frame(
        &mut self,
        now: palm_proto::Instant,
        frame: &[u8],
        whole: Option<&Bytes>,
    ) -> Result<Verdict, Fault> {
        let Some(said) = self.client.handle_frame(now, frame)? else { return Ok(Verdict::Stays) };
        let useful = matches!(said, Said::Result { .. } | Said::Failed { .. } | Said::Cache { .. });
        match said {
            Said::Result { key, payload, last: true, .. } => {
                if let Some(entry) = self.tasks.remove(TaskKey::of(key)) {
                    let result = Ok(self.keeper.keep(payload, whole));
                    self.events.push_back(ClientEvent::Last { tag: entry.tag, result });
                }
            }
            Said::Result { key, payload, .. } => {
                if let Some(entry) = self.tasks.get_mut(TaskKey::of(key)) {
                    entry.begun = true;
                }
                if let Some(tag) = self.tag(key) {
                    self.events.push_back(ClientEvent::Partial { tag, payload: self.keeper.keep(payload, whole) });
                }
            }
            Said::Failed { key, status, text, .. } => {
                let key = TaskKey::of(key);
                if !self.tasks.try_again(now, key, status) {
                    self.fail(key, Failure { status, text: text.into() });
                }
            }
            Said::Progress { key, permille, text, .. } => {
                if let Some(tag) = self.tag(key) {
                    self.events.push_back(ClientEvent::Progress { tag, permille, text: text.into() });
                }
            }
            Said::Window => {}
            Said::Cache { id, answer } => self.cache.handle_answer(id, answer, whole),
            Said::Connected { master, resumed, .. } => {
                self.connected = true;
                self.events.push_back(ClientEvent::Connected { master: master.into(), resumed });
                return Ok(Verdict::Established);
            }
            Said::Refused { code, text, .. } => return Ok(Verdict::refused(text, code)),
            Said::Goodbye => return Ok(Verdict::goodbye()),
        }
        Ok(if useful { Verdict::Useful } else { Verdict::Stays })
    }

    fn handle_read(&mut self) {
        // It goes along with the next task: on its own it would only wake the master once more.
        if self.acknowledge_at.is_none() && self.client.owes_acknowledgement() {
            self.acknowledge_at = Some(self.clock.now() + ACKNOWLEDGE_WITHIN);
        }
    }

    fn poll_transmit(&mut self) -> Option<Frame<'_, ToMaster>> {
        self.client.poll_transmit()
    }

    fn fill(&mut self, now: palm_proto::Instant, out: &mut Out) {
        self.cache.fill(out, &mut self.client);
        self.resubmit(now, out);
        self.submit(now, out);
        if !out.is_empty() && self.acknowledge_at.take().is_some() {
            self.client.acknowledge();
        }
    }

    fn poll_timeout(&self) -> Option<palm_proto::Instant> {
        let retry_at = self.tasks.retry_at().filter(|_| self.client.is_connected());
        [self.client.poll_timeout(), self.tasks.deadline(), self.acknowledge_at, retry_at].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: palm_proto::Instant) -> Option<Lost> {
        if self.acknowledge_at.is_some_and(|at| at <= now) {
            self.acknowledge_at = None;
            self.client.acknowledge();
        }
        self.client.handle_timeout(now)
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}
