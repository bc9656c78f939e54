//! Work that takes long, such as reading a file or placing components: on threads of its own, a little at a time, and of each who
//! asks for it one after the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::{Semaphore, oneshot};

/// How much there is at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkBounds {
    /// What is done at a time.
    pub(crate) at_a_time: usize,
    /// What waits, and is done.
    pub(crate) waiting: usize,
    /// Of these, what one waits for.
    pub(crate) waiting_of_one: usize,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Too much waits to be done: it may be asked for again later.
    Busy,
    /// It has failed, or everything ends.
    Failed,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "the registry has too much to do: try again",
            Self::Failed => "the registry could not do it: its log says more",
        })
    }
}

/// Where such work is done; a clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Work(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    bounds: WorkBounds,
    all: Arc<Semaphore>,
    /// Those who wait for anything.
    each: Mutex<HashMap<String, Each>>,
    refused: AtomicU64,
    /// Where it is done; `None`: on any thread that may be held.
    threads: Option<Threads>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that end with the last who could give them anything to do.
#[derive(Debug)]
struct Threads(mpsc::Sender<Job>);

impl Threads {
    fn start(count: usize) -> Self {
        let (send, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..count {
            let jobs = jobs.clone();
            std::thread::spawn(move || {
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok(job) = next() {
                    // Who waits for it is told, as its end of the channel is gone.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            });
        }
        Self(send)
    }

    fn send(&self, job: Job) {
        // They are there as long as this is.
        let _ = self.0.send(job);
    }
}

/// One who waits.
#[derive(Debug)]
struct Each {
    /// One thing at a time.
    turn: Arc<Semaphore>,
    waiting: usize,
}

impl Work {
    pub(crate) fn new(bounds: WorkBounds) -> Self {
        Self::made(bounds, None)
    }

    /// On as many threads as there is done at a time, and always the same: each keeps the memory that it has taken once.
    pub(crate) fn on_own_threads(bounds: WorkBounds) -> Self {
        Self::made(bounds, Some(Threads::start(bounds.at_a_time)))
    }

    fn made(bounds: WorkBounds, threads: Option<Threads>) -> Self {
        let all = Arc::new(Semaphore::new(bounds.at_a_time));
        Self(Arc::new(Inside { bounds, all, each: Mutex::default(), refused: AtomicU64::new(0), threads }))
    }

    /// As much at a time as there are processors, but no less than two things.
    pub(crate) fn on_this_machine() -> Self {
        let at_a_time = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        Self::new(WorkBounds { at_a_time, waiting: 1024, waiting_of_one: 256 })
    }

    /// Does something for somebody, once what was asked for before by the same is done. What nobody waits for any more is not begun.
    ///
    /// # Errors
    /// If too much waits already, or it panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        whose: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let (place, turn) = self.enter(whose).ok_or_else(|| {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            Undone::Busy
        })?;
        // Who asks for much has one place among those who wait.
        let turn = turn.acquire_owned().await.map_err(|_| Undone::Failed)?;
        let leave = self.0.all.clone().acquire_owned().await.map_err(|_| Undone::Failed)?;
        let (done, told) = oneshot::channel();
        let job = move || {
            let held = (place, turn, leave);
            let result = work();
            // Who is told finds its place free.
            drop(held);
            let _ = done.send(result);
        };
        match &self.0.threads {
            Some(threads) => threads.send(Box::new(job)),
            None => drop(tokio::task::spawn_blocking(job)),
        }
        told.await.map_err(|_| Undone::Failed)
    }

    /// What waits or is done at the moment.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().values().map(|each| each.waiting).sum()
    }

    /// How often something was refused, as too much waited.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn enter(&self, whose: &str) -> Option<(Place, Arc<Semaphore>)> {
        let mut all = self.0.lock();
        let waiting: usize = all.values().map(|each| each.waiting).sum();
        if waiting >= self.0.bounds.waiting {
            return None;
        }
        let each =
            all.entry(whose.to_owned()).or_insert_with(|| Each { turn: Arc::new(Semaphore::new(1)), waiting: 0 });
        if each.waiting >= self.0.bounds.waiting_of_one {
            return None;
        }
        each.waiting += 1;
        Some((Place { work: self.clone(), whose: whose.to_owned() }, each.turn.clone()))
    }
}

impl Inside {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Each>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait.
#[derive(Debug)]
struct Place {
    work: Work,
    whose: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.work.0.lock();
        if let Entry::Occupied(mut each) = all.entry(std::mem::take(&mut self.whose)) {
            each.get_mut().waiting -= 1;
            if each.get().waiting == 0 {
                each.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(at_a_time: usize, waiting: usize, waiting_of_one: usize) -> Work {
        Work::new(WorkBounds { at_a_time, waiting, waiting_of_one })
    }

    /// Something that is done when it is told to be.
    fn held(work: &Work, whose: &'static str) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Undone>>) {
        let (let_go, wait) = mpsc::channel::<()>();
        let work = work.clone();
        (let_go, tokio::spawn(async move { work.run(whose, move || _ = wait.recv()).await }))
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_asks_for_much_keeps_nobody_else_waiting() {
        let work = work(2, 100, 50);
        let many: Vec<_> = (0..50).map(|_| held(&work, "ann")).collect();
        until(|| work.waiting() == 50).await;
        assert_eq!(work.run("bob", || 7).await, Ok(7), "of two places ann has one");
        assert_eq!(work.run("ann", || 7).await, Err(Undone::Busy));
        assert_eq!(work.refused(), 1);
        for (let_go, task) in many {
            drop(let_go);
            task.await.unwrap().unwrap();
        }
        assert_eq!(work.run("ann", || 7).await, Ok(7));
        assert!(work.0.lock().is_empty(), "nobody who waits for nothing is known");
    }

    #[tokio::test]
    async fn no_more_waits_than_may() {
        let work = work(1, 3, 2);
        let (first, _) = held(&work, "ann");
        until(|| work.waiting() == 1).await;
        let waiting = [held(&work, "bob"), held(&work, "eve")];
        until(|| work.waiting() == 3).await;
        assert_eq!(work.run("kim", || ()).await, Err(Undone::Busy));
        // Who goes gives its place back.
        waiting[0].1.abort();
        until(|| work.waiting() == 2).await;
        drop((first, waiting));
        assert_eq!(work.run("kim", || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn what_panics_holds_nothing() {
        let bounds = WorkBounds { at_a_time: 1, waiting: 3, waiting_of_one: 3 };
        for work in [Work::new(bounds), Work::on_own_threads(bounds)] {
            assert_eq!(work.run("ann", || panic!("as it has to")).await, Err::<(), _>(Undone::Failed));
            assert_eq!(work.run("ann", || 1).await, Ok(1));
        }
    }

    #[tokio::test]
    async fn its_own_threads_are_always_the_same() {
        let work = Work::on_own_threads(WorkBounds { at_a_time: 2, waiting: 100, waiting_of_one: 100 });
        let mut threads = std::collections::HashSet::new();
        for index in 0..50 {
            threads.insert(work.run(&index.to_string(), || std::thread::current().id()).await.unwrap());
        }
        assert!(threads.len() <= 2, "{threads:?}");
    }
}
