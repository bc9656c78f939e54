//! Whatever comes over its connections, and however their driver and the network cut it, a master's endpoint keeps its bounds,
//! and has nothing left of a peer that is gone.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::buffer::{Outgoing, PooledBuffer, Spare};
use palm_proto::cache::CacheLimits;
use palm_proto::endpoint::{ConnectionId, Endpoint, EndpointConfig, HeapEndpoint, Next, Service, heap_tables};
use palm_proto::master::{MasterConfig, TableSizes};
use palm_proto::native::{Alias, Frame, Magic, Role, SessionId, TaskNumber, ToMaster, Versions, When};
use palm_proto::zmtp::SocketType;
use palm_proto::{Instant, MessageWriter, Seed};

const SIZES: TableSizes = TableSizes { tasks: 8, peers: 6, subscriptions: 6 };
/// So much that a message is copied to be sent, or that a long one is sent from where it is.
const MEMORY: [u64; 2] = [16_000, 128_000];
const TOPICS: [&str; 4] = ["", "a", "ab", "b"];

/// A connection as its driver and its peer have it.
struct Wire {
    service: Service,
    /// Bytes that the peer has sent and the driver still has.
    inbox: BytesMut,
    /// Length of the message at the front of the inbox for which room has been set aside; 0: none.
    message: usize,
    waiting: bool,
    /// Bytes that the driver was given and has not sent.
    outgoing: Outgoing,
}

struct World {
    endpoint: Endpoint<HeapEndpoint<PooledBuffer>>,
    memory: u64,
    now: Instant,
    spare: Spare,
    wires: BTreeMap<usize, (ConnectionId, Wire)>,
    /// What workers were sent: messages with their tags.
    assigned: Vec<Bytes>,
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let options = input.byte();
    let memory = MEMORY[usize::from(options >> 3 & 1)];
    let config = EndpointConfig {
        master: MasterConfig {
            memory,
            window: (options & 1 == 0).then_some(2),
            lease: (options & 2 == 0).then_some(Duration::from_millis(100)),
            keep: Duration::from_millis(500),
            pipelined: options & 4 != 0,
            ..MasterConfig::default()
        },
        cache: CacheLimits { entries: 4, bytes: 500, key: 40, value: 200 },
        handshake_timeout: Duration::from_millis(300),
        heartbeat: Duration::from_millis(200),
        partial_timeout: Duration::from_millis(400),
        ..EndpointConfig::default()
    };
    let seed = Seed::from_u64(u64::from(options));
    let tables = heap_tables(&SIZES, 4).with_native(&SIZES);
    let mut endpoint = Endpoint::new("server", &config, tables, seed).expect("the name fits");
    endpoint.cache().preset(b"name", b"server").expect("an empty cache has room");
    let (spare, wires) = (Spare::new(), BTreeMap::new());
    let mut world = World { endpoint, memory, now: Instant::ZERO, spare, wires, assigned: Vec::new() };
    while !input.is_used_up() {
        world.step(&mut input);
        world.check();
    }
    world.stop();
});

/// One of two clients or two workers.
fn hello(choice: u8) -> ToMaster {
    ToMaster::Hello {
        magic: Magic,
        versions: Versions::OURS,
        role: if choice & 8 == 0 { Role::Worker } else { Role::Client },
        max_frame: if choice & 16 == 0 { 1 << 20 } else { 100 },
        window: u32::from(choice >> 5 & 1) * 3 + 1,
        session: SessionId([choice >> 6 & 1; 16]),
        resume: choice & 128 != 0,
        holding: u32::from(choice >> 5 & 3 == 3),
        name_len: 0,
    }
}

/// What a native peer says after its Hello, and how long its front is.
fn header(input: &mut Input<'_>) -> (ToMaster, usize) {
    let small = input.byte();
    let sequence = u64::from(small >> 4);
    let number = TaskNumber::FIRST.plus(u32::from(small >> 4));
    let function = Alias::new(u16::from(small & 1)).expect("0 and 1 are aliases");
    let front_len = usize::from(small >> 6);
    let when = [When::Always, When::Absent, When::Version(u64::from(small))][usize::from(small % 3)];
    let header = match input.below(20) {
        0 | 1 => ToMaster::Function { alias: function },
        2 | 3 => ToMaster::Submit { sequence, function },
        4 => {
            let deadline_ms = (small & 2 != 0).then_some(u32::from(small));
            let (priority, cache_len) = (small & 3, front_len as u32);
            return (ToMaster::SubmitWith { sequence, function, priority, deadline_ms, cache_len }, front_len);
        }
        5 | 6 => ToMaster::Done { number },
        7 => ToMaster::Partial { number },
        8 => ToMaster::Progress { number, permille: u16::from(small) },
        9 => ToMaster::Failed { number, code: u32::from(small) },
        10 => ToMaster::HandBack { number },
        11 => ToMaster::Credit { more: u32::from(small & 7) },
        12 => ToMaster::Drain,
        13 => ToMaster::Holding { session: SessionId([small & 1; 16]), sequence, attempt: u32::from(small & 3) },
        14 => ToMaster::Cancel { sequence },
        15 => ToMaster::Received { results: u32::from(small & 1) },
        16 => ToMaster::Get { id: u32::from(small) },
        17 => {
            let ttl_ms = (small & 4 != 0).then_some(u32::from(small));
            let (id, key_len) = (u32::from(small), front_len as u32);
            return (ToMaster::Set { id, ttl_ms, when, key_len }, front_len);
        }
        18 => ToMaster::Delete { id: u32::from(small), when },
        _ => [ToMaster::Ping, ToMaster::Pong, ToMaster::Bye][usize::from(small % 3)],
    };
    (header, 0)
}

/// Mostly short; some so long that a driver reads them into a buffer of their own, and some that are sent from there.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = input.bytes().to_vec();
    match bytes.len() % 16 {
        13 => bytes.resize(500 + 10 * bytes.len(), 0),
        14 => bytes.resize(2_000 + 16 * bytes.len(), 0),
        15 => bytes.resize(14_000 + 32 * bytes.len(), 0),
        _ => {}
    }
    bytes
}

fn put(inbox: &mut BytesMut, frame: &Frame<'_, ToMaster>) {
    inbox.extend_from_slice(&frame.stream_head().expect("it is short"));
    inbox.extend_from_slice(frame.front);
    inbox.extend_from_slice(frame.body);
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(12) {
            0 | 1 => self.accept(input),
            2..=4 => self.send(input),
            5 | 6 => {
                let len = usize::from(input.byte()) + 1;
                if let Some(index) = self.any(input) {
                    self.read(index, len);
                }
            }
            7 | 8 => {
                let sent = 8 * usize::from(input.byte());
                if let Some(index) = self.any(input) {
                    self.transmit(index, sent);
                }
            }
            9 => {
                if let (Some(index), 0) = (self.any(input), input.below(4)) {
                    self.close(index);
                }
            }
            10 => {
                self.now = self.now + Duration::from_millis(u64::from(input.byte()));
                self.endpoint.handle_timeout(self.now);
            }
            _ => {
                while let Some(id) = self.endpoint.poll_ready() {
                    if let Some((_, wire)) = self.wires.get_mut(&id.index()) {
                        wire.waiting = false;
                        self.read(id.index(), 0);
                    }
                }
                while self.endpoint.poll_event().is_some() {}
            }
        }
    }

    fn any(&self, input: &mut Input<'_>) -> Option<usize> {
        let indices: Vec<usize> = self.wires.keys().copied().collect();
        input.pick(&indices)
    }

    /// Mostly of a peer that shakes hands as it should.
    fn accept(&mut self, input: &mut Input<'_>) {
        let service = Service::ZEROMQ.get(input.below(8)).copied().unwrap_or(Service::Native);
        let Some(id) = self.endpoint.handle_accept(self.now, service) else {
            assert_eq!(self.wires.len(), SIZES.peers);
            return;
        };
        let mut inbox = BytesMut::new();
        let choice = input.byte();
        if let (true, Some(socket)) = (choice & 7 != 0, service.socket_type()) {
            let peer = SocketType::ALL.into_iter().find(|&peer| socket.accepts(peer)).expect("each type has a peer");
            inbox.extend_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03");
            inbox.extend_from_slice(&[choice >> 3 & 1]);
            inbox.extend_from_slice(b"NULL");
            inbox.resize(64, 0);
            inbox.extend_from_slice(&[4, 22 + peer.name().len() as u8]);
            inbox.extend_from_slice(b"\x05READY\x0bSocket-Type\0\0\0");
            inbox.extend_from_slice(&[peer.name().len() as u8]);
            inbox.extend_from_slice(peer.name().as_bytes());
        }
        if choice & 7 != 0 && service == Service::Native {
            put(&mut inbox, &Frame::new(hello(choice)));
        }
        let wire = Wire { service, inbox, message: 0, waiting: false, outgoing: Outgoing::new() };
        assert!(self.wires.insert(id.index(), (id, wire)).is_none(), "no two connections have the same index");
        self.read(id.index(), 0);
    }

    /// The peer sends what its kind sends, or rubbish.
    fn send(&mut self, input: &mut Input<'_>) {
        let Some(index) = self.any(input) else { return };
        let Some((_, wire)) = self.wires.get_mut(&index) else { return };
        if wire.inbox.len() > 4096 {
            return;
        }
        let mut message = BytesMut::new();
        if input.below(8) == 0 {
            wire.inbox.extend_from_slice(input.bytes());
            return;
        }
        if wire.service == Service::Native {
            let (header, front_len) = header(input);
            let bytes = payload(input);
            let (front, body) = bytes.split_at(front_len.min(bytes.len()));
            put(&mut wire.inbox, &Frame { header, front, body });
            return;
        }
        match wire.service {
            Service::Pull => {
                let topic = TOPICS[input.below(TOPICS.len())];
                MessageWriter::new(&mut message).client(topic).function("server.foo").payload(&payload(input));
                if input.below(8) == 0 {
                    palm_fuzz::forge(&mut message, input.byte());
                }
            }
            Service::WorkerPull => {
                let Some(assigned) = input.take(&mut self.assigned) else { return };
                message.extend_from_slice(&assigned);
                MessageWriter::appending(&mut message).payload(&payload(input));
                if input.below(8) == 0 {
                    palm_fuzz::forge(&mut message, input.byte());
                }
            }
            Service::Publish => {
                message.extend_from_slice(&[u8::from(input.below(4) != 0)]);
                message.extend_from_slice(TOPICS[input.below(TOPICS.len())].as_bytes());
            }
            Service::Cache => {
                let function = ["x.get", "x.set", "x.delete", "nothing"][input.below(4)];
                let mut writer = MessageWriter::new(&mut message);
                writer.function(function).cache(TOPICS[input.below(TOPICS.len())]).payload(input.bytes());
                wire.inbox.extend_from_slice(&[1, 0]);
            }
            Service::WorkerPush | Service::Native => message.extend_from_slice(input.bytes()),
        }
        wire.inbox.extend_from_slice(&[2]);
        wire.inbox.extend_from_slice(&(message.len() as u64).to_be_bytes());
        wire.inbox.extend_from_slice(&message);
    }

    /// The driver offers `len` bytes more than the message that it was told of, as far as they are there.
    fn read(&mut self, index: usize, len: usize) {
        let Some((id, wire)) = self.wires.get_mut(&index) else { return };
        if wire.waiting {
            return;
        }
        let id = *id;
        let next = if wire.message > 0 && wire.inbox.len() >= wire.message {
            let unit = PooledBuffer::from(wire.inbox.split_to(wire.message).freeze());
            match self.endpoint.handle_message(self.now, id, unit) {
                Ok(next) => {
                    wire.message = 0;
                    next
                }
                Err(unit) => {
                    let rest = std::mem::replace(&mut wire.inbox, BytesMut::from(unit.as_ref()));
                    wire.inbox.extend_from_slice(&rest);
                    Next::Wait
                }
            }
        } else if wire.message > 0 {
            return;
        } else {
            let offered = wire.inbox.len().min(64 + len);
            let progress = self.endpoint.handle_input(self.now, id, &wire.inbox[..offered]);
            assert!(progress.used <= offered);
            let _ = wire.inbox.split_to(progress.used);
            progress.next
        };
        match next {
            Next::Read { message } => wire.message = message,
            Next::Wait => wire.waiting = true,
            Next::Close => {
                self.transmit(index, usize::MAX);
                self.close(index);
            }
        }
    }

    /// The driver takes all that there is, and gets `sent` bytes of it off.
    fn transmit(&mut self, index: usize, sent: usize) {
        let Some((id, wire)) = self.wires.get_mut(&index) else { return };
        while let Some(transmit) = self.endpoint.poll_transmit(self.now, *id) {
            if wire.service == Service::WorkerPush && !transmit.body_bytes().is_empty() {
                let mut message = BytesMut::from(transmit.body_bytes());
                message.extend_from_slice(transmit.after());
                palm_fuzz::assert_only_tags_of_masters(&message);
                self.assigned.push(message.freeze());
            }
            let (before, len) = (wire.outgoing.len(), transmit.len());
            wire.outgoing.push_transmit(transmit, &mut self.spare);
            assert_eq!(wire.outgoing.len(), before + len);
        }
        let sent = sent.min(wire.outgoing.len());
        wire.outgoing.advance(sent, &mut self.spare);
        self.endpoint.handle_sent(*id, sent);
        if self.endpoint.is_closing(*id) && wire.outgoing.is_empty() {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        if let Some((id, _)) = self.wires.remove(&index) {
            self.endpoint.handle_close(self.now, id);
        }
    }

    fn check(&self) {
        let master = self.endpoint.master();
        assert_eq!(self.endpoint.connections(), self.wires.len());
        // Beside the bound: what is on its way out (which was in memory as a message before), and texts of failures.
        let unsent: usize = self.wires.values().map(|(_, wire)| wire.outgoing.len()).sum();
        assert!(master.memory() <= self.memory + unsent as u64 + 8_192, "{}", master.gauges());
        let (counters, gauges) = (master.counters(), master.gauges());
        let given_up = counters.dead_letters + counters.deadline_exceeded + counters.unaddressed + counters.unavailable;
        let answered = counters.answered + given_up + counters.cancelled + counters.unsendable;
        assert_eq!(counters.submitted, answered + (gauges.queued + gauges.leased) as u64);
    }

    /// All peers go, and nothing is left of them.
    fn stop(mut self) {
        self.endpoint.drain();
        while self.endpoint.abandon(self.now, 3) > 0 {
            self.check();
        }
        assert!(self.endpoint.is_idle());
        while let Some((&index, _)) = self.wires.first_key_value() {
            self.close(index);
        }
        // Longer than any lifetime in the cache may be.
        self.now = self.now + Duration::from_millis(u64::from(u32::MAX)) + Duration::from_secs(3600);
        for _ in 0..8 {
            self.endpoint.handle_timeout(self.now);
        }
        assert_eq!((self.endpoint.connections(), self.endpoint.master().memory()), (0, 0));
        assert_eq!(self.endpoint.poll_timeout(), None);
    }
}
