//! A master's cache, seen from a client or from a function of a worker.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::native::{CacheAnswer, CacheRefusalCode, Frame, NotSent, ToMaster, When};

use super::out::Out;

/// A value of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// It.
    pub value: Bytes,
    /// Another number for each value that was ever set.
    pub version: u64,
}

/// On what condition a value is set or deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// If the key has no value.
    Absent,
    /// If it has the value of this version.
    Version(u64),
}

impl From<Condition> for When {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Always => Self::Always,
            Condition::Absent => Self::Absent,
            Condition::Version(version) => Self::Version(version),
        }
    }
}

/// Gets, sets and deletes values of the cache of the master that a client or a worker is connected to. A request waits for a
/// connection.
#[derive(Clone)]
pub struct Cache {
    door: Arc<dyn CacheDoor>,
    timeout: Duration,
}

/// Where requests go in.
pub(crate) trait CacheDoor: Send + Sync {
    /// Hands a request to the thread that has the connection; `false` if there is none, or it is this one.
    fn ask(&self, request: CacheRequest) -> bool;
}

impl Cache {
    pub(crate) fn new(door: Arc<dyn CacheDoor>, timeout: Duration) -> Self {
        Self { door, timeout }
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, CacheError> {
        match self.request(Ask::Get, key.as_ref())? {
            Reply::Value(value) => Ok(Some(value)),
            Reply::Absent => Ok(None),
            _ => Err(CacheError::Broken),
        }
    }

    /// Sets `key` to `value`, for good. Gives the value's version.
    ///
    /// # Errors
    /// If the cache does not answer, or refuses the value.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<u64, CacheError> {
        self.set_with(key, value, None, Condition::Always)
    }

    /// Sets `key` to `value` for a time, of which milliseconds count, or for good, on a condition. Gives the value's version.
    ///
    /// # Errors
    /// If the cache does not answer, the condition is not met, or the cache refuses the value. If the connection breaks before the
    /// answer, a value that was to be set on a condition may be set or not: [`CacheError::Disconnected`].
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        lifetime: Option<Duration>,
        condition: Condition,
    ) -> Result<u64, CacheError> {
        let ttl_ms = lifetime.map(|lifetime| u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX));
        match self.request(Ask::Set { value: value.into(), ttl_ms, when: condition.into() }, key.as_ref())? {
            Reply::Stored { version } => Ok(version),
            Reply::Absent => Err(CacheError::Conflict { version: None }),
            _ => Err(CacheError::Broken),
        }
    }

    /// Deletes `key`. Whether it had a value.
    ///
    /// # Errors
    /// If the cache does not answer.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, CacheError> {
        self.delete_if(key, Condition::Always)
    }

    /// Deletes `key` on a condition. Whether it had a value.
    ///
    /// # Errors
    /// If the cache does not answer, or the condition is not met; otherwise as [`set_with`](Self::set_with).
    pub fn delete_if(&self, key: impl AsRef<[u8]>, condition: Condition) -> Result<bool, CacheError> {
        match self.request(Ask::Delete { when: condition.into() }, key.as_ref())? {
            Reply::Deleted => Ok(true),
            Reply::Absent => Ok(false),
            _ => Err(CacheError::Broken),
        }
    }

    fn request(&self, ask: Ask, key: &[u8]) -> Result<Reply, CacheError> {
        let slot = Arc::new(Slot::default());
        let request = CacheRequest { key: Bytes::copy_from_slice(key), ask, slot: Arc::clone(&slot) };
        if !self.door.ask(request) {
            return Err(CacheError::Closed);
        }
        slot.wait(self.timeout)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

/// A request, on its way to the thread that has the connection.
#[derive(Debug)]
pub(crate) struct CacheRequest {
    key: Bytes,
    ask: Ask,
    slot: Arc<Slot>,
}

#[derive(Debug)]
enum Ask {
    Get,
    Set { value: Bytes, ttl_ms: Option<u32>, when: When },
    Delete { when: When },
}

#[derive(Debug)]
enum Reply {
    Value(Value),
    Stored { version: u64 },
    Deleted,
    Absent,
}

/// Where an answer comes.
#[derive(Debug, Default)]
struct Slot {
    answer: Mutex<Option<Result<Reply, CacheError>>>,
    there: Condvar,
}

impl Slot {
    fn put(&self, answer: Result<Reply, CacheError>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.there.notify_one();
    }

    fn wait(&self, timeout: Duration) -> Result<Reply, CacheError> {
        let until = Instant::now().checked_add(timeout);
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            let left = until.map_or(timeout, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(CacheError::TimedOut { after: timeout });
            }
            answer = self.there.wait_timeout(answer, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct CacheBook {
    waiting: VecDeque<CacheRequest>,
    /// Those that were sent, by their numbers, in order.
    asked: VecDeque<(u32, CacheRequest)>,
}

impl CacheBook {
    pub(crate) fn push(&mut self, request: CacheRequest) {
        self.waiting.push_back(request);
    }

    /// Sends what waits. `number` gives a request's number and frame.
    pub(crate) fn fill(&mut self, out: &mut Out, mut machine: impl CacheMachine) {
        while out.has_room()
            && let Some(request) = self.waiting.pop_front()
        {
            let key = &request.key;
            let sent = match &request.ask {
                Ask::Get => machine.get(key).map(|(id, frame)| (id, out.frame(&frame))),
                Ask::Set { value, ttl_ms, when } => {
                    machine.set(key, value, *ttl_ms, *when).map(|(id, frame)| (id, out.frame_with(&frame, value)))
                }
                Ask::Delete { when } => machine.delete(key, *when).map(|(id, frame)| (id, out.frame(&frame))),
            };
            match sent {
                Ok((id, ())) => self.asked.push_back((id, request)),
                Err(NotSent::NotConnected) => return self.waiting.push_front(request),
                Err(_) => request.slot.put(Err(CacheError::TooLarge)),
            }
        }
    }

    pub(crate) fn handle_answer(&mut self, id: u32, answer: CacheAnswer<'_>, whole: Option<&Bytes>) {
        // The machine has seen to it that answers come in the order of the requests.
        let Some((asked, request)) = self.asked.pop_front() else { return };
        debug_assert_eq!(asked, id, "answers come in order");
        request.slot.put(match answer {
            CacheAnswer::Value { version, value } => {
                Ok(Reply::Value(Value { value: super::keeper::kept(value, whole), version }))
            }
            CacheAnswer::Stored { version } => Ok(Reply::Stored { version }),
            CacheAnswer::Deleted => Ok(Reply::Deleted),
            CacheAnswer::Absent => Ok(Reply::Absent),
            CacheAnswer::Conflict { version } => Err(CacheError::Conflict { version: Some(version) }),
            CacheAnswer::Refused { code: CacheRefusalCode::Preset, .. } => Err(CacheError::Preset),
            CacheAnswer::Refused { code: CacheRefusalCode::TooLarge, .. } => Err(CacheError::TooLarge),
            CacheAnswer::Refused { .. } => Err(CacheError::Full),
        });
    }

    /// The connection is gone: what makes no difference if it is done twice is asked again on the next one.
    pub(crate) fn on_disconnected(&mut self) {
        while let Some((_, request)) = self.asked.pop_back() {
            match request.ask {
                Ask::Get | Ask::Set { when: When::Always, .. } | Ask::Delete { when: When::Always } => {
                    self.waiting.push_front(request);
                }
                Ask::Set { .. } | Ask::Delete { .. } => request.slot.put(Err(CacheError::Disconnected)),
            }
        }
    }

    /// There will be no connection any more.
    pub(crate) fn close(&mut self) {
        for (_, request) in self.asked.drain(..) {
            request.slot.put(Err(CacheError::Closed));
        }
        for request in self.waiting.drain(..) {
            request.slot.put(Err(CacheError::Closed));
        }
    }
}

/// The requests of the machines of workers and clients.
pub(crate) trait CacheMachine {
    fn get<'a>(&mut self, key: &'a [u8]) -> Result<(u32, Frame<'a, ToMaster>), NotSent>;
    fn set<'a>(
        &mut self,
        key: &'a [u8],
        value: &'a [u8],
        ttl_ms: Option<u32>,
        when: When,
    ) -> Result<(u32, Frame<'a, ToMaster>), NotSent>;
    fn delete<'a>(&mut self, key: &'a [u8], when: When) -> Result<(u32, Frame<'a, ToMaster>), NotSent>;
}

macro_rules! cache_machine {
    ($machine:ident: $storage:ident) => {
        impl<S: palm_proto::native::$storage> CacheMachine for &mut palm_proto::native::$machine<S> {
            fn get<'a>(&mut self, key: &'a [u8]) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
                self.cache_get(key)
            }
            fn set<'a>(
                &mut self,
                key: &'a [u8],
                value: &'a [u8],
                ttl_ms: Option<u32>,
                when: When,
            ) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
                self.cache_set(key, value, ttl_ms, when)
            }
            fn delete<'a>(&mut self, key: &'a [u8], when: When) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
                self.cache_delete(key, when)
            }
        }
    };
}

cache_machine!(Worker: WorkerStorage);
cache_machine!(Client: ClientStorage);

/// Why a request to the cache was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheError {
    /// No answer in time.
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The connection broke before the answer. What was to be done on a condition may be done or not.
    Disconnected,
    /// There is no connection any more, or the caller is the thread that has it: a function that runs inline.
    Closed,
    /// The condition is not met.
    Conflict {
        /// The version of the value that the key has, if it has one.
        version: Option<u64>,
    },
    /// The key is the master's own.
    Preset,
    /// The cache has no room for the value.
    Full,
    /// Key or value are longer than the cache or the master takes.
    TooLarge,
    /// An answer to something else.
    Broken,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { after } => write!(f, "the cache did not answer within {} ms", after.as_millis()),
            Self::Disconnected => f.write_str("the connection broke before the cache answered"),
            Self::Closed => f.write_str("there is no connection to the cache"),
            Self::Conflict { version: Some(version) } => write!(f, "the value has version {version}"),
            Self::Conflict { version: None } => f.write_str("the key has no value"),
            Self::Preset => f.write_str("the key is the master's own"),
            Self::Full => f.write_str("the cache has no room for the value"),
            Self::TooLarge => f.write_str("key or value are too long"),
            Self::Broken => f.write_str("the cache answered something else"),
        }
    }
}

impl std::error::Error for CacheError {}
