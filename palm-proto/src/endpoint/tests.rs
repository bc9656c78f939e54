//! An endpoint with peers that speak ZMTP through connections of their own, in virtual time.

use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::cache::CacheLimits;
use crate::master::{MasterConfig, TableSizes};
use crate::message::{MessageRef, MessageWriter};
use crate::native::When;
use crate::random::Seed;
use crate::zmtp::{CONTROL_MAX, Connection, Decoded, Limits, SocketType, frame_header};
use crate::{Buffer, Instant};

mod crowd;
mod identity;

struct Bench {
    endpoint: Endpoint<HeapEndpoint>,
    now: Instant,
}

/// The other end of a connection.
struct End {
    id: ConnectionId,
    zmtp: Connection,
    /// What it has received and not looked at.
    input: Vec<u8>,
    /// Messages that it has received, as frames.
    messages: Vec<Vec<Vec<u8>>>,
    frames: Vec<Vec<u8>>,
    next: Next,
}

fn config() -> EndpointConfig {
    EndpointConfig { cache: CacheLimits { entries: 16, ..CacheLimits::default() }, ..EndpointConfig::default() }
}

fn bench(config: &EndpointConfig) -> Bench {
    let sizes = TableSizes { tasks: 64, peers: 16, subscriptions: 16 };
    let mut endpoint = Endpoint::new("server", config, heap_tables(&sizes, 16), Seed::from_u64(3)).unwrap();
    endpoint.cache().preset(b"name", b"server").unwrap();
    Bench { endpoint, now: Instant::from_millis(1) }
}

impl Bench {
    fn join(&mut self, service: Service, socket: SocketType) -> End {
        self.join_as(service, socket, "")
    }

    /// The same with an identity.
    fn join_as(&mut self, service: Service, socket: SocketType, identity: &str) -> End {
        self.join_with(service, socket, identity, Source::LOCAL).unwrap()
    }

    /// The same from elsewhere. `None` if the connection is not taken.
    fn join_from(&mut self, service: Service, socket: SocketType, source: Source) -> Option<End> {
        self.join_with(service, socket, "", source)
    }

    fn join_with(&mut self, service: Service, socket: SocketType, identity: &str, source: Source) -> Option<End> {
        let id = self.endpoint.handle_accept_from(self.now, service, source)?;
        let zmtp = Connection::new(socket, Limits::default()).with_identity(identity.as_bytes()).unwrap();
        let mut end = End {
            id,
            zmtp,
            input: Vec::new(),
            messages: Vec::new(),
            frames: Vec::new(),
            next: Next::Read { message: 0 },
        };
        for _ in 0..3 {
            self.pump(&mut end);
        }
        assert!(end.zmtp.is_ready());
        Some(end)
    }

    /// Moves bytes both ways until neither side has more to say.
    fn pump(&mut self, end: &mut End) {
        let mut control = [0; CONTROL_MAX];
        loop {
            let mut moved = end.zmtp.poll_transmit(&mut control);
            self.send(end, &control[..moved]);
            while let Some(transmit) = self.endpoint.poll_transmit(self.now, end.id) {
                for part in transmit.before() {
                    end.input.extend_from_slice(part);
                }
                end.input.extend_from_slice(transmit.body_bytes());
                end.input.extend_from_slice(transmit.after());
                let len = transmit.len();
                moved += len;
                self.endpoint.handle_sent(end.id, len);
            }
            end.look();
            while self.endpoint.poll_ready().is_some() {}
            if moved == 0 {
                return;
            }
        }
    }

    /// Hands bytes over as a driver does: what could not be used is offered again.
    fn send(&mut self, end: &mut End, bytes: &[u8]) -> usize {
        let progress = self.endpoint.handle_input(self.now, end.id, bytes);
        end.next = progress.next;
        progress.used
    }

    fn send_message(&mut self, end: &mut End, body: &[u8]) -> usize {
        let mut wire = frame_header(body.len(), false).as_ref().to_vec();
        wire.extend_from_slice(body);
        self.send(end, &wire)
    }

    fn subscribe(&mut self, end: &mut End, topic: &str) {
        let mut wire = end.zmtp.subscribe_header(topic.len()).as_ref().to_vec();
        wire.extend_from_slice(topic.as_bytes());
        self.send(end, &wire);
    }

    fn request(&mut self, end: &mut End, function: &str, key: &str, payload: &[u8]) -> String {
        let mut wire = frame_header(0, true).as_ref().to_vec();
        let body = message(|w| {
            w.function(function).cache(key).payload(payload);
        });
        wire.extend_from_slice(frame_header(body.len(), false).as_ref());
        wire.extend_from_slice(&body);
        assert_eq!(self.send(end, &wire), wire.len());
        self.pump(end);
        let reply = end.messages.pop().expect("every request has a reply");
        assert_eq!((reply.len(), reply[0].len()), (2, 0), "an empty frame, and the reply");
        String::from_utf8(reply[1].clone()).unwrap()
    }

    fn events(&mut self) -> Vec<EndpointEvent> {
        core::iter::from_fn(|| self.endpoint.poll_event())
            .filter(|event| !matches!(event, EndpointEvent::Joined { .. }))
            .collect()
    }
}

impl End {
    fn look(&mut self) {
        loop {
            match self.zmtp.handle_input(&self.input).unwrap() {
                Decoded::Incomplete { .. } => return,
                Decoded::Consumed { used } | Decoded::Ready { used, .. } => drop(self.input.drain(..used)),
                Decoded::Subscribe { used, .. } | Decoded::Cancel { used, .. } => drop(self.input.drain(..used)),
                Decoded::Frame { used, body, more } => {
                    self.frames.push(self.input[body].to_vec());
                    self.input.drain(..used);
                    if !more {
                        self.messages.push(std::mem::take(&mut self.frames));
                    }
                }
            }
        }
    }
}

fn message(write: impl FnOnce(&mut MessageWriter<'_, bytes::BytesMut>)) -> Bytes {
    let mut out = bytes::BytesMut::new();
    write(&mut MessageWriter::new(&mut out));
    out.freeze()
}

fn work(client: &str, payload: &[u8]) -> Bytes {
    message(|w| {
        w.client(client).function("server.f").payload(payload);
    })
}

#[test]
fn a_message_goes_out_and_its_result_home() {
    let mut bench = bench(&config());
    let mut home = bench.join(Service::Publish, SocketType::Sub);
    bench.subscribe(&mut home, "me");
    let mut work_in = bench.join(Service::WorkerPush, SocketType::Pull);
    let mut work_out = bench.join(Service::WorkerPull, SocketType::Push);
    let mut client = bench.join(Service::Pull, SocketType::Push);
    bench.send_message(&mut client, &work("me", b"hello"));
    bench.pump(&mut work_in);
    let taken = work_in.messages.pop().unwrap().pop().unwrap();
    assert_eq!(MessageRef::parse(&taken).unwrap().cache.len(), 36, "the master fills an empty cache field");
    bench.send_message(&mut work_out, &taken);
    bench.pump(&mut home);
    let frames = home.messages.pop().unwrap();
    assert_eq!(frames[0], b"me");
    let result = MessageRef::parse(&frames[1]).unwrap();
    assert_eq!((result.payload, result.extension.task), (&b"hello"[..], None));
    assert_eq!(bench.endpoint.master().memory(), 0);
}

#[test]
fn the_cache_answers_whatever_it_is_asked() {
    let mut bench = bench(&config());
    let mut peer = bench.join(Service::Cache, SocketType::Req);
    assert_eq!(bench.request(&mut peer, "x.get", "", b"name"), "server");
    assert_eq!(bench.request(&mut peer, "x.set", "k", b"v"), "k");
    assert_eq!(bench.request(&mut peer, "x.get", "", b"k"), "v");
    assert_eq!(bench.request(&mut peer, "x.delete", "", b"k"), "k");
    assert_eq!(bench.request(&mut peer, "x.delete", "", b"k"), "k");
    assert_eq!(bench.request(&mut peer, "get", "", b"name"), "");
    assert_eq!(bench.request(&mut peer, "x.set", "name", b"mine"), "name");
    assert_eq!(bench.request(&mut peer, "x.get", "", b"name"), "server");
    assert_eq!(bench.endpoint.counters().cache_faults, 2);
}

#[test]
fn what_has_a_lifetime_is_gone_when_it_is_over_and_a_timeout_brings_its_memory_back() {
    let mut bench = bench(&config());
    let mut peer = bench.join(Service::Cache, SocketType::Req);
    let before = bench.endpoint.cache().bytes();
    let lifetime = Duration::from_millis(50);
    bench.endpoint.cache().set_when(bench.now, b"k", b"v", Some(lifetime), When::Absent).unwrap();
    assert_eq!(bench.request(&mut peer, "x.get", "", b"k"), "v");
    let due = bench.endpoint.poll_timeout().unwrap();
    assert!(due >= bench.now + lifetime && due < bench.now + Duration::from_secs(1));
    bench.endpoint.handle_timeout(due);
    assert_eq!(bench.endpoint.cache().bytes(), before);

    bench.now = due;
    bench.endpoint.cache().set_when(bench.now, b"k", b"v", Some(lifetime), When::Absent).unwrap();
    bench.now = bench.now + lifetime;
    assert_eq!(bench.request(&mut peer, "x.get", "", b"k"), "");
}

#[test]
fn two_requests_at_once_have_a_reply_each() {
    let mut bench = bench(&config());
    let mut peer = bench.join(Service::Cache, SocketType::Dealer);
    let body = message(|w| {
        w.function("x.get").payload(b"name");
    });
    let mut wire = Vec::new();
    for _ in 0..2 {
        wire.extend_from_slice(frame_header(0, true).as_ref());
        wire.extend_from_slice(frame_header(body.len(), false).as_ref());
        wire.extend_from_slice(&body);
    }
    let used = bench.send(&mut peer, &wire);
    assert!(used < wire.len(), "the second waits until the first reply has left");
    bench.pump(&mut peer);
    assert_eq!(bench.send(&mut peer, &wire[used..]), wire.len() - used);
    bench.pump(&mut peer);
    assert_eq!(peer.messages.len(), 2);
}

#[test]
fn who_breaks_the_protocol_is_closed_and_others_are_served() {
    let mut bench = bench(&config());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], b"\x16\x03\x01"] {
        let id = bench.endpoint.handle_accept(bench.now, Service::Pull).unwrap();
        let progress = bench.endpoint.handle_input(bench.now, id, garbage);
        assert_eq!(progress.next, Next::Close, "{garbage:?}");
        bench.endpoint.handle_close(bench.now, id);
    }
    let mut client = bench.join(Service::Pull, SocketType::Push);
    bench.send(&mut client, b"\x02\x00\x00\x00\x10\x00\x00\x00\x00");
    assert_eq!(client.next, Next::Close, "a frame of 64 GiB");
    bench.endpoint.handle_close(bench.now, client.id);
    assert_eq!((bench.endpoint.counters().protocol_errors, bench.endpoint.connections()), (4, 0));
    let mut peer = bench.join(Service::Cache, SocketType::Req);
    assert_eq!(bench.request(&mut peer, "x.get", "", b"name"), "server");
}

#[test]
fn what_is_no_message_is_thrown_away_and_the_connection_stays() {
    let mut bench = bench(&config());
    let mut client = bench.join(Service::Pull, SocketType::Push);
    assert_eq!(bench.send_message(&mut client, b"\xff\xff"), 4);
    bench.send(&mut client, b"\x01\x01a\x00\x01b");
    bench.send_message(&mut client, &work("me", b"hello"));
    assert_eq!(client.next, Next::Read { message: 0 });
    let counters = bench.endpoint.master().counters();
    assert_eq!((counters.malformed, bench.endpoint.counters().multipart, counters.submitted), (1, 1, 1));
}

#[test]
fn a_large_message_is_announced_counted_and_taken_in_a_buffer_of_its_own() {
    let mut bench = bench(&config());
    let mut client = bench.join(Service::Pull, SocketType::Push);
    let body = work("me", &[7; 100_000]);
    let mut wire = frame_header(body.len(), false).as_ref().to_vec();
    wire.extend_from_slice(&body);
    assert_eq!(bench.send(&mut client, &wire[..1_000]), 0);
    assert_eq!(client.next, Next::Read { message: wire.len() });
    assert_eq!(bench.endpoint.master().memory(), wire.len() as u64);
    let next = bench.endpoint.handle_message(bench.now, client.id, Bytes::from(wire)).unwrap();
    assert_eq!((next, bench.endpoint.master().counters().submitted), (Next::Read { message: 0 }, 1));
}

#[test]
fn at_its_bound_a_sender_waits_and_goes_on_when_there_is_room() {
    let master = MasterConfig { memory: 100_000, ..MasterConfig::default() };
    let mut bench = bench(&EndpointConfig { master, ..config() });
    let mut client = bench.join(Service::Pull, SocketType::Push);
    let body = work("me", &[7; 5_000]);
    let mut sent = 0;
    while bench.send_message(&mut client, &body) > 0 {
        sent += 1;
    }
    assert_eq!(client.next, Next::Wait);
    assert!((8..=10).contains(&sent), "about half is left to others: {sent}");
    let mut other = bench.join(Service::Pull, SocketType::Push);
    assert!(bench.send_message(&mut other, &body) > 0);
    let mut work_in = bench.join(Service::WorkerPush, SocketType::Pull);
    let mut work_out = bench.join(Service::WorkerPull, SocketType::Push);
    let mut home = bench.join(Service::Publish, SocketType::Sub);
    bench.subscribe(&mut home, "me");
    for _ in 0..=sent {
        bench.pump(&mut work_in);
        for frames in std::mem::take(&mut work_in.messages) {
            bench.send_message(&mut work_out, &frames[0]);
        }
        bench.pump(&mut home);
    }
    assert_eq!(home.messages.len(), sent + 1);
    assert!(bench.send_message(&mut client, &body) > 0);
}

#[test]
fn large_messages_that_do_not_end_leave_room_for_others() {
    const MIB: usize = 1 << 20;
    let config = EndpointConfig { master: MasterConfig { memory: 64 << 20, ..MasterConfig::default() }, ..config() };
    let mut bench = bench(&config);
    let begin = |bench: &mut Bench, size: usize| {
        let mut end = bench.join(Service::WorkerPull, SocketType::Push);
        bench.send(&mut end, frame_header(size, false).as_ref());
        end.next
    };
    let waiting = (0..8).filter(|_| begin(&mut bench, 15 * MIB) == Next::Wait).count();
    assert!(waiting >= 7, "one at a time of this size: {waiting}");
    assert_ne!(begin(&mut bench, MIB), Next::Wait, "a smaller one finds room");
    let mut sender = bench.join(Service::Pull, SocketType::Push);
    let body = work("me", &[7; 1000]);
    assert_eq!(bench.send_message(&mut sender, &body), body.len() + frame_header(body.len(), false).as_ref().len());
    assert!(bench.endpoint.master().memory() < 32 << 20);
}

#[test]
fn a_handshake_that_does_not_end_and_a_peer_that_falls_silent_are_closed() {
    let mut bench = bench(&config());
    let half = bench.endpoint.handle_accept(bench.now, Service::Pull).unwrap();
    let mut quiet = bench.join(Service::WorkerPush, SocketType::Pull);
    bench.now = bench.endpoint.poll_timeout().unwrap();
    assert_eq!(bench.now, Instant::from_millis(1) + config().heartbeat);
    bench.endpoint.handle_timeout(bench.now);
    let ping = bench.endpoint.poll_transmit(bench.now, quiet.id).expect("it is asked whether it lives");
    assert!(ping.before()[0].windows(4).any(|bytes| bytes == b"PING"));
    let len = ping.len();
    bench.endpoint.handle_sent(quiet.id, len);
    bench.now = bench.now + config().heartbeat;
    bench.endpoint.handle_timeout(bench.now);
    assert!(bench.endpoint.is_closing(half) && !bench.endpoint.is_closing(quiet.id));
    bench.now = bench.now + config().heartbeat;
    bench.endpoint.handle_timeout(bench.now);
    assert!(bench.endpoint.is_closing(quiet.id));
    bench.pump(&mut quiet);
    let faults: Vec<String> = bench
        .events()
        .iter()
        .map(|event| match event {
            EndpointEvent::Fault { fault, .. } => fault.to_string(),
            other => std::format!("{other:?}"),
        })
        .collect();
    assert_eq!(faults, ["the handshake was not over in time", "the peer fell silent"]);
}

#[test]
fn a_peer_that_answers_pings_stays() {
    let mut bench = bench(&config());
    let mut peer = bench.join(Service::WorkerPush, SocketType::Pull);
    for _ in 0..10 {
        bench.now = bench.endpoint.poll_timeout().unwrap();
        bench.endpoint.handle_timeout(bench.now);
        bench.pump(&mut peer);
    }
    assert!(!bench.endpoint.is_closing(peer.id));
    assert!(bench.now - Instant::ZERO > Duration::from_secs(40));
}

#[test]
fn a_worker_that_takes_slowly_what_it_is_sent_is_not_silent() {
    let mut bench = bench(&config());
    let mut client = bench.join(Service::Pull, SocketType::Push);
    let worker = bench.join(Service::WorkerPush, SocketType::Pull);
    bench.send_message(&mut client, &work("me", &[7; 50_000]));
    let len = bench.endpoint.poll_transmit(bench.now, worker.id).expect("the message").len();
    // It takes 1000 bytes in each turn of the timer, and then nothing.
    for _ in 0..len / 1_000 {
        assert!(!bench.endpoint.is_closing(worker.id));
        bench.endpoint.handle_sent(worker.id, 1_000);
        bench.now = bench.now + config().heartbeat * 2;
        bench.endpoint.handle_timeout(bench.now);
        bench.pump(&mut client);
    }
    let stalled = bench.now;
    while !bench.endpoint.is_closing(worker.id) {
        bench.now = bench.endpoint.poll_timeout().unwrap();
        bench.endpoint.handle_timeout(bench.now);
        bench.pump(&mut client);
    }
    assert!(bench.now - stalled <= config().heartbeat * 6);
}

#[test]
fn a_subscriber_that_reads_nothing_is_left_to_tcp() {
    let mut bench = bench(&config());
    let sub = bench.join(Service::Publish, SocketType::Sub);
    for _ in 0..100 {
        bench.now = bench.now + config().heartbeat;
        bench.endpoint.handle_timeout(bench.now);
    }
    assert!(!bench.endpoint.is_closing(sub.id));
}

#[test]
fn a_message_that_goes_on_coming_has_time() {
    let mut bench = bench(&config());
    let client = bench.join(Service::Pull, SocketType::Push);
    let unit = [frame_header(100_000, false).as_ref(), &[0; 100_000]].concat();
    let progress = bench.endpoint.handle_input(bench.now, client.id, &unit[..10]);
    assert_eq!(progress.next, Next::Read { message: unit.len() });
    for _ in 0..5 {
        bench.now = bench.now + config().partial_timeout / 2;
        bench.endpoint.handle_part(bench.now, client.id);
        bench.endpoint.handle_timeout(bench.now);
        assert!(!bench.endpoint.is_closing(client.id));
    }
    bench.now = bench.now + config().partial_timeout;
    bench.endpoint.handle_timeout(bench.now);
    assert!(bench.endpoint.is_closing(client.id));
}

#[test]
fn clients_leave_some_connections_to_workers() {
    let mut bench = bench(&config());
    while bench.endpoint.handle_accept(bench.now, Service::Pull).is_some() {}
    assert!(bench.endpoint.handle_accept(bench.now, Service::Cache).is_none());
    bench.join(Service::WorkerPush, SocketType::Pull);
    bench.join(Service::WorkerPull, SocketType::Push);
    assert!(bench.endpoint.handle_accept(bench.now, Service::WorkerPull).is_none());
}

#[test]
fn a_worker_says_how_many_messages_it_works_on() {
    let mut bench = bench(&config());
    let id = bench.endpoint.handle_accept(bench.now, Service::WorkerPush).unwrap();
    let mut hello = Vec::new();
    let mut control = [0; CONTROL_MAX];
    let mut zmtp = Connection::new(SocketType::Pull, Limits::default());
    let len = zmtp.poll_transmit(&mut control);
    hello.extend_from_slice(&control[..len]);
    hello.extend_from_slice(
        b"\x04\x34\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL\x08Identity\x00\x00\x00\x0dpalm;jobs=7;x",
    );
    let progress = bench.endpoint.handle_input(bench.now, id, &hello);
    assert_eq!(progress, Progress { used: hello.len(), next: Next::Read { message: 0 } });
    let mut client = bench.join(Service::Pull, SocketType::Push);
    for _ in 0..10 {
        bench.send_message(&mut client, &work("me", b"x"));
    }
    assert_eq!(bench.endpoint.master().gauges().leased, 7);
}

#[test]
fn buffers_of_a_fixed_size_do_as_well() {
    type Small = heapless::Vec<u8, 256>;
    let tables = EndpointTables::<FixedEndpoint<Small, 4, 4>>::fixed();
    let mut endpoint = Endpoint::new("server", &config(), tables, Seed::from_u64(1)).unwrap();
    assert!(Small::copy_from(&[0; 300]).is_none());
    let ids: Vec<_> = core::iter::from_fn(|| endpoint.handle_accept(Instant::ZERO, Service::Cache)).collect();
    assert_eq!((ids.len(), endpoint.counters().refused), (4, 1));
    for id in ids {
        endpoint.handle_close(Instant::ZERO, id);
    }
    assert_eq!(endpoint.connections(), 0);
}
