//! Group commit: what many requests want to be written at the same time is written by one transaction.
//!
//! What comes while one is under way waits for the next, so that groups are as large as the store is slow, and of one if it is not.

use std::collections::HashSet;

use sqlx::AnyPool;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Requests that wait, beside those in the group under way.
const QUEUE: usize = 1024;
/// Requests that a group has at most.
const REQUESTS: usize = 256;
/// What a group weighs at most, unless it is of one.
const WEIGHT: usize = 10_000;

/// What can be written with others of its kind.
pub(super) trait Write: Sized + Send + Sync + 'static {
    /// What is said to who asked for it.
    type Answer: Send + 'static;
    /// Of what has the same, one is in a group; a group is sorted by it, so that those of two registries do not wait for each other.
    type Key: Ord + std::hash::Hash + Clone + Send;

    fn key(&self) -> Self::Key;

    /// How much it adds to a group.
    fn weight(&self) -> usize {
        1
    }

    /// Writes a group in one transaction, and gives an answer for each.
    fn write(pool: &AnyPool, group: &[Self]) -> impl Future<Output = Result<Vec<Self::Answer>, StoreError>> + Send;
}

type Asked<W> = (W, oneshot::Sender<Result<<W as Write>::Answer, StoreError>>);

/// A queue of what is to be written.
#[derive(Debug)]
pub(super) struct Group<W: Write> {
    queue: mpsc::Sender<Asked<W>>,
}

impl<W: Write> Clone for Group<W> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<W: Write> Group<W> {
    /// Begins to write, until nobody has the queue any more.
    pub(super) fn start(pool: AnyPool) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        tokio::spawn(write_groups(pool, asked));
        Self { queue }
    }

    /// Has something written.
    ///
    /// # Errors
    /// If the store fails; then it is not written.
    pub(super) async fn write(&self, write: W) -> Result<W::Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.queue.send((write, answer)).await.is_err() {
            return Err(StoreError::Database(sqlx::Error::PoolClosed));
        }
        answered.await.unwrap_or(Err(StoreError::Database(sqlx::Error::PoolClosed)))
    }
}

async fn write_groups<W: Write>(pool: AnyPool, mut asked: mpsc::Receiver<Asked<W>>) {
    let mut waiting = Vec::new();
    while !waiting.is_empty() || asked.recv_many(&mut waiting, REQUESTS).await > 0 {
        while waiting.len() < REQUESTS
            && let Ok(more) = asked.try_recv()
        {
            waiting.push(more);
        }
        let (group, later) = split(std::mem::take(&mut waiting));
        waiting = later;
        let (writes, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match W::write(&pool, &writes).await {
            Ok(results) => {
                for (answer, result) in answers.into_iter().zip(results) {
                    // Who does not wait any more need not be told.
                    let _ = answer.send(Ok(result));
                }
            }
            // One of several may be at fault: each for itself then.
            Err(error) => {
                let mut error = Some(error).filter(|_| writes.len() == 1);
                for (write, answer) in writes.iter().zip(answers) {
                    let result = match error.take() {
                        Some(error) => Err(error),
                        None => alone(&pool, write).await,
                    };
                    let _ = answer.send(result);
                }
            }
        }
    }
}

async fn alone<W: Write>(pool: &AnyPool, write: &W) -> Result<W::Answer, StoreError> {
    let answers = W::write(pool, std::slice::from_ref(write)).await?;
    answers.into_iter().next().ok_or_else(|| StoreError::Corrupt("what was written".to_owned()))
}

/// Those that can be written together, sorted, and those that come later.
fn split<W: Write>(asked: Vec<Asked<W>>) -> (Vec<Asked<W>>, Vec<Asked<W>>) {
    let (mut keys, mut weight) = (HashSet::new(), 0);
    let (mut group, mut later) = (Vec::new(), Vec::new());
    for (write, answer) in asked {
        // Of one key all that comes after what waits waits too.
        let is_first = keys.insert(write.key());
        let fits = group.is_empty() || weight + write.weight() <= WEIGHT;
        if is_first && fits {
            weight += write.weight();
            group.push((write, answer));
        } else {
            later.push((write, answer));
        }
    }
    group.sort_by_cached_key(|(write, _)| write.key());
    (group, later)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u32, usize);

    impl Write for Number {
        type Answer = u32;
        type Key = u32;

        fn key(&self) -> u32 {
            self.0 % 100
        }

        fn weight(&self) -> usize {
            self.1
        }

        async fn write(_: &AnyPool, group: &[Self]) -> Result<Vec<u32>, StoreError> {
            match group.iter().any(|number| number.0 == 13) {
                true => Err(StoreError::Corrupt("13".to_owned())),
                false => Ok(group.iter().map(|number| number.0).collect()),
            }
        }
    }

    fn asked(numbers: &[(u32, usize)]) -> Vec<Asked<Number>> {
        numbers.iter().map(|&(number, weight)| (Number(number, weight), oneshot::channel().0)).collect()
    }

    fn numbers(asked: &[Asked<Number>]) -> Vec<u32> {
        asked.iter().map(|(number, _)| number.0).collect()
    }

    #[test]
    fn a_group_has_one_of_a_key_and_no_more_than_it_may_weigh() {
        let (group, later) = split(asked(&[(7, 1), (3, 1), (107, 1), (5, WEIGHT), (103, 1), (4, 1)]));
        assert_eq!((numbers(&group), numbers(&later)), (vec![3, 4, 7], vec![107, 5, 103]));
        let (group, later) = split(asked(&[(1, WEIGHT * 2), (2, 1)]));
        assert_eq!((numbers(&group), numbers(&later)), (vec![1], vec![2]), "what is too heavy goes alone");
    }

    #[tokio::test]
    async fn who_is_at_fault_fails_alone() {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect_lazy("sqlite::memory:").unwrap();
        let group = Group::start(pool);
        let all = (0..50).map(|number| group.write(Number(number, 1)));
        for (number, answer) in futures_util::future::join_all(all).await.into_iter().enumerate() {
            match answer {
                Ok(answer) => assert_eq!(answer as usize, number),
                Err(error) => assert_eq!((number, error.to_string().contains("13")), (13, true)),
            }
        }
    }
}
