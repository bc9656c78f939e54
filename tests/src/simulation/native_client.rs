//! Clients that speak the native protocol: the real machine, and what its owner keeps beside it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use palm_proto::native::{ClientEvent, Fault, HeapClient, NotSent, PeerConfig, Retry, Submit};
use palm_proto::random::Seed;
use palm_proto::{Instant, Status};

use super::alarm::Alarm;
use super::context::Context;
use super::frames::{FrameStream, Heard, MAX_FRAME, end};
use super::ledger::Key;
use super::native_worker::session;
use super::network::Line;
use super::queue::Event;

/// Bytes that wait to be written before it submits no more.
const BACKLOG: usize = 64 << 10;

/// How a native client behaves.
#[derive(Clone, Debug)]
pub struct NativeClientPlan {
    /// Tasks that it submits.
    pub messages: u32,
    /// Payloads have up to so many bytes.
    pub payload: usize,
    /// Most tasks without a last result.
    pub tasks: usize,
    /// Results that it takes before it says so.
    pub window: u32,
    /// Time between tasks.
    pub gap: Duration,
    /// When it begins.
    pub starts: Instant,
    /// Time that it takes for a result.
    pub pace: Duration,
    /// So many of a thousand tasks it cancels later.
    pub cancels: u32,
    /// So many of a thousand tasks have a deadline.
    pub deadlines: u32,
    /// Priorities that it uses.
    pub priorities: u8,
    /// Its connection.
    pub line: Line,
}

/// A task that has no last result.
#[derive(Debug)]
struct Task {
    payload: Vec<u8>,
    priority: u8,
    deadline: Option<Instant>,
}

/// A native client.
#[derive(Debug)]
pub(super) struct NativeClientNode {
    plan: NativeClientPlan,
    me: usize,
    number: u32,
    machine: HeapClient,
    stream: Option<FrameStream>,
    tasks: BTreeMap<u64, Task>,
    /// When it cancels which.
    cancels: VecDeque<(Instant, u64)>,
    sent: u32,
    next_send: Instant,
    next_take: Instant,
    back_at: Instant,
    alarm: Alarm,
    /// It is away for good.
    pub(super) gone: bool,
}

/// What a machine told, without its borrows.
enum Told {
    Nothing,
    Connected(bool),
    Result { key: u64, sequence: u64, payload: Vec<u8>, last: bool },
    Failed { key: u64, sequence: u64, status: Status },
    Over(Option<Retry>),
}

impl NativeClientNode {
    /// A client that begins when its plan says.
    pub(super) fn new(context: &mut Context, me: usize, plan: NativeClientPlan) -> Self {
        let session = session(context);
        let number = context.ledger.add_native_client(session);
        let seed = Seed::from_u64(context.dice.bits());
        let config =
            PeerConfig { window: plan.window, max_frame: MAX_FRAME, ..PeerConfig::new("c".into(), "".into(), session) };
        context.queue.push(plan.starts, Event::Wake(me));
        Self {
            me,
            number,
            machine: HeapClient::sized(config, plan.tasks, seed),
            stream: None,
            tasks: BTreeMap::new(),
            cancels: VecDeque::new(),
            sent: 0,
            next_send: plan.starts,
            next_take: Instant::ZERO,
            back_at: plan.starts,
            alarm: Alarm::set(me, plan.starts),
            gone: false,
            plan,
        }
    }

    /// Whether it has sent everything.
    pub(super) fn is_done_sending(&self) -> bool {
        self.gone || self.sent == self.plan.messages
    }

    /// Its connection, if there is one.
    pub(super) fn links(&self) -> Vec<usize> {
        self.stream.iter().map(|stream| stream.link).collect()
    }

    /// The client's process ends; it says so if it has manners.
    pub(super) fn leave(&mut self, context: &mut Context) {
        context.trace.note(context.now, "native client {} leaves", &[self.number.into()]);
        if context.dice.chance(500) {
            self.machine.bye();
            self.transmit(context);
        }
        self.gone = true;
        end(context, &mut self.stream);
        context.ledger.leave(self.number);
    }

    /// It is without a connection for a while.
    pub(super) fn go_away(&mut self, context: &mut Context, until: Instant) {
        context.trace.note(context.now, "native client {} goes away for a while", &[self.number.into()]);
        self.disconnect(context);
        self.back_at = until;
        self.alarm.wake(context, until);
    }

    /// Its time has come.
    pub(super) fn handle_wake(&mut self, context: &mut Context) {
        self.alarm.ring(context);
        self.serve(context);
    }

    /// Something happened on its link.
    pub(super) fn serve(&mut self, context: &mut Context) {
        let now = context.now;
        if self.gone {
            return;
        }
        if now < self.back_at {
            return self.alarm.wake(context, self.back_at);
        }
        if self.stream.is_none() {
            self.stream = Some(FrameStream::connect(context, self.me, self.plan.line));
            self.machine.handle_connected(now);
        }
        self.read(context);
        if self.machine.handle_timeout(now).is_some() {
            context.trace.note(now, "native client {} gives its connection up", &[self.number.into()]);
            self.disconnect(context);
        }
        self.cancel(context);
        self.submit(context);
        self.transmit(context);
        if let Some(at) = self.machine.poll_timeout() {
            self.alarm.wake(context, at);
        }
    }

    fn disconnect(&mut self, context: &mut Context) {
        end(context, &mut self.stream);
        self.machine.handle_disconnected();
        self.back_at = context.now + context.dice.time(1_000, 300_000);
        self.alarm.wake(context, self.back_at);
    }

    fn transmit(&mut self, context: &mut Context) {
        let Some(stream) = &mut self.stream else { return };
        while let Some(frame) = self.machine.poll_transmit() {
            stream.send(context, &frame, None);
        }
        stream.flush(context);
    }

    fn read(&mut self, context: &mut Context) {
        loop {
            self.transmit(context);
            let Some(stream) = &mut self.stream else { return };
            if context.now < self.next_take {
                let at = self.next_take;
                return self.alarm.wake(context, at);
            }
            let frame = match stream.receive(context) {
                Heard::Frame(frame) => frame,
                Heard::Nothing => return self.machine.acknowledge(),
                Heard::End => return self.disconnect(context),
            };
            match told(self.machine.handle_frame(context.now, &frame)) {
                Ok(told) => self.react(context, told),
                Err(fault) => return context.ledger.fail(format!("native client {}: {fault}", self.number)),
            }
        }
    }

    fn react(&mut self, context: &mut Context, told: Told) {
        let now = context.now;
        match told {
            Told::Nothing => {}
            Told::Connected(resumed) => {
                let numbers = [self.number.into(), resumed.into()];
                context.trace.note(now, "native client {} is connected, resumed: {}", &numbers);
            }
            Told::Result { key, sequence, payload, last } => {
                self.next_take = now + self.plan.pace;
                context.trace.note(
                    now,
                    "native client {} receives a result of message {}, last: {}",
                    &[self.number.into(), key, last.into()],
                );
                context.ledger.receive_native(self.number, key, sequence, &payload, last);
                if last {
                    self.tasks.remove(&key);
                }
            }
            Told::Failed { key, sequence, status } => {
                context.trace.note(
                    now,
                    "native client {} receives a failure of message {}: {}",
                    &[self.number.into(), key, status.code().into()],
                );
                let deadline = self.tasks.remove(&key).and_then(|task| task.deadline);
                if status == Status::DeadlineExceeded && deadline.is_none_or(|deadline| deadline > now) {
                    context.ledger.fail(format!("message {key} of client {} is late before it is", self.number));
                }
                context.ledger.fail_native(self.number, key, sequence, status);
            }
            Told::Over(retry) => {
                if retry == Some(Retry::Never) {
                    context.ledger.fail(format!("native client {} is refused for good", self.number));
                }
                self.disconnect(context);
            }
        }
    }

    fn cancel(&mut self, context: &mut Context) {
        let now = context.now;
        while let Some(&(at, sequence)) = self.cancels.front() {
            if at > now {
                return self.alarm.wake(context, at);
            }
            self.cancels.pop_front();
            if self.tasks.remove(&sequence).is_none() {
                continue;
            }
            context.trace.note(now, "native client {} cancels message {}", &[self.number.into(), sequence]);
            context.ledger.cancel(Key { client: self.number, number: sequence as u32 });
            if let (Some(frame), Some(stream)) = (self.machine.cancel(sequence), &mut self.stream) {
                stream.send(context, &frame, None);
            }
        }
    }

    fn submit(&mut self, context: &mut Context) {
        let now = context.now;
        loop {
            self.transmit(context);
            let Some(stream) = &mut self.stream else { return };
            if stream.backlog() > BACKLOG {
                return;
            }
            if let Some(again) = self.machine.poll_resubmit() {
                let Some(task) = self.tasks.get(&again.key) else {
                    return context.ledger.fail(format!("client {} is to submit {again:?}", self.number));
                };
                match self.machine.resubmit(&request(now, task)) {
                    Ok(submitted) => {
                        let key = Key { client: self.number, number: again.key as u32 };
                        let numbers = [self.number.into(), again.key];
                        context.trace.note(now, "native client {} submits message {} again", &numbers);
                        submitted.declaration.iter().for_each(|frame| stream.send(context, frame, None));
                        stream.send(context, &submitted.task, Some(key));
                    }
                    Err(NotSent::NotConnected) => return,
                    Err(error) => return context.ledger.fail(format!("client {}: {error}", self.number)),
                }
                continue;
            }
            if self.sent == self.plan.messages || !self.machine.has_room() {
                return;
            }
            if now < self.next_send {
                let at = self.next_send;
                return self.alarm.wake(context, at);
            }
            let dice = &mut context.dice;
            let len = dice.spread(1, self.plan.payload);
            let priority = dice.between(0, usize::from(self.plan.priorities) - 1) as u8;
            let deadline = dice.chance(self.plan.deadlines).then(|| now + dice.time(2_000, 30_000_000));
            let cancel = dice.chance(self.plan.cancels).then(|| now + dice.time(1, 1_000_000));
            let (key, payload) = context.ledger.submit(self.number, len);
            let task = Task { payload, priority, deadline };
            match self.machine.submit(key.number.into(), &request(now, &task)) {
                Ok(submitted) => {
                    if submitted.sequence != u64::from(key.number) {
                        context.ledger.fail(format!("{key:?} is submitted as {}", submitted.sequence));
                    }
                    submitted.declaration.iter().for_each(|frame| stream.send(context, frame, None));
                    stream.send(context, &submitted.task, Some(key));
                }
                Err(error) => return context.ledger.fail(format!("client {}: {error}", self.number)),
            }
            self.tasks.insert(key.number.into(), task);
            if let Some(at) = cancel {
                let place = self.cancels.partition_point(|&(other, _)| other <= at);
                self.cancels.insert(place, (at, key.number.into()));
            }
            self.sent += 1;
            self.next_send = now + self.plan.gap;
        }
    }
}

fn request(now: Instant, task: &Task) -> Submit<'_> {
    let left = task.deadline.map(|deadline| if deadline > now { deadline - now } else { Duration::ZERO });
    // Rounded up, so that the master is not early.
    let deadline_ms = left.map(|left| left.as_micros().div_ceil(1_000) as u32);
    Submit { priority: task.priority, deadline_ms, ..Submit::new("server.f", &task.payload) }
}

fn told(event: Result<Option<ClientEvent<'_>>, Fault>) -> Result<Told, String> {
    Ok(match event.map_err(|fault| fault.to_string())? {
        None | Some(ClientEvent::Window | ClientEvent::Cache { .. }) => Told::Nothing,
        Some(ClientEvent::Connected { resumed, .. }) => Told::Connected(resumed),
        Some(ClientEvent::Result { key, sequence, payload, last }) => {
            Told::Result { key, sequence, payload: payload.to_vec(), last }
        }
        Some(ClientEvent::Failed { key, sequence, status, .. }) => Told::Failed { key, sequence, status },
        Some(ClientEvent::Progress { key, sequence, permille, text }) => {
            if key != sequence || permille > 1_000 || text.parse::<u64>().is_err() {
                return Err(format!("message {sequence} is at {permille}, {text}"));
            }
            Told::Nothing
        }
        Some(ClientEvent::Refused { retry, .. }) => Told::Over(Some(retry)),
        Some(ClientEvent::Goodbye) => Told::Over(None),
    })
}
