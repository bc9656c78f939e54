//! A master with tables of a fixed size, and native workers and clients of which some keep to the protocol and some do not, over
//! connections that break anywhere: what it says can be read and keeps to the protocol; a task has one last result at most, for
//! the session that submitted it and by a worker that was given it; and nothing is left of those who are gone.
#![no_main]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_fuzz::native::{HONEST, MARK, Model, Peer, hello, hostile_frame, put};
use palm_proto::cache::CacheLimits;
use palm_proto::endpoint::{Endpoint, EndpointConfig, EndpointTables, FixedEndpoint, Next, Service};
use palm_proto::master::MasterConfig;
use palm_proto::native::{Alias, Role, Streamed, ToMaster, decode_stream};
use palm_proto::{Instant, Seed};

const TASKS: usize = 8;
const PEERS: usize = 6;
const MEMORY: u64 = 16_000;

/// Of a task for a long name that comes in the longest frame it cannot hold the message.
type Storage = FixedEndpoint<heapless::Vec<u8, 512>, TASKS, PEERS>;

struct World {
    endpoint: Endpoint<Storage>,
    now: Instant,
    peers: BTreeMap<usize, Peer>,
    model: Model,
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let options = input.byte();
    let mut world = World::new(options);
    while !input.is_used_up() {
        world.step(&mut input);
        world.check();
    }
    world.leave();
    static ROOM: OnceLock<(usize, usize)> = OnceLock::new();
    let room = *ROOM.get_or_init(|| World::new(0).room());
    assert_eq!(world.room(), room, "there is as much room as in a new one");
});

impl World {
    fn new(options: u8) -> Self {
        let config = EndpointConfig {
            master: MasterConfig {
                memory: MEMORY,
                window: (options & 1 == 0).then_some(2),
                lease: (options & 2 == 0).then_some(Duration::from_millis(100)),
                keep: Duration::from_millis(500),
                ..MasterConfig::default()
            },
            cache: CacheLimits { entries: 4, bytes: 500, key: 40, value: 200 },
            handshake_timeout: Duration::from_millis(300),
            heartbeat: Duration::from_millis(200),
            partial_timeout: Duration::from_millis(400),
            ..EndpointConfig::default()
        };
        let seed = Seed::from_u64(u64::from(options));
        let mut endpoint =
            Endpoint::new("server", &config, EndpointTables::<Storage>::fixed(), seed).expect("the name fits");
        endpoint.cache().preset(b"name", b"server").expect("an empty cache has room");
        Self { endpoint, now: Instant::ZERO, peers: BTreeMap::new(), model: Model::default() }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 | 1 => self.accept(input),
            2..=8 => {
                let Some(index) = self.any(input) else { return };
                let Some(peer) = self.peers.get_mut(&index) else { return };
                if peer.inbox.len() < 4096 {
                    if peer.honest { peer.act(&mut self.model, input) } else { hostile_frame(peer, input) }
                }
                if input.below(4) != 0 {
                    self.read(index, usize::MAX);
                }
            }
            9 => {
                let len = usize::from(input.byte()) + 1;
                if let Some(index) = self.any(input) {
                    self.read(index, len);
                }
            }
            10..=12 => {
                if let Some(index) = self.any(input) {
                    let sent = 8 * usize::from(input.byte());
                    self.transmit(index, sent);
                }
            }
            13 => {
                if let (Some(index), 0) = (self.any(input), input.below(3)) {
                    self.close(index);
                }
            }
            14 => {
                self.now = self.now + Duration::from_millis(u64::from(input.byte()));
                self.endpoint.handle_timeout(self.now);
            }
            _ => {
                self.wake();
                if input.below(32) == 31 {
                    self.endpoint.abandon(self.now, 1);
                }
            }
        }
    }

    fn wake(&mut self) {
        while let Some(id) = self.endpoint.poll_ready() {
            if let Some(peer) = self.peers.get_mut(&id.index()) {
                peer.waiting = false;
                self.read(id.index(), usize::MAX);
            }
            if self.peers.contains_key(&id.index()) {
                self.transmit(id.index(), usize::MAX);
            }
        }
        while self.endpoint.poll_event().is_some() {}
    }

    fn any(&self, input: &mut Input<'_>) -> Option<usize> {
        let indices: Vec<usize> = self.peers.keys().copied().collect();
        input.pick(&indices)
    }

    fn accept(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.endpoint.handle_accept(self.now, Service::Native) else {
            assert_eq!(self.peers.len(), PEERS);
            return;
        };
        let peer = Peer::new(id, &mut self.model, input);
        assert!(self.peers.insert(id.index(), peer).is_none(), "no two connections have the same index");
        self.read(id.index(), usize::MAX);
    }

    /// The driver offers at most `len` bytes, or the whole message that it was told of.
    fn read(&mut self, index: usize, len: usize) {
        let Some(peer) = self.peers.get_mut(&index) else { return };
        if peer.waiting || (peer.message > peer.inbox.len()) {
            return;
        }
        let next = if peer.message > 0 {
            let Ok(unit) = heapless::Vec::from_slice(&peer.inbox[..peer.message]) else {
                // A driver that has no such buffer can only give the connection up.
                return self.close(index);
            };
            match self.endpoint.handle_message(self.now, peer.id, unit) {
                Ok(next) => {
                    peer.inbox.advance(peer.message);
                    peer.used += peer.message as u64;
                    peer.message = 0;
                    next
                }
                Err(_) => Next::Wait,
            }
        } else {
            let offered = peer.inbox.len().min(len);
            let progress = self.endpoint.handle_input(self.now, peer.id, &peer.inbox[..offered]);
            assert!(progress.used <= offered);
            peer.inbox.advance(progress.used);
            peer.used += progress.used as u64;
            progress.next
        };
        self.model.read_up_to(peer);
        match next {
            Next::Read { message } => peer.message = message,
            Next::Wait => peer.waiting = true,
            Next::Close => {
                self.transmit(index, usize::MAX);
                self.close(index);
            }
        }
    }

    /// The peer hears all that there is; `sent` bytes of it are told as sent.
    fn transmit(&mut self, index: usize, sent: usize) {
        let Some(peer) = self.peers.get_mut(&index) else { return };
        let mut said = BytesMut::new();
        while let Some(transmit) = self.endpoint.poll_transmit(self.now, peer.id) {
            let before = said.len();
            transmit.before().iter().for_each(|part| said.extend_from_slice(part));
            said.extend_from_slice(transmit.body_bytes());
            said.extend_from_slice(transmit.after());
            assert_eq!(said.len() - before, transmit.len());
        }
        peer.unsent += said.len();
        while !said.is_empty() {
            match decode_stream(&said, u32::MAX) {
                Ok(Streamed::Frame { used, range }) => {
                    peer.hear(&mut self.model, &said[range]);
                    said.advance(used);
                }
                Ok(Streamed::Skipped { used }) => said.advance(used),
                other => panic!("{other:?}: it is whole"),
            }
        }
        let sent = sent.min(peer.unsent);
        peer.unsent -= sent;
        let (id, unsent) = (peer.id, peer.unsent);
        self.endpoint.handle_sent(id, sent);
        if self.endpoint.is_closing(id) && unsent == 0 {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        if let Some(peer) = self.peers.remove(&index) {
            self.endpoint.handle_close(self.now, peer.id);
            self.model.on_closed(peer);
        }
    }

    fn check(&self) {
        let master = self.endpoint.master();
        assert_eq!(self.endpoint.connections(), self.peers.len());
        // Beside the bound: what is on its way out (which was in memory as a message before), and texts of failures.
        let unsent: usize = self.peers.values().map(|peer| peer.unsent).sum();
        assert!(master.memory() <= MEMORY + unsent as u64 + 8_192, "{}", master.gauges());
        let (counters, gauges) = (master.counters(), master.gauges());
        assert!(gauges.queued + gauges.leased <= TASKS && gauges.workers + gauges.subscribers <= self.peers.len());
        let given_up = counters.dead_letters + counters.deadline_exceeded + counters.unaddressed + counters.unavailable;
        let answered = counters.answered + given_up + counters.cancelled + counters.unsendable;
        assert_eq!(counters.submitted, answered + (gauges.queued + gauges.leased) as u64);
    }

    /// All peers go, and time passes.
    fn leave(&mut self) {
        while let Some((&index, _)) = self.peers.first_key_value() {
            self.close(index);
        }
        while self.endpoint.abandon(self.now, 3) > 0 {
            self.check();
        }
        assert!(self.endpoint.is_idle());
        // Longer than any lifetime in the cache may be.
        self.now = self.now + Duration::from_millis(u64::from(u32::MAX)) + Duration::from_secs(3600);
        for _ in 0..8 {
            self.endpoint.handle_timeout(self.now);
        }
        self.wake();
        assert_eq!((self.endpoint.connections(), self.endpoint.master().memory()), (0, 0));
        assert_eq!(self.endpoint.poll_timeout(), None);
    }

    /// How many clients there is room for, and how many tasks of theirs.
    fn room(&mut self) -> (usize, usize) {
        let alias = Alias::new(0).expect("0 is an alias");
        for client in 0..PEERS {
            let Some(id) = self.endpoint.handle_accept(self.now, Service::Native) else { break };
            let mut inbox = BytesMut::new();
            put(&mut inbox, hello(Role::Client, [client as u8; 16], 8, false, 0), b"", b"");
            self.endpoint.handle_input(self.now, id, &inbox);
            while self.endpoint.poll_transmit(self.now, id).is_some() {}
            inbox.clear();
            put(&mut inbox, ToMaster::Function { alias }, b"", b"s.f");
            for sequence in 0..TASKS as u64 {
                put(&mut inbox, ToMaster::Submit { sequence, function: alias }, b"", &[MARK]);
            }
            self.endpoint.handle_input(self.now, id, &inbox);
        }
        let gauges = self.endpoint.master().gauges();
        assert!(gauges.subscribers > HONEST);
        (gauges.subscribers, gauges.queued)
    }
}
