//! What all tasks of a master share: the endpoint, who is to be woken, and the clock.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use palm_proto::buffer::Spare;
use palm_proto::endpoint::{ConnectionId, Endpoint, HeapEndpoint};
use palm_proto::{Instant, PooledBuffer};
use tokio::sync::Notify;

use super::log::EventLog;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    epoch: std::time::Instant,
    /// The timer is to look at its deadline again.
    pub(super) timer_changed: Notify,
    pub(super) shutdown: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) endpoint: Endpoint<HeapEndpoint<PooledBuffer>>,
    pub(super) log: EventLog,
    /// Of each connection's task, by [`ConnectionId::index`].
    wakers: Vec<Option<Waker>>,
    /// When the timer will fire.
    pub(super) timer_at: Option<Instant>,
    stopped: bool,
}

/// Buffers of a thread that all connections it runs use in turn.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) bytes: Vec<u8>,
    pub(super) spare: Spare,
}

impl Scratch {
    /// Bytes read at a time. More would let a batch of small messages fall out of the processor's cache before it is sent on.
    pub(super) const SIZE: usize = 64 << 10;
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { bytes: vec![0; Scratch::SIZE], spare: Spare::default() });
}

/// Lends this thread's buffers. Not to be nested.
pub(super) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(f)
}

impl Shared {
    pub(super) fn new(endpoint: Endpoint<HeapEndpoint<PooledBuffer>>) -> Self {
        let state = State { endpoint, log: EventLog::default(), wakers: Vec::new(), timer_at: None, stopped: false };
        Self {
            state: Mutex::new(state),
            epoch: std::time::Instant::now(),
            timer_changed: Notify::new(),
            shutdown: Notify::new(),
        }
    }

    /// Held for one call into the endpoint at a time, never across a system call.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(self.epoch.elapsed().as_micros() as u64)
    }

    /// The point in time as the runtime counts it.
    pub(super) fn deadline(&self, at: Instant) -> tokio::time::Instant {
        (self.epoch + std::time::Duration::from_micros(at.as_micros().min(u64::MAX / 4))).into()
    }

    /// How much a connection may read at a time, so that all together do not exceed what is free.
    pub(super) fn read_share(&self) -> usize {
        self.lock().endpoint.read_share()
    }
}

impl State {
    /// Notes whom to wake for a connection; `false` if the master has stopped.
    pub(super) fn register(&mut self, id: ConnectionId, waker: &Waker) -> bool {
        if self.stopped {
            return false;
        }
        if self.wakers.len() <= id.index() {
            self.wakers.resize_with(id.index() + 1, || None);
        }
        match &mut self.wakers[id.index()] {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    pub(super) fn unregister(&mut self, id: ConnectionId) {
        if let Some(waker) = self.wakers.get_mut(id.index()) {
            *waker = None;
        }
    }

    /// Wakes every connection for which there is something to do.
    pub(super) fn wake_ready(&mut self) {
        while let Some(id) = self.endpoint.poll_ready() {
            if let Some(Some(waker)) = self.wakers.get(id.index()) {
                waker.wake_by_ref();
            }
        }
        self.log.drain(&mut self.endpoint);
    }

    /// Has the timer fire earlier if something is due earlier.
    pub(super) fn settle_timer(&mut self, shared: &Shared) {
        let due = self.endpoint.poll_timeout();
        if due.is_some_and(|due| self.timer_at.is_none_or(|at| due < at)) {
            self.timer_at = due;
            shared.timer_changed.notify_one();
        }
    }

    /// Ends all connections, and the log.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.log.tell_rest();
        self.wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }
}
