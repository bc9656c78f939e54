//! The native protocol's worker and client with the real endpoint between them, over streams that are cut anywhere and break at
//! any time: each task has exactly one last result, and nobody ever breaks the protocol.
#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeMap;

use palm_proto::endpoint::{
    ConnectionId, Endpoint, EndpointConfig, EndpointEvent, HeapEndpoint, Next, Service, heap_tables,
};
use palm_proto::master::{MasterConfig, TableSizes};
use palm_proto::native::{
    ClientEvent, Deframed, FixedClient, FixedWorker, Frame, Framing, Header, HeldId, NotSent, PeerConfig, Resubmit,
    SessionId, Submit, WorkerEvent,
};
use palm_proto::{Instant, Seed, Status};
use proptest::prelude::*;

const NOW: Instant = Instant::from_millis(1000);
const FUNCTIONS: [&str; 3] = ["m.f", "m.g", "m.h"];

/// A peer's side of a stream.
#[derive(Default)]
struct Stream {
    connection: Option<ConnectionId>,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Stream {
    fn send<H: Header>(&mut self, frame: &Frame<'_, H>) {
        self.up.extend_from_slice(&frame.stream_head().unwrap());
        self.up.extend_from_slice(frame.front);
        self.up.extend_from_slice(frame.body);
    }

    /// Moves bytes both ways, as many as are told at most.
    fn pump(&mut self, endpoint: &mut Endpoint<HeapEndpoint>, up: usize) {
        let Some(id) = self.connection else { return };
        let offered = &self.up[..up.min(self.up.len())];
        let progress = endpoint.handle_input(NOW, id, offered);
        assert_ne!(progress.next, Next::Close, "nobody breaks the protocol");
        self.up.drain(..progress.used);
        while let Some(transmit) = endpoint.poll_transmit(NOW, id) {
            transmit.before().iter().for_each(|part| self.down.extend_from_slice(part));
            self.down.extend_from_slice(transmit.body_bytes());
            self.down.extend_from_slice(transmit.after());
            let len = transmit.len();
            endpoint.handle_sent(id, len);
        }
    }

    fn connect(&mut self, endpoint: &mut Endpoint<HeapEndpoint>) {
        if let Some(id) = self.connection.take() {
            endpoint.handle_close(NOW, id);
        }
        *self = Self { connection: endpoint.handle_accept(NOW, Service::Native), ..Self::default() };
        assert!(self.connection.is_some());
    }

    /// The next frame that has come, if it is among the first bytes, of which there are as many as told.
    fn receive(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let input = &self.down[..bytes.min(self.down.len())];
        let (used, frame) = match Framing::Stream.handle_input(input, &mut [], 1024) {
            Deframed::Incomplete { .. } => return None,
            Deframed::Frame { used, frame } => (used, frame.to_vec()),
            Deframed::Fault { fault, .. } => panic!("{fault}"),
        };
        self.down.drain(..used);
        Some(frame)
    }
}

struct Hand {
    worker: FixedWorker<heapless::String<16>, 4, 8>,
    stream: Stream,
    running: Vec<(HeldId, Vec<u8>)>,
}

struct World {
    endpoint: Endpoint<HeapEndpoint>,
    starts: u64,
    client: FixedClient<heapless::Vec<u8, 16>, 6, 2>,
    stream: Stream,
    hands: [Hand; 2],
    /// Payload by key, until the last result; and the sequence.
    open: BTreeMap<u64, (u64, Vec<u8>)>,
    submitted: u64,
    ended: u64,
}

fn endpoint(start: u64) -> Endpoint<HeapEndpoint> {
    let sizes = TableSizes { tasks: 40, peers: 8, subscriptions: 8 };
    let master = MasterConfig { attempts: 1000, ..MasterConfig::default() };
    let config = EndpointConfig { master, ..EndpointConfig::default() };
    Endpoint::new("m", &config, heap_tables(&sizes, 4).with_native(&sizes), Seed::from_u64(start)).unwrap()
}

impl World {
    fn new() -> Self {
        let config = |session, window| PeerConfig { window, ..PeerConfig::new("peer", "", SessionId([session; 16])) };
        let hand = |session| Hand {
            worker: FixedWorker::fixed(config(session, 3)),
            stream: Stream::default(),
            running: Vec::new(),
        };
        let mut world = Self {
            endpoint: endpoint(0),
            starts: 0,
            client: FixedClient::fixed(config(1, 4), Seed::from_u64(1)),
            stream: Stream::default(),
            hands: [hand(2), hand(3)],
            open: BTreeMap::new(),
            submitted: 0,
            ended: 0,
        };
        world.break_off([true; 3]);
        world
    }

    fn break_off(&mut self, [client, first, second]: [bool; 3]) {
        if client {
            self.stream.connect(&mut self.endpoint);
            self.client.handle_disconnected();
            self.client.handle_connected(NOW);
        }
        for (hand, breaks) in self.hands.iter_mut().zip([first, second]) {
            if breaks {
                hand.stream.connect(&mut self.endpoint);
                hand.worker.handle_disconnected();
                hand.worker.handle_connected(NOW);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit(which, priority) => {
                let payload = [b"payload ", &self.submitted.to_le_bytes()[..]].concat();
                let submit = Submit { priority, ..Submit::new(FUNCTIONS[usize::from(which) % 3], &payload) };
                if let Ok(submitted) = self.client.submit(self.submitted, &submit) {
                    submitted.frames().for_each(|frame| self.stream.send(&frame));
                    self.open.insert(self.submitted, (submitted.sequence, payload.clone()));
                    self.submitted += 1;
                }
            }
            Step::Cancel(which) => {
                if let Some((&key, &(sequence, _))) = self.open.iter().nth(which.into()) {
                    self.client.cancel(sequence).iter().for_each(|frame| self.stream.send(frame));
                    self.open.remove(&key);
                    self.ended += 1;
                }
            }
            Step::Move { up, down } => self.pump(up.into(), down.into()),
            Step::Answer { hand, which, answer } => self.answer(usize::from(hand) % 2, which.into(), answer),
            Step::Acknowledge => self.client.acknowledge(),
            Step::Break(which) => self.break_off(which),
            Step::Restart => {
                self.starts += 1;
                self.endpoint = endpoint(self.starts);
                self.stream.connection = None;
                self.hands.iter_mut().for_each(|hand| hand.stream.connection = None);
                self.break_off([true; 3]);
            }
        }
        self.poll();
    }

    fn pump(&mut self, up: usize, down: usize) {
        self.stream.pump(&mut self.endpoint, up);
        for hand in &mut self.hands {
            hand.stream.pump(&mut self.endpoint, up);
        }
        while self.endpoint.poll_ready().is_some() {}
        while let Some(event) = self.endpoint.poll_event() {
            assert!(!matches!(event, EndpointEvent::Fault { .. }), "{event:?}");
        }
        while let Some(frame) = self.stream.receive(down) {
            self.at_client(&frame);
        }
        for hand in &mut self.hands {
            while let Some(frame) = hand.stream.receive(down) {
                match hand.worker.handle_frame(NOW, &frame).unwrap() {
                    Some(WorkerEvent::Task(task)) => {
                        assert!(task.function.is_some_and(|name| FUNCTIONS.contains(&name.as_str())));
                        let (id, payload) = (task.id, task.payload.to_vec());
                        hand.running.push((id, payload));
                    }
                    Some(WorkerEvent::Cancelled { id }) => {
                        assert!(hand.running.iter().any(|&(other, _)| other == id));
                    }
                    None | Some(WorkerEvent::Connected { .. }) => {}
                    Some(other) => panic!("{other:?}"),
                }
                // As a driver does, before anything else.
                while let Some(frame) = hand.worker.poll_transmit() {
                    hand.stream.send(&frame);
                }
            }
        }
    }

    fn at_client(&mut self, frame: &[u8]) {
        match self.client.handle_frame(NOW, frame).unwrap() {
            Some(ClientEvent::Result { key, payload, last, .. }) => {
                assert_eq!(payload, self.open.get(&key).expect("it had no last result").1);
                if last {
                    self.open.remove(&key);
                    self.ended += 1;
                }
            }
            Some(ClientEvent::Failed { key, status, .. }) => {
                assert!(self.open.remove(&key).is_some(), "it had no last result");
                assert_eq!(status, Status::Failed);
                self.ended += 1;
            }
            None | Some(ClientEvent::Connected { .. } | ClientEvent::Window) => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, hand: usize, which: usize, answer: Answer) {
        let hand = &mut self.hands[hand];
        if hand.running.is_empty() {
            return;
        }
        let which = which % hand.running.len();
        let (id, ref payload) = hand.running[which];
        let frame = match answer {
            Answer::Done => hand.worker.done(id, payload),
            Answer::Failed => hand.worker.failed(id, Status::Failed, "failed"),
            Answer::Partial => hand.worker.partial(id, payload),
            Answer::HandBack => hand.worker.hand_back(id),
        };
        match frame {
            Ok(frame) => {
                hand.stream.send(&frame);
                if !matches!(answer, Answer::Partial) {
                    hand.running.remove(which);
                }
                if matches!(answer, Answer::HandBack) {
                    hand.worker.widen(1);
                }
            }
            Err(error) => assert!(matches!(error, NotSent::NotConnected | NotSent::Cancelled)),
        }
    }

    /// What the peers have to say.
    fn poll(&mut self) {
        while let Some(Resubmit { sequence, key }) = self.client.poll_resubmit() {
            let (submitted, payload) = &self.open[&key];
            assert_eq!(sequence, *submitted);
            let frames = self.client.resubmit(&Submit::new(FUNCTIONS[0], payload)).unwrap();
            frames.frames().for_each(|frame| self.stream.send(&frame));
        }
        while let Some(frame) = self.client.poll_transmit() {
            self.stream.send(&frame);
        }
        for hand in &mut self.hands {
            while let Some(frame) = hand.worker.poll_transmit() {
                hand.stream.send(&frame);
            }
            assert_eq!(hand.worker.held(), hand.running.len());
        }
        assert_eq!(self.client.pending(), self.open.len());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(u8, u8),
    Cancel(u8),
    Move {
        up: u8,
        down: u8,
    },
    Answer {
        hand: u8,
        which: u8,
        answer: Answer,
    },
    Acknowledge,
    /// Of the client and the workers.
    Break([bool; 3]),
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
        6 => (any::<u8>(), 0_u8..3).prop_map(|(which, priority)| Step::Submit(which, priority)),
        1 => any::<u8>().prop_map(Step::Cancel),
        12 => any::<(u8, u8)>().prop_map(|(up, down)| Step::Move { up, down }),
        8 => (any::<(u8, u8)>(), answer).prop_map(|((hand, which), answer)| Step::Answer { hand, which, answer }),
        1 => Just(Step::Acknowledge),
        2 => any::<[bool; 3]>().prop_map(Step::Break),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn each_task_has_one_last_result(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        world.poll();
        for step in &steps {
            world.step(step);
        }
        for round in 0..100 {
            world.step(&Step::Move { up: 255, down: 255 });
            for hand in 0..2 {
                world.step(&Step::Answer { hand, which: round, answer: Answer::Done });
            }
            world.step(&Step::Acknowledge);
        }
        prop_assert_eq!((world.open.len(), world.ended), (0, world.submitted));
        prop_assert!(world.endpoint.is_idle(), "nothing is left with the master");
    }
}
