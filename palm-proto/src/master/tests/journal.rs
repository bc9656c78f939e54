//! A master is built anew from its journal.

use std::collections::BTreeMap;

use super::*;
use crate::TaskId;
use crate::master::{Journal, Record, ResultId};

use proptest::prelude::*;

/// What a journal says there is.
#[derive(Debug, Default)]
struct Book {
    /// By the order of their submission.
    tasks: BTreeMap<usize, (TaskId, Span<Bytes>)>,
    results: BTreeMap<usize, (ResultId, Span<Bytes>)>,
    records: usize,
}

impl Journal<Bytes> for Book {
    fn record(&mut self, record: Record<'_, Bytes>) {
        self.records += 1;
        match record {
            Record::Submitted { task, message, .. } => {
                assert!(self.tasks.values().all(|(other, _)| *other != task));
                self.tasks.insert(self.records, (task, message.clone()));
            }
            Record::Kept { result, message } => {
                assert!(self.results.values().all(|(other, _)| *other != result));
                self.results.insert(self.records, (result, message.clone()));
            }
            Record::Ended { task } => {
                let before = self.tasks.len();
                self.tasks.retain(|_, (other, _)| *other != task);
                assert_eq!(self.tasks.len() + 1, before, "it was there, once");
            }
            Record::Left { result } => {
                let before = self.results.len();
                self.results.retain(|_, (other, _)| *other != result);
                assert_eq!(self.results.len() + 1, before, "it was there, once");
            }
        }
    }
}

type Journaled = Master<HeapStorage<Bytes, Book>>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit { client: usize, deadline: Option<u64> },
    Cancel(usize),
    AddWorker,
    Lose(usize),
    Take(usize),
    Answer(usize),
    Subscribe(usize),
    Leave(usize),
    Collect(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, prop::option::weighted(0.1, 1..50_u64))
            .prop_map(|(client, deadline)| Step::Submit { client, deadline }),
        1 => (0..50_usize).prop_map(Step::Cancel),
        2 => Just(Step::AddWorker),
        1 => (0..8_usize).prop_map(Step::Lose),
        6 => (0..8_usize).prop_map(Step::Take),
        6 => (0..8_usize).prop_map(Step::Answer),
        2 => (0..3_usize).prop_map(Step::Subscribe),
        1 => (0..8_usize).prop_map(Step::Leave),
        3 => (0..8_usize).prop_map(Step::Collect),
        1 => (1..40_u64).prop_map(Step::Wait),
    ]
}

const CLIENTS: [&str; 3] = ["a", "b", "c"];

fn journaled(journal: Book) -> Journaled {
    let sizes = TableSizes { tasks: 32, peers: 16, subscriptions: 32 };
    let config = MasterConfig { attempts: 1_000, keep: Duration::from_millis(60), ..MasterConfig::default() };
    Master::new("server", config, Tables::with_journal(&sizes, journal), Seed::from_u64(7)).unwrap()
}

/// Everything that a master still comes to deliver when all goes well, sorted.
fn all_it_delivers(master: &mut Journaled, now: Instant) -> Vec<Vec<u8>> {
    let worker = master.add_worker(now, 90, 1).unwrap();
    let home = master.add_subscriber(now, 91).unwrap();
    master.handle_subscribe(now, home, b"").unwrap();
    let mut all = Vec::new();
    loop {
        let sent = master.poll_task(worker).map(|sent| (sent.message.as_slice().to_vec(), sent.tags(now).to_vec()));
        if let Some((message, tags)) = sent {
            let answer = Bytes::from([message, tags].concat());
            master.handle_result(now, Span::whole(answer)).unwrap();
        }
        while let Some(outcome) = master.poll_result(now, home) {
            let view = MessageRef::parse(outcome.message.as_slice()).unwrap();
            all.push([view.client.as_bytes(), view.payload].concat());
        }
        if master.is_idle() {
            all.sort();
            return all;
        }
    }
}

proptest! {
    #[test]
    fn a_journal_tells_all_that_is_needed_to_build_its_master_anew(steps in prop::collection::vec(step(), 0..120)) {
        let mut now = NOW;
        let mut master = journaled(Book::default());
        let senders = CLIENTS.map(|_| master.add_sender().unwrap());
        let (mut workers, mut subscribers, mut out, mut tasks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Submit { client, deadline } => {
                    let message = urgent(CLIENTS[client], &number.to_string(), 0, deadline);
                    if let Ok(task) = master.handle_submit(now, senders[client], message) {
                        tasks.push(task);
                    }
                }
                Step::Cancel(at) => {
                    if let Some(&task) = tasks.get(at) {
                        master.cancel(now, task);
                    }
                }
                Step::AddWorker => workers.extend(master.add_worker(now, number as u32, 1)),
                Step::Lose(at) if at < workers.len() => master.remove_worker(now, workers.remove(at)),
                Step::Take(at) => {
                    if let Some(sent) = workers.get(at).and_then(|&worker| master.poll_task(worker)) {
                        out.push(Bytes::from([sent.message.as_slice(), &sent.tags(now)].concat()));
                    }
                }
                Step::Answer(at) if at < out.len() => {
                    let _ = master.handle_result(now, Span::whole(out.remove(at)));
                }
                Step::Subscribe(client) => {
                    if let Some(subscriber) = master.add_subscriber(now, number as u32) {
                        let _ = master.handle_subscribe(now, subscriber, CLIENTS[client].as_bytes());
                        subscribers.push(subscriber);
                    }
                }
                Step::Leave(at) if at < subscribers.len() => master.remove_subscriber(subscribers.remove(at)),
                Step::Collect(at) => {
                    if let Some(&subscriber) = subscribers.get(at) {
                        master.poll_result(now, subscriber);
                    }
                }
                Step::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    master.handle_timeout(now);
                }
                Step::Lose(_) | Step::Answer(_) | Step::Leave(_) => {}
            }
            let gauges = master.gauges();
            prop_assert_eq!(master.journal().tasks.len(), gauges.queued + gauges.leased);
            prop_assert_eq!(master.journal().results.len(), gauges.results);
        }

        // Everybody leaves, and a new master has what the journal of the old one says.
        workers.drain(..).for_each(|worker| master.remove_worker(now, worker));
        subscribers.drain(..).for_each(|subscriber| master.remove_subscriber(subscriber));
        let mut anew = journaled(Book::default());
        let sender = anew.add_sender().unwrap();
        let old = std::mem::take(master.journal());
        for (_, message) in old.tasks.values() {
            anew.handle_submit(now, sender, message.clone()).unwrap();
        }
        for (_, message) in old.results.values() {
            anew.handle_result(now, message.clone()).unwrap();
        }
        *master.journal() = old;
        prop_assert_eq!(all_it_delivers(&mut anew, now), all_it_delivers(&mut master, now));
    }
}
