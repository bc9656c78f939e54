//! A client and a worker whose connections break at any time, with a small master between them, which may start anew: each task
//! has exactly one last result.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::message::Status;
use crate::native::{Alias, FixedAliasTable, FixedInterner, TaskNumber};
use crate::random::Seed;

const WINDOW: u32 = 3;
const FUNCTIONS: [&str; 3] = ["s.f", "s.g", "s.h"];

/// One direction of a connection: frames on their way.
type Wire = VecDeque<Vec<u8>>;

#[derive(Debug, Clone)]
struct Task {
    function: Vec<u8>,
    payload: Vec<u8>,
    attempt: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Queued,
    WithWorker(TaskNumber),
    Done,
}

/// What a master knows of one client and one worker.
struct Master {
    epoch: u64,
    up_to: u64,
    tasks: BTreeMap<u64, Task>,
    /// Not Received yet, and how many of them were sent in this connection.
    results: VecDeque<Vec<u8>>,
    sent: usize,
    functions: FixedAliasTable<Vec<u8>, 2>,
    /// Tasks that the client may submit.
    allowed: u32,
    /// To the worker, if it is connected.
    names: FixedInterner<heapless::Vec<u8, 16>, 2>,
    session_told: bool,
    to_announce: u32,
    announced: TaskNumber,
    next: TaskNumber,
    /// Tasks that the worker has, and takes more.
    out: u32,
    worker_window: u32,
    /// Whether Hello has come.
    client_up: bool,
    worker_up: bool,
    client: Wire,
    worker: Wire,
}

impl Master {
    fn new(epoch: u64) -> Self {
        Self {
            epoch,
            up_to: 0,
            tasks: BTreeMap::new(),
            results: VecDeque::new(),
            sent: 0,
            functions: FixedAliasTable::new(),
            allowed: 0,
            names: FixedInterner::new(Seed::from_u64(2)),
            session_told: false,
            to_announce: 0,
            announced: TaskNumber::FIRST,
            next: TaskNumber::FIRST,
            out: 0,
            worker_window: 0,
            client_up: false,
            worker_up: false,
            client: Wire::new(),
            worker: Wire::new(),
        }
    }

    fn on_client(&mut self, frame: &[u8]) {
        let frame = ToMaster::decode(frame).unwrap().unwrap();
        match frame.header {
            ToMaster::Hello { resume, .. } => {
                self.functions.clear();
                let open = self.tasks.values().filter(|task| task.state != State::Done).count();
                self.allowed = WINDOW.saturating_sub(open as u32);
                self.client = [welcome(self.epoch, self.allowed)].into();
                if resume {
                    self.client.push_back(said(ToPeer::Accepted { up_to: self.up_to }, b""));
                }
                (self.sent, self.client_up) = (0, true);
            }
            ToMaster::Function { alias } => self.functions.declare(alias, frame.body.to_vec()).unwrap(),
            ToMaster::Submit { sequence, function } => {
                assert!(sequence >= self.up_to && self.allowed > 0, "ascending, and as many as may be");
                (self.up_to, self.allowed) = (sequence + 1, self.allowed - 1);
                let function = self.functions.meaning(function).unwrap().clone();
                let task = Task { function, payload: frame.body.to_vec(), attempt: 0, state: State::Queued };
                self.tasks.insert(sequence, task);
            }
            ToMaster::Received { results } => {
                assert!(results as usize <= self.sent);
                self.results.drain(..results as usize);
                self.sent -= results as usize;
            }
            ToMaster::Cancel { sequence } => {
                let Some(task) = self.tasks.get_mut(&sequence) else { return };
                if let State::WithWorker(number) = task.state {
                    self.worker.push_back(said(ToPeer::CancelTask { number }, b""));
                }
                if core::mem::replace(&mut task.state, State::Done) != State::Done {
                    self.widen();
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn on_worker(&mut self, frame: &[u8]) {
        let frame = ToMaster::decode(frame).unwrap().unwrap();
        match frame.header {
            ToMaster::Hello { window, holding, .. } => {
                self.worker = [welcome(self.epoch, 0)].into();
                self.names.clear();
                (self.session_told, self.worker_up) = (false, true);
                (self.to_announce, self.out, self.worker_window) = (holding, holding, window);
                (self.announced, self.next) = (TaskNumber::FIRST, TaskNumber::FIRST.plus(holding));
            }
            ToMaster::Holding { session, sequence, attempt } => {
                assert!(self.to_announce > 0 && [SESSION, NOBODY].contains(&session));
                let number = self.announced;
                (self.announced, self.to_announce) = (number.plus(1), self.to_announce - 1);
                match self.tasks.get_mut(&sequence) {
                    Some(task) if task.state == State::Queued && session == SESSION => {
                        task.attempt = attempt;
                        task.state = State::WithWorker(number);
                    }
                    _ => self.worker.push_back(said(ToPeer::CancelTask { number }, b"")),
                }
            }
            ToMaster::Done { number } => self.on_last(number, |sequence| ToPeer::Result { sequence }, frame.body),
            ToMaster::Failed { number, code } => {
                self.on_last(number, |sequence| ToPeer::Failed { sequence, code }, frame.body);
            }
            ToMaster::Partial { number } => {
                if let Some((&sequence, _)) = self.with_worker(number) {
                    self.results.push_back(said(ToPeer::Partial { sequence }, frame.body));
                }
            }
            ToMaster::HandBack { number } => {
                (self.out, self.worker_window) = (self.out - 1, self.worker_window - 1);
                if let Some((_, task)) = self.with_worker(number) {
                    task.state = State::Queued;
                }
            }
            ToMaster::Credit { more } => self.worker_window += more,
            other => panic!("{other:?}"),
        }
    }

    fn with_worker(&mut self, number: TaskNumber) -> Option<(&u64, &mut Task)> {
        self.tasks.iter_mut().find(|(_, task)| task.state == State::WithWorker(number))
    }

    fn on_last(&mut self, number: TaskNumber, header: impl Fn(u64) -> ToPeer, body: &[u8]) {
        self.out -= 1;
        if let Some((&sequence, task)) = self.with_worker(number) {
            task.state = State::Done;
            self.results.push_back(said(header(sequence), body));
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.allowed += 1;
        if self.client_up {
            self.client.push_back(said(ToPeer::Window { more: 1 }, b""));
        }
    }

    /// Says to both what may be said.
    fn poll(&mut self) {
        while self.client_up && self.sent < self.results.len().min(WINDOW as usize) {
            self.client.push_back(self.results[self.sent].clone());
            self.sent += 1;
        }
        while self.worker_up && self.to_announce == 0 && self.out < self.worker_window {
            let number = self.next;
            let Some((&sequence, task)) = self.tasks.iter_mut().find(|(_, task)| task.state == State::Queued) else {
                return;
            };
            let interned = self.names.intern(&task.function).unwrap();
            if let crate::native::Interned::New(alias) = interned {
                self.worker.push_back(said(ToPeer::Function { alias }, &task.function));
            }
            let session = Alias::new(0).unwrap();
            if !core::mem::replace(&mut self.session_told, true) {
                self.worker.push_back(said(ToPeer::Session { alias: session, id: SESSION }, b""));
            }
            (task.state, task.attempt) = (State::WithWorker(number), task.attempt + 1);
            let (function, attempt) = (interned.alias(), task.attempt);
            let header = match attempt {
                1 => ToPeer::Task { function, session, sequence },
                _ => ToPeer::TaskWith { function, session, sequence, attempt, deadline_ms: None, cache_len: 0 },
            };
            self.worker.push_back(said(header, &task.payload));
            (self.next, self.out) = (number.plus(1), self.out + 1);
        }
    }

    fn lose_client(&mut self) {
        self.client_up = false;
        self.client.clear();
    }

    fn lose_worker(&mut self) {
        self.worker_up = false;
        for task in self.tasks.values_mut().filter(|task| matches!(task.state, State::WithWorker(_))) {
            task.state = State::Queued;
        }
        self.worker.clear();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(u8),
    Cancel(u8),
    /// Frames arrive: at the master from the client and the worker, at the client, at the worker.
    Arrive([u8; 4]),
    Answer(u8, Answer),
    Acknowledge,
    Break {
        client: bool,
        worker: bool,
    },
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Done,
    Failed,
    Partial,
    HandBack,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop::sample::select(&[Answer::Done, Answer::Failed, Answer::Partial, Answer::HandBack][..]);
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Submit),
        1 => any::<u8>().prop_map(Step::Cancel),
        12 => prop::array::uniform4(0_u8..4).prop_map(Step::Arrive),
        8 => (any::<u8>(), answer).prop_map(|(which, answer)| Step::Answer(which, answer)),
        1 => Just(Step::Acknowledge),
        2 => any::<(bool, bool)>().prop_map(|(client, worker)| Step::Break { client, worker }),
        1 => Just(Step::Restart),
    ]
}

struct World {
    master: Master,
    client: FixedClient<heapless::Vec<u8, 16>, 5, 2>,
    worker: FixedWorker<Name, 4, 2>,
    from_client: Wire,
    from_worker: Wire,
    /// What the caller of the client keeps: payload by key, until the last result; and the sequence.
    open: BTreeMap<u64, (u64, Vec<u8>)>,
    ended: u64,
    submitted: u64,
    /// What the caller of the worker is at.
    running: Vec<(HeldId, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            master: Master::new(1),
            client: FixedClient::fixed(PeerConfig { window: WINDOW, ..config() }, Seed::from_u64(1)),
            worker: FixedWorker::fixed(PeerConfig { session: OTHER, window: 3, ..config() }),
            from_client: Wire::new(),
            from_worker: Wire::new(),
            open: BTreeMap::new(),
            ended: 0,
            submitted: 0,
            running: Vec::new(),
        };
        world.break_both(true, true);
        world
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit(which) => {
                let key = self.submitted;
                let payload = [b"payload ", &key.to_le_bytes()[..]].concat();
                let submit = Submit::new(FUNCTIONS[usize::from(which) % 3], &payload);
                if let Ok(submitted) = self.client.submit(key, &submit) {
                    self.from_client.extend(submitted.frames().map(|frame| wire(&frame)));
                    self.open.insert(key, (submitted.sequence, payload.clone()));
                    self.submitted += 1;
                }
            }
            Step::Cancel(which) => {
                if let Some((&key, &(sequence, _))) = self.open.iter().nth(which.into()) {
                    self.from_client.extend(self.client.cancel(sequence).map(|frame| wire(&frame)));
                    assert!(self.open.remove(&key).is_some());
                    self.ended += 1;
                }
            }
            Step::Arrive(counts) => {
                for _ in 0..counts[0] {
                    self.from_client.pop_front().inspect(|frame| self.master.on_client(frame));
                }
                for _ in 0..counts[1] {
                    self.from_worker.pop_front().inspect(|frame| self.master.on_worker(frame));
                }
                for _ in 0..counts[2] {
                    self.at_client();
                }
                for _ in 0..counts[3] {
                    self.at_worker();
                }
            }
            Step::Answer(which, answer) => self.answer(which.into(), answer),
            Step::Acknowledge => self.client.acknowledge(),
            Step::Break { client, worker } => self.break_both(client, worker),
            Step::Restart => {
                self.master = Master::new(self.master.epoch + 1);
                self.break_both(true, true);
            }
        }
        self.poll();
    }

    fn at_client(&mut self) {
        let Some(frame) = self.master.client.pop_front() else { return };
        match self.client.handle_frame(at(0), &frame).unwrap() {
            Some(ClientEvent::Result { key, sequence, payload, last }) => {
                let (submitted, expected) = self.open.get(&key).expect("it had no last result").clone();
                assert_eq!((sequence, payload), (submitted, &expected[..]));
                if last {
                    assert!(self.open.remove(&key).is_some());
                    self.ended += 1;
                }
            }
            Some(ClientEvent::Failed { key, status, .. }) => {
                assert!(self.open.remove(&key).is_some(), "it had no last result");
                assert_eq!(status, Status::Failed);
                self.ended += 1;
            }
            Some(ClientEvent::Connected { epoch, .. }) => assert_eq!(epoch, self.master.epoch),
            None | Some(ClientEvent::Window) => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    fn at_worker(&mut self) {
        let Some(frame) = self.master.worker.pop_front() else { return };
        match self.worker.handle_frame(at(0), &frame).unwrap() {
            Some(WorkerEvent::Task(task)) => {
                assert!(task.function.is_some_and(|name| FUNCTIONS.contains(&name.as_str())));
                let (id, payload) = (task.id, task.payload.to_vec());
                assert!(self.running.iter().all(|&(other, _)| other != id));
                self.running.push((id, payload));
            }
            Some(WorkerEvent::Cancelled { id }) => assert!(self.running.iter().any(|&(other, _)| other == id)),
            None | Some(WorkerEvent::Connected { .. }) => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, which: usize, answer: Answer) {
        if self.running.is_empty() {
            return;
        }
        let which = which % self.running.len();
        let (id, ref payload) = self.running[which];
        let frame = match answer {
            Answer::Done => self.worker.done(id, payload),
            Answer::Failed => self.worker.failed(id, Status::Failed, "failed"),
            Answer::Partial => self.worker.partial(id, payload),
            Answer::HandBack => self.worker.hand_back(id),
        };
        match frame {
            Ok(frame) => {
                self.from_worker.push_back(wire(&frame));
                if !matches!(answer, Answer::Partial) {
                    self.running.remove(which);
                }
                if matches!(answer, Answer::HandBack) {
                    self.worker.widen(1);
                }
            }
            Err(error) => assert!(matches!(error, NotSent::NotConnected | NotSent::Cancelled)),
        }
        assert_eq!(self.worker.held(), self.running.len());
    }

    fn break_both(&mut self, client: bool, worker: bool) {
        if client {
            self.client.handle_disconnected();
            self.from_client.clear();
            self.master.lose_client();
            self.client.handle_connected(at(0));
        }
        if worker {
            self.worker.handle_disconnected();
            self.from_worker.clear();
            self.master.lose_worker();
            self.worker.handle_connected(at(0));
        }
    }

    /// What all have to say.
    fn poll(&mut self) {
        while let Some(Resubmit { sequence, key }) = self.client.poll_resubmit() {
            let (submitted, payload) = self.open.get(&key).expect("it has no last result").clone();
            assert_eq!(sequence, submitted);
            let frames = self.client.resubmit(&Submit::new(FUNCTIONS[0], &payload)).unwrap();
            self.from_client.extend(frames.frames().map(|frame| wire(&frame)));
        }
        while let Some(frame) = self.client.poll_transmit() {
            self.from_client.push_back(wire(&frame));
        }
        while let Some(frame) = self.worker.poll_transmit() {
            self.from_worker.push_back(wire(&frame));
        }
        self.master.poll();
        assert_eq!(self.client.pending(), self.open.len());
    }
}

proptest! {
    #[test]
    fn each_task_has_one_last_result(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        world.poll();
        for step in &steps {
            world.step(step);
        }
        for round in 0..200 {
            world.step(&Step::Arrive([3; 4]));
            world.step(&Step::Answer(round, Answer::Done));
            world.step(&Step::Acknowledge);
        }
        prop_assert_eq!((world.open.len(), world.ended), (0, world.submitted));
        prop_assert!(world.master.results.is_empty() && world.running.is_empty());
    }
}
