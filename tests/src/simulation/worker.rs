//! Workers: stock ones, which do one message after the other, and ours, which do several at a time and hand back.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::collections::HeapTable;
use palm_proto::endpoint::Service;
use palm_proto::worker::{Answer, CallId, Config, HeapWorker, Stop, write_answer};
use palm_proto::{Instant, MessageRef};

use super::alarm::Alarm;
use super::context::Context;
use super::ledger::{payload, read};
use super::network::Line;
use super::queue::Event;
use super::socket::{Received, Socket};

/// Bytes that wait in a PUSH socket before its user waits.
const BACKLOG: usize = 64 << 10;
/// Messages that a stock worker's socket takes in ahead.
const AHEAD: usize = 1_000;

/// How a worker behaves.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// Results of each message.
    pub results: u8,
    /// Time that a message takes.
    pub service: Duration,
    /// Messages that it does at the same time, if it is one of ours; 0: it is a stock worker.
    pub concurrency: u32,
    /// A result has up to so many bytes more than its message.
    pub growth: usize,
    /// Its connections.
    pub line: Line,
}

type Machine = HeapWorker;

/// A worker.
#[derive(Debug)]
pub(super) struct WorkerNode {
    plan: WorkerPlan,
    me: usize,
    pull: Option<Socket>,
    push: Option<Socket>,
    inbox: VecDeque<Vec<u8>>,
    /// What a stock worker is at: when it has the next result, the execution, and how many results there are already.
    at_work: Option<(Instant, u64, u8)>,
    machine: Option<Machine>,
    calls: Vec<(Instant, u64, CallId)>,
    hung_until: Instant,
    back_at: Instant,
    alarm: Alarm,
    /// It ends as soon as it has handed everything back.
    stopping: bool,
    /// Messages that it was lost or stopped with.
    pub(super) deaths: u32,
    /// How often it has started.
    lives: u32,
}

impl WorkerNode {
    /// A worker that begins at `starts`.
    pub(super) fn new(context: &mut Context, me: usize, plan: WorkerPlan, starts: Instant) -> Self {
        context.queue.push(starts, Event::Wake(me));
        let machine = machine(&plan);
        Self {
            plan,
            me,
            pull: None,
            push: None,
            inbox: VecDeque::new(),
            at_work: None,
            machine,
            calls: Vec::new(),
            hung_until: Instant::ZERO,
            back_at: starts,
            alarm: Alarm::set(me, starts),
            stopping: false,
            deaths: 0,
            lives: 0,
        }
    }

    /// Links for messages and for results.
    pub(super) fn links(&self) -> Vec<usize> {
        [&self.pull, &self.push].into_iter().flatten().map(|socket| socket.link).collect()
    }

    /// Its process is killed, and starts again at `back`.
    pub(super) fn die(&mut self, context: &mut Context, back: Instant) {
        let now = context.now;
        context.trace.note(now, "worker {} dies", &[self.me as u64]);
        for socket in [&mut self.pull, &mut self.push].into_iter().flatten() {
            if context.dice.chance(500) {
                let Context { network, queue, dice, .. } = context;
                network.cut(queue, dice, now, socket.link);
            }
            socket.close(context);
        }
        self.start_afresh(context, back);
        self.deaths += 1;
    }

    fn start_afresh(&mut self, context: &mut Context, back: Instant) {
        self.lives += 1;
        (self.pull, self.push) = (None, None);
        self.inbox.clear();
        self.calls.clear();
        self.at_work = None;
        self.machine = machine(&self.plan);
        self.stopping = false;
        self.hung_until = Instant::ZERO;
        self.back_at = back;
        self.alarm.wake(context, back);
    }

    /// It does nothing until then.
    pub(super) fn hang(&mut self, context: &mut Context, until: Instant) {
        context.trace.note(context.now, "worker {} hangs", &[self.me as u64]);
        self.hung_until = until;
        self.alarm.wake(context, until);
    }

    /// Ours hands back what it has not begun, and ends. Whether it can.
    pub(super) fn stop(&mut self, context: &mut Context) -> bool {
        let Some(machine) = &mut self.machine else { return false };
        context.trace.note(context.now, "worker {} stops", &[self.me as u64]);
        machine.handle_shutdown(Stop::HandBack);
        self.stopping = true;
        self.serve(context);
        true
    }

    /// Its time has come.
    pub(super) fn handle_wake(&mut self, context: &mut Context) {
        self.alarm.ring(context);
        self.serve(context);
    }

    /// Something happened on one of its links.
    pub(super) fn serve(&mut self, context: &mut Context) {
        let now = context.now;
        if now < self.hung_until {
            return self.alarm.wake(context, self.hung_until);
        }
        self.keep_connected(context);
        if self.machine.is_some() {
            self.work_on_machine(context);
        } else {
            self.work(context);
        }
    }

    fn keep_connected(&mut self, context: &mut Context) {
        let now = context.now;
        if let Some(push) = &mut self.push {
            push.attend(context);
        }
        for socket in [&mut self.pull, &mut self.push] {
            if socket.as_ref().is_some_and(Socket::is_broken) {
                *socket = None;
                self.back_at = now + context.dice.time(1_000, 300_000);
            }
        }
        if now < self.back_at {
            let at = self.back_at;
            return self.alarm.wake(context, at);
        }
        // The way out is open before the first message comes in.
        if self.push.is_none() {
            // Those of before tell their names where messages come in only.
            let name = if self.me.is_multiple_of(3) { String::new() } else { self.name() };
            let service = Service::WorkerPull;
            self.push = Some(Socket::connect_as(context, self.me, service, self.plan.line, &name));
        }
        if self.pull.is_none() {
            let (name, service) = (self.name(), Service::WorkerPush);
            self.pull = Some(Socket::connect_as(context, self.me, service, self.plan.line, &name));
        }
    }

    /// What it tells its master to be known by; a stock worker tells nothing.
    fn name(&self) -> String {
        match self.plan.concurrency {
            0 => String::new(),
            jobs => format!("palm;jobs={jobs};{}-{}", self.me, self.lives),
        }
    }

    fn next_message(&mut self, context: &mut Context) -> Option<Vec<u8>> {
        let pull = self.pull.as_mut()?;
        pull.flush(context);
        match pull.receive(context) {
            Received::Message(mut frames) => {
                if frames.len() != 1 {
                    context.ledger.fail(format!("a worker received {} frames", frames.len()));
                }
                frames.pop()
            }
            Received::Nothing => None,
            Received::End => {
                self.pull = None;
                self.back_at = self.back_at.max(context.now + context.dice.time(1_000, 300_000));
                self.alarm.wake(context, self.back_at);
                None
            }
        }
    }

    fn can_send(&self) -> bool {
        self.push.as_ref().is_some_and(|push| push.is_ready() && push.backlog() < BACKLOG)
    }

    /// A stock worker: one message after the other, the results of each one after the other.
    fn work(&mut self, context: &mut Context) {
        let now = context.now;
        loop {
            while self.inbox.len() < AHEAD
                && let Some(message) = self.next_message(context)
            {
                self.inbox.push_back(message);
            }
            let Some(message) = self.inbox.front() else { return };
            let each = self.plan.service / u32::from(self.plan.results);
            let (due, run, part) = match self.at_work {
                Some(at_work) => at_work,
                None => {
                    let run = context.ledger.next_run();
                    if context.trace.is_told() {
                        let line = format!("worker {} begins {:?}, run {run}", self.me, key_of(message));
                        context.trace.say(now, &line);
                    }
                    (now + each, run, 0)
                }
            };
            self.at_work = Some((due, run, part));
            if now < due {
                return self.alarm.wake(context, due);
            }
            if !self.can_send() {
                return;
            }
            let result = answer(context, message, run, part, &self.plan);
            let Some(result) = result else { return };
            if let Some(push) = &mut self.push {
                push.send(context, &result, None);
            }
            if part + 1 == self.plan.results {
                self.at_work = None;
                self.inbox.pop_front();
            } else {
                self.at_work = Some((now + each, run, part + 1));
            }
        }
    }

    /// One of ours: several messages at a time.
    fn work_on_machine(&mut self, context: &mut Context) {
        let now = context.now;
        loop {
            let mut progress = false;
            while self.machine.as_ref().is_some_and(Machine::has_room)
                && let Some(message) = self.next_message(context)
            {
                let machine = self.machine.as_mut().expect("it was just there");
                machine.handle_message(now, Bytes::from(message)).expect("it has room");
                progress = true;
            }
            let can_send = self.can_send();
            let Some(machine) = &mut self.machine else { return };
            while let Some(id) = machine.poll_call(now) {
                self.calls.push((now + self.plan.service, context.ledger.next_run(), id));
                progress = true;
            }
            self.calls.retain(|&(due, run, id)| {
                if due > now {
                    return true;
                }
                let payload =
                    machine.call(id).and_then(|call| result_payload(context, call.message.payload, run, 0, &self.plan));
                if let Some(payload) = payload {
                    let known = machine.handle_answer(id, Answer::Result(Bytes::from(payload)));
                    known.expect("each call is answered once");
                }
                progress = true;
                false
            });
            if let (true, Some(push)) = (can_send, &mut self.push) {
                let mut out = BytesMut::new();
                if machine.poll_transmit(&mut out).is_some() {
                    push.send(context, &out, None);
                    progress = true;
                }
            }
            if !progress {
                break;
            }
        }
        if let Some(due) = self.calls.iter().map(|&(due, ..)| due).min() {
            self.alarm.wake(context, due);
        }
        let idle = self.machine.as_ref().is_some_and(|machine| machine.held() == 0);
        let flushed = self.push.as_ref().is_some_and(|push| push.backlog() == 0);
        if self.stopping && idle && flushed {
            context.trace.note(now, "worker {} has stopped", &[self.me as u64]);
            for socket in [&mut self.push, &mut self.pull].into_iter().flatten() {
                socket.close(context);
            }
            let back = now + context.dice.time(1_000, 1_000_000);
            self.start_afresh(context, back);
        }
    }
}

fn machine(plan: &WorkerPlan) -> Option<Machine> {
    let concurrency = plan.concurrency;
    (concurrency > 0).then(|| HeapWorker::new(Config { concurrency }, HeapTable::new(concurrency as usize * 4)))
}

fn key_of(message: &[u8]) -> Option<(super::ledger::Key, u64, u8, u8)> {
    read(MessageRef::parse(message).ok()?.payload)
}

/// The result of a message, serialised; nothing if it is none, which is a fault.
fn answer(context: &mut Context, message: &[u8], run: u64, part: u8, plan: &WorkerPlan) -> Option<Vec<u8>> {
    let Ok(view) = MessageRef::parse(message) else {
        context.ledger.fail(String::from("a worker received what is no message"));
        return None;
    };
    if view.cache.is_empty() || view.extension.task.is_none() && !context.ledger.strangers {
        context.ledger.fail(String::from("a worker received a message without cache or task"));
    }
    context.seen_task = view.extension.task.map_or(0, |task| task.0);
    let payload = result_payload(context, view.payload, run, part, plan)?;
    let mut out = BytesMut::new();
    write_answer(&view, Answer::Result(&payload), &mut out).expect("a buffer on the heap has room");
    Some(out.to_vec())
}

fn result_payload(context: &mut Context, request: &[u8], run: u64, part: u8, plan: &WorkerPlan) -> Option<Vec<u8>> {
    let Some((key, 0, 0, 0)) = read(request) else {
        if !context.ledger.strangers {
            context.ledger.fail(format!("a worker received a payload that nobody sent: {request:02x?}"));
        }
        return Some(request.to_vec());
    };
    let len = request.len() + context.dice.between(0, plan.growth);
    Some(payload(key, run, part, plan.results, len))
}
