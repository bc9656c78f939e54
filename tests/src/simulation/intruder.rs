//! Peers that mean no good, or are no good.

use std::time::Duration;

use bytes::BytesMut;
use palm_proto::endpoint::Service;
use palm_proto::zmtp::frame_header;
use palm_proto::{Instant, MessageWriter, Status, TaskId};

use super::context::Context;
use super::network::Line;
use super::queue::Event;
use super::socket::{Received, Socket};

/// Messages that one sends at most: all that is on its way over a slow line still comes when it has gone.
const MESSAGES: u32 = 200;

/// How an intruder behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Sends bytes at random from the start.
    Noise,
    /// Shakes hands, and sends bytes at random.
    NoiseLater,
    /// Shakes hands, and sends frames of bytes at random.
    Rubbish,
    /// Shakes hands, announces a message, and sends a part of it.
    Half,
    /// Says nothing.
    Silence,
    /// A client that sets fields which only a master or a worker may set.
    Forge,
    /// Answers tasks that it has not been given, whose names it guesses from one that it has seen.
    Guess,
    /// Subscribes to all results, and takes them.
    Listens,
    /// Subscribes to all results, and takes none.
    Hoards,
}

impl Manner {
    /// All that nobody plans.
    pub(super) const ALL: [Self; 7] =
        [Self::Noise, Self::NoiseLater, Self::Rubbish, Self::Half, Self::Silence, Self::Forge, Self::Guess];

    /// The socket that it calls, if that is not any.
    pub(super) const fn service(self) -> Option<Service> {
        match self {
            Self::Forge => Some(Service::Pull),
            Self::Guess => Some(Service::WorkerPull),
            Self::Listens | Self::Hoards => Some(Service::Publish),
            Self::Noise | Self::NoiseLater | Self::Rubbish | Self::Half | Self::Silence => None,
        }
    }
}

/// A peer that no master needs.
#[derive(Debug)]
pub(super) struct IntruderNode {
    manner: Manner,
    socket: Socket,
    me: usize,
    begun: bool,
    /// Messages that it has sent.
    sent: u32,
    leaves: Instant,
}

impl IntruderNode {
    /// Calls one of the sockets at once.
    pub(super) fn new(context: &mut Context, me: usize, service: Service, manner: Manner, line: Line) -> Self {
        let mut socket = Socket::connect(context, me, service, line);
        if manner == Manner::Noise {
            noise(context, &mut socket);
        }
        let leaves = context.now + context.dice.time(1_000, 60_000_000);
        context.queue.push(leaves, Event::Wake(me));
        Self { manner, socket, me, begun: false, sent: 0, leaves }
    }

    /// Its time has come, or something happened on its link.
    pub(super) fn serve(&mut self, context: &mut Context) {
        if self.socket.is_broken() {
            return;
        }
        if matches!(self.manner, Manner::Listens | Manner::Hoards) {
            return self.listen(context);
        }
        if context.now >= self.leaves || context.calm {
            return self.socket.close(context);
        }
        if matches!(self.manner, Manner::Noise | Manner::Silence) {
            return;
        }
        if let Received::End = self.socket.receive(context) {
            return;
        }
        if !self.socket.is_ready() {
            return;
        }
        if !std::mem::replace(&mut self.begun, true) {
            context.trace.note(context.now, "intruder {} begins", &[self.me as u64]);
        }
        match self.manner {
            Manner::NoiseLater => noise(context, &mut self.socket),
            Manner::Rubbish if self.socket.backlog() < 1_000 => {
                for _ in 0..context.dice.between(1, 20) {
                    let len = context.dice.spread(1, 300) - 1;
                    let more = context.dice.chance(200);
                    let mut frame = frame_header(len, more).as_ref().to_vec();
                    frame.extend((0..len).map(|_| context.dice.bits() as u8));
                    self.socket.send_raw(context, &frame);
                }
                context.queue.push(context.now + Duration::from_millis(100), Event::Wake(self.me));
            }
            Manner::Half if self.begun => {
                self.manner = Manner::Silence;
                let len = context.dice.spread(1, 20_000);
                self.socket.send_raw(context, frame_header(len, false).as_ref());
                let part = context.dice.between(0, len - 1);
                self.socket.send_raw(context, &vec![7; part]);
            }
            Manner::Forge | Manner::Guess if self.socket.backlog() < 1_000 && self.sent < MESSAGES => {
                for _ in 0..context.dice.between(1, 10) {
                    let message = if self.manner == Manner::Forge { forged(context) } else { guessed(context) };
                    self.socket.send(context, &message, None);
                    self.sent += 1;
                }
                context.queue.push(context.now + Duration::from_millis(100), Event::Wake(self.me));
            }
            Manner::Half
            | Manner::Rubbish
            | Manner::Noise
            | Manner::Silence
            | Manner::Forge
            | Manner::Guess
            | Manner::Listens
            | Manner::Hoards => {}
        }
    }

    fn listen(&mut self, context: &mut Context) {
        loop {
            if self.begun && self.manner == Manner::Hoards {
                return;
            }
            let received = self.socket.receive(context);
            if self.socket.is_ready() && !std::mem::replace(&mut self.begun, true) {
                self.socket.subscribe(context, b"");
            }
            if let Received::Nothing | Received::End = received {
                return;
            }
        }
    }
}

/// A message that says it was handed back, is a part of a result, or is of an attempt.
fn forged(context: &mut Context) -> BytesMut {
    let mut message = BytesMut::new();
    let mut writer = MessageWriter::new(&mut message);
    for _ in 0..context.dice.between(0, 2) {
        forge(context, &mut writer);
    }
    writer.client("intruder").function("server.f").payload(&[7; 5]);
    for _ in 0..context.dice.between(0, 2) {
        forge(context, &mut writer);
    }
    writer.finish().expect("a buffer on the heap has room");
    message
}

fn forge(context: &mut Context, writer: &mut MessageWriter<'_, BytesMut>) {
    let number = context.dice.between(0, 9) as u32;
    match context.dice.between(0, 5) {
        0 | 1 => writer.status(Status::HandedBack),
        2 => writer.attempt(number),
        3 => writer.task(TaskId(context.seen_task.wrapping_add(number.into()))),
        4 => writer.partial(),
        _ => writer.status(Status::from_code(number)).error("why"),
    };
}

/// The answer to a task that may be somebody's.
fn guessed(context: &mut Context) -> BytesMut {
    let by = context.dice.between(1, 8) as u64;
    let seen = context.seen_task;
    let task = match context.dice.between(0, 3) {
        0 => seen.wrapping_add(by),
        1 => seen.wrapping_sub(by),
        2 => seen.wrapping_add(by << 32),
        _ => seen ^ 1 << (by % 64),
    };
    let mut answer = BytesMut::new();
    let mut writer = MessageWriter::new(&mut answer);
    writer.client("intruder").function("server.f").payload(b"guess");
    if context.dice.chance(300) {
        writer.status(Status::HandedBack);
    }
    writer.attempt(context.dice.between(0, 3) as u32).task(TaskId(task));
    writer.finish().expect("a buffer on the heap has room");
    answer
}

fn noise(context: &mut Context, socket: &mut Socket) {
    let len = context.dice.spread(1, 2_000);
    let bytes: Vec<u8> = (0..len).map(|_| context.dice.bits() as u8).collect();
    socket.send_raw(context, &bytes);
}
