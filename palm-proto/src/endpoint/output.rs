//! What goes out over a connection.

use crate::master::{SubscriberId, WorkerId};
use crate::time::Instant;
use crate::zmtp::{CONTROL_MAX, frame_header};

use super::machine::{BufferOf, Endpoint};
use super::part::Part;
use super::peer::{ConnectionId, Control, Role};
use super::storage::EndpointStorage;
use super::transmit::{Body, Outlet, Topic, Transmit};

/// Bytes that a driver may hold for one connection before it is given no more.
const OUTGOING_MAX: u32 = 256 << 10;
/// The same while memory is short.
const OUTGOING_SHORT: u32 = 16 << 10;

impl<S: EndpointStorage> Endpoint<S> {
    /// The next message or control bytes for a connection; `None` if there is nothing, or as much is on its way as may be.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, id: ConnectionId) -> Option<Transmit<'_, BufferOf<S>>> {
        let index = self.find(id)?;
        let cap = self.outgoing_cap();
        if let Some(native) = self.peers[index].native() {
            return self.poll_native(now, index, native, cap);
        }
        let peer = &mut self.peers[index];
        if let Some(zmtp) = peer.zmtp().filter(|zmtp| zmtp.has_transmit()) {
            let Control { out, metadata } = self.control.as_mut()?.part_mut();
            let len = zmtp.poll_transmit_with(out, metadata);
            peer.outgoing += len as u32;
            self.master.reserve(None, len);
            let lead = out.get(..len).unwrap_or(&[]);
            return Some(Transmit { lead, ..Transmit::EMPTY });
        }
        if peer.closing || peer.outgoing >= cap {
            return None;
        }
        let (role, was_known) = (peer.role, peer.known);
        if !was_known && self.has_for(role) {
            self.on_use(index);
        }
        match role {
            Role::Worker(worker) => self.transmit_task(now, index, worker),
            Role::Subscriber(subscriber) => self.transmit_result(now, index, subscriber),
            Role::CacheClient => self.transmit_reply(index),
            Role::Stranger | Role::Sender(_) | Role::Answerer | Role::NativeWorker(_) | Role::NativeClient { .. } => {
                None
            }
        }
    }

    /// So many bytes are on their way to a connection.
    #[inline]
    fn count_outgoing(&mut self, index: u32, bytes: usize) {
        self.peers[index].outgoing += bytes as u32;
        self.master.reserve(None, bytes);
    }

    #[inline]
    fn transmit_task(&mut self, now: Instant, index: u32, worker: WorkerId) -> Option<Transmit<'_, BufferOf<S>>> {
        if !self.master.has_task(worker) {
            return None;
        }
        let assignment = self.master.poll_task(worker)?;
        assignment.write_tags(now, &mut self.tags);
        let task = assignment.task;
        let len = assignment.message.len() + self.tags.len();
        let header = frame_header(len, false);
        self.count_outgoing(index, len + header.as_ref().len());
        let message = self.master.leased(task)?;
        Some(Transmit { header: Some(header), body: Body::Kept(message), after: &self.tags, ..Transmit::EMPTY })
    }

    #[inline]
    fn transmit_result(
        &mut self,
        now: Instant,
        index: u32,
        subscriber: SubscriberId,
    ) -> Option<Transmit<'_, BufferOf<S>>> {
        let outcome = self.master.poll_result(now, subscriber)?;
        outcome.write_tags(&mut self.tags);
        let len = outcome.message.len() + self.tags.len();
        let header = frame_header(len, false);
        let own = self.master.own_topic().map_or(0, <[u8]>::len);
        let topic_len = outcome.topic.as_ref().map_or(own, ExactSizeIterator::len);
        let topic_header = frame_header(topic_len, true);
        self.count_outgoing(index, topic_header.as_ref().len() + topic_len + header.as_ref().len() + len);
        let topic = match outcome.topic {
            Some(range) => Topic::InBody(range),
            None => Topic::Own(self.master.own_topic().unwrap_or(&[])),
        };
        let (topic_header, header) = (Some(topic_header), Some(header));
        let (body, after): (_, &[u8]) = (Body::Given(outcome.message), &self.tags);
        Some(Transmit { topic_header, topic, header, body, after, ..Transmit::EMPTY })
    }

    /// The cache's answer to a request.
    fn transmit_reply(&mut self, index: u32) -> Option<Transmit<'_, BufferOf<S>>> {
        let request = self.peers[index].request_mut().filter(|request| request.is_whole())?;
        let reply = request.reply.take()?;
        let header = frame_header(reply.len(), false);
        let total = request.envelope.len() + header.as_ref().len() + reply.len();
        self.master.release(None, reply.len());
        self.count_outgoing(index, total);
        let lead = &self.peers[index].request()?.envelope;
        Some(Transmit { lead, header: Some(header), body: Body::Given(reply), ..Transmit::EMPTY })
    }

    /// Whether a task or a result is there for a connection.
    fn has_for(&self, role: Role) -> bool {
        match role {
            Role::Worker(worker) => self.master.has_task(worker),
            Role::Subscriber(subscriber) => self.master.has_result(subscriber),
            _ => false,
        }
    }

    /// Gives all that [`poll_transmit`](Self::poll_transmit) would, until it is `None`. Not for lines on which each frame has to
    /// be told from the next.
    pub fn transmit_to(&mut self, now: Instant, id: ConnectionId, out: &mut impl Outlet<BufferOf<S>>) {
        loop {
            let Some(index) = self.find(id) else { return };
            if let Some(native) = self.peers[index].native() {
                let room = self.outgoing_cap().saturating_sub(self.peers[index].outgoing);
                self.transmit_batch(now, index, native, room, out);
            }
            let Some(transmit) = self.poll_transmit(now, id) else { return };
            out.put(transmit);
        }
    }

    /// Bytes of one connection that a driver may hold now.
    #[inline]
    fn outgoing_cap(&self) -> u32 {
        if self.master.committed() > self.memory - self.memory / 8 { OUTGOING_SHORT } else { OUTGOING_MAX }
    }

    /// Bytes of what [`poll_transmit`](Self::poll_transmit) gave have left.
    pub fn handle_sent(&mut self, id: ConnectionId, bytes: usize) {
        let Some(index) = self.find(id) else { return };
        let peer = &mut self.peers[index];
        let bytes = bytes.min(peer.outgoing as usize);
        peer.outgoing -= bytes as u32;
        peer.takes |= bytes > CONTROL_MAX || peer.outgoing > 0;
        let was_cache = peer.role == Role::CacheClient && peer.outgoing == 0;
        self.master.release(None, bytes);
        if was_cache && self.peers[index].is_blocked() {
            // The next request waited for the reply to leave.
            self.unblock(index);
        }
        self.settle();
    }
}
