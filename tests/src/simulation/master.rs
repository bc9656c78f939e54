//! The master: the real [`Endpoint`], driven as the transport drives it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::buffer::Buffer;
use palm_proto::endpoint::{
    ConnectionId, Endpoint, EndpointConfig, EndpointEvent, Fault, HeapEndpoint, Next, Outlet, Service, Transmit,
    heap_tables,
};
use palm_proto::master::TableSizes;
use palm_proto::native::RefusalCode;
use palm_proto::random::Seed;
use palm_proto::{Instant, RawMessage};

use super::context::Context;
use super::ledger::{HEAD, Key, read};
use super::network::{Read, Side};
use super::queue::Event;
use super::witness::{Rules, Witness};

/// A master with its connections.
#[derive(Debug)]
pub(super) struct MasterNode {
    /// The machine.
    pub(super) endpoint: Endpoint<HeapEndpoint>,
    /// By [`ConnectionId::index`].
    connections: Vec<Option<Connection>>,
    /// By number of the link.
    by_link: Vec<Option<ConnectionId>>,
    /// Connections to look at.
    work: VecDeque<ConnectionId>,
    /// When its timer goes off.
    timer_at: Option<Instant>,
    config: EndpointConfig,
    /// Messages from this length on are handed over in a buffer of their own.
    own_buffer_from: usize,
    /// The longest message that any peer sends.
    longest: usize,
    /// Bytes read at a time, at most.
    pieces: usize,
    /// The most memory that was held.
    pub(super) peak: u64,
    sizes: TableSizes,
    /// What native peers and the master say to each other.
    witness: Witness,
    /// Nobody is let in before.
    down_until: Instant,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    link: usize,
    service: Service,
    outgoing: VecDeque<u8>,
    pending: Vec<u8>,
    message: usize,
    state: State,
    /// Bytes of the input that the endpoint has used.
    consumed: u64,
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Waiting,
    Closing,
}

impl MasterNode {
    /// A master of these dimensions. No peer sends messages of more than `longest` bytes.
    pub(super) fn new(
        context: &mut Context,
        config: EndpointConfig,
        sizes: TableSizes,
        longest: usize,
        rules: Option<Rules>,
    ) -> Self {
        let endpoint = start(context, &config, &sizes, rules.is_some());
        let pieces = if context.dice.chance(300) { context.dice.spread(1, 4_096) } else { 256 << 10 };
        Self {
            endpoint,
            connections: Vec::new(),
            by_link: Vec::new(),
            work: VecDeque::new(),
            timer_at: None,
            config,
            own_buffer_from: context.dice.spread(64, 64 << 10),
            longest,
            pieces,
            peak: 0,
            sizes,
            witness: Witness::new(rules.unwrap_or(Rules {
                lease: true,
                claims: false,
                quiet: false,
                keep: Duration::ZERO,
            })),
            down_until: Instant::ZERO,
        }
    }

    /// The master's process is killed, with all that it has; another lets peers in from `back` on.
    pub(super) fn restart(&mut self, context: &mut Context, back: Instant) {
        let now = context.now;
        context.trace.note(now, "the master starts anew", &[]);
        let all: Vec<_> = self.by_link.iter().flatten().copied().collect();
        for id in all {
            if let Some(connection) = &self.connections[id.index()]
                && context.dice.chance(500)
            {
                let Context { network, queue, dice, .. } = context;
                network.cut(queue, dice, now, connection.link);
            }
            self.close(context, id);
        }
        self.work.clear();
        self.connections.clear();
        self.endpoint = start(context, &self.config, &self.sizes, true);
        self.witness = self.witness.afresh();
        self.down_until = back;
        self.run(context);
    }

    /// A peer's call arrives.
    pub(super) fn handle_accept(&mut self, context: &mut Context, link: usize) {
        let now = context.now;
        let service = context.network.link(link).service;
        let up = now >= self.down_until;
        let Some(id) = up.then(|| self.endpoint.handle_accept(now, service)).flatten() else {
            context.trace.note(now, "connection {} is refused", &[link as u64]);
            context.network.close(&mut context.queue, now, link, Side::Master);
            context.settle_link(link);
            return;
        };
        context.trace.note(now, "connection {} is accepted as {}", &[link as u64, id.index() as u64]);
        if self.connections.len() <= id.index() {
            self.connections.resize_with(id.index() + 1, || None);
        }
        if self.by_link.len() <= link {
            self.by_link.resize(link + 1, None);
        }
        self.by_link[link] = Some(id);
        self.connections[id.index()] = Some(Connection {
            id,
            link,
            service,
            outgoing: VecDeque::new(),
            pending: Vec::new(),
            message: 0,
            state: State::Reading,
            consumed: 0,
            queued: false,
        });
        self.look_at(id);
        self.run(context);
    }

    /// Something happened at the master's end of a link.
    pub(super) fn handle_notice(&mut self, context: &mut Context, link: usize) {
        if let Some(&Some(id)) = self.by_link.get(link) {
            self.look_at(id);
            self.run(context);
        }
    }

    /// The timer goes off.
    pub(super) fn handle_timer(&mut self, context: &mut Context) {
        let now = context.now;
        self.timer_at = None;
        let due = self.endpoint.poll_timeout().is_some_and(|due| due <= now);
        if due || context.dice.chance(50) {
            self.endpoint.handle_timeout(now);
        }
        self.run(context);
    }

    /// The kernel gives up on a connection.
    pub(super) fn handle_user_timeout(&mut self, context: &mut Context, link: usize) {
        if let Some(&Some(id)) = self.by_link.get(link) {
            self.close(context, id);
            self.run(context);
        }
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self, context: &mut Context) {
        let all: Vec<_> = self.by_link.iter().flatten().copied().collect();
        all.into_iter().for_each(|id| self.close(context, id));
        self.run(context);
    }

    fn look_at(&mut self, id: ConnectionId) {
        if let Some(Some(connection)) = self.connections.get_mut(id.index())
            && connection.id == id
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.work.push_back(id);
        }
    }

    /// Serves connections until there is nothing more to do for now.
    fn run(&mut self, context: &mut Context) {
        self.collect(context);
        while let Some(id) = self.work.pop_front() {
            if self.turn(context, id) {
                self.look_at(id);
            }
            self.collect(context);
            self.check(context);
        }
        self.check_nothing_waits(context);
        let now = context.now;
        if let Some(due) = self.endpoint.poll_timeout()
            && self.timer_at.is_none_or(|at| due < at)
        {
            let due = due.max(now + Duration::from_micros(1));
            self.timer_at = Some(due);
            context.queue.push(due, Event::MasterTimer);
        }
    }

    /// Takes what the endpoint tells.
    fn collect(&mut self, context: &mut Context) {
        while let Some(id) = self.endpoint.poll_ready() {
            self.look_at(id);
        }
        while let Some(event) = self.endpoint.poll_event() {
            if context.trace.is_told() {
                context.trace.say(context.now, &format!("master: {event:?}"));
            }
            if let EndpointEvent::Fault { connection, fault, .. } = event {
                self.look_at(connection);
                if let Fault::Refused(RefusalCode::Malformed) = fault {
                    context.ledger.fail(format!("a native peer breaks the protocol: {fault}"));
                }
            }
        }
    }

    /// One turn of a connection, as in the transport: send, then read once. Whether there may be more to do.
    fn turn(&mut self, context: &mut Context, id: ConnectionId) -> bool {
        let Some(Some(connection)) = self.connections.get_mut(id.index()) else { return false };
        if connection.id != id {
            return false;
        }
        connection.queued = false;
        let mut progress = self.send(context, id.index());
        let connection = self.connections[id.index()].as_mut().expect("it was just there");
        if connection.state == State::Closing {
            if connection.outgoing.is_empty() {
                self.close(context, id);
                return false;
            }
            return progress;
        }
        if connection.state == State::Waiting {
            self.offer(context, id.index());
        }
        let connection = self.connections[id.index()].as_mut().expect("it was just there");
        if connection.state != State::Reading {
            return progress || connection.state == State::Closing;
        }
        let share = self.endpoint.read_share().min(self.pieces);
        let missing = connection.message.saturating_sub(connection.pending.len());
        let whole = connection.message >= self.own_buffer_from;
        let most = if whole { missing } else { share };
        match context.network.read(connection.link, Side::Master, most.max(1), &mut connection.pending) {
            Read::Nothing => {}
            Read::End => {
                self.close(context, id);
                return false;
            }
            Read::Bytes(_) => {
                progress = true;
                if !whole || connection.pending.len() == connection.message {
                    self.offer(context, id.index());
                } else {
                    self.endpoint.handle_part(context.now, id);
                }
            }
        }
        progress
    }

    fn send(&mut self, context: &mut Context, index: usize) -> bool {
        let Some(connection) = self.connections[index].as_mut() else { return false };
        let now = context.now;
        let id = connection.id;
        self.endpoint.transmit_to(now, id, &mut Said { context, connection, witness: &mut self.witness });
        if self.endpoint.is_closing(connection.id) && connection.state != State::Closing {
            connection.state = State::Closing;
            context.queue.push(now + self.config.heartbeat * 3, Event::UserTimeout(connection.link));
        }
        let (front, _) = connection.outgoing.as_slices();
        if front.is_empty() {
            return false;
        }
        let Context { network, queue, .. } = context;
        let written = network.write(queue, now, connection.link, Side::Master, front);
        connection.outgoing.drain(..written);
        self.endpoint.handle_sent(connection.id, written);
        written > 0
    }

    /// Offers what was received.
    fn offer(&mut self, context: &mut Context, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        let now = context.now;
        let next = if connection.message >= self.own_buffer_from && connection.pending.len() == connection.message {
            let unit = Bytes::from(std::mem::take(&mut connection.pending));
            let frame = unit.clone();
            match self.endpoint.handle_message(now, connection.id, unit) {
                Ok(next) => {
                    connection.consumed += connection.message as u64;
                    if connection.service == Service::Native
                        && let Err(violation) = self.witness.hear(connection.id.index(), &frame)
                    {
                        context.ledger.fail(violation);
                    }
                    next
                }
                Err(unit) => {
                    connection.pending = unit.to_vec();
                    connection.state = State::Waiting;
                    return;
                }
            }
        } else {
            let progress = self.endpoint.handle_input(now, connection.id, &connection.pending);
            if connection.service == Service::Native
                && let Err(violation) = self.witness.hear(connection.id.index(), &connection.pending[..progress.used])
            {
                context.ledger.fail(violation);
            }
            connection.pending.drain(..progress.used);
            connection.consumed += progress.used as u64;
            progress.next
        };
        connection.message = 0;
        connection.state = match next {
            Next::Close => State::Closing,
            Next::Wait => State::Waiting,
            Next::Read { message } => {
                connection.message = message;
                State::Reading
            }
        };
        if next == Next::Close {
            context.queue.push(now + self.config.heartbeat * 3, Event::UserTimeout(connection.link));
        }
        let consumed = connection.consumed;
        let link = context.network.link(connection.link);
        while let Some(&(end, key)) = link.submissions.front()
            && end <= consumed
        {
            link.submissions.pop_front();
            context.trace.note(now, "master has message {} of client {}", &[key.number.into(), key.client.into()]);
            context.ledger.take(key);
        }
    }

    fn close(&mut self, context: &mut Context, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(id.index()) else { return };
        if entry.as_ref().is_none_or(|connection| connection.id != id) {
            return;
        }
        let Some(connection) = entry.take() else { return };
        let (now, link) = (context.now, connection.link);
        context.trace.note(now, "master closes connection {}", &[link as u64]);
        self.by_link[link] = None;
        self.witness.close(now, id.index());
        context.ledger.quiet = false;
        self.endpoint.handle_close(now, id);
        context.network.close(&mut context.queue, now, link, Side::Master);
        context.settle_link(link);
    }

    /// Memory is bounded, and nobody is given more than its window.
    fn check(&mut self, context: &mut Context) {
        let memory = self.endpoint.master().memory();
        self.peak = self.peak.max(memory);
        if memory > self.config.master.memory {
            let open = self.connections.iter().flatten();
            let outgoing: usize = open.clone().map(|connection| connection.outgoing.len()).sum();
            let each = (self.longest + 512) * open.count();
            if memory > self.config.master.memory + (outgoing + each) as u64 {
                context.ledger.fail(format!("{memory} bytes are held, {} allowed", self.config.master.memory));
            }
        }
    }

    /// A connection that was not named has nothing to send.
    fn check_nothing_waits(&mut self, context: &mut Context) {
        let now = context.now;
        if !context.dice.chance(20) {
            return;
        }
        for connection in self.connections.iter().flatten() {
            if let Some((outstanding, window)) = self.endpoint.load(connection.id)
                // One that adapts shrinks below what is out.
                && self.config.master.window.is_some()
                // These have windows of their own, which the witness looks after.
                && connection.service != Service::Native
                && outstanding > window as usize
            {
                context.ledger.fail(format!("a worker has {outstanding} messages, its window is {window}"));
            }
            if connection.outgoing.is_empty() && self.endpoint.poll_transmit(now, connection.id).is_some() {
                let kind = connection.service;
                context.ledger.fail(format!("a {kind} connection has something to send, and was not named"));
            }
        }
    }
}

/// What a master says over a connection, on its way to those who check it.
struct Said<'a> {
    context: &'a mut Context,
    connection: &'a mut Connection,
    witness: &'a mut Witness,
}

impl Said<'_> {
    fn frame(&mut self, frame: &[u8]) {
        self.connection.outgoing.extend(frame);
        if self.connection.service == Service::Native
            && let Err(violation) = self.witness.say(self.context.now, self.connection.id.index(), frame)
        {
            self.context.ledger.fail(violation);
        }
    }
}

impl<B: Buffer> Outlet<B> for Said<'_> {
    fn copy(&mut self, head: &[u8], body: &[u8]) {
        self.frame(&[head, body].concat());
    }

    fn put(&mut self, transmit: Transmit<'_, B>) {
        self.frame(&[&transmit.before().concat(), transmit.body_bytes(), transmit.after()].concat());
        let service = self.connection.service;
        if matches!(service, Service::Publish | Service::WorkerPush) {
            note_message(self.context, self.connection.link, service, transmit.body_bytes());
        }
    }
}

/// A master's process begins.
fn start(context: &mut Context, config: &EndpointConfig, sizes: &TableSizes, native: bool) -> Endpoint<HeapEndpoint> {
    let tables = heap_tables(sizes, 64);
    let tables = if native { tables.with_native(sizes) } else { tables };
    let seed = Seed::from_u64(context.dice.bits());
    let mut endpoint = Endpoint::new("server", config, tables, seed).expect("the name is short");
    for (key, value) in [("name", "server"), ("pull_address", "pull"), ("pub_address", "pub")] {
        endpoint.cache().preset(key.as_bytes(), value.as_bytes()).expect("the cache has room");
    }
    endpoint
}

/// Keeps count of what goes out.
fn note_message(context: &mut Context, link: usize, service: Service, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let Ok(view) = RawMessage::parse(body) else {
        return context.ledger.fail(String::from("the master sent what is no message"));
    };
    let template = match service {
        Service::Publish => "a result of message {} of client {} is on its way on connection {}",
        _ => "message {} of client {} is on its way on connection {}",
    };
    let key = match read(view.payload()) {
        Some((key, ..)) if view.payload().len() >= HEAD => Some(key),
        _ => failed_key(&view, body),
    };
    let Some(key) = key else { return };
    context.trace.note(context.now, template, &[key.number.into(), key.client.into(), link as u64]);
    if service == Service::Publish {
        let handed = &mut context.network.link(link).handed;
        while let Some(&first) = handed.front()
            && context.ledger.has(first)
        {
            handed.pop_front();
        }
        handed.push_back(key);
    }
}

/// Which message a failure is of.
fn failed_key(view: &RawMessage<'_>, body: &[u8]) -> Option<Key> {
    let client = std::str::from_utf8(view.client()).ok()?.strip_prefix("client-")?.parse().ok()?;
    let message = palm_proto::MessageRef::parse(body).ok()?;
    let number = message.extension.sequence.or_else(|| message.cache.parse().ok())?;
    Some(Key { client, number: u32::try_from(number).ok()? })
}
