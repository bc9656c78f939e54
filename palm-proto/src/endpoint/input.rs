//! What comes in over a connection.

use core::ops::Range;

use crate::buffer::{Buffer, Span};
use crate::master::{Identity, NotTaken, Refusal};
use crate::time::Instant;
use crate::zmtp::Decoded;

use super::event::{EndpointEvent, Fault};
use super::machine::{BufferOf, Endpoint};
use super::part::Part as _;
use super::peer::{ConnectionId, Role, Service, Speech};
use super::reply::Part;
use super::storage::EndpointStorage;

/// What a driver should do with a connection's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read more.
    Read {
        /// If not 0: what is at the front of the input is a message of so many bytes in all, for which room has been set aside.
        message: usize,
    },
    /// Read nothing before [`Endpoint::poll_ready`] names the connection; then offer what is left first.
    Wait,
    /// Send what [`Endpoint::poll_transmit`] still gives, and close.
    Close,
}

/// How far input was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes to take off the front of the input.
    pub used: usize,
    /// What to do next.
    pub next: Next,
}

/// What a frame came to.
pub(super) enum Taken<B> {
    Yes,
    /// There is no room for it now; it comes back if it was handed over in a buffer.
    Blocked(Option<B>),
    Fault(Fault),
}

/// A received unit: among others in a driver's buffer, or in one of its own.
pub(super) enum Input<'a, B> {
    Borrowed(&'a [u8]),
    Owned(B),
}

impl<B: Buffer> Input<'_, B> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(buffer) => buffer.as_ref(),
        }
    }

    fn span(self, range: Range<usize>) -> Option<Span<B>> {
        match self {
            Self::Borrowed(bytes) => Span::copy_passing(bytes.get(range)?),
            Self::Owned(buffer) => Span::part(buffer, range),
        }
    }
}

impl<S: EndpointStorage> Endpoint<S> {
    /// Takes as much of `input` as is whole and there is room for. O(length of the input).
    pub fn handle_input(&mut self, now: Instant, id: ConnectionId, input: &[u8]) -> Progress {
        let Some(index) = self.find(id) else { return Progress { used: 0, next: Next::Close } };
        if let Some(native) = self.peers[index].native() {
            return self.handle_native_input(now, index, native, input);
        }
        let mut used = 0;
        let next = loop {
            let rest = input.get(used..).unwrap_or(&[]);
            let Some(zmtp) = self.peers[index].zmtp() else { break Next::Close };
            let decoded = match zmtp.handle_input(rest) {
                Ok(decoded) => decoded,
                Err(error) => break self.close_for(index, Fault::Protocol(error)),
            };
            match decoded {
                Decoded::Incomplete { total, message } => break self.on_incomplete(index, total, message),
                Decoded::Frame { used: len, body, more } => {
                    match self.on_frame(now, index, Input::Borrowed(rest), body, more) {
                        Taken::Yes => used += len,
                        Taken::Blocked(_) => break self.block(index, len),
                        Taken::Fault(fault) => break self.close_for(index, fault),
                    }
                }
                Decoded::Consumed { used: len } => {
                    used += len;
                    self.mark_ready(index);
                }
                Decoded::Ready { used: len, identity, .. } => {
                    used += len;
                    let identity = rest.get(identity).unwrap_or(&[]);
                    if !self.on_ready(now, index, id, identity) {
                        break self.close_for(index, Fault::NoRoom);
                    }
                }
                Decoded::Subscribe { used: len, topic } => {
                    used += len;
                    if !self.on_subscription(now, index, rest.get(topic).unwrap_or(&[]), true) {
                        break self.close_for(index, Fault::NoRoom);
                    }
                }
                Decoded::Cancel { used: len, topic } => {
                    used += len;
                    self.on_subscription(now, index, rest.get(topic).unwrap_or(&[]), false);
                }
            }
        };
        self.heard(now, index);
        self.settle();
        Progress { used, next }
    }

    /// Takes one whole message that the driver has put into a buffer of its own: header and body, of the length that
    /// [`Next::Read`] told.
    ///
    /// # Errors
    /// Gives it back if there is no room for it now: offer it again when [`poll_ready`](Self::poll_ready) names the
    /// connection.
    pub fn handle_message(&mut self, now: Instant, id: ConnectionId, unit: BufferOf<S>) -> Result<Next, BufferOf<S>> {
        let Some(index) = self.find(id) else { return Ok(Next::Close) };
        if let Some(native) = self.peers[index].native() {
            return self.handle_native_message(now, index, native, unit);
        }
        let Some(zmtp) = self.peers[index].zmtp() else { return Ok(Next::Close) };
        let next = match zmtp.handle_input(unit.as_ref()) {
            Err(error) => self.close_for(index, Fault::Protocol(error)),
            Ok(Decoded::Frame { body, more, used }) => {
                match self.on_frame(now, index, Input::Owned(unit), body, more) {
                    Taken::Yes => Next::Read { message: 0 },
                    Taken::Fault(fault) => self.close_for(index, fault),
                    Taken::Blocked(Some(unit)) => {
                        self.block(index, used);
                        return Err(unit);
                    }
                    Taken::Blocked(None) => self.block(index, used),
                }
            }
            Ok(_) => Next::Read { message: 0 },
        };
        self.heard(now, index);
        self.settle();
        Ok(next)
    }

    /// The handshake is over: the connection gets its role. `false` if there is no room for it.
    fn on_ready(&mut self, now: Instant, index: u32, connection: ConnectionId, identity: &[u8]) -> bool {
        let service = self.peers[index].service;
        let role = match service {
            Service::Pull => self.master.add_sender().map(Role::Sender),
            Service::Publish => self.master.add_subscriber(now, index).map(Role::Subscriber),
            Service::WorkerPush => self.master.add_worker(now, index, jobs(identity)).map(Role::Worker),
            Service::WorkerPull => Some(Role::Answerer),
            Service::Cache => Some(Role::CacheClient),
            Service::Native => None,
        };
        let Some(role) = role else { return false };
        let name = name_of_worker(identity);
        let identity = name.map_or(Identity::NONE, |name| Identity::from_hash(self.native.identity_hash(name)));
        if let Role::Worker(worker) = role {
            self.master.set_round_trip(worker, now - self.peers[index].accepted);
            let answers = identity.is_some() && self.has_answerer(identity);
            self.master.set_identity(worker, identity, answers);
        } else if role == Role::Answerer && identity.is_some() {
            if let Speech::ZeroMq(zeromq) = &mut self.peers[index].speech {
                zeromq.part_mut().identity = identity;
            }
            self.master.expect_answers(identity);
        }
        self.peers[index].role = role;
        self.timers.stop(&mut self.peers, index);
        self.on_greeted(index, false);
        self.mark_ready(index);
        self.report(EndpointEvent::Joined { connection, service });
        true
    }

    /// Whether a connection of this identity is there over which answers come. O(connections).
    fn has_answerer(&self, identity: Identity) -> bool {
        self.peers.indices().any(|index| self.peers[index].identity() == identity)
    }

    /// Whether there is room for the subscription.
    fn on_subscription(&mut self, now: Instant, index: u32, topic: &[u8], subscribe: bool) -> bool {
        let Role::Subscriber(subscriber) = self.peers[index].role else { return true };
        if subscribe {
            let taken = self.master.handle_subscribe(now, subscriber, topic).is_ok();
            self.counters.subscriptions_refused += u64::from(!taken);
            return taken;
        }
        self.master.handle_cancel(subscriber, topic);
        true
    }

    /// Part of a unit is there. Room for a message is set aside once its length is known.
    pub(super) fn on_incomplete(&mut self, index: u32, total: usize, message: bool) -> Next {
        if !message {
            return Next::Read { message: 0 };
        }
        if self.peers[index].reserved == 0 {
            if !self.may_begin(index, total) {
                return self.block(index, total);
            }
            self.reserve(index, total);
        }
        Next::Read { message: total }
    }

    fn on_frame(
        &mut self,
        now: Instant,
        index: u32,
        input: Input<'_, BufferOf<S>>,
        body: Range<usize>,
        more: bool,
    ) -> Taken<BufferOf<S>> {
        let blocked = |input| match input {
            Input::Borrowed(_) => Taken::Blocked(None),
            Input::Owned(buffer) => Taken::Blocked(Some(buffer)),
        };
        // What has been set aside is given back when the message itself is counted.
        let reserved = self.peers[index].reserved as usize;
        if reserved == 0 && !self.may_read(index, body.len()) {
            return blocked(input);
        }
        match self.peers[index].role {
            Role::Sender(_) | Role::Answerer => {
                if more || self.peers[index].skipping {
                    self.counters.multipart += u64::from(!more);
                    self.peers[index].skipping = more;
                    self.unreserve(index);
                    return Taken::Yes;
                }
                let Some(message) = input.span(body) else {
                    self.unreserve(index);
                    return Taken::Yes;
                };
                let taken = match self.peers[index].role {
                    Role::Sender(sender) => self.master.handle_submit(now, sender, message).map(|_| ()),
                    _ => self.master.handle_result_of(now, self.peers[index].identity(), message),
                };
                match taken {
                    Err(NotTaken { reason: reason @ (Refusal::Full | Refusal::Stray), message }) => {
                        self.peers[index].stray = reason == Refusal::Stray;
                        return Taken::Blocked(Some(message.into_parts().0));
                    }
                    Err(NotTaken { reason: Refusal::Malformed, .. }) => self.peers[index].stray = false,
                    Ok(()) => {
                        self.peers[index].stray = false;
                        self.on_use(index);
                    }
                }
                self.unreserve(index);
                Taken::Yes
            }
            Role::CacheClient => {
                let taken = self.on_request_frame(now, index, input.bytes().get(body).unwrap_or(&[]), more);
                self.unreserve(index);
                taken
            }
            // A subscriber's message that is no subscription, which a PUB passes over.
            Role::Subscriber(_)
            | Role::Worker(_)
            | Role::Stranger
            | Role::NativeWorker(_)
            | Role::NativeClient { .. } => {
                self.unreserve(index);
                Taken::Yes
            }
        }
    }

    fn on_request_frame(&mut self, now: Instant, index: u32, frame: &[u8], more: bool) -> Taken<BufferOf<S>> {
        let Some(request) = self.peers[index].request_mut() else { return Taken::Yes };
        match request.handle_frame(frame, more) {
            Part::Envelope => {}
            Part::Broken => return Taken::Fault(Fault::NoEnvelope),
            Part::Body => {
                self.counters.cache_requests += 1;
                let reply = self.cache.handle_request(now, frame);
                let outcome = reply.outcome();
                let bytes = match reply.buffer() {
                    Some(buffer) => Some(Span::whole(buffer.clone())),
                    None => Span::copy_from(reply.as_slice()),
                };
                let Some(bytes) = bytes else { return Taken::Fault(Fault::NoRoom) };
                self.master.reserve(None, bytes.len());
                if let Some(request) = self.peers[index].request_mut() {
                    request.reply = Some(bytes);
                }
                if outcome.is_fault() {
                    self.counters.cache_faults += 1;
                    self.report(EndpointEvent::CacheFault(outcome));
                }
            }
        }
        if self.peers[index].reply().is_some() && !more {
            self.mark_ready(index);
        }
        Taken::Yes
    }
}

/// The identity that a worker of ours tells on all its connections, which is its alone: `palm;jobs=N;` and something more.
fn name_of_worker(identity: &[u8]) -> Option<&[u8]> {
    let rest = identity.strip_prefix(b"palm;jobs=")?;
    let end = rest.iter().position(|&byte| byte == b';')?;
    (end + 1 < rest.len()).then_some(identity)
}

/// How many messages a worker says it works on at the same time: the `jobs=N` in an identity `palm;jobs=N`.
fn jobs(identity: &[u8]) -> u32 {
    let identity = core::str::from_utf8(identity).unwrap_or_default();
    let jobs = identity.strip_prefix("palm;jobs=").and_then(|rest| rest.split(';').next()?.parse().ok());
    jobs.unwrap_or(1).clamp(1, 1_024)
}
