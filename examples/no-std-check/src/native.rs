//! The native protocol on the board: a master in a `static` of 16 KiB, four workers and a client, that exchange frames in memory.

use core::cell::RefCell;

use cortex_m::interrupt::{self, Mutex};
use cortex_m_semihosting::hprintln;
use palm_proto::endpoint::{ConnectionId, Endpoint, EndpointConfig, EndpointTables, NativeEndpoint, Next, Service};
use palm_proto::message::Sink;
use palm_proto::native::{
    ClientEvent, Deframed, FixedClient, FixedWorker, Framing, PeerConfig, SessionId, Submit, WorkerEvent,
};
use palm_proto::{Instant, Seed};

type Name = heapless::String<16>;
type Worker = FixedWorker<Name, 1, 4>;
type Client = FixedClient<heapless::Vec<u8, 16>, 3, 1>;
/// The same as in `examples/custom-runtime`, where pointers are twice as long.
type Master = Endpoint<NativeEndpoint<heapless::Vec<u8, 168>, 4, 8, 6>>;

static MASTER: Mutex<RefCell<Option<Master>>> = Mutex::new(RefCell::new(None));
const _: () = assert!(size_of_val(&MASTER) <= 16 << 10, "the master is too large");

const WORKERS: usize = 4;
const TASKS: u64 = 100;
/// Longest frame that the master takes.
const MAX_FRAME: usize = 72;
/// Longest one that its peers take: it asks whether there is room for the longest header.
const PEER_FRAME: u32 = 128;
const NOW: Instant = Instant::ZERO;

/// What has been sent and not been used yet.
type Pipe = heapless::Vec<u8, 512>;

/// A connection in memory, seen from the peer.
struct Line {
    id: ConnectionId,
    /// To the master.
    out: Pipe,
    /// From it.
    input: Pipe,
}

impl Line {
    fn new(master: &mut Master) -> Self {
        let id = master.handle_accept(NOW, Service::Native).expect("there is room for six");
        Self { id, out: Pipe::new(), input: Pipe::new() }
    }

    /// Moves what there is to move, both ways.
    fn carry(&mut self, master: &mut Master) {
        let progress = master.handle_input(NOW, self.id, &self.out);
        assert_ne!(progress.next, Next::Close);
        take(&mut self.out, progress.used);
        while let Some(transmit) = master.poll_transmit(NOW, self.id) {
            let [a, b, c, d] = transmit.before();
            let parts = [a, b, c, d, transmit.body_bytes(), transmit.after()];
            parts.iter().for_each(|part| self.input.put(part).expect("a pipe has room for a turn"));
            let len = parts.iter().map(|part| part.len()).sum();
            master.handle_sent(self.id, len);
        }
    }
}

/// Takes `count` bytes off the front.
fn take(pipe: &mut Pipe, count: usize) {
    pipe.rotate_left(count);
    pipe.truncate(pipe.len() - count);
}

/// A client has a hundred tasks done by four workers.
pub(crate) fn check() {
    interrupt::free(|section| {
        let config = EndpointConfig { max_message: MAX_FRAME, ..EndpointConfig::default() };
        let tables = EndpointTables::<NativeEndpoint<_, 4, 8, 6>>::fixed();
        let master = Endpoint::new("server", &config, tables, Seed::from_u64(3)).expect("the name fits");
        let mut place = MASTER.borrow(section).borrow_mut();
        exchange(place.insert(master));
    });
    hprintln!("no-std-check: native master of {} bytes, {} tasks", size_of_val(&MASTER), TASKS);
}

fn exchange(master: &mut Master) {
    let mut workers: [(Worker, Line, u32); WORKERS] = core::array::from_fn(|index| {
        let config = PeerConfig::new("worker", "", SessionId([index as u8 + 1; 16]));
        let mut worker = Worker::fixed(PeerConfig { max_frame: PEER_FRAME, ..config });
        worker.handle_connected(NOW);
        (worker, Line::new(master), 0)
    });
    let config = PeerConfig::new("client", "", SessionId([9; 16]));
    let mut client = Client::fixed(PeerConfig { max_frame: PEER_FRAME, ..config }, Seed::from_u64(4));
    client.handle_connected(NOW);
    let mut line = Line::new(master);

    let (mut submitted, mut answered) = (0, 0);
    // Each turn takes some task a step further, and none takes twenty.
    for _ in 0..20 * TASKS {
        turn_client(&mut client, &mut line, &mut submitted, &mut answered);
        line.carry(master);
        for (worker, line, done) in &mut workers {
            turn_worker(worker, line, done);
            line.carry(master);
        }
        while master.poll_ready().is_some() {}
        while master.poll_event().is_some() {}
    }
    assert_eq!((answered, client.pending()), (TASKS, 0));
    let each = workers.each_ref().map(|(_, _, done)| *done);
    assert!(each.iter().all(|&done| done > 0), "each works");
    assert_eq!(each.iter().sum::<u32>(), TASKS as u32);
}

fn turn_client(client: &mut Client, line: &mut Line, submitted: &mut u64, answered: &mut u64) {
    while let Deframed::Frame { used, frame } = Framing::Stream.handle_input(&line.input, &mut [], PEER_FRAME) {
        match client.handle_frame(NOW, frame).expect("the master keeps to the protocol") {
            Some(ClientEvent::Result { key, payload, last: true, .. }) => {
                assert_eq!(payload, [!(key as u8); 40]);
                *answered += 1;
            }
            Some(ClientEvent::Connected { .. } | ClientEvent::Window) | None => {}
            Some(other) => panic!("{other:?}"),
        }
        take(&mut line.input, used);
    }
    client.acknowledge();
    while let Some(frame) = client.poll_transmit() {
        Framing::Stream.encode(&frame, &mut line.out).expect("a pipe has room for a turn");
    }
    while *submitted < TASKS && client.is_connected() && client.has_room() {
        let payload = [*submitted as u8; 40];
        let task = client.submit(*submitted, &Submit::new("server.invert", &payload)).expect("there is room");
        for frame in task.frames() {
            Framing::Stream.encode(&frame, &mut line.out).expect("a pipe has room for a turn");
        }
        *submitted += 1;
    }
}

fn turn_worker(worker: &mut Worker, line: &mut Line, done: &mut u32) {
    let Line { input, out, .. } = line;
    while let Deframed::Frame { used, frame } = Framing::Stream.handle_input(input, &mut [], PEER_FRAME) {
        let event = worker.handle_frame(NOW, frame).expect("the master keeps to the protocol");
        if let Some(WorkerEvent::Task(task)) = event {
            assert_eq!(task.function.map(Name::as_str), Some("server.invert"));
            let id = task.id;
            let mut result: heapless::Vec<u8, MAX_FRAME> = heapless::Vec::new();
            result.extend(task.payload.iter().map(|byte| !byte));
            let frame = worker.done(id, &result).expect("it has the task");
            Framing::Stream.encode(&frame, out).expect("a pipe has room for a turn");
            *done += 1;
        }
        take(input, used);
    }
    while let Some(frame) = worker.poll_transmit() {
        Framing::Stream.encode(&frame, out).expect("a pipe has room for a turn");
    }
}
