//! Native peers as their master has them at the other end, and what they may expect of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BytesMut;
use palm_proto::endpoint::ConnectionId;
use palm_proto::native::{
    Alias, Frame, Header, Magic, RefusalCode, Role, SessionId, TaskNumber, ToMaster, ToPeer, Versions, When,
};

use crate::Input;

/// What payloads and results of honest peers begin with; nothing that others send has this byte.
pub const MARK: u8 = 0xaa;
/// Number of honest sessions; each is a client's.
pub const HONEST: usize = 2;

/// What becomes of an honest client's tasks.
#[derive(Debug, Default)]
pub struct Model {
    clients: [Client; HONEST],
    /// What a worker that lost its connection still holds: (session, sequence, attempt).
    held: Vec<(SessionId, u64, u32)>,
    /// Honest workers that there were: each is a process of its own.
    workers: u16,
}

#[derive(Debug, Default)]
struct Client {
    connected: bool,
    known: bool,
    next: u64,
    /// Of which a master that has forgotten the session may still have the task, queued. What is submitted again is another
    /// task to it, with a last result of its own, of which the client drops the second.
    doubtful: BTreeSet<u64>,
    /// Submitted, without a last result.
    open: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
    /// With a last result that was called received, which the master has read.
    safe: BTreeSet<u64>,
}

/// A connection, as its driver and its peer have it.
#[derive(Debug)]
pub struct Peer {
    /// What the endpoint calls it.
    pub id: ConnectionId,
    /// Whether it keeps to the protocol.
    pub honest: bool,
    /// Bytes that the peer has sent and the driver still has.
    pub inbox: BytesMut,
    /// How many bytes the master has read.
    pub used: u64,
    /// Length of the message at the front of the inbox for which room has been set aside; 0: none.
    pub message: usize,
    /// Whether it is not to be read.
    pub waiting: bool,
    /// Bytes that the driver was given and has not sent.
    pub unsent: usize,
    role: Role,
    client: usize,
    heard: u64,
    over: bool,
    /// Heartbeats and requests to the cache that are to be answered.
    requests: VecDeque<u32>,

    /// A worker: how many tasks it takes at once; what its aliases mean; what it has.
    limit: i64,
    functions: BTreeMap<u16, Vec<u8>>,
    sessions: BTreeMap<u16, SessionId>,
    next_number: TaskNumber,
    held: BTreeMap<u16, (SessionId, u64, u32)>,

    /// A client: how many tasks it may submit more, and which before any new one; whether it knows which.
    room: u64,
    accepted: bool,
    /// Longest frame that its master takes.
    max_frame: usize,
    again: VecDeque<u64>,
    window: u32,
    /// Results that it was sent and has not called received: their sequences if they are the last.
    results: VecDeque<Option<u64>>,
    last: BTreeSet<u64>,
    /// Up to which byte the master has to have read for it to know that these are safe.
    received: VecDeque<(u64, Vec<u64>)>,
}

/// A Hello.
pub fn hello(role: Role, session: [u8; 16], window: u32, resume: bool, holding: u32) -> ToMaster {
    ToMaster::Hello {
        magic: Magic,
        versions: Versions::OURS,
        role,
        max_frame: 1 << 20,
        window,
        session: SessionId(session),
        resume,
        holding,
        name_len: 0,
    }
}

/// Appends a frame as it is on a stream.
///
/// # Panics
/// If it is too long for one.
pub fn put(inbox: &mut BytesMut, header: ToMaster, front: &[u8], body: &[u8]) {
    let frame = Frame { header, front, body };
    inbox.extend_from_slice(&frame.stream_head().expect("it is short"));
    inbox.extend_from_slice(front);
    inbox.extend_from_slice(body);
}

/// The session of tasks that nobody wants.
const NOBODY: SessionId = SessionId([0; 16]);

fn session_of(client: usize) -> SessionId {
    let mut id = [MARK; 16];
    id[15] = client as u8;
    SessionId(id)
}

/// Whose tasks they are that are known by this handle.
fn client_of(handle: SessionId) -> Option<usize> {
    (0..HONEST).find(|&client| session_of(client).handle() == handle)
}

fn alias(number: u16) -> Alias {
    Alias::new(number).expect("it is small")
}

/// What a task's payload and results begin with, so that it is seen whose they are.
fn tag(handle: SessionId, sequence: u64) -> Option<[u8; 3]> {
    client_of(handle).map(|client| [MARK, client as u8, sequence as u8])
}

/// Without the mark.
fn unmarked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|&byte| if byte == MARK { 0xab } else { byte }).collect()
}

/// Some are so long that a driver reads them into a buffer of their own.
fn lengthen(body: &mut Vec<u8>) {
    if body.len() % 8 == 7 {
        body.resize(body.len() + 500, 0);
    }
}

const FUNCTIONS: [&str; 5] =
    ["s.f", "s.g", "nothing", "s.a_function_whose_name_is_longer_than_most", "s.another_function_with_a_long_name"];

impl Model {
    /// The master has read more of what a peer sent.
    pub fn read_up_to(&mut self, peer: &mut Peer) {
        while peer.received.front().is_some_and(|&(end, _)| end <= peer.used) {
            let (_, sequences) = peer.received.pop_front().expect("there is one");
            self.clients[peer.client].safe.extend(sequences);
        }
    }

    /// A connection is gone.
    pub fn on_closed(&mut self, peer: Peer) {
        if !peer.honest {
            return;
        }
        match peer.role {
            Role::Worker => self.held.extend(peer.held.into_values()),
            Role::Client => self.clients[peer.client].connected = false,
        }
    }
}

impl Peer {
    /// A peer says hello, or what is none.
    pub fn new(id: ConnectionId, model: &mut Model, input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let role = if choice & 1 == 0 { Role::Worker } else { Role::Client };
        let client = usize::from(choice >> 1 & 1);
        let window = 1 + u32::from(choice >> 2 & 3);
        let honest = choice >> 4 != 0 && (role == Role::Worker || !model.clients[client].connected);
        let mut peer = Self {
            id,
            honest,
            inbox: BytesMut::new(),
            used: 0,
            message: 0,
            waiting: false,
            unsent: 0,
            role,
            client,
            heard: 0,
            over: false,
            requests: VecDeque::new(),
            limit: i64::from(window),
            functions: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_number: TaskNumber::FIRST,
            held: BTreeMap::new(),
            room: 0,
            accepted: false,
            max_frame: 0,
            again: VecDeque::new(),
            window,
            results: VecDeque::new(),
            last: BTreeSet::new(),
            received: VecDeque::new(),
        };
        if !honest {
            let holding = u32::from(choice >> 3 & 1);
            if choice & 4 != 0 {
                put(&mut peer.inbox, hello(role, [choice >> 1 & 1; 16], window, choice & 8 != 0, holding), b"", b"");
            }
            return peer;
        }
        match role {
            Role::Worker => {
                let mut held: Vec<(SessionId, u64, u32)> = Vec::new();
                if choice & 128 != 0 {
                    // What two workers had of one task, as it was dispatched again, no worker has.
                    for task in std::mem::take(&mut model.held) {
                        let has = held.iter().any(|other| (other.0, other.1) == (task.0, task.1) && task.0 != NOBODY);
                        if held.len() < 4 && !has { held.push(task) } else { model.held.push(task) }
                    }
                }
                let count = held.len();
                peer.limit = i64::from(window).max(count as i64);
                model.workers = model.workers.wrapping_add(1);
                let mut session = [7; 16];
                session[..2].copy_from_slice(&model.workers.to_le_bytes());
                put(&mut peer.inbox, hello(role, session, peer.limit as u32, true, count as u32), b"", b"");
                for (session, sequence, attempt) in held {
                    peer.held.insert(peer.next_number.number(), (session, sequence, attempt));
                    peer.next_number = peer.next_number.plus(1);
                }
            }
            Role::Client => {
                let state = &mut model.clients[client];
                let resume = std::mem::replace(&mut state.known, true);
                state.connected = true;
                put(&mut peer.inbox, hello(role, session_of(client).0, window, resume, 0), b"", b"");
            }
        }
        peer
    }

    fn say(&mut self, header: ToMaster, front: &[u8], body: &[u8]) {
        put(&mut self.inbox, header, front, body);
    }

    /// Cuts what is to be said with a short header to what its master takes.
    fn fit(&self, body: &mut Vec<u8>) {
        body.truncate(self.max_frame.saturating_sub(30));
    }

    /// It says something that it may say.
    pub fn act(&mut self, model: &mut Model, input: &mut Input<'_>) {
        if self.heard == 0 || self.over {
            return;
        }
        let choice = input.byte();
        match (choice & 15, self.role) {
            (0, _) => self.say(ToMaster::Ping, b"", b""),
            (1..4, _) => self.request(choice, input),
            (4, _) if choice >> 4 == 15 => {
                self.say(ToMaster::Bye, b"", b"");
                self.over = true;
                self.held.clear();
            }
            (_, Role::Worker) => self.work(choice, input),
            (_, Role::Client) => self.ask(model, choice, input),
        }
    }

    fn request(&mut self, choice: u8, input: &mut Input<'_>) {
        let id = u32::from(choice);
        let key =
            [b"name".as_slice(), b"a", b"b", b"a key that is too long for what the limit is"][usize::from(choice >> 6)];
        let when = [When::Always, When::Absent, When::Version(u64::from(input.byte()))][usize::from(choice >> 4) % 3];
        match choice & 15 {
            1 => self.say(ToMaster::Get { id }, b"", key),
            2 => {
                let ttl_ms = (choice & 16 != 0).then_some(50);
                let value = unmarked(input.bytes());
                self.say(ToMaster::Set { id, ttl_ms, when, key_len: key.len() as u32 }, key, &value);
            }
            _ => self.say(ToMaster::Delete { id, when }, b"", key),
        }
        self.requests.push_back(id);
    }

    fn work(&mut self, choice: u8, input: &mut Input<'_>) {
        match choice & 15 {
            5 => {
                self.limit += i64::from(choice >> 6);
                return self.say(ToMaster::Credit { more: u32::from(choice >> 6) }, b"", b"");
            }
            6 if choice >> 4 == 15 => return self.say(ToMaster::Drain, b"", b""),
            _ => {}
        }
        let numbers: Vec<u16> = self.held.keys().copied().collect();
        let Some(number) = input.pick(&numbers) else { return };
        let (session, sequence, _) = self.held[&number];
        let mut body = tag(session, sequence).map_or(Vec::new(), Vec::from);
        body.extend(unmarked(input.bytes()));
        lengthen(&mut body);
        self.fit(&mut body);
        let number = TaskNumber::try_from(number).expect("it was one");
        let header = match choice & 15 {
            7 => ToMaster::Partial { number },
            8 => ToMaster::Progress { number, permille: u16::from(choice) * 8 },
            9 => ToMaster::Failed { number, code: u32::from(choice >> 4) },
            10 => {
                self.limit -= 1;
                body.clear();
                ToMaster::HandBack { number }
            }
            _ => ToMaster::Done { number },
        };
        if let ToMaster::Progress { .. } | ToMaster::Failed { .. } = header {
            body =
                String::from_utf8_lossy(&body[body.len().min(3)..]).chars().take(120).collect::<String>().into_bytes();
        }
        if !matches!(header, ToMaster::Partial { .. } | ToMaster::Progress { .. }) {
            self.held.remove(&number.number());
        }
        self.say(header, b"", &body);
    }

    fn ask(&mut self, model: &mut Model, choice: u8, input: &mut Input<'_>) {
        let state = &mut model.clients[self.client];
        match choice & 15 {
            5 => {
                let open: Vec<u64> = state.open.iter().copied().collect();
                let Some(sequence) = input.pick(&open) else { return };
                // What has still to be submitted again cannot be cancelled before.
                if self.accepted && !self.again.contains(&sequence) {
                    state.cancelled.insert(sequence);
                    self.say(ToMaster::Cancel { sequence }, b"", b"");
                }
            }
            6..9 => {
                let count = self.results.len().min(1 + usize::from(choice >> 6));
                if count > 0 {
                    let safe = self.results.drain(..count).flatten().collect();
                    self.say(ToMaster::Received { results: count as u32 }, b"", b"");
                    self.received.push_back((self.used + self.inbox.len() as u64, safe));
                }
            }
            _ => {
                if !self.accepted || self.room == 0 || state.next == 250 {
                    return;
                }
                self.room -= 1;
                let sequence = self.again.pop_front().unwrap_or_else(|| {
                    state.next += 1 + u64::from(choice >> 7);
                    state.next - 1
                });
                state.open.insert(sequence);
                let name = usize::from(choice >> 4) % FUNCTIONS.len();
                // There may be no room for all aliases, nor for a long name and its task in one message.
                let function = alias(name as u16);
                self.say(ToMaster::Function { alias: function }, b"", FUNCTIONS[name].as_bytes());
                let mut body = tag(session_of(self.client).handle(), sequence).map_or(Vec::new(), Vec::from);
                body.extend(unmarked(input.bytes()));
                lengthen(&mut body);
                self.fit(&mut body);
                if choice & 64 == 0 {
                    return self.say(ToMaster::Submit { sequence, function }, b"", &body);
                }
                let deadline_ms = (choice & 32 != 0).then_some(u32::from(choice));
                let header =
                    ToMaster::SubmitWith { sequence, function, priority: choice & 3, deadline_ms, cache_len: 4 };
                self.say(header, b"user", &body);
            }
        }
    }

    /// It hears a frame.
    ///
    /// # Panics
    /// If the master may not say that now.
    pub fn hear(&mut self, model: &mut Model, bytes: &[u8]) {
        let frame = ToPeer::decode(bytes).expect("a master says what can be read").expect("and is known");
        let first = self.heard == 0;
        self.heard += 1;
        if !self.honest {
            return;
        }
        match frame.header {
            ToPeer::Refused { code: RefusalCode::Malformed } => panic!("it keeps to the protocol"),
            // It had said Bye, or so long nothing that it was given up.
            ToPeer::Bye => {}
            ref header => {
                let opens = matches!(header, ToPeer::Welcome { .. } | ToPeer::Refused { .. });
                assert_eq!(first, opens, "{header:?} is frame {} that it hears", self.heard);
            }
        }
        match frame.header {
            ToPeer::Welcome { window, max_frame, .. } => {
                self.room = u64::from(window);
                self.max_frame = max_frame as usize;
                // A worker announces straight after Welcome what it holds.
                let held: Vec<_> = self.held.values().copied().collect();
                for (session, sequence, attempt) in held {
                    self.say(ToMaster::Holding { session, sequence, attempt }, b"", b"");
                }
            }
            ToPeer::Refused { .. } | ToPeer::Bye => self.over = true,
            ToPeer::Ping => self.say(ToMaster::Pong, b"", b""),
            ToPeer::Pong => {}
            ToPeer::Value { id, .. }
            | ToPeer::Stored { id, .. }
            | ToPeer::Deleted { id }
            | ToPeer::Absent { id }
            | ToPeer::Conflict { id, .. }
            | ToPeer::CacheRefused { id, .. } => assert_eq!(self.requests.pop_front(), Some(id)),
            _ if self.role == Role::Worker => self.hear_as_worker(model, &frame),
            _ => self.hear_as_client(model, &frame),
        }
    }

    fn hear_as_worker(&mut self, model: &Model, frame: &Frame<'_, ToPeer>) {
        match frame.header {
            ToPeer::Function { alias } => {
                assert!(u16::from(alias) < 8);
                self.functions.insert(alias.into(), frame.body.to_vec());
            }
            ToPeer::Session { alias, id } => {
                assert!(u16::from(alias) < 8);
                self.sessions.insert(alias.into(), id);
            }
            ToPeer::Task { function, session, sequence } => {
                self.take(model, (function, session, sequence, 1), frame);
            }
            ToPeer::TaskWith { function, session, sequence, attempt, .. } => {
                self.take(model, (function, session, sequence, attempt), frame);
            }
            ToPeer::Skip { numbers } => self.next_number = self.next_number.plus(numbers),
            ToPeer::CancelTask { number } => {
                // Or it has answered it.
                if let Some(task) = self.held.get_mut(&number.number()) {
                    task.0 = NOBODY;
                }
            }
            ref other => panic!("{other:?} is not for workers"),
        }
    }

    fn take(
        &mut self,
        model: &Model,
        (function, session, sequence, attempt): (Alias, Alias, u64, u32),
        frame: &Frame<'_, ToPeer>,
    ) {
        assert!(self.functions.contains_key(&function.into()), "its function is known");
        let id = self.sessions[&session.into()];
        let number = self.next_number;
        self.next_number = number.plus(1);
        assert!(self.held.insert(number.number(), (id, sequence, attempt)).is_none(), "the number was free");
        assert!(self.held.len() as i64 <= self.limit, "{} tasks of {}", self.held.len(), self.limit);
        if let Some(client) = client_of(id) {
            assert_eq!(frame.body.get(..3), tag(id, sequence).as_ref().map(|tag| &tag[..]), "the payload is its own");
            assert!(attempt >= 1 && (frame.front.is_empty() || frame.front == b"user"));
            let state = &model.clients[client];
            assert!(sequence < state.next, "it was submitted");
            assert!(
                state.open.contains(&sequence) || state.doubtful.contains(&sequence),
                "it waits for its last result"
            );
        }
    }

    fn hear_as_client(&mut self, model: &mut Model, frame: &Frame<'_, ToPeer>) {
        let state = &mut model.clients[self.client];
        match frame.header {
            ToPeer::Accepted { up_to } => {
                assert!(up_to <= state.next && (!self.accepted || up_to > 0));
                if !std::mem::replace(&mut self.accepted, true) {
                    // What was cancelled is not submitted again.
                    let gone: Vec<u64> = state.cancelled.intersection(&state.open).copied().collect();
                    for sequence in gone.into_iter().filter(|&sequence| sequence >= up_to) {
                        state.open.remove(&sequence);
                        state.doubtful.insert(sequence);
                    }
                    self.again = state.open.range(up_to..).copied().collect();
                    state.doubtful.extend(&self.again);
                }
            }
            ToPeer::Window { more } => self.room += u64::from(more),
            ToPeer::NoRoom { from } => {
                assert!(from < state.next, "it was submitted");
                let gone: Vec<u64> = state.cancelled.intersection(&state.open).copied().collect();
                for sequence in gone.into_iter().filter(|&sequence| sequence >= from) {
                    state.open.remove(&sequence);
                    state.doubtful.insert(sequence);
                }
                self.again = state.open.range(from..).copied().collect();
                // What it may submit counts anew.
                self.room = 0;
                self.say(ToMaster::Restart, b"", b"");
            }
            ToPeer::Progress { sequence, .. } => assert!(sequence < state.next),
            ToPeer::Partial { sequence } => {
                self.on_result(state, sequence, false, Some(frame.body));
            }
            ToPeer::Result { sequence } => self.on_result(state, sequence, true, Some(frame.body)),
            ToPeer::Failed { sequence, .. } => self.on_result(state, sequence, true, None),
            ref other => panic!("{other:?} is not for clients"),
        }
    }

    fn on_result(&mut self, state: &mut Client, sequence: u64, last: bool, body: Option<&[u8]>) {
        assert!(sequence < state.next, "it was submitted");
        if !state.doubtful.contains(&sequence) {
            assert!(!self.last.contains(&sequence), "nothing comes after the last result");
            assert!(!last || !state.safe.contains(&sequence), "it had its last result");
        }
        if let Some(body) = body
            && body.first() == Some(&MARK)
        {
            assert_eq!(body[1..3], [self.client as u8, sequence as u8], "it is this task's");
        }
        self.results.push_back(last.then_some(sequence));
        assert!(self.results.len() <= self.window as usize, "there is a window for results");
        if last {
            self.last.insert(sequence);
            state.open.remove(&sequence);
            self.again.retain(|&other| other != sequence);
        }
    }
}

/// Says what a peer of its role may say at some time, or what the other may, or anything.
pub fn hostile_frame(peer: &mut Peer, input: &mut Input<'_>) {
    let small = input.byte();
    let sequence = u64::from(small >> 4);
    let number = TaskNumber::FIRST.plus(u32::from(small >> 4));
    let function = alias(u16::from(small & 1));
    let front_len = u32::from(small >> 6);
    let when = [When::Always, When::Absent, When::Version(u64::from(small))][usize::from(small % 3)];
    let session = SessionId([small & 1; 16]);
    let header = match input.below(24) {
        0 | 1 => ToMaster::Function { alias: function },
        2..5 => ToMaster::Submit { sequence, function },
        5 => {
            let deadline_ms = (small & 2 != 0).then_some(u32::from(small));
            ToMaster::SubmitWith { sequence, function, priority: small & 3, deadline_ms, cache_len: front_len }
        }
        6..8 => ToMaster::Done { number },
        8 => ToMaster::Partial { number },
        9 => ToMaster::Progress { number, permille: u16::from(small) * 8 },
        10 => ToMaster::Failed { number, code: u32::from(small) },
        11 => ToMaster::HandBack { number },
        12 => ToMaster::Credit { more: u32::MAX >> (small & 31) },
        13 => ToMaster::Drain,
        14 => ToMaster::Holding { session, sequence, attempt: u32::from(small & 3) },
        15 => ToMaster::Cancel { sequence },
        16 => ToMaster::Received { results: u32::from(small & 3) },
        17 => ToMaster::Get { id: u32::from(small) },
        18 => ToMaster::Set { id: 1, ttl_ms: (small & 4 != 0).then_some(40), when, key_len: front_len },
        19 => ToMaster::Delete { id: u32::from(small), when },
        20 => [ToMaster::Ping, ToMaster::Pong, ToMaster::Bye][usize::from(small % 3)],
        _ => return peer.inbox.extend_from_slice(&unmarked(input.bytes())),
    };
    let mut bytes = unmarked(input.bytes());
    lengthen(&mut bytes);
    let front_len = match header {
        ToMaster::SubmitWith { .. } | ToMaster::Set { .. } => bytes.len().min(front_len as usize),
        _ => 0,
    };
    let (front, body) = bytes.split_at(front_len);
    put(&mut peer.inbox, header, front, body);
}
