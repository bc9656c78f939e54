//! Who may join, as what: Hello, Welcome and Refused.

use crate::collections::NONE;
use crate::master::{Identity, WorkerId};
use crate::native::{Frame, RefusalCode, Role as NativeRole, SessionId, ToMaster, Versions, token_matches};
use crate::time::Instant;

use super::super::event::{EndpointEvent, Fault};
use super::super::machine::Endpoint;
use super::super::peer::{ConnectionId, Role, Service};
use super::super::storage::EndpointStorage;
use super::names::hex;
use super::peer::Stage;

/// Widest window of a worker: of any two tasks that it has, it is plain which number is meant.
pub(super) const WINDOW_MAX: u32 = 8_192;
/// Results that a client is sent at most without calling them received.
const RESULTS_MAX: u32 = 65_536;

impl<S: EndpointStorage> Endpoint<S> {
    /// The first frame of a connection. What it is refused for is told by the stage that it comes to.
    pub(super) fn on_hello(&mut self, now: Instant, index: u32, native: u32, frame: &Frame<'_, ToMaster>) {
        let ToMaster::Hello { versions, role, max_frame, window, session, resume, holding, .. } = frame.header else {
            return self.refuse(index, native, RefusalCode::Malformed, "the first frame has to be Hello");
        };
        if versions.common(Versions::OURS).is_none() {
            return self.refuse(index, native, RefusalCode::Version, "this master speaks version 1");
        }
        if !token_matches(&self.native.token, frame.body) {
            return self.refuse(index, native, RefusalCode::Token, "wrong token");
        }
        if self.draining {
            return self.refuse(index, native, RefusalCode::Stopping, "the master stops");
        }
        let joined = match role {
            NativeRole::Worker => self.join_worker(now, index, window, holding, (session, resume)),
            NativeRole::Client => self.join_client(now, index, native, session, resume),
        };
        let Some(role) = joined else {
            return self.refuse(index, native, RefusalCode::Full, "no room for another peer");
        };
        let peer = &mut self.native.peers[native];
        peer.max_frame = max_frame;
        peer.window = match role {
            Role::NativeWorker(_) => window.clamp(1, WINDOW_MAX),
            _ => window.clamp(1, RESULTS_MAX),
        };
        peer.holding = if matches!(role, Role::NativeWorker(_)) { holding } else { 0 };
        self.native.announced += peer.holding;
        peer.stage = Stage::Greeted;
        self.peers[index].role = role;
        self.on_greeted(index, !self.native.token.is_empty());
        if self.native.peers[native].holding == 0 {
            self.timers.stop(&mut self.peers, index);
        } else {
            // Its handshake goes on until it has named what it holds.
            self.start_handshake(now, index);
        }
        self.mark_ready(index);
        let generation = self.peers.generation(index).unwrap_or(0);
        self.report(EndpointEvent::Joined { connection: ConnectionId { index, generation }, service: Service::Native });
    }

    fn join_worker(
        &mut self,
        now: Instant,
        index: u32,
        window: u32,
        holding: u32,
        (session, resume): (SessionId, bool),
    ) -> Option<Role> {
        let window = window.clamp(1, WINDOW_MAX);
        let process = (session != SessionId::NOBODY).then(|| self.native.hash.hash(&session.0) as u32);
        if let (true, Some(process)) = (resume, process) {
            self.replace_worker(now, process);
        }
        if holding > WINDOW_MAX || !self.native.may_announce(holding) {
            return None;
        }
        // What it holds may be queued: it is not to be given that anew before it has said so.
        let first = if holding > 0 { 0 } else { window };
        let worker = self.master.add_worker_with_window(now, index, first)?;
        // It answers over this connection, and nobody else for it.
        self.master.set_identity(worker, Identity::OWN, true);
        if let Some(process) = process {
            self.master.begin_process(now, worker, process, resume);
        }
        Some(Role::NativeWorker(worker))
    }

    fn join_client(&mut self, now: Instant, index: u32, native: u32, id: SessionId, resume: bool) -> Option<Role> {
        // From here on the session is not known any more: it goes into messages, and out to workers.
        let id = id.handle();
        self.make_room_for_session(now, index, id, resume);
        let source = self.source_of(index);
        let sender = self.master.add_sender()?;
        let Some(subscriber) = self.master.add_subscriber(now, index) else {
            self.master.remove_sender(sender);
            return None;
        };
        let subscribed = self.master.handle_subscribe(now, subscriber, &hex(&id.0)).is_ok();
        let mut dropped = 0;
        // Last, for it is not undone: from here on nothing may fail.
        let mut attach = || self.native.attach(id, (native, source), resume, |bytes| dropped += bytes);
        let attached = if subscribed { attach() } else { None };
        self.master.release(None, dropped);
        let Some(attached) = attached else {
            self.master.remove_subscriber(subscriber);
            self.master.remove_sender(sender);
            return None;
        };
        if let Some(before) = attached.replaced {
            self.replace(before);
        }
        let session = attached.session;
        let first = self.native.sessions[session].kept.front();
        let peer = &mut self.native.peers[native];
        peer.owes_accepted = true;
        peer.resend = first.unwrap_or(NONE);
        Some(Role::NativeClient { sender, subscriber, session })
    }

    /// Another connection has a client's session: this one, which may be waiting to be read, has no part in it any more.
    fn replace(&mut self, native: u32) {
        let index = self.native.peers[native].connection;
        self.unreserve(index);
        let role = core::mem::replace(&mut self.peers[index].role, Role::Stranger);
        if let Role::NativeClient { sender, subscriber, .. } = role {
            self.master.remove_sender(sender);
            self.master.remove_subscriber(subscriber);
        }
        self.refuse(index, native, RefusalCode::Replaced, "another connection has the session");
    }

    /// A process comes over another connection than before, of which nobody has noticed yet that it is dead: what was out over that goes
    /// back, as it does when a connection breaks.
    fn replace_worker(&mut self, now: Instant, process: u32) {
        let Some(index) = self.master.worker_of(process) else { return };
        let (Some(native), Role::NativeWorker(worker)) = (self.peers[index].native(), self.peers[index].role) else {
            return;
        };
        self.unreserve(index);
        self.peers[index].role = Role::Stranger;
        self.master.remove_worker(now, worker);
        self.native.forget_outstanding(native);
        let announced = core::mem::take(&mut self.native.peers[native].holding);
        self.native.announced -= announced;
        self.refuse(index, native, RefusalCode::Replaced, "another connection has the session");
    }

    /// The connection of a worker is gone.
    pub(in super::super) fn lose_native_worker(&mut self, now: Instant, index: u32, worker: WorkerId) {
        if self.peers[index].native().is_some_and(|native| self.native.peers[native].parts) {
            self.master.end_process(worker);
        }
        self.master.remove_worker(now, worker);
    }

    /// Says why, and closes.
    pub(super) fn refuse(&mut self, index: u32, native: u32, code: RefusalCode, text: &'static str) {
        self.native.peers[native].parts = true;
        self.native.peers[native].stage = Stage::Refused(code, text);
        self.counters.native_refused += 1;
        self.close_for(index, Fault::Refused(code));
    }

    /// Native peers have to give this token; without one they may not give any. `false` if it is longer than 255 bytes.
    pub fn set_token(&mut self, token: &[u8]) -> bool {
        self.native.token.clear();
        self.native.token.extend_from_slice(token).is_ok()
    }
}
