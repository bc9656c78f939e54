//! Peers that mean no good, or are no good.

use std::time::Duration;

use palm_proto::Instant;
use palm_proto::endpoint::Service;
use palm_proto::zmtp::frame_header;

use super::context::Context;
use super::network::Line;
use super::queue::Event;
use super::socket::{Received, Socket};

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
}

impl Manner {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Noise, Self::NoiseLater, Self::Rubbish, Self::Half, Self::Silence];
}

/// A peer that no master needs.
#[derive(Debug)]
pub(super) struct IntruderNode {
    manner: Manner,
    socket: Socket,
    me: usize,
    begun: bool,
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
        Self { manner, socket, me, begun: false, leaves }
    }

    /// Its time has come, or something happened on its link.
    pub(super) fn serve(&mut self, context: &mut Context) {
        if self.socket.is_broken() {
            return;
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
            Manner::Half | Manner::Rubbish | Manner::Noise | Manner::Silence => {}
        }
    }
}

fn noise(context: &mut Context, socket: &mut Socket) {
    let len = context.dice.spread(1, 2_000);
    let bytes: Vec<u8> = (0..len).map(|_| context.dice.bits() as u8).collect();
    socket.send_raw(context, &bytes);
}
