//! What a master may be told, and how much it may hold.

use core::fmt;
use core::time::Duration;

/// How a master behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterConfig {
    /// Most bytes of messages held at a time: waiting, with workers, as results, and on their way in or out. Counted with
    /// [`MESSAGE_OVERHEAD`] for each.
    pub memory: u64,
    /// Messages that a worker may have outstanding; `None`: as many as keep it busy (see [`WindowLimits`]).
    pub window: Option<u32>,
    /// Bounds of a window that adapts.
    pub window_limits: WindowLimits,
    /// Time after which a worker that has answered nothing is taken to hang, and what it holds is dispatched again; `None`:
    /// never.
    pub lease: Option<Duration>,
    /// Whether a worker may yield nothing for a message, as a `MuxWorker` that filters does. Workers then must answer in the
    /// order in which they are sent messages, as Python ones do: an answer says that the messages before it have none. A window
    /// that adapts has then at least [`WindowLimits::silent`] messages.
    pub silent_workers: bool,
    /// How many workers may be lost with a message before its client gets a failure; at least 1. On the last of these attempts a message
    /// is alone with its worker (`docs/spec.md`, section 5.3).
    pub attempts: u32,
    /// How long a result waits for a client that is not subscribed, or takes nothing.
    pub keep: Duration,
    /// The highest priority that counts across senders: their messages of a higher one take turns with those of this one. With 0 a
    /// sender's priorities rank its own messages only.
    pub priority_across: u8,
    /// Whether results go to the next stage (topic = the master's name, stage + 1) instead of home to the client.
    pub pipelined: bool,
}

/// Bytes that are counted for each message beside its own.
pub const MESSAGE_OVERHEAD: u64 = 192;

/// Bounds of a worker's adaptive window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Work that a worker should have at hand, as time: long enough to outlast a turn of its master.
    pub horizon: Duration,
    /// Most messages.
    pub messages: u32,
    /// Most bytes; one message is always let through.
    pub bytes: u64,
    /// Fewest messages where workers may yield nothing.
    pub silent: u32,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { horizon: Duration::from_millis(4), messages: 2_048, bytes: 4 << 20, silent: 64 }
    }
}

impl Default for MasterConfig {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            window: None,
            window_limits: WindowLimits::default(),
            lease: None,
            silent_workers: false,
            attempts: 3,
            keep: Duration::from_secs(60),
            priority_across: 0,
            pipelined: false,
        }
    }
}

/// What a master has done since it was made; each only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages taken from clients.
    pub submitted: u64,
    /// Messages from clients that could not be parsed, and were thrown away.
    pub malformed: u64,
    /// Messages from which fields were taken that a client may not set.
    pub unmarked: u64,
    /// Times a message was given to a worker.
    pub dispatched: u64,
    /// Messages answered by a worker.
    pub answered: u64,
    /// Messages for which a worker yielded nothing.
    pub silent: u64,
    /// Results of a task that went on after them.
    pub partials: u64,
    /// Further results of an attempt that was accepted (a `MuxWorker`'s).
    pub additional: u64,
    /// Results of an attempt that was not accepted, thrown away.
    pub duplicates: u64,
    /// Results of who cannot have the task, of an attempt that was never sent out, or for another client; thrown away.
    pub disbelieved: u64,
    /// Results without a task, or with one that is not known; passed on.
    pub unmatched: u64,
    /// Results that could not be parsed, thrown away.
    pub malformed_results: u64,
    /// Messages that a worker had already when the master took them in, or found it again.
    pub claimed: u64,
    /// Messages taken back from workers that were lost or hung, and dispatched again.
    pub redispatched: u64,
    /// Messages that workers handed back when they stopped.
    pub handed_back: u64,
    /// Messages given up after too many attempts.
    pub dead_letters: u64,
    /// Messages whose deadline passed before they were done.
    pub deadline_exceeded: u64,
    /// Messages that their clients wanted no more.
    pub cancelled: u64,
    /// Messages given up as their worker cannot be sent them, or as this master has no buffer for them.
    pub unsendable: u64,
    /// Messages that name no function, answered with a failure.
    pub unaddressed: u64,
    /// Messages that were not done when the master stopped.
    pub unavailable: u64,
    /// Results and failures handed to a subscriber's connection.
    pub delivered: u64,
    /// Results dropped because nobody took them within the time to keep.
    pub expired: u64,
    /// Further subscribers' copies of a result that found no room, or gave way to what was more urgent.
    pub copies_dropped: u64,
    /// Results that a subscriber to a prefix has taken, kept for their own clients as well, that gave way before one of these came.
    pub kept_dropped: u64,
    /// Workers lost while they held messages.
    pub workers_lost: u64,
    /// Leases that ran out.
    pub leases_expired: u64,
}

/// What a master holds at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauges {
    /// Messages that wait for a worker.
    pub queued: usize,
    /// Messages with workers.
    pub leased: usize,
    /// Results that wait to be taken.
    pub results: usize,
    /// Further copies of results, which give way when room is needed.
    pub spare: usize,
    /// Bytes, as counted against [`MasterConfig::memory`].
    pub memory: u64,
    /// Workers connected.
    pub workers: usize,
    /// Subscribers connected.
    pub subscribers: usize,
}

impl fmt::Display for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count: usize| if count == 1 { "" } else { "s" };
        let Self { queued, leased, results, memory, workers, subscribers, spare: _ } = self;
        write!(f, "{queued} queued, {leased} with {workers} worker{}, ", s(*workers))?;
        write!(f, "{results} result{} for {subscribers} subscriber{}, {memory} bytes", s(*results), s(*subscribers))
    }
}
