//! What everybody in a run shares.

use palm_proto::Instant;

use super::dice::Dice;
use super::ledger::Ledger;
use super::network::Network;
use super::queue::Queue;
use super::trace::Trace;

/// Clock, chance, network and ledger.
#[derive(Debug)]
pub(super) struct Context {
    /// The time.
    pub(super) now: Instant,
    /// Chance.
    pub(super) dice: Dice,
    /// Connections.
    pub(super) network: Network,
    /// What is to come.
    pub(super) queue: Queue,
    /// What was sent and received.
    pub(super) ledger: Ledger,
    /// What happened.
    pub(super) trace: Trace,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    /// The last task that a worker was given over ZeroMQ.
    pub(super) seen_task: u64,
}

impl Context {
    /// One end of a connection was closed; once both are, what was in it is lost.
    pub(super) fn settle_link(&mut self, link: usize) {
        let entry = self.network.link(link);
        if !entry.is_over() {
            return;
        }
        let submissions = std::mem::take(&mut entry.submissions);
        let handed = std::mem::take(&mut entry.handed);
        for (_, key) in submissions {
            self.trace.note(
                self.now,
                "message {} of client {} is lost on its way",
                &[u64::from(key.number), u64::from(key.client)],
            );
            self.ledger.lose(key);
        }
        for key in handed {
            if !self.ledger.has(key) {
                self.trace.note(
                    self.now,
                    "a result of message {} of client {} is lost on its way",
                    &[u64::from(key.number), u64::from(key.client)],
                );
                self.ledger.excuse(key);
            }
        }
    }
}
