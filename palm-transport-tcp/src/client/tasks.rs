//! The tasks of a client that have no last result yet, with what they are made of.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::client::Retry;
use palm_proto::native::Submit;
use palm_proto::{Instant, Status};

/// Time before a task is submitted again that a master could not do: as over ZeroMQ (`docs/spec.md`, section 8.1).
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// What is submitted.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What is to be done, `server.method`.
    pub function: Arc<str>,
    /// The payload.
    pub payload: Bytes,
    /// What goes beside the payload; empty: nothing.
    pub user_data: Arc<str>,
    /// Among the client's own tasks; higher ones are first.
    pub priority: u8,
    /// How long to wait for the result; `None`: for ever.
    pub timeout: Option<Duration>,
}

impl Submission {
    /// A task of the usual priority, without a time limit or user data.
    pub fn new(function: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self { function: function.into(), payload: payload.into(), user_data: "".into(), priority: 0, timeout: None }
    }
}

/// What its connection calls a task, until its last result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    index: u32,
    generation: u32,
}

impl TaskKey {
    pub(super) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn of(number: u64) -> Self {
        Self { index: number as u32, generation: (number >> 32) as u32 }
    }
}

/// What a task is but for its payload: many that follow each other have it in common.
#[derive(Debug)]
pub(super) struct Like {
    pub(super) function: Arc<str>,
    pub(super) user_data: Arc<str>,
    pub(super) priority: u8,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Retry,
}

impl Like {
    /// Whether a submission is like this, as far as that is seen at once.
    fn is_of(&self, submission: &Submission) -> bool {
        Arc::ptr_eq(&self.function, &submission.function)
            && (self.user_data.is_empty() && submission.user_data.is_empty()
                || Arc::ptr_eq(&self.user_data, &submission.user_data))
            && (self.priority, self.timeout, self.retry) == (submission.priority, submission.timeout, Retry::NONE)
    }
}

/// A task, and where its results go.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) payload: Bytes,
    like: Arc<Like>,
    pub(super) tag: T,
    deadline: Option<Instant>,
    /// The client's number for it, when it has been submitted.
    pub(super) sequence: Option<u64>,
    /// Whether it has had a result, of several.
    pub(super) begun: bool,
    /// How often it was submitted again.
    retries: u32,
}

impl<T> Entry<T> {
    /// What is sent of it at `now`.
    #[inline]
    pub(super) fn submit(&self, now: Instant) -> Submit<'_> {
        Submit {
            priority: self.like.priority,
            deadline_ms: self.deadline.map(|at| u32::try_from((at - now).as_millis()).unwrap_or(u32::MAX)),
            cache: &self.like.user_data,
            ..Submit::new(&self.like.function, &self.payload)
        }
    }
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    entry: Option<Entry<T>>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Tasks<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    /// Those that have not been submitted.
    backlog: VecDeque<TaskKey>,
    /// Those that are to be submitted again, and when.
    later: VecDeque<(Instant, TaskKey)>,
    /// Some of them may be over.
    deadlines: BinaryHeap<Reverse<(Instant, TaskKey)>>,
    /// What the last one that came on its own is like.
    last: Option<Arc<Like>>,
    len: usize,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            backlog: VecDeque::new(),
            later: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            last: None,
            len: 0,
        }
    }
}

impl<T> Tasks<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `now` is asked for if the task has a time limit.
    pub(super) fn insert(&mut self, now: impl FnOnce() -> Instant, submission: Submission, tag: T) -> TaskKey {
        let like = match self.last.take().filter(|last| last.is_of(&submission)) {
            Some(last) => last,
            None => {
                let Submission { function, user_data, priority, timeout, .. } = submission;
                Arc::new(Like { function, user_data, priority, timeout, retry: Retry::NONE })
            }
        };
        self.last = Some(Arc::clone(&like));
        self.insert_like(now, like, submission.payload, tag)
    }

    /// The same for one of several that have all but their payloads in common.
    pub(super) fn insert_like(
        &mut self,
        now: impl FnOnce() -> Instant,
        like: Arc<Like>,
        payload: Bytes,
        tag: T,
    ) -> TaskKey {
        let deadline = like.timeout.map(|timeout| now() + timeout);
        let entry = Some(Entry { payload, like, tag, deadline, sequence: None, begun: false, retries: 0 });
        let key = match self.free.pop() {
            Some(index) => {
                let place = &mut self.places[index as usize];
                place.entry = entry;
                TaskKey { index, generation: place.generation }
            }
            None => {
                let index = u32::try_from(self.places.len()).expect("there are fewer tasks than 2^32");
                self.places.push(Place { generation: 0, entry });
                TaskKey { index, generation: 0 }
            }
        };
        self.len += 1;
        if let Some(deadline) = deadline {
            self.note_deadline(deadline, key);
        }
        self.backlog.push_back(key);
        key
    }

    pub(super) fn get(&self, key: TaskKey) -> Option<&Entry<T>> {
        let place = self.places.get(key.index as usize)?;
        place.entry.as_ref().filter(|_| place.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: TaskKey) -> Option<&mut Entry<T>> {
        let place = self.places.get_mut(key.index as usize)?;
        place.entry.as_mut().filter(|_| place.generation == key.generation)
    }

    pub(super) fn remove(&mut self, key: TaskKey) -> Option<Entry<T>> {
        self.get(key)?;
        let place = &mut self.places[key.index as usize];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        place.entry.take()
    }

    /// Has a task that has failed submitted again, if it may be; its time begins anew.
    pub(super) fn try_again(&mut self, now: Instant, key: TaskKey, status: Status) -> bool {
        let Some(entry) = self.get_mut(key) else { return false };
        if entry.begun || !entry.like.retry.applies(status, entry.retries) {
            return false;
        }
        entry.retries += 1;
        entry.sequence = None;
        entry.deadline = entry.like.timeout.map(|timeout| now + timeout);
        if let Some(deadline) = entry.deadline {
            self.note_deadline(deadline, key);
        }
        match status {
            Status::Unavailable | Status::HandedBack => self.later.push_back((now + RETRY_DELAY, key)),
            _ => self.backlog.push_back(key),
        }
        true
    }

    /// When the next is to be submitted again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.later.front().map(|&(at, _)| at)
    }

    /// Those that are to be submitted again by now wait to be.
    pub(super) fn retry_due(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.later.front()
            && at <= now
        {
            self.later.pop_front();
            self.backlog.push_back(key);
        }
    }

    /// The next to be submitted.
    pub(super) fn next(&mut self) -> Option<TaskKey> {
        while let Some(&key) = self.backlog.front() {
            if self.get(key).is_some() {
                return Some(key);
            }
            self.backlog.pop_front();
        }
        None
    }

    /// It has been submitted.
    pub(super) fn submitted(&mut self) {
        self.backlog.pop_front();
    }

    /// When the next is overdue.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// One that is overdue.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<TaskKey> {
        while let Some(&Reverse((at, key))) = self.deadlines.peek()
            && at <= now
        {
            self.deadlines.pop();
            // One that was submitted again has another.
            if self.get(key).is_some_and(|entry| entry.deadline == Some(at)) {
                return Some(key);
            }
        }
        None
    }

    /// Those whose tags are asked for.
    pub(super) fn find(&self, mut wanted: impl FnMut(&T) -> bool) -> Vec<TaskKey> {
        let found = self.places.iter().enumerate().filter_map(|(index, place)| {
            let entry = place.entry.as_ref()?;
            wanted(&entry.tag).then_some(TaskKey { index: index as u32, generation: place.generation })
        });
        found.collect()
    }

    fn note_deadline(&mut self, deadline: Instant, key: TaskKey) {
        if self.deadlines.len() > 2 * self.len + 64 {
            let all = std::mem::take(&mut self.deadlines).into_vec();
            self.deadlines = all.into_iter().filter(|Reverse((_, key))| self.get(*key).is_some()).collect();
        }
        self.deadlines.push(Reverse((deadline, key)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn submission(timeout: u64) -> Submission {
        Submission { timeout: Some(Duration::from_millis(timeout)), ..Submission::new("s.f", "x") }
    }

    #[test]
    fn a_task_is_known_until_it_is_removed() {
        let mut tasks = Tasks::default();
        let first = tasks.insert(|| Instant::ZERO, submission(5), 'a');
        let second = tasks.insert(|| Instant::ZERO, submission(3), 'b');
        assert_eq!(tasks.find(|&tag| tag == 'b'), [second]);
        assert_eq!(TaskKey::of(second.number()), second);
        assert_eq!(tasks.remove(first).map(|entry| entry.tag), Some('a'));
        let third = tasks.insert(|| Instant::ZERO, submission(4), 'c');
        assert!(tasks.get(first).is_none() && tasks.get(third).is_some(), "a place is used again, a key is not");
        assert_eq!(tasks.next(), Some(second), "what was removed is not submitted");
        tasks.submitted();
        assert_eq!((tasks.next(), tasks.len()), (Some(third), 2));
    }

    #[test]
    fn what_is_overdue_comes_in_order_and_what_is_over_does_not() {
        let mut tasks = Tasks::default();
        let keys: Vec<_> = [5, 3, 4].map(|timeout| tasks.insert(|| Instant::ZERO, submission(timeout), ())).into();
        tasks.remove(keys[2]);
        assert_eq!(tasks.overdue(Instant::from_millis(2)), None);
        assert_eq!(tasks.overdue(Instant::from_millis(9)), Some(keys[1]));
        assert_eq!(tasks.overdue(Instant::from_millis(9)), Some(keys[0]));
        assert_eq!((tasks.overdue(Instant::from_millis(9)), tasks.deadline()), (None, None));
    }

    #[test]
    fn a_task_is_tried_again_as_often_as_its_job_says() {
        let mut tasks = Tasks::default();
        let retry = Retry { dead_letter: true, ..Retry::times(2) };
        let timeout = Some(Duration::from_millis(5));
        let like = Arc::new(Like { function: "s.f".into(), user_data: "".into(), priority: 0, timeout, retry });
        let key = tasks.insert_like(|| Instant::ZERO, like, Bytes::new(), ());
        tasks.submitted();
        assert!(!tasks.try_again(Instant::ZERO, key, Status::Failed) && tasks.next().is_none());
        assert!(tasks.try_again(Instant::from_millis(4), key, Status::DeadLetter));
        assert_eq!((tasks.next(), tasks.overdue(Instant::from_millis(8))), (Some(key), None), "its time began anew");
        tasks.submitted();
        assert!(tasks.try_again(Instant::from_millis(8), key, Status::Unavailable) && tasks.next().is_none());
        let at = tasks.retry_at().unwrap();
        tasks.retry_due(at);
        assert_eq!((tasks.next(), tasks.retry_at()), (Some(key), None));
        assert!(!tasks.try_again(at, key, Status::DeadlineExceeded), "twice is enough");
    }

    #[test]
    fn deadlines_of_tasks_that_are_over_do_not_pile_up() {
        let mut tasks = Tasks::default();
        for _ in 0..10_000 {
            let key = tasks.insert(|| Instant::ZERO, submission(1_000), ());
            tasks.next();
            tasks.submitted();
            tasks.remove(key);
        }
        assert!(tasks.deadlines.len() <= 66 && tasks.places.len() == 1);
    }
}
