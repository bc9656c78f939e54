//! The thread that has a client's connection.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll, Token, Waker};

use super::connection::{ClientConnection, ClientEvent};
use super::inbox::{Inbox, Outcome, Progress};
use super::tasks::Like;
use crate::peer::{CacheDoor, CacheRequest};
use crate::poll::wait;

const CONNECTION: Token = Token(0);
const WAKE: Token = Token(1);
/// Events taken at a time: there are two sources.
const EVENTS: usize = 8;
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whose a task is.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    inbox: Arc<Inbox>,
    sequence: u64,
}

/// What is asked of the thread.
#[derive(Debug)]
pub(super) enum Command {
    Submit {
        inbox: Arc<Inbox>,
        like: Arc<Like>,
        payload: Bytes,
    },
    /// Tasks that follow each other, each like the first but for the payload.
    SubmitAll {
        inbox: Arc<Inbox>,
        first: u64,
        like: Arc<Like>,
        payloads: Vec<Bytes>,
    },
    /// Nobody wants these results any more.
    Forget(Arc<Inbox>),
    Cache(CacheRequest),
    Bye,
}

/// How the connection is.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Connecting,
    Connected { master: Arc<str> },
    Ended { why: Arc<str> },
}

#[derive(Debug)]
pub(super) struct Shared {
    waker: Waker,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    commands: Vec<Command>,
    /// The thread waits for events, and has to be woken.
    asleep: bool,
    standing: Standing,
}

impl Shared {
    pub(super) fn new(poll: &Poll) -> std::io::Result<Self> {
        let standing = Standing::Connecting;
        let state = State { commands: Vec::new(), asleep: false, standing };
        Ok(Self { waker: Waker::new(poll.registry(), WAKE)?, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Hands a command to the thread; `false` if there is none any more.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut state = self.lock();
        if let Standing::Ended { .. } = state.standing {
            return false;
        }
        state.commands.push(command);
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep && let Err(error) = self.waker.wake() {
            tracing::warn!("cannot wake the client: {error}");
        }
        true
    }

    /// How the connection is, once it is not being made for the first time any more, or at `until`.
    pub(super) fn wait(&self, until: Option<Instant>) -> Standing {
        let mut state = self.lock();
        while let Standing::Connecting = state.standing {
            state = match until {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.standing.clone()
    }

    fn stand(&self, standing: Standing) {
        self.lock().standing = standing;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheDoor for Shared {
    fn ask(&self, request: CacheRequest) -> bool {
        self.push(Command::Cache(request))
    }
}

/// Serves until it is told goodbye, or the master wants no more of it.
pub(super) fn run(mut connection: ClientConnection<Tag>, mut poll: Poll, shared: &Shared) {
    if let Err(error) = connection.register(poll.registry(), CONNECTION) {
        tracing::warn!("cannot watch a connection: {error}");
        return shared.stand(Standing::Ended { why: error.to_string().into() });
    }
    let mut events = Events::with_capacity(EVENTS);
    let mut delivery = Delivery::default();
    let mut commands = Vec::new();
    let mut until = None;
    loop {
        handle(&mut commands, &mut connection, &mut until);
        connection.turn();
        while let Some(event) = connection.poll_event() {
            delivery.take(event, shared);
        }
        delivery.flush();
        if connection.is_over() {
            return end(&mut connection, &mut delivery, shared);
        }
        let mut timeout = connection.next_timeout();
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return end(&mut connection, &mut delivery, shared);
            }
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        if shared.fall_asleep(&mut commands, timeout) {
            timeout = Some(Duration::ZERO);
        }
        if let Err(error) = wait(&mut poll, &mut events, timeout) {
            tracing::error!("cannot wait for events: {error}");
            return end(&mut connection, &mut delivery, shared);
        }
        shared.wake_up(&mut commands);
        for event in events.iter().filter(|event| event.token() == CONNECTION) {
            connection.on_ready(event);
        }
    }
}

impl Shared {
    /// Takes what there is to do, or says that the thread has to be woken from now on. Whether there was anything.
    fn fall_asleep(&self, commands: &mut Vec<Command>, timeout: Option<Duration>) -> bool {
        let mut state = self.lock();
        std::mem::swap(commands, &mut state.commands);
        state.asleep = commands.is_empty() && timeout != Some(Duration::ZERO);
        !commands.is_empty()
    }

    fn wake_up(&self, commands: &mut Vec<Command>) {
        let mut state = self.lock();
        state.asleep = false;
        if commands.is_empty() {
            std::mem::swap(commands, &mut state.commands);
        }
    }
}

fn handle(commands: &mut Vec<Command>, connection: &mut ClientConnection<Tag>, until: &mut Option<Instant>) {
    for command in commands.drain(..) {
        match command {
            Command::Submit { inbox, like, payload } => {
                connection.submit_like(like, payload, Tag { inbox, sequence: 0 });
            }
            Command::SubmitAll { inbox, first, like, payloads } => {
                for (sequence, payload) in (first..).zip(payloads) {
                    let tag = Tag { inbox: Arc::clone(&inbox), sequence };
                    connection.submit_like(Arc::clone(&like), payload, tag);
                }
            }
            Command::Forget(inbox) => connection.cancel_all(|tag| Arc::ptr_eq(&tag.inbox, &inbox)),
            Command::Cache(request) => connection.ask_cache(request),
            Command::Bye => {
                connection.bye();
                *until = Instant::now().checked_add(FAREWELL);
            }
        }
    }
}

/// Nothing comes any more: who still waits is told.
fn end(connection: &mut ClientConnection<Tag>, delivery: &mut Delivery, shared: &Shared) {
    connection.close();
    while let Some(event) = connection.poll_event() {
        delivery.take(event, shared);
    }
    let mut rest = {
        let mut state = shared.lock();
        if !matches!(state.standing, Standing::Ended { .. }) {
            state.standing = Standing::Ended { why: "the client has said goodbye".into() };
        }
        std::mem::take(&mut state.commands)
    };
    shared.changed.notify_all();
    handle(&mut rest, connection, &mut None);
    connection.close();
    while let Some(event) = connection.poll_event() {
        delivery.take(event, shared);
    }
    delivery.flush();
}

/// Results on their way to those who wait, those that follow each other for the same together.
#[derive(Debug, Default)]
struct Delivery {
    to: Option<Arc<Inbox>>,
    outcomes: Vec<Outcome>,
}

impl Delivery {
    fn take(&mut self, event: ClientEvent<Tag>, shared: &Shared) {
        match event {
            ClientEvent::Last { tag, result } => self.put(tag, result, true),
            ClientEvent::Partial { tag, payload } => self.put(tag, Ok(payload), false),
            ClientEvent::Progress { tag, permille, text } => {
                tag.inbox.put_progress(Progress { sequence: tag.sequence, permille, text });
            }
            ClientEvent::Connected { master, resumed } => {
                tracing::debug!("connected to master {master}{}", if resumed { " again" } else { "" });
                shared.stand(Standing::Connected { master: master.into() });
            }
            ClientEvent::Disconnected { why } => {
                tracing::warn!("the connection is lost: {why}; looking for the master")
            }
            ClientEvent::Ended { why } => {
                if !why.is_empty() {
                    tracing::warn!("no connection any more: {why}");
                }
                shared.stand(Standing::Ended { why: why.into() });
            }
        }
    }

    fn put(&mut self, tag: Tag, result: Result<Bytes, super::Failure>, last: bool) {
        if self.to.as_ref().is_none_or(|to| !Arc::ptr_eq(to, &tag.inbox)) {
            self.flush();
            self.to = Some(tag.inbox);
        }
        self.outcomes.push(Outcome { sequence: tag.sequence, result, last });
    }

    fn flush(&mut self) {
        if let Some(inbox) = self.to.take() {
            inbox.put(&mut self.outcomes);
        }
    }
}
