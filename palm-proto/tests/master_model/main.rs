//! The master against a model: whatever its peers do, both do the same.
#![allow(clippy::unwrap_used, reason = "a test")]

mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Capacities, Content, Model, Submitted};
use palm_proto::master::{
    FixedStorage, HeapStorage, Identity, MasterStorage, Revoked, SenderId, SubscriberId, TableSizes, Tables, WorkerId,
};
use palm_proto::{Buffer, Instant, Master, MasterConfig, MessageRef, MessageWriter, Seed, Span, Status, TaskId};
use proptest::prelude::*;

const TASKS: usize = 4;
const PEERS: usize = 3;
/// Clients, and prefixes that their subscribers ask for.
const TOPICS: [&str; 4] = ["a", "ab", "abc", "b"];
const PREFIXES: [&str; 5] = ["", "a", "ab", "abc", "b"];

/// Something that a master's peers or owner do; numbers choose among those that are there.
#[derive(Clone, Debug)]
enum Operation {
    AddSender,
    RemoveSender(usize),
    /// With so many jobs, under an identity, if that is not 0.
    AddWorker(u32, u8),
    /// Answers come from now on under an identity.
    ExpectAnswers(u8),
    AddWorkerWithWindow(u32),
    Widen(usize, u32),
    RemoveWorker(usize),
    AddSubscriber,
    RemoveSubscriber(usize),
    Submit {
        sender: usize,
        topic: usize,
        filling: usize,
        deadline: Option<u64>,
        priority: u8,
        asks: bool,
        /// A worker that has it already, and as which attempt.
        held: Option<(usize, u32)>,
        /// With fields that only a master or a worker may set.
        forged: bool,
    },
    TakeTask(usize),
    /// The answer to something that a worker was sent, maybe long ago, maybe for the second time.
    Answer {
        of: usize,
        status: Status,
        filling: usize,
        tagged: bool,
        /// It claims to be of an attempt so much later.
        ahead: u32,
        /// Under which identity it comes.
        by: u8,
    },
    /// The same by a worker whose connection says what it is of.
    AnswerInPlace {
        by: usize,
        of: usize,
        status: Status,
        filling: usize,
        last: bool,
    },
    CancelTask(usize),
    Forget(usize),
    Claim {
        of: usize,
        by: usize,
    },
    Subscribe(usize, usize),
    Cancel(usize, usize),
    TakeResult(usize),
    Wait(u64),
    Abandon,
}

fn operation() -> impl Strategy<Value = Operation> {
    let who = 0..12_usize;
    prop_oneof![
        1 => Just(Operation::AddSender),
        1 => who.clone().prop_map(Operation::RemoveSender),
        2 => (0..3_u32, prop_oneof![2 => Just(0_u8), 1 => 1..3_u8]).prop_map(|(jobs, name)| Operation::AddWorker(jobs, name)),
        1 => (1..3_u8).prop_map(Operation::ExpectAnswers),
        1 => (0..4_u32).prop_map(Operation::AddWorkerWithWindow),
        1 => (who.clone(), 0..3_u32).prop_map(|(who, more)| Operation::Widen(who, more)),
        1 => who.clone().prop_map(Operation::RemoveWorker),
        2 => Just(Operation::AddSubscriber),
        1 => who.clone().prop_map(Operation::RemoveSubscriber),
        8 => (
            (who.clone(), 0..TOPICS.len(), 0..40_usize, any::<bool>()),
            prop::option::weighted(0.2, 0..30_u64),
            prop_oneof![3 => Just(0_u8), 2 => 0..6_u8],
            prop::option::weighted(0.1, (who.clone(), 1..4_u32)),
            prop::bool::weighted(0.1),
        )
            .prop_map(|((sender, topic, filling, asks), deadline, priority, held, forged)| Operation::Submit {
                sender, topic, filling, deadline, priority, asks, held, forged
            }),
        8 => who.clone().prop_map(Operation::TakeTask),
        8 => (who.clone(), prop_oneof![8 => Just(Status::Done), 1 => Just(Status::HandedBack), 1 => Just(Status::Failed)],
            0..40_usize, prop::bool::weighted(0.95), prop_oneof![9 => Just(0_u32), 1 => 1..3_u32], prop_oneof![3 => Just(0_u8), 1 => 1..3_u8])
            .prop_map(|(of, status, filling, tagged, ahead, by)| Operation::Answer { of, status, filling, tagged, ahead, by }),
        6 => ((who.clone(), who.clone()), prop_oneof![8 => Just(Status::Done), 1 => Just(Status::HandedBack), 2 => Just(Status::Failed)],
            0..40_usize, prop::bool::weighted(0.7))
            .prop_map(|((by, of), status, filling, last)| Operation::AnswerInPlace { by, of, status, filling, last }),
        2 => who.clone().prop_map(Operation::CancelTask),
        1 => who.clone().prop_map(Operation::Forget),
        2 => (who.clone(), who.clone()).prop_map(|(of, by)| Operation::Claim { of, by }),
        2 => (who.clone(), 0..PREFIXES.len()).prop_map(|(who, prefix)| Operation::Subscribe(who, prefix)),
        1 => (who.clone(), 0..PREFIXES.len()).prop_map(|(who, prefix)| Operation::Cancel(who, prefix)),
        6 => who.prop_map(Operation::TakeResult),
        4 => (0..30_u64).prop_map(Operation::Wait),
        1 => Just(Operation::Abandon),
    ]
}

/// A message that a worker was sent.
#[derive(Clone, Debug)]
struct Sent {
    real: TaskId,
    number: usize,
    attempt: u32,
    client: &'static str,
    worker: usize,
}

/// The master and the model, and who is there.
struct Pair<S: MasterStorage> {
    master: Master<S>,
    model: Model,
    now: Instant,
    senders: Vec<(SenderId, usize)>,
    workers: Vec<(WorkerId, usize)>,
    subscribers: Vec<(SubscriberId, usize)>,
    sent: Vec<Sent>,
    names: BTreeMap<usize, TaskId>,
    count: u32,
    /// Under which identities answers come.
    answerers: [bool; 3],
}

fn identity(name: u8) -> Identity {
    if name == 0 { Identity::NONE } else { Identity::from_hash(name.into()) }
}

fn pick<T: Copy>(all: &[T], choice: usize) -> Option<T> {
    (!all.is_empty()).then(|| all[choice % all.len()])
}

fn remove<T>(all: &mut Vec<T>, choice: usize) -> Option<T> {
    (!all.is_empty()).then(|| all.remove(choice % all.len()))
}

fn content(bytes: &[u8]) -> Content {
    let view = MessageRef::parse(bytes).expect("masters give out messages");
    let client = TOPICS.into_iter().find(|topic| *topic == view.client).expect("of one of the clients");
    Content { client, payload: view.payload.to_vec(), status: view.extension.status, partial: view.extension.partial }
}

impl<S: MasterStorage> Pair<S> {
    fn payload(&mut self, filling: usize) -> Vec<u8> {
        self.count += 1;
        let mut payload = self.count.to_le_bytes().to_vec();
        payload.resize(4 + filling, 7);
        payload
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::AddSender => {
                let (real, modelled) = (self.master.add_sender(), self.model.add_sender());
                assert_eq!(real.is_some(), modelled.is_some());
                self.senders.extend(real.zip(modelled));
            }
            Operation::RemoveSender(choice) => {
                if let Some((real, modelled)) = remove(&mut self.senders, choice) {
                    self.master.remove_sender(real);
                    self.model.remove_sender(modelled);
                }
            }
            Operation::AddWorker(jobs, name) => {
                let answers = self.answerers[usize::from(name)];
                let real = self.master.add_worker(self.now, 0, jobs);
                let modelled = self.model.add_worker(jobs, None, (name, answers));
                assert_eq!(real.is_some(), modelled.is_some());
                real.into_iter().for_each(|real| self.master.set_identity(real, identity(name), answers));
                self.workers.extend(real.zip(modelled));
            }
            Operation::ExpectAnswers(name) => {
                self.answerers[usize::from(name)] = true;
                self.master.expect_answers(identity(name));
                self.model.expect_answers(name);
            }
            Operation::AddWorkerWithWindow(window) => {
                let real = self.master.add_worker_with_window(self.now, 0, window);
                let modelled = self.model.add_worker(window, Some(window), (0, false));
                assert_eq!(real.is_some(), modelled.is_some());
                self.workers.extend(real.zip(modelled));
            }
            Operation::Widen(choice, more) => {
                if let Some((real, modelled)) = pick(&self.workers, choice) {
                    self.master.widen(self.now, real, more);
                    self.model.widen(modelled, more);
                }
            }
            Operation::RemoveWorker(choice) => {
                if let Some((real, modelled)) = remove(&mut self.workers, choice) {
                    self.master.remove_worker(self.now, real);
                    self.model.remove_worker(modelled);
                }
            }
            Operation::AddSubscriber => {
                let (real, modelled) = (self.master.add_subscriber(self.now, 1), self.model.add_subscriber());
                assert_eq!(real.is_some(), modelled.is_some());
                self.subscribers.extend(real.zip(modelled));
            }
            Operation::RemoveSubscriber(choice) => {
                if let Some((real, modelled)) = remove(&mut self.subscribers, choice) {
                    self.master.remove_subscriber(real);
                    self.model.remove_subscriber(modelled);
                }
            }
            Operation::Submit { .. } => self.submit(operation),
            Operation::AnswerInPlace { by, of, status, filling, last } => {
                self.answer_in_place((by, of), status, filling, last);
            }
            Operation::CancelTask(choice) => {
                let last = self.names.last_key_value().map_or(0, |(&number, _)| number);
                let number = last.saturating_sub(choice);
                if let Some(&name) = self.names.get(&number) {
                    assert_eq!(self.master.is_live(name), self.master.leased(name).is_some());
                    assert_eq!(self.master.cancel(self.now, name), self.model.cancel_task(number));
                    assert!(!self.master.is_live(name));
                }
            }
            Operation::Forget(choice) => {
                let last = self.names.last_key_value().map_or(0, |(&number, _)| number);
                let number = last.saturating_sub(choice);
                if let Some(&name) = self.names.get(&number) {
                    assert_eq!(self.master.forget(self.now, name), self.model.forget_task(number));
                }
            }
            Operation::Claim { of, by } => {
                let Some((real, modelled)) = pick(&self.workers, by) else { return };
                let Some(Sent { real: name, number, attempt, .. }) = self.latest(of) else { return };
                let claimed = self.master.claim(self.now, name, real, attempt);
                assert_eq!(claimed, self.model.claim(number, modelled, attempt));
            }
            Operation::TakeTask(choice) => self.take_task(choice),
            Operation::Answer { of, status, filling, tagged, ahead, by } => {
                self.answer(of, status, filling, tagged.then_some(ahead), by);
            }
            Operation::Subscribe(choice, prefix) => {
                if let Some((real, modelled)) = pick(&self.subscribers, choice) {
                    let taken = self.master.handle_subscribe(self.now, real, PREFIXES[prefix].as_bytes()).is_ok();
                    assert_eq!(taken, self.model.subscribe(modelled, PREFIXES[prefix]));
                }
            }
            Operation::Cancel(choice, prefix) => {
                if let Some((real, modelled)) = pick(&self.subscribers, choice) {
                    self.master.handle_cancel(real, PREFIXES[prefix].as_bytes());
                    self.model.cancel(modelled, PREFIXES[prefix]);
                }
            }
            Operation::TakeResult(choice) => {
                if let Some((real, modelled)) = pick(&self.subscribers, choice) {
                    let outcome = self.master.poll_result(self.now, real);
                    let given = outcome.map(|outcome| content(outcome.message.as_slice()));
                    assert!(self.model.take_result(modelled, given.as_ref()), "{given:?}");
                }
            }
            Operation::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.model.advance(self.now);
                self.master.handle_timeout(self.now);
                self.model.handle_timeout();
            }
            Operation::Abandon => {
                // What is with workers has no order that anybody could rely on: it is left to them.
                let queued = self.master.gauges().queued;
                if self.count > 60 {
                    assert_eq!(self.master.abandon(self.now, queued), queued);
                    self.model.abandon();
                }
            }
        }
    }

    fn submit(&mut self, operation: &Operation) {
        let Operation::Submit { sender, topic, filling, deadline, priority, asks, held, forged } = *operation else {
            return;
        };
        let Some((real, sender)) = pick(&self.senders, sender) else { return };
        let client = TOPICS[topic];
        let payload = self.payload(filling);
        let mut wire = heapless::Vec::<u8, 128>::new();
        let mut writer = MessageWriter::new(&mut wire);
        writer.client(client).function("s.f").priority(priority);
        if let Some(millis) = deadline {
            writer.deadline(millis);
        }
        let bare = writer.finish().unwrap();
        MessageWriter::new(&mut wire).payload(&payload).finish().unwrap();
        let len = wire.len();
        if forged {
            let mut writer = MessageWriter::new(&mut wire);
            writer.task(TaskId(1)).attempt(3).status(Status::HandedBack).error("why").partial().finish().unwrap();
        }
        let may = self.master.may_submit(real, wire.len());
        assert_eq!(may, self.model.may_submit(sender, wire.len()));
        if asks && !may {
            return;
        }
        let message = Span::whole(S::Buffer::copy_from(&wire).unwrap());
        let held = held.and_then(|(choice, attempt)| pick(&self.workers, choice).map(|worker| (worker, attempt)));
        let room = self.model.may_take();
        let taken = match held {
            Some(((worker, _), attempt)) => self.master.handle_submit_held(self.now, real, message, worker, attempt),
            None => self.master.handle_submit(self.now, real, message),
        };
        assert_eq!(taken.is_ok(), room);
        assert!(taken.is_ok() || !may, "what may come in is taken");
        let Ok(name) = taken else { return };
        let content = Content { client, payload, status: Status::Done, partial: false };
        let message = Submitted { sender, content, len, bare, deadline, priority: priority.min(3), forged };
        let held = held.map(|((_, worker), attempt)| (worker, attempt));
        let number = self.model.submit(message, name.0, held);
        assert!(!self.names.values().any(|&other| other == name), "no two have the same name");
        self.names.insert(number, name);
        if let Some((worker, attempt)) = held {
            self.sent.push(Sent { real: name, number, attempt, client, worker });
        }
    }

    fn latest(&self, choice: usize) -> Option<Sent> {
        // The latest are picked more often.
        let back = pick(&[1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 12, 24], choice)?;
        self.sent.len().checked_sub(back).map(|index| self.sent[index].clone())
    }

    fn answer_in_place(&mut self, (by, of): (usize, usize), status: Status, filling: usize, last: bool) {
        let Some(sent) = self.latest(of) else { return };
        // Mostly it is who was sent it that answers.
        let Some((real, worker)) = self
            .workers
            .iter()
            .copied()
            .find(|&(_, worker)| worker == sent.worker && by > 2)
            .or(pick(&self.workers, by))
        else {
            return;
        };
        let payload = self.payload(filling);
        let taken = self.master.handle_answer(self.now, real, sent.real, sent.attempt, status, &payload, "why", last);
        let payload = if status == Status::Done { payload } else { b"0".to_vec() };
        let partial = !last && status == Status::Done;
        let content = Content { client: sent.client, payload, status, partial };
        assert_eq!(taken.is_ok(), self.model.answer_in_place(worker, (sent.number, sent.attempt), content, last));
    }

    fn take_task(&mut self, choice: usize) {
        let Some((real, modelled)) = pick(&self.workers, choice) else { return };
        let assignment = self.master.poll_task(real);
        let expected = self.model.take_task(modelled);
        assert_eq!(assignment.is_some(), expected.is_some());
        let (Some(assignment), Some((number, attempt, message))) = (assignment, expected) else { return };
        assert_eq!((content(assignment.message.as_slice()), assignment.attempt), (message.clone(), attempt));
        let name = assignment.task;
        assert_eq!(self.names.get(&number), Some(&name), "a message keeps its name");
        self.sent.push(Sent { real: name, number, attempt, client: message.client, worker: modelled });
        if self.sent.len() > 24 {
            self.sent.remove(0);
        }
    }

    fn answer(&mut self, choice: usize, status: Status, filling: usize, ahead: Option<u32>, by: u8) {
        let Some(sent) = self.latest(choice) else { return };
        let payload = self.payload(filling);
        let mut wire = heapless::Vec::<u8, 128>::new();
        let mut writer = MessageWriter::new(&mut wire);
        writer.client(sent.client).payload(&payload).status(status);
        if let Some(ahead) = ahead {
            writer.attempt(sent.attempt + ahead).task(sent.real);
        }
        writer.finish().unwrap();
        let may = self.master.may_answer(wire.len());
        assert_eq!(may, self.model.may_answer(wire.len()));
        let message = Span::whole(S::Buffer::copy_from(&wire).unwrap());
        let taken = self.master.handle_result_of(self.now, identity(by), message);
        let content = Content { client: sent.client, payload, status, partial: false };
        let of = ahead.map(|ahead| (sent.number, sent.attempt + ahead));
        assert_eq!(taken.is_ok(), self.model.answer(content, wire.len(), of, by));
        assert!(
            taken.is_ok_and(|()| true) || self.master.gauges().results > 0,
            "with no result waiting, all are taken"
        );
    }

    fn compare(&mut self) {
        let told: Vec<Revoked> = std::iter::from_fn(|| self.master.poll_revoked()).collect();
        let expected = self.model.revoked.drain(..).map(|(number, attempt)| (self.names[&number], attempt));
        assert!(told.iter().map(|revoked| (revoked.task, revoked.attempt)).eq(expected), "{told:?}");
        let gauges = self.master.gauges();
        assert_eq!((gauges.queued, gauges.leased, gauges.results), self.model.sizes());
        assert_eq!(gauges.memory, self.model.memory());
        assert_eq!(*self.master.counters(), self.model.counters);
        assert_eq!(self.master.poll_timeout(), self.model.timeout());
        assert_eq!(self.master.is_idle(), gauges.queued + gauges.leased == 0);
        for &(real, modelled) in &self.workers {
            assert_eq!(self.master.load(real).unwrap().0, self.model.load(modelled));
            assert_eq!(self.master.has_task(real), self.model.has_task(modelled));
        }
        for &(real, modelled) in &self.subscribers {
            assert_eq!(self.master.has_result(real), self.model.has_result(modelled));
        }
    }
}

fn check<S: MasterStorage>(config: MasterConfig, tables: Tables<S>, capacities: Capacities, operations: &[Operation]) {
    let mut pair = Pair {
        master: Master::new("server", config, tables, Seed::from_u64(1)).unwrap(),
        model: Model::new(config, capacities),
        now: Instant::ZERO,
        senders: Vec::new(),
        workers: Vec::new(),
        subscribers: Vec::new(),
        sent: Vec::new(),
        names: BTreeMap::new(),
        count: 0,
        answerers: [false; 3],
    };
    for operation in operations {
        pair.apply(operation);
        pair.compare();
        while pair.master.poll_event().is_some() {}
        while pair.master.poll_wake().is_some() {}
    }
}

fn config() -> impl Strategy<Value = MasterConfig> {
    let any = (1..4_u32, prop::option::of(5..40_u64), 0..4_u32, 700..6_000_u64, prop_oneof![Just(0_u8), 0..4_u8]);
    any.prop_map(|(window, lease, attempts, memory, priority_across)| {
        let (window, lease, keep) = (Some(window), lease.map(Duration::from_millis), Duration::from_millis(50));
        MasterConfig { window, lease, attempts, memory, keep, priority_across, ..MasterConfig::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_master_on_the_heap_does_as_the_model(
        config in config(),
        operations in prop::collection::vec(operation(), 0..200),
    ) {
        let sizes = TableSizes { tasks: TASKS, peers: PEERS, subscriptions: 8 };
        let capacities = Capacities {
            tasks: TASKS, peers: PEERS, senders: PEERS + 2 * TASKS, deliveries: TASKS * 2, subscriptions: 8, finished: TASKS,
        };
        check::<HeapStorage>(config, Tables::sized(&sizes), capacities, &operations);
    }

    #[test]
    fn a_master_of_fixed_size_does_as_the_model(
        config in config(),
        operations in prop::collection::vec(operation(), 0..200),
    ) {
        let capacities = Capacities {
            tasks: TASKS, peers: PEERS, senders: PEERS, deliveries: TASKS, subscriptions: PEERS, finished: TASKS,
        };
        check::<FixedStorage<heapless::Vec<u8, 256>, TASKS, PEERS>>(config, Tables::fixed(), capacities, &operations);
    }
}
