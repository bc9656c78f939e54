mod announced;
mod believed;
mod crowded;
mod departed;
mod small;

use core::time::Duration;
use std::vec;
use std::vec::Vec;

use crate::buffer::Buffer;
use crate::endpoint::{
    ConnectionId, Endpoint, EndpointConfig, EndpointStorage, HeapEndpoint, Next, Outlet, Service, Transmit, heap_tables,
};
use crate::master::{MasterConfig, TableSizes};
use crate::message::Status;
use crate::native::{
    Alias, Frame, Header, Magic, RefusalCode, Role, SessionId, Streamed, TaskNumber, ToMaster, ToPeer, Versions, When,
    decode_stream,
};
use crate::random::Seed;
use crate::time::Instant;

const A: SessionId = SessionId(*b"session of a ...");
const W: SessionId = SessionId(*b"session of w ...");

/// A frame from the master: header, front, body.
type Said = (ToPeer, Vec<u8>, Vec<u8>);

struct Cluster {
    endpoint: Endpoint<HeapEndpoint>,
    now: Instant,
}

fn alias(number: u16) -> Alias {
    Alias::new(number).unwrap()
}

fn number(number: u16) -> TaskNumber {
    TaskNumber::try_from(number).unwrap()
}

fn hello(role: Role, session: SessionId, window: u32) -> ToMaster {
    ToMaster::Hello {
        magic: Magic,
        versions: Versions::OURS,
        role,
        max_frame: 1 << 20,
        window,
        session,
        resume: false,
        holding: 0,
        name_len: 0,
    }
}

fn resuming(header: ToMaster, with: u32) -> ToMaster {
    match header {
        ToMaster::Hello { magic, versions, role, max_frame, window, session, name_len, .. } => {
            ToMaster::Hello { magic, versions, role, max_frame, window, session, resume: true, holding: with, name_len }
        }
        other => other,
    }
}

fn hear<S: EndpointStorage>(endpoint: &mut Endpoint<S>, now: Instant, id: ConnectionId) -> Vec<Said> {
    let mut wire = Vec::new();
    while let Some(transmit) = endpoint.poll_transmit(now, id) {
        let before = wire.len();
        transmit.before().iter().for_each(|part| wire.extend_from_slice(part));
        wire.extend_from_slice(transmit.body_bytes());
        wire.extend_from_slice(transmit.after());
        assert_eq!(wire.len() - before, transmit.len());
    }
    endpoint.handle_sent(id, wire.len());
    let mut frames = Vec::new();
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let Streamed::Frame { used, range } = decode_stream(rest, u32::MAX).unwrap() else { panic!("{rest:?}") };
        let frame = ToPeer::decode(&rest[range]).unwrap().unwrap();
        frames.push((frame.header, frame.front.to_vec(), frame.body.to_vec()));
        rest = &rest[used..];
    }
    frames
}

impl Cluster {
    fn new(seed: u64) -> Self {
        Self::with(seed, MasterConfig::default())
    }

    /// With so many places for tasks.
    fn sized(tasks: usize) -> Self {
        Self::made(1, MasterConfig::default(), tasks)
    }

    fn with(seed: u64, master: MasterConfig) -> Self {
        Self::made(seed, master, 100)
    }

    fn made(seed: u64, master: MasterConfig, tasks: usize) -> Self {
        let sizes = TableSizes { tasks, peers: 20, subscriptions: 20 };
        let config = EndpointConfig { master, ..EndpointConfig::default() };
        let tables = heap_tables(&sizes, 10).with_native(&sizes);
        let endpoint = Endpoint::new("m", &config, tables, Seed::from_u64(seed)).unwrap();
        Self { endpoint, now: Instant::from_micros(1_000_000) }
    }

    fn connect(&mut self, header: ToMaster) -> ConnectionId {
        self.connect_with(header, b"")
    }

    fn connect_with(&mut self, header: ToMaster, token: &[u8]) -> ConnectionId {
        let id = self.endpoint.handle_accept(self.now, Service::Native).unwrap();
        self.say(id, &Frame::with_body(header, token));
        id
    }

    fn say(&mut self, id: ConnectionId, frame: &Frame<'_, ToMaster>) -> Next {
        let wire = [frame.stream_head().unwrap().as_slice(), frame.front, frame.body].concat();
        let progress = self.endpoint.handle_input(self.now, id, &wire);
        assert!(progress.used == wire.len() || progress.next != Next::Read { message: 0 });
        progress.next
    }

    fn tell(&mut self, id: ConnectionId, header: ToMaster, body: &[u8]) {
        assert_eq!(self.say(id, &Frame::with_body(header, body)), Next::Read { message: 0 });
    }

    /// All that the master says now.
    fn hear(&mut self, id: ConnectionId) -> Vec<Said> {
        while self.endpoint.poll_ready().is_some() {}
        hear(&mut self.endpoint, self.now, id)
    }

    fn worker(&mut self, window: u32) -> ConnectionId {
        let id = self.connect(hello(Role::Worker, W, window));
        assert!(matches!(self.hear(id)[0].0, ToPeer::Welcome { version: 1, .. }));
        id
    }

    fn client(&mut self, header: ToMaster) -> (ConnectionId, Vec<Said>) {
        let id = self.connect(header);
        let mut heard = self.hear(id);
        assert!(matches!(heard.remove(0).0, ToPeer::Welcome { .. }));
        self.tell(id, ToMaster::Function { alias: alias(3) }, b"m.f");
        (id, heard)
    }

    fn submit(&mut self, id: ConnectionId, sequence: u64, payload: &[u8]) {
        self.tell(id, ToMaster::Submit { sequence, function: alias(3) }, payload);
    }

    /// The tasks among what a worker is told: sequence, attempt, payload.
    fn tasks(&mut self, id: ConnectionId) -> Vec<(u64, u32, Vec<u8>)> {
        let task = |(header, _, body)| match header {
            ToPeer::Task { sequence, .. } => Some((sequence, 1, body)),
            ToPeer::TaskWith { sequence, attempt, .. } => Some((sequence, attempt, body)),
            _ => None,
        };
        self.hear(id).into_iter().filter_map(task).collect()
    }

    fn headers(&mut self, id: ConnectionId) -> Vec<ToPeer> {
        self.hear(id).into_iter().map(|(header, _, _)| header).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.endpoint.handle_timeout(self.now);
    }
}

#[test]
fn a_task_goes_to_a_worker_and_its_result_home() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(4);
    let (client, said) = cluster.client(hello(Role::Client, A, 100));
    assert_eq!(said[0].0, ToPeer::Accepted { up_to: 0 });
    cluster.submit(client, 7, b"one");
    let said = cluster.hear(worker);
    let ToPeer::Function { alias: function } = said[0].0 else { panic!("{said:?}") };
    assert_eq!(said[0].2, b"m.f");
    let ToPeer::Session { alias: session, id } = said[1].0 else { panic!("{said:?}") };
    assert_eq!(id, A.handle(), "a worker is not told the session");
    assert_eq!((said[2].0, &said[2].2[..]), (ToPeer::Task { function, session, sequence: 7 }, &b"one"[..]));
    cluster.submit(client, 8, b"two");
    assert_eq!(cluster.hear(worker)[0].0, ToPeer::Task { function, session, sequence: 8 }, "aliases are told once");
    cluster.tell(worker, ToMaster::Done { number: number(1) }, b"TWO");
    cluster.tell(worker, ToMaster::Failed { number: number(0), code: 1 }, "why".as_bytes());
    let said = cluster.hear(client);
    assert_eq!(said[0], (ToPeer::Result { sequence: 8 }, Vec::new(), b"TWO".to_vec()));
    assert_eq!(said[1], (ToPeer::Failed { sequence: 7, code: 1 }, Vec::new(), b"why".to_vec()));
    assert!(cluster.endpoint.is_idle());
}

#[test]
fn who_has_not_the_token_or_the_version_is_refused_with_a_reason() {
    let mut cluster = Cluster::new(1);
    assert!(cluster.endpoint.set_token(b"secret"));
    let refusal = |cluster: &mut Cluster, header, token: &[u8]| {
        let id = cluster.connect_with(header, token);
        let said = cluster.hear(id);
        assert!(cluster.endpoint.is_closing(id));
        assert!(!said[0].2.is_empty());
        said[0].0
    };
    let worker = hello(Role::Worker, W, 1);
    assert_eq!(refusal(&mut cluster, worker, b"Secret"), ToPeer::Refused { code: RefusalCode::Token });
    assert_eq!(refusal(&mut cluster, ToMaster::Ping, b""), ToPeer::Refused { code: RefusalCode::Malformed });
    let ToMaster::Hello { magic, role, max_frame, window, session, resume, holding, name_len, .. } = worker else {
        return;
    };
    let versions = Versions { min: 2, max: 9 };
    let newer = ToMaster::Hello { magic, versions, role, max_frame, window, session, resume, holding, name_len };
    assert_eq!(refusal(&mut cluster, newer, b"secret"), ToPeer::Refused { code: RefusalCode::Version });
    let id = cluster.connect_with(worker, b"secret");
    assert!(matches!(cluster.headers(id)[0], ToPeer::Welcome { .. }));
}

#[test]
fn what_a_lost_worker_held_goes_to_another_in_order() {
    let mut cluster = Cluster::new(1);
    let first = cluster.worker(2);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    (0..3).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    assert_eq!(cluster.tasks(first).len(), 2, "a window of two");
    cluster.endpoint.handle_close(cluster.now, first);
    let second = cluster.connect(hello(Role::Worker, W, 4));
    let tasks: Vec<_> = cluster.tasks(second).into_iter().map(|(sequence, attempt, _)| (sequence, attempt)).collect();
    assert_eq!(tasks, [(0, 2), (1, 2), (2, 1)]);
}

#[test]
fn results_are_sent_again_until_they_are_received() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(10);
    let (client, _) = cluster.client(hello(Role::Client, A, 2));
    (0..4).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    assert_eq!(cluster.tasks(worker).len(), 4);
    (0..4).for_each(|n| cluster.tell(worker, ToMaster::Done { number: number(n) }, b"y"));
    let results = |first, last| (first..last).map(|sequence| ToPeer::Result { sequence }).collect::<Vec<_>>();
    assert_eq!(cluster.headers(client), results(0, 2), "no more than it takes");
    cluster.tell(client, ToMaster::Received { results: 1 }, b"");
    assert_eq!(cluster.headers(client), results(2, 3));
    cluster.endpoint.handle_close(cluster.now, client);

    let (client, said) = cluster.client(resuming(hello(Role::Client, A, 100), 0));
    let said: Vec<_> = said.into_iter().map(|(header, _, _)| header).collect();
    assert_eq!(said[0], ToPeer::Accepted { up_to: 4 });
    assert_eq!(said[1..], results(1, 4), "those that may have been lost, and the rest");
    cluster.submit(client, 3, b"again");
    assert_eq!(cluster.tasks(worker), []);
    cluster.tell(client, ToMaster::Received { results: 3 }, b"");
    let next = cluster.say(client, &Frame::new(ToMaster::Received { results: 1 }));
    assert_eq!(next, Next::Close, "more than were sent");
    assert_eq!(cluster.endpoint.counters().submitted_again, 1);
    cluster.endpoint.handle_close(cluster.now, client);
    cluster.endpoint.handle_close(cluster.now, worker);
    cluster.pass(Duration::from_secs(61));
    assert_eq!(cluster.endpoint.master().memory(), 0);
}

#[test]
fn a_cancelled_task_ends_where_it_is() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(1);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    (0..3).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    assert_eq!(cluster.tasks(worker).len(), 1);
    cluster.tell(client, ToMaster::Cancel { sequence: 1 }, b"");
    cluster.tell(client, ToMaster::Cancel { sequence: 0 }, b"");
    let cancelled = |sequence| ToPeer::Failed { sequence, code: Status::Cancelled.code() };
    assert_eq!(cluster.headers(client), [cancelled(1), cancelled(0)]);
    assert_eq!(cluster.headers(worker), [ToPeer::CancelTask { number: number(0) }], "it has no place for the next yet");
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"late");
    assert_eq!(cluster.tasks(worker), [(2, 1, b"x".to_vec())]);
    assert_eq!(cluster.headers(client), []);
}

#[test]
fn after_a_restart_a_task_that_is_still_done_is_not_given_out_again() {
    let mut before = Cluster::new(1);
    let worker = before.worker(4);
    let (client, _) = before.client(hello(Role::Client, A, 100));
    (0..3).for_each(|sequence| before.submit(client, sequence, b"x"));
    assert_eq!(before.tasks(worker).len(), 3);

    let mut cluster = Cluster::new(2);
    let other = cluster.worker(4);
    // The worker is back first: it holds 0, of which the client will know, and 1.
    let worker = cluster.connect(resuming(hello(Role::Worker, W, 4), 2));
    cluster.tell(worker, ToMaster::Holding { session: A.handle(), sequence: 0, attempt: 1 }, b"");
    let (client, _) = cluster.client(resuming(hello(Role::Client, A, 100), 0));
    cluster.submit(client, 0, b"x");
    assert_eq!(cluster.tasks(other), []);
    cluster.tell(worker, ToMaster::Holding { session: A.handle(), sequence: 5, attempt: 1 }, b"");
    cluster.submit(client, 1, b"x");
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"zero");
    assert_eq!(cluster.hear(client)[0], (ToPeer::Result { sequence: 0 }, Vec::new(), b"zero".to_vec()));
    // Nobody submitted 5 again: its answer is nothing to anybody.
    cluster.tell(worker, ToMaster::Done { number: number(1) }, b"five");
    assert_eq!(cluster.headers(client), []);
    let tasks = [cluster.tasks(other), cluster.tasks(worker)].concat();
    assert_eq!(tasks, [(1, 1, b"x".to_vec())]);
}

#[test]
fn a_worker_that_is_back_goes_on_with_what_nobody_else_was_given() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(4);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    (0..3).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    assert_eq!(cluster.tasks(worker).len(), 3);
    cluster.endpoint.handle_close(cluster.now, worker);

    // It has answered 0, which was lost with the connection.
    let worker = cluster.connect(resuming(hello(Role::Worker, W, 4), 2));
    assert!(matches!(cluster.headers(worker)[..], [ToPeer::Welcome { .. }]));
    cluster.tell(worker, ToMaster::Holding { session: A.handle(), sequence: 1, attempt: 1 }, b"");
    assert_eq!(cluster.headers(worker), []);
    cluster.tell(worker, ToMaster::Holding { session: A.handle(), sequence: 2, attempt: 1 }, b"");
    assert_eq!(cluster.tasks(worker), [(0, 2, b"x".to_vec())], "nothing is cancelled, and nothing given twice");
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"one");
    assert_eq!(cluster.hear(client)[0], (ToPeer::Result { sequence: 1 }, Vec::new(), b"one".to_vec()));
}

#[test]
fn what_a_worker_holds_is_taken_from_one_that_has_not_been_sent_it() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(4);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    cluster.submit(client, 0, b"x");
    assert_eq!(cluster.tasks(worker).len(), 1);
    cluster.endpoint.handle_close(cluster.now, worker);
    let other = cluster.connect(hello(Role::Worker, SessionId(*b"session of v ..."), 4));
    let worker = cluster.connect(resuming(hello(Role::Worker, W, 4), 1));
    cluster.tell(worker, ToMaster::Holding { session: A.handle(), sequence: 0, attempt: 1 }, b"");
    assert_eq!(cluster.tasks(other), []);
    assert!(matches!(cluster.headers(worker)[..], [ToPeer::Welcome { .. }]));
}

#[test]
fn the_cache_answers_one_request_after_the_other() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(1);
    let mut wire = Vec::new();
    let set = ToMaster::Set { id: 1, ttl_ms: Some(1000), when: When::Absent, key_len: 1 };
    for frame in [
        Frame { header: set, front: b"k", body: b"v" },
        Frame::with_body(ToMaster::Get { id: 2 }, b"k"),
        Frame::with_body(ToMaster::Get { id: 3 }, b"l"),
        Frame { header: set, front: b"k", body: b"w" },
        Frame::with_body(ToMaster::Delete { id: 4, when: When::Always }, b"k"),
    ] {
        wire.extend_from_slice(&frame.stream_head().unwrap());
        wire.extend_from_slice(frame.front);
        wire.extend_from_slice(frame.body);
    }
    let mut said = Vec::new();
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let progress = cluster.endpoint.handle_input(cluster.now, worker, rest);
        rest = &rest[progress.used..];
        said.extend(cluster.hear(worker));
    }
    let ToPeer::Stored { id: 1, version } = said[0].0 else { panic!("{said:?}") };
    assert_eq!((said[1].0, &said[1].2[..]), (ToPeer::Value { id: 2, version }, &b"v"[..]));
    assert_eq!(said[2].0, ToPeer::Absent { id: 3 });
    assert_eq!(said[3].0, ToPeer::Conflict { id: 1, version });
    assert_eq!(said[4].0, ToPeer::Deleted { id: 4 });
    assert_eq!(cluster.endpoint.master().memory(), 0);
}

#[test]
fn a_silent_peer_is_asked_and_given_up() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(1);
    let heartbeat = EndpointConfig::default().heartbeat;
    cluster.pass(heartbeat);
    assert_eq!(cluster.headers(worker), [ToPeer::Ping]);
    cluster.tell(worker, ToMaster::Pong, b"");
    cluster.pass(heartbeat);
    assert_eq!(cluster.headers(worker), [ToPeer::Ping]);
    cluster.pass(heartbeat * 2);
    cluster.pass(heartbeat * 2);
    assert!(cluster.endpoint.is_closing(worker));
}

#[test]
fn progress_and_partial_results_come_home_as_such() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(1);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    cluster.submit(client, 0, b"x");
    assert_eq!(cluster.tasks(worker).len(), 1);
    cluster.tell(worker, ToMaster::Progress { number: number(0), permille: 2000 }, b"nearly");
    cluster.tell(worker, ToMaster::Partial { number: number(0) }, b"half");
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"whole");
    let said = cluster.hear(client);
    assert_eq!(said[0], (ToPeer::Progress { sequence: 0, permille: 1000 }, Vec::new(), b"nearly".to_vec()));
    assert_eq!(said[1], (ToPeer::Partial { sequence: 0 }, Vec::new(), b"half".to_vec()));
    assert_eq!(said[2], (ToPeer::Result { sequence: 0 }, Vec::new(), b"whole".to_vec()));
}

#[test]
fn a_client_that_there_is_no_room_for_leaves_nothing_behind() {
    let sizes = TableSizes { tasks: 100, peers: 20, subscriptions: 1 };
    let tables = heap_tables(&sizes, 10).with_native(&sizes);
    let endpoint = Endpoint::new("m", &EndpointConfig::default(), tables, Seed::from_u64(1)).unwrap();
    let mut cluster = Cluster { endpoint, now: Instant::ZERO };
    let (first, _) = cluster.client(hello(Role::Client, A, 1));
    for _ in 0..2 {
        let id = cluster.connect(hello(Role::Client, W, 1));
        assert_eq!(cluster.headers(id), [ToPeer::Refused { code: RefusalCode::Full }]);
        cluster.endpoint.handle_close(cluster.now, id);
    }
    // Another has the place of the one that was refused, and keeps it when that one comes again.
    let worker = cluster.worker(1);
    cluster.endpoint.handle_close(cluster.now, first);
    cluster.client(hello(Role::Client, W, 1));
    assert!(!cluster.endpoint.is_closing(worker));
}

#[test]
fn a_client_may_be_replaced_while_it_waits_to_be_read() {
    let mut cluster = Cluster::new(1);
    let (first, _) = cluster.client(hello(Role::Client, A, 1));
    cluster.tell(first, ToMaster::Get { id: 0 }, b"key");
    assert_eq!(cluster.say(first, &Frame::with_body(ToMaster::Get { id: 1 }, b"key")), Next::Wait);
    // A process that knows nothing of what was before, and goes at once.
    let (second, _) = cluster.client(hello(Role::Client, A, 1));
    assert_eq!(cluster.headers(first), [ToPeer::Refused { code: RefusalCode::Replaced }]);
    cluster.endpoint.handle_close(cluster.now, second);
    cluster.pass(Duration::from_millis(20));
    cluster.endpoint.handle_close(cluster.now, first);
    assert_eq!(cluster.endpoint.connections(), 0);
}

/// Submits tasks of this length, from `from` on, until one has no room: its sequence.
fn fill(cluster: &mut Cluster, client: ConnectionId, from: u64, len: usize) -> u64 {
    for sequence in from..from + 1_000 {
        cluster.submit(client, sequence, &vec![0; len]);
        if let Some(&ToPeer::NoRoom { from }) = cluster.headers(client).first() {
            assert_eq!(from, sequence);
            return sequence;
        }
    }
    panic!("there is room for a thousand");
}

fn granted(headers: &[ToPeer]) -> u32 {
    headers.iter().map(|header| if let ToPeer::Window { more } = *header { more } else { 0 }).sum()
}

#[test]
fn what_stands_behind_a_task_without_room_is_read() {
    let mut cluster = Cluster::with(1, MasterConfig { memory: 20_000, ..MasterConfig::default() });
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let worker = cluster.worker(100);
    let first = fill(&mut cluster, client, 0, 1_000);
    cluster.submit(client, first + 1, b"short, but it would come before the other");
    cluster.tell(client, ToMaster::Ping, b"");
    assert_eq!(cluster.headers(client), [ToPeer::Pong]);
    let mut results = 0;
    while results < first {
        let tasks = cluster.tasks(worker).len() as u64;
        assert!(tasks > 0, "{results} of {first}");
        for task in results..results + tasks {
            cluster.tell(worker, ToMaster::Done { number: number(task as u16) }, &[0; 1_000]);
        }
        results += tasks;
        assert_eq!(cluster.headers(client).len() as u64, tasks, "results, and no Window before Restart");
    }
    cluster.tell(client, ToMaster::Restart, b"");
    let before = granted(&cluster.headers(client));
    cluster.tell(client, ToMaster::Received { results: results as u32 }, b"");
    let more = before + granted(&cluster.headers(client));
    assert!((1..first as u32).contains(&more), "{more} as long as the longest that came");
    for sequence in first..first + u64::from(more) {
        cluster.submit(client, sequence, &[0; 1_000]);
    }
    let next = cluster.tasks(worker);
    assert_eq!(next.first().map(|&(sequence, ..)| sequence), Some(first));
    assert_eq!(cluster.endpoint.counters().turned_away, 1);
}

#[test]
fn a_long_task_without_room_is_dropped_while_it_comes() {
    let mut cluster = Cluster::with(1, MasterConfig { memory: 40_000, ..MasterConfig::default() });
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let wire = |sequence| {
        let frame = Frame::with_body(ToMaster::Submit { sequence, function: alias(3) }, &[0; 9_000]);
        [frame.stream_head().unwrap().as_slice(), frame.body].concat()
    };
    let whole = wire(0);
    let progress = cluster.endpoint.handle_input(cluster.now, client, &whole[..100]);
    assert_eq!((progress.used, progress.next), (0, Next::Read { message: whole.len() }), "this one has room");
    assert_eq!(cluster.endpoint.handle_message(cluster.now, client, whole.into()), Ok(Next::Read { message: 0 }));
    cluster.submit(client, 1, &[0; 9_000]);
    let held = cluster.endpoint.master().memory();
    let whole = wire(2);
    let (begun, rest) = whole.split_at(60);
    for part in [begun, rest] {
        let progress = cluster.endpoint.handle_input(cluster.now, client, part);
        assert_eq!((progress.used, progress.next), (part.len(), Next::Read { message: 0 }));
    }
    assert_eq!(cluster.endpoint.master().memory(), held);
    cluster.tell(client, ToMaster::Ping, b"");
    assert_eq!(cluster.headers(client), [ToPeer::Pong, ToPeer::NoRoom { from: 2 }]);
}

/// Frames one after the other, as a driver for byte streams takes them.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    copied: usize,
}

impl<B: Buffer> Outlet<B> for Wire {
    fn copy(&mut self, head: &[u8], body: &[u8]) {
        self.copied += 1;
        self.bytes.extend([head, body].concat());
    }

    fn put(&mut self, transmit: Transmit<'_, B>) {
        self.bytes.extend([&transmit.before().concat(), transmit.body_bytes(), transmit.after()].concat());
    }
}

#[test]
fn all_at_once_is_the_same_as_one_after_the_other() {
    let wires = [true, false].map(|at_once| {
        let mut cluster = Cluster::new(1);
        let mut whole = Wire::default();
        let mut hear = |cluster: &mut Cluster, id| {
            while cluster.endpoint.poll_ready().is_some() {}
            let begun = whole.bytes.len();
            if at_once {
                cluster.endpoint.transmit_to(cluster.now, id, &mut whole);
            } else {
                while let Some(transmit) = cluster.endpoint.poll_transmit(cluster.now, id) {
                    whole.put(transmit);
                }
            }
            cluster.endpoint.handle_sent(id, whole.bytes.len() - begun);
        };
        let (client, worker) =
            (cluster.connect(hello(Role::Client, A, 100)), cluster.connect(hello(Role::Worker, W, 30)));
        hear(&mut cluster, worker);
        hear(&mut cluster, client);
        cluster.tell(client, ToMaster::Function { alias: alias(3) }, b"m.f");
        cluster.tell(client, ToMaster::Function { alias: alias(4) }, b"m.another");
        for sequence in 0..40 {
            let function = alias(if sequence % 7 == 3 { 4 } else { 3 });
            let with = (sequence % 5 == 4).then_some(9_000);
            let header = match with {
                None => ToMaster::Submit { sequence, function },
                Some(_) => {
                    let cache_len = 2;
                    ToMaster::SubmitWith { sequence, function, priority: 0, deadline_ms: with, cache_len }
                }
            };
            let payload = vec![b'x'; if sequence % 11 == 5 { 3_000 } else { 2 + sequence as usize % 3 }];
            cluster.tell(client, header, &payload);
        }
        cluster.tell(client, ToMaster::Cancel { sequence: 2 }, b"");
        hear(&mut cluster, worker);
        for task in 0..30 {
            match task % 6 {
                4 => cluster.tell(worker, ToMaster::Failed { number: number(task), code: 7 }, b"why"),
                5 => cluster.tell(worker, ToMaster::Partial { number: number(task) }, b"some"),
                _ => cluster.tell(worker, ToMaster::Done { number: number(task) }, b"done"),
            }
            if task % 10 == 9 {
                cluster.tell(client, ToMaster::Ping, b"");
                hear(&mut cluster, client);
            }
        }
        cluster.tell(client, ToMaster::Received { results: 3 }, b"");
        hear(&mut cluster, worker);
        hear(&mut cluster, client);
        assert_eq!(whole.copied > 20, at_once, "{}", whole.copied);
        whole.bytes
    });
    assert_eq!(wires[0], wires[1]);
}

#[test]
fn who_submits_more_than_it_may_is_closed() {
    let mut cluster = Cluster::new(1);
    let id = cluster.connect(hello(Role::Client, A, 100));
    let Some(&ToPeer::Welcome { window, .. }) = cluster.headers(id).first() else { panic!("no Welcome") };
    assert!((1..=100).contains(&window), "the table has a hundred places: {window}");
    cluster.tell(id, ToMaster::Function { alias: alias(3) }, b"m.f");
    // All are the same, which takes nothing up.
    for _ in 0..window {
        cluster.submit(id, 0, b"");
    }
    let submit = Frame::new(ToMaster::Submit { sequence: 0, function: alias(3) });
    assert_eq!(cluster.say(id, &submit), Next::Close);
    assert!(cluster.headers(id).contains(&ToPeer::Refused { code: RefusalCode::Malformed }));
    let id = cluster.connect(hello(Role::Client, A, 100));
    assert_eq!(cluster.say(id, &Frame::new(ToMaster::Restart)), Next::Close, "it has not been told to");
}

#[test]
fn a_window_is_not_said_for_each_task() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(100);
    let (client, _) = cluster.client(hello(Role::Client, A, 1_000));
    let mut windows = 0;
    for sequence in 0..1_000 {
        cluster.submit(client, sequence, b"");
        assert_eq!(cluster.tasks(worker).len(), 1);
        cluster.tell(worker, ToMaster::Done { number: number(sequence as u16) }, b"");
        let headers = cluster.headers(client);
        windows += headers.iter().filter(|header| matches!(header, ToPeer::Window { .. })).count();
        cluster.tell(client, ToMaster::Received { results: 1 }, b"");
    }
    assert!((1..100).contains(&windows), "{windows}");
}

#[test]
fn a_worker_that_is_not_read_is_shown_that_the_master_lives() {
    let mut cluster = Cluster::with(1, MasterConfig { memory: 1_000_000, ..MasterConfig::default() });
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let worker = cluster.worker(100);
    for sequence in 0..20 {
        cluster.submit(client, sequence, b"");
    }
    let tasks = cluster.tasks(worker).len() as u16;
    // Nobody takes these.
    let waits = (0..tasks).find(|&task| {
        let frame = Frame::with_body(ToMaster::Done { number: number(task) }, &[0; 200_000]);
        cluster.say(worker, &frame) == Next::Wait
    });
    assert!(waits.is_some_and(|waits| waits > 0));
    for _ in 0..3 {
        cluster.pass(EndpointConfig::default().heartbeat / 2);
        while cluster.endpoint.poll_ready().is_some() {}
        let sign = cluster.endpoint.poll_transmit(cluster.now, worker).expect("it is named, and something is sent");
        assert_eq!((sign.before().concat(), sign.len()), (vec![0], 1));
        cluster.endpoint.handle_sent(worker, 1);
        assert!(!cluster.endpoint.is_closing(worker));
    }
}

#[test]
fn a_client_whose_result_had_no_place_is_named_when_another_makes_one() {
    let mut cluster = Cluster::sized(2);
    let worker = cluster.worker(1);
    let (first, _) = cluster.client(hello(Role::Client, A, 100));
    let (second, _) = cluster.client(hello(Role::Client, SessionId(*b"session of b ..."), 100));
    let mut task = 0;
    let mut done = |cluster: &mut Cluster, client, sequence| {
        cluster.submit(client, sequence, b"");
        assert_eq!(cluster.tasks(worker).len(), 1);
        cluster.tell(worker, ToMaster::Done { number: number(task) }, b"");
        task += 1;
        cluster.headers(client).contains(&ToPeer::Result { sequence })
    };
    // Each may have as many as are left free, of four.
    assert!(done(&mut cluster, first, 0) && done(&mut cluster, first, 1) && done(&mut cluster, second, 0));
    assert!(!done(&mut cluster, second, 1));
    cluster.tell(first, ToMaster::Received { results: 2 }, b"");
    let named: Vec<_> = core::iter::from_fn(|| cluster.endpoint.poll_ready()).collect();
    assert!(named.contains(&second));
    assert!(cluster.headers(second).contains(&ToPeer::Result { sequence: 1 }));
}

#[test]
fn a_worker_whose_task_had_no_place_is_named_when_another_makes_one() {
    let mut cluster = Cluster::sized(2);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let first = cluster.worker(4);
    // It is called off, and stays with the worker until that has answered.
    for sequence in 0..4 {
        cluster.submit(client, sequence, b"");
        assert_eq!(cluster.tasks(first).len(), 1);
        cluster.tell(client, ToMaster::Cancel { sequence }, b"");
        assert!(cluster.headers(client).iter().any(|header| matches!(header, ToPeer::Failed { .. })));
        cluster.tell(client, ToMaster::Received { results: 1 }, b"");
        cluster.headers(client);
    }
    let second = cluster.connect(hello(Role::Worker, SessionId(*b"session of v ..."), 4));
    assert!(matches!(cluster.headers(second)[..], [ToPeer::Welcome { .. }]));
    cluster.submit(client, 4, b"");
    assert_eq!(cluster.tasks(second), [], "all places are taken");
    cluster.tell(first, ToMaster::Done { number: number(0) }, b"");
    let named: Vec<_> = core::iter::from_fn(|| cluster.endpoint.poll_ready()).collect();
    assert!(named.contains(&second));
    assert_eq!(cluster.tasks(second).len(), 1);
}

#[test]
fn a_worker_is_not_told_that_less_time_is_left_than_there_is() {
    let mut cluster = Cluster::new(1);
    let (client, _) = cluster.client(hello(Role::Client, A, 1));
    let header =
        ToMaster::SubmitWith { sequence: 0, function: alias(3), priority: 0, deadline_ms: Some(1), cache_len: 0 };
    cluster.tell(client, header, b"");
    cluster.now = cluster.now + Duration::from_micros(500);
    let worker = cluster.connect(hello(Role::Worker, W, 1));
    let told = cluster.headers(worker);
    assert!(told.iter().any(|header| matches!(header, ToPeer::TaskWith { deadline_ms: Some(1), .. })), "{told:?}");
}

#[test]
fn the_tasks_of_a_client_that_stays_away_are_dropped_and_done_once() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(2);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    (0..80).for_each(|sequence| cluster.submit(client, sequence, b"once"));
    assert_eq!(cluster.tasks(worker).len(), 2);
    cluster.endpoint.handle_close(cluster.now, client);
    cluster.pass(MasterConfig::default().keep);
    while cluster.endpoint.poll_timeout().is_some_and(|at| at <= cluster.now) {
        cluster.pass(Duration::ZERO);
    }
    let gauges = cluster.endpoint.master().gauges();
    assert_eq!((gauges.queued, gauges.leased, gauges.results), (0, 0, 0));
    // What it is at is called off.
    let told = cluster.headers(worker);
    assert_eq!(told[told.len() - 2..], [0, 1].map(|at| ToPeer::CancelTask { number: number(at) }));
    [0, 1].into_iter().for_each(|at| cluster.tell(worker, ToMaster::Done { number: number(at) }, b"in vain"));
    let (client, said) = cluster.client(resuming(hello(Role::Client, A, 100), 0));
    assert_eq!(said[0].0, ToPeer::Accepted { up_to: 0 });
    cluster.submit(client, 0, b"once");
    assert_eq!(cluster.tasks(worker), [(0, 1, b"once".to_vec())]);
    cluster.tell(worker, ToMaster::Done { number: number(2) }, b"done");
    assert!(cluster.hear(client).contains(&(ToPeer::Result { sequence: 0 }, Vec::new(), b"done".to_vec())));
    let (counters, memory) = (cluster.endpoint.master().counters(), cluster.endpoint.master().gauges().memory);
    assert_eq!((counters.submitted, counters.cancelled, counters.answered, counters.duplicates), (81, 80, 1, 0));
    cluster.tell(client, ToMaster::Received { results: 1 }, b"");
    assert!(cluster.endpoint.master().memory() < memory && cluster.endpoint.counters().unwanted == 2);
}
