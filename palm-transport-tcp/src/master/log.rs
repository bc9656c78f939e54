//! An endpoint's events as log lines, at a bounded rate.

use std::time::Duration;

use palm_proto::Instant;
use palm_proto::endpoint::EndpointEvent;
use palm_proto::master::Event;

use super::turn::MasterEndpoint;

/// Lines that peers can cause in an interval.
const LINES: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(10);

/// Writes what peers cause, and says how much it left out.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl EventLog {
    pub(super) fn drain(&mut self, now: Instant, endpoint: &mut MasterEndpoint) {
        while let Some(event) = endpoint.poll_event() {
            match event {
                EndpointEvent::Joined { connection, service } => {
                    tracing::debug!("connection {connection} joined {service}");
                }
                event if self.may_write(now) => write(&event),
                _ => self.left_out += 1,
            }
        }
    }

    fn may_write(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= INTERVAL) {
            self.tell_rest();
            (self.since, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        self.lines <= LINES
    }

    /// Says how many lines were left out since this was said last: the master stops, or there is room again.
    pub(super) fn tell_rest(&mut self) {
        if self.left_out > 0 {
            tracing::warn!("further lines of this kind left out: {}", self.left_out);
            self.left_out = 0;
        }
    }
}

fn write(event: &EndpointEvent) {
    match event {
        EndpointEvent::Fault { connection, fault, .. } => tracing::warn!("closed connection {connection}: {fault}"),
        EndpointEvent::TurnedAway { service } => {
            tracing::warn!("turned a connection to {service} away: all places are taken, and none may give way");
        }
        EndpointEvent::Master(Event::WorkerLost { worker, held }) => {
            tracing::warn!("lost worker {worker}: what it held goes to others (tasks: {held})");
        }
        EndpointEvent::Master(Event::LeaseExpired { worker, held }) => {
            tracing::warn!(
                "worker {worker} has answered nothing for the lease time: what it held goes to others (tasks: {held})"
            );
        }
        EndpointEvent::Master(Event::WorkerBack { worker }) => tracing::info!("worker {worker} answers again"),
        EndpointEvent::Master(Event::DeadLetter { task, client, function, attempts }) => tracing::error!(
            "dead letter: task {task}, {function} for client {client}, was lost with {attempts} workers; the client was sent \
             a failure"
        ),
        EndpointEvent::Master(Event::ResultExpired { client }) => {
            tracing::warn!("dropped a result for client {client}: nobody took it within the time to keep");
        }
        other => tracing::debug!("{other:?}"),
    }
}
