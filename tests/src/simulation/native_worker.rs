//! Workers that speak the native protocol: the real machine, and what its owner makes of it.

use std::time::Duration;

use palm_proto::native::{Fault, HeapWorker, HeldId, NotSent, PeerConfig, Retry, SessionId, WorkerEvent};
use palm_proto::{Instant, Status};

use super::alarm::Alarm;
use super::context::Context;
use super::frames::{FrameStream, Heard, MAX_FRAME, end};
use super::ledger::{Key, payload, read};
use super::network::Line;
use super::queue::Event;

/// Bytes that wait to be written before it reads no more.
const BACKLOG: usize = 64 << 10;

/// How a native worker behaves.
#[derive(Clone, Debug)]
pub struct NativeWorkerPlan {
    /// Tasks that it has at once.
    pub window: u32,
    /// It does them all at the same time, not one after the other.
    pub parallel: bool,
    /// Time that a task takes.
    pub service: Duration,
    /// Results of each task.
    pub parts: u8,
    /// So many of a thousand tasks fail.
    pub fails: u32,
    /// So many of a thousand tasks it hands back.
    pub hands_back: u32,
    /// It tells how far it is.
    pub tells: bool,
    /// It breaks off what is cancelled.
    pub breaks_off: bool,
    /// A result has up to so many bytes more than its task.
    pub growth: usize,
    /// Its connection.
    pub line: Line,
}

/// A task that it is at.
#[derive(Debug)]
struct Call {
    id: HeldId,
    key: Key,
    len: usize,
    run: u64,
    due: Instant,
    part: u8,
}

/// A native worker.
#[derive(Debug)]
pub(super) struct NativeWorkerNode {
    plan: NativeWorkerPlan,
    me: usize,
    machine: HeapWorker,
    stream: Option<FrameStream>,
    calls: Vec<Call>,
    /// Tasks that it handed back and has not asked for others instead.
    narrower: u32,
    hung_until: Instant,
    back_at: Instant,
    alarm: Alarm,
    stopping: bool,
    /// It does not come back.
    pub(super) gone: bool,
}

/// What a machine told, without its borrows.
enum Told {
    Nothing,
    Connected(bool),
    Task { id: HeldId, session: Option<SessionId>, sequence: u64, attempt: u32, payload: Vec<u8> },
    Cancelled(HeldId),
    Over(Option<Retry>),
}

impl NativeWorkerNode {
    /// A worker that begins at `starts`.
    pub(super) fn new(context: &mut Context, me: usize, plan: NativeWorkerPlan, starts: Instant) -> Self {
        context.queue.push(starts, Event::Wake(me));
        Self {
            machine: machine(context, &plan),
            plan,
            me,
            stream: None,
            calls: Vec::new(),
            narrower: 0,
            hung_until: Instant::ZERO,
            back_at: starts,
            alarm: Alarm::set(me, starts),
            stopping: false,
            gone: false,
        }
    }

    /// Its connection, if there is one.
    pub(super) fn links(&self) -> Vec<usize> {
        self.stream.iter().map(|stream| stream.link).collect()
    }

    /// Its process is killed, and another starts at `back`; or none.
    pub(super) fn die(&mut self, context: &mut Context, back: Option<Instant>) {
        let now = context.now;
        context.trace.note(now, "native worker {} dies", &[self.me as u64]);
        if let Some(stream) = &self.stream
            && context.dice.chance(500)
        {
            let Context { network, queue, dice, .. } = context;
            network.cut(queue, dice, now, stream.link);
        }
        end(context, &mut self.stream);
        self.gone = back.is_none();
        self.start_afresh(context, back.unwrap_or(now));
    }

    fn start_afresh(&mut self, context: &mut Context, back: Instant) {
        self.calls.clear();
        self.machine = machine(context, &self.plan);
        (self.stopping, self.narrower) = (false, 0);
        self.hung_until = Instant::ZERO;
        self.back_at = back;
        self.alarm.wake(context, back);
    }

    /// It does nothing until then.
    pub(super) fn hang(&mut self, context: &mut Context, until: Instant) {
        context.trace.note(context.now, "native worker {} hangs", &[self.me as u64]);
        self.hung_until = until;
        self.alarm.wake(context, until);
    }

    /// It takes no more tasks, ends those that it has or hands them back, and goes.
    pub(super) fn stop(&mut self, context: &mut Context) {
        context.trace.note(context.now, "native worker {} stops", &[self.me as u64]);
        self.stopping = true;
        self.machine.drain();
        self.serve(context);
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
        if now < self.hung_until || now < self.back_at {
            return self.alarm.wake(context, self.hung_until.max(self.back_at));
        }
        if self.stream.is_none() {
            self.stream = Some(FrameStream::connect(context, self.me, self.plan.line));
            self.machine.handle_connected(now);
        }
        self.read(context);
        if self.machine.handle_timeout(now).is_some() {
            context.trace.note(now, "native worker {} gives its connection up", &[self.me as u64]);
            self.disconnect(context);
        }
        self.work(context);
        self.transmit(context);
        self.go(context);
        let due = self.calls.iter().map(|call| call.due).filter(|&due| due > now).min();
        if let Some(at) = [due, self.machine.poll_timeout()].into_iter().flatten().min() {
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
            if stream.backlog() > BACKLOG {
                return;
            }
            let frame = match stream.receive(context) {
                Heard::Frame(frame) => frame,
                Heard::Nothing => return,
                Heard::End => return self.disconnect(context),
            };
            match told(self.machine.handle_frame(context.now, &frame)) {
                Ok(told) => self.react(context, told),
                Err(fault) => return context.ledger.fail(format!("native worker {}: {fault}", self.me)),
            }
        }
    }

    fn react(&mut self, context: &mut Context, told: Told) {
        let now = context.now;
        match told {
            Told::Nothing => {}
            Told::Connected(resumed) => {
                context.trace.note(
                    now,
                    "native worker {} is connected, resumed: {}",
                    &[self.me as u64, resumed.into()],
                );
            }
            Told::Task { id, session, sequence, attempt, payload } => {
                let Some((key, 0, 0, 0)) = read(&payload) else {
                    return context.ledger.fail(format!("a native worker received what nobody sent: {payload:02x?}"));
                };
                let run = context.ledger.next_run();
                let numbers = [self.me as u64, key.number.into(), key.client.into(), attempt.into(), run];
                context.trace.note(now, "native worker {} has message {} of client {}, attempt {}, run {}", &numbers);
                context.ledger.check_task(key, session, sequence);
                let last = self.calls.iter().map(|call| call.due).max().filter(|_| !self.plan.parallel);
                let due = last.unwrap_or(now).max(now) + self.plan.service / u32::from(self.plan.parts);
                self.calls.push(Call { id, key, len: payload.len(), run, due, part: 0 });
                if self.calls.len() > self.plan.window as usize {
                    context.ledger.fail(format!("native worker {} has {} tasks", self.me, self.calls.len()));
                }
            }
            Told::Cancelled(id) => {
                let call = self.calls.iter_mut().find(|call| call.id == id);
                let Some(call) = call else {
                    return context.ledger.fail(format!("native worker {}: what it has not is cancelled", self.me));
                };
                context.trace.note(
                    now,
                    "message {} of client {} is cancelled at native worker {}",
                    &[call.key.number.into(), call.key.client.into(), self.me as u64],
                );
                if self.plan.breaks_off {
                    (call.due, call.part) = (now, self.plan.parts - 1);
                }
            }
            Told::Over(retry) => {
                if retry == Some(Retry::Never) {
                    context.ledger.fail(format!("native worker {} is refused for good", self.me));
                }
                self.disconnect(context);
            }
        }
    }

    fn work(&mut self, context: &mut Context) {
        let now = context.now;
        let mut at = 0;
        while at < self.calls.len() {
            let full = self.stream.as_ref().is_none_or(|stream| stream.backlog() > BACKLOG);
            if full {
                return;
            }
            if self.calls[at].due > now {
                at += 1;
                continue;
            }
            match self.answer(context, at) {
                Ok(true) => _ = self.calls.remove(at),
                // The next part may be due already.
                Ok(false) => {}
                // It is said in the next connection.
                Err(NotSent::NotConnected) => return,
                Err(error) => return context.ledger.fail(format!("native worker {}: {error}", self.me)),
            }
        }
    }

    /// The next of what is said about a task; whether it was the last.
    fn answer(&mut self, context: &mut Context, at: usize) -> Result<bool, NotSent> {
        let Self { plan, machine, stream, calls, .. } = self;
        let (call, Some(stream)) = (&mut calls[at], stream) else { return Err(NotSent::NotConnected) };
        let len = call.len + context.dice.between(0, plan.growth);
        let body = payload(call.key, call.run, call.part, plan.parts, len);
        if call.part + 1 < plan.parts {
            if plan.tells {
                match machine.progress(call.id, u16::from(call.part) * 100, &call.run.to_string()) {
                    Ok(frame) => stream.send(context, &frame, None),
                    Err(NotSent::Cancelled) => {}
                    Err(error) => return Err(error),
                }
            }
            match machine.partial(call.id, &body) {
                Ok(frame) => stream.send(context, &frame, None),
                Err(NotSent::Cancelled) => {}
                Err(error) => return Err(error),
            }
            call.part += 1;
            call.due = context.now + plan.service / u32::from(plan.parts);
            return Ok(false);
        }
        let fate = context.dice.between(0, 999) as u32;
        let handed_back = fate < plan.hands_back && plan.parts == 1;
        let failed = !handed_back && fate < plan.hands_back + plan.fails;
        let frame = if handed_back {
            machine.hand_back(call.id)?
        } else if failed {
            machine.failed(call.id, Status::Failed, "it is bound to fail")?
        } else {
            machine.done(call.id, &body)?
        };
        stream.send(context, &frame, None);
        let numbers = [self.me as u64, call.key.number.into(), call.key.client.into(), call.run];
        let template = match (handed_back, failed) {
            (true, _) => "native worker {} hands message {} of client {} back, run {}",
            (_, true) => "native worker {} fails with message {} of client {}, run {}",
            _ => "native worker {} has done message {} of client {}, run {}",
        };
        context.trace.note(context.now, template, &numbers);
        if handed_back {
            self.narrower += 1;
            machine.widen(std::mem::take(&mut self.narrower));
        }
        Ok(true)
    }

    /// It goes, if it is to and has nothing left.
    fn go(&mut self, context: &mut Context) {
        if !self.stopping || !self.machine.is_drained() || !self.machine.is_connected() {
            return;
        }
        self.machine.bye();
        self.transmit(context);
        context.trace.note(context.now, "native worker {} has stopped", &[self.me as u64]);
        end(context, &mut self.stream);
        let back = context.now + context.dice.time(1_000, 1_000_000);
        self.start_afresh(context, back);
    }
}

fn machine(context: &mut Context, plan: &NativeWorkerPlan) -> HeapWorker {
    let session = session(context);
    let config =
        PeerConfig { window: plan.window, max_frame: MAX_FRAME, ..PeerConfig::new("w".into(), "".into(), session) };
    HeapWorker::sized(config)
}

/// A session as a process draws it.
pub(super) fn session(context: &mut Context) -> SessionId {
    let [first, second] = [context.dice.bits(), context.dice.bits()];
    SessionId((u128::from(first) << 64 | u128::from(second)).to_le_bytes())
}

fn told(event: Result<Option<WorkerEvent<'_, Box<str>>>, Fault>) -> Result<Told, String> {
    Ok(match event.map_err(|fault| fault.to_string())? {
        None | Some(WorkerEvent::Cache { .. }) => Told::Nothing,
        Some(WorkerEvent::Connected { resumed, .. }) => Told::Connected(resumed),
        Some(WorkerEvent::Task(task)) => {
            if task.function.is_none_or(|function| function.as_ref() != "server.f") {
                return Err(format!("it is to do {:?}", task.function));
            }
            Told::Task {
                id: task.id,
                session: task.session,
                sequence: task.sequence,
                attempt: task.attempt,
                payload: task.payload.to_vec(),
            }
        }
        Some(WorkerEvent::Cancelled { id }) => Told::Cancelled(id),
        Some(WorkerEvent::Refused { retry, .. }) => Told::Over(Some(retry)),
        Some(WorkerEvent::Goodbye) => Told::Over(None),
    })
}
