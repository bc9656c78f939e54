//! Clients: stock ones, which push and count, and ours, which match results to messages and send again.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use palm_proto::client::{Config, HeapJob, Reply, Retry};
use palm_proto::endpoint::Service;
use palm_proto::{Instant, MessageWriter};

use super::alarm::Alarm;
use super::context::Context;
use super::ledger::Key;
use super::network::Line;
use super::queue::Event;
use super::socket::{Received, Socket};

/// Bytes that wait in a PUSH socket before its user waits.
const BACKLOG: usize = 64 << 10;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// Messages that it sends.
    pub messages: u32,
    /// Payloads have at least so many bytes.
    pub least: usize,
    /// Payloads have up to so many bytes.
    pub payload: usize,
    /// Most messages without a result; `None`: full speed.
    pub window: Option<u32>,
    /// Time between messages.
    pub gap: Duration,
    /// When it begins to send.
    pub starts: Instant,
    /// When it subscribes.
    pub subscribes: Instant,
    /// Time that it takes for a result.
    pub pace: Duration,
    /// It numbers its messages, as ours do.
    pub numbered: bool,
    /// It is one of ours: it sends again what is not answered in time.
    pub job: bool,
    /// Its connections.
    pub line: Line,
}

/// A client.
#[derive(Debug)]
pub(super) struct ClientNode {
    plan: ClientPlan,
    me: usize,
    number: u32,
    id: String,
    cache: Option<Socket>,
    asked: usize,
    push: Option<Socket>,
    sub: Option<Socket>,
    subscribed: bool,
    sent: u32,
    next_send: Instant,
    next_take: Instant,
    back_at: Instant,
    alarm: Alarm,
    job: Option<HeapJob>,
    /// It is away for good.
    pub(super) gone: bool,
}

/// What a client asks a cache for, and what it is to hear.
const QUESTIONS: [(&str, &[u8]); 4] =
    [("name", b"server"), ("pull_address", b"pull"), ("pub_address", b"pub"), ("no such key", b"")];

impl ClientNode {
    /// A client that begins at once.
    pub(super) fn new(context: &mut Context, me: usize, plan: ClientPlan) -> Self {
        let number = context.ledger.add_client(plan.job);
        let job = plan.job.then(|| {
            let window = plan.window.unwrap_or(64);
            let timeout = Some(Duration::from_secs(90));
            let config = Config {
                window,
                timeout,
                retry: Retry::times(20),
                ordered: number.is_multiple_of(2),
                ..Config::default()
            };
            HeapJob::sized(config)
        });
        context.queue.push(plan.starts, Event::Wake(me));
        Self {
            me,
            number,
            id: format!("client-{number:06}"),
            cache: None,
            asked: 0,
            push: None,
            sub: None,
            subscribed: false,
            sent: 0,
            next_send: plan.starts,
            next_take: Instant::ZERO,
            back_at: Instant::ZERO,
            alarm: Alarm::set(me, plan.starts),
            job,
            gone: false,
            plan,
        }
    }

    /// Whether it has sent everything.
    pub(super) fn is_done_sending(&self) -> bool {
        self.gone || self.sent == self.plan.messages
    }

    /// Links that may be broken.
    pub(super) fn links(&self) -> Vec<usize> {
        [&self.cache, &self.push, &self.sub].into_iter().flatten().map(|socket| socket.link).collect()
    }

    /// The client's process ends.
    pub(super) fn leave(&mut self, context: &mut Context) {
        self.gone = true;
        context.trace.note(context.now, "client {} leaves", &[self.number.into()]);
        for socket in [&mut self.cache, &mut self.push, &mut self.sub].into_iter().flatten() {
            socket.close(context);
        }
        context.ledger.leave(self.number);
    }

    /// It gives up on its result connection, which seems dead, and calls again.
    pub(super) fn call_again(&mut self, context: &mut Context) {
        if let Some(socket) = &mut self.sub {
            socket.close(context);
            self.sub = None;
        }
        self.serve(context);
    }

    /// Its time has come.
    pub(super) fn handle_wake(&mut self, context: &mut Context) {
        self.alarm.ring(context);
        self.serve(context);
    }

    /// Something happened on one of its links.
    pub(super) fn serve(&mut self, context: &mut Context) {
        let now = context.now;
        if self.gone || now < self.plan.starts {
            return;
        }
        if !self.discover(context) {
            return;
        }
        self.keep_connected(context);
        self.take_results(context);
        self.send_messages(context);
    }

    /// Asks the cache for what it needs; whether that is over.
    fn discover(&mut self, context: &mut Context) -> bool {
        while self.asked < QUESTIONS.len() {
            if context.now < self.back_at {
                self.alarm.wake(context, self.back_at);
                return false;
            }
            let Some(socket) = &mut self.cache else {
                self.cache = Some(Socket::connect(context, self.me, Service::Cache, self.plan.line));
                return false;
            };
            let was_ready = socket.is_ready();
            let received = socket.receive(context);
            if !was_ready && socket.is_ready() {
                ask(context, socket, self.asked);
            }
            match received {
                Received::Nothing => {
                    socket.flush(context);
                    return false;
                }
                Received::End => {
                    self.cache = None;
                    self.back_at = context.now + Duration::from_millis(100);
                }
                Received::Message(frames) => {
                    let (question, expected) = QUESTIONS[self.asked];
                    if frames != [&b""[..], expected] {
                        context.ledger.fail(format!("the cache answered {frames:02x?} to {question}"));
                    }
                    self.asked += 1;
                    if self.asked < QUESTIONS.len() {
                        ask(context, socket, self.asked);
                    } else {
                        socket.close(context);
                    }
                }
            }
        }
        self.cache = None;
        true
    }

    fn keep_connected(&mut self, context: &mut Context) {
        let now = context.now;
        for socket in [&mut self.push, &mut self.sub] {
            if socket.as_ref().is_some_and(Socket::is_broken) {
                *socket = None;
                self.back_at = now + context.dice.time(1_000, 300_000);
            }
        }
        if let Some(push) = &mut self.push {
            push.attend(context);
        }
        if now < self.back_at {
            let at = self.back_at;
            return self.alarm.wake(context, at);
        }
        if self.push.is_none() {
            self.push = Some(Socket::connect(context, self.me, Service::Pull, self.plan.line));
            if let Some(job) = &mut self.job {
                job.handle_reconnect(now);
            }
        }
        if now < self.plan.subscribes {
            let at = self.plan.subscribes;
            return self.alarm.wake(context, at);
        }
        if self.sub.is_none() {
            self.sub = Some(Socket::connect(context, self.me, Service::Publish, self.plan.line));
            self.subscribed = false;
        }
    }

    fn take_results(&mut self, context: &mut Context) {
        let now = context.now;
        let Some(sub) = &mut self.sub else { return };
        sub.flush(context);
        loop {
            if self.subscribed && !self.plan.pace.is_zero() {
                if now < self.next_take {
                    let at = self.next_take;
                    return self.alarm.wake(context, at);
                }
                self.next_take = now + self.plan.pace;
            }
            let received = sub.receive(context);
            if sub.is_ready() && !std::mem::replace(&mut self.subscribed, true) {
                sub.subscribe(context, self.id.as_bytes());
            }
            match received {
                Received::Nothing => return,
                Received::End => {
                    self.back_at = self.back_at.max(now + context.dice.time(1_000, 300_000));
                    self.sub = None;
                    let at = self.back_at;
                    return self.alarm.wake(context, at);
                }
                Received::Message(frames) => {
                    let [topic, body] = &frames[..] else {
                        return context.ledger.fail(format!("a result of {} frames", frames.len()));
                    };
                    let key = context.ledger.receive(self.number, &self.id, topic, body);
                    if let Some(key) = key {
                        context.trace.note(
                            now,
                            "client {} receives a result of message {}",
                            &[self.number.into(), key.number.into()],
                        );
                    }
                    if let Some(job) = &mut self.job
                        && let Ok(reply) = Reply::parse(Bytes::from(body.clone()))
                    {
                        job.handle_reply(now, reply);
                        end_outcomes(context, job, self.number);
                    }
                }
            }
        }
    }

    fn send_messages(&mut self, context: &mut Context) {
        let now = context.now;
        if let Some(job) = &mut self.job
            && job.poll_timeout().is_some_and(|due| due <= now)
        {
            job.handle_timeout(now);
            end_outcomes(context, job, self.number);
        }
        // Also while it waits for a connection.
        if let Some(due) = self.job.as_ref().and_then(HeapJob::poll_timeout) {
            self.alarm.wake(context, due);
        }
        loop {
            let Some(push) = &mut self.push else { return };
            if !push.is_ready() {
                return;
            }
            push.flush(context);
            if push.backlog() > BACKLOG {
                return;
            }
            if let Some(job) = &mut self.job
                && let Some(transmit) = job.poll_transmit(now)
            {
                let key = Key { client: self.number, number: transmit.sequence as u32 };
                push.send(context, transmit.message, Some(key));
                continue;
            }
            if let Some(due) = self.job.as_ref().and_then(HeapJob::poll_timeout) {
                self.alarm.wake(context, due);
            }
            if self.sent == self.plan.messages {
                return;
            }
            if now < self.next_send {
                let at = self.next_send;
                return self.alarm.wake(context, at);
            }
            let full = match (&self.job, self.plan.window) {
                (Some(job), _) => !job.has_room(),
                (None, Some(window)) => context.ledger.outstanding(self.number) >= window,
                (None, None) => false,
            };
            if full {
                // A message that was lost makes room without anything coming in.
                return self.alarm.wake(context, now + Duration::from_millis(200));
            }
            self.send_next(context);
        }
    }

    fn send_next(&mut self, context: &mut Context) {
        let now = context.now;
        let len = context.dice.spread(self.plan.least, self.plan.payload);
        let (key, payload) = context.ledger.submit(self.number, len);
        let mut message = BytesMut::new();
        let mut writer = MessageWriter::new(&mut message);
        writer.pipeline(&self.id).client(&self.id).function("server.f");
        if !self.plan.numbered {
            writer.cache(&key.number.to_string());
        }
        writer.payload(&payload);
        if self.plan.numbered {
            writer.sequence(key.number.into());
        }
        writer.finish().expect("a buffer on the heap has room");
        self.sent += 1;
        self.next_send = now + self.plan.gap;
        match (&mut self.job, &mut self.push) {
            (Some(job), _) => job.submit(now, key.number.into(), message.freeze()).expect("it has room"),
            (None, Some(push)) => push.send(context, &message, Some(key)),
            (None, None) => {}
        }
    }
}

fn ask(context: &mut Context, socket: &mut Socket, question: usize) {
    let mut message = BytesMut::new();
    let mut writer = MessageWriter::new(&mut message);
    writer.function("server.get").payload(QUESTIONS[question].0.as_bytes());
    writer.finish().expect("a buffer on the heap has room");
    socket.request(context, &message);
}

fn end_outcomes(context: &mut Context, job: &mut HeapJob, client: u32) {
    while let Some(outcome) = job.poll_event() {
        let key = Key { client, number: outcome.sequence as u32 };
        context.ledger.finish(key, outcome.last, outcome.result.is_ok());
    }
}
