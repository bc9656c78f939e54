//! An endpoint's events as log lines, at a bounded rate.

use std::time::{Duration, Instant};

use palm_proto::PooledBuffer;
use palm_proto::endpoint::{Endpoint, EndpointEvent, HeapEndpoint};
use palm_proto::master::Event;

/// Lines that a peer can cause in an interval.
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
    pub(super) fn drain(&mut self, endpoint: &mut Endpoint<HeapEndpoint<PooledBuffer>>) {
        while let Some(event) = endpoint.poll_event() {
            match event {
                EndpointEvent::Joined { connection, service } => {
                    tracing::debug!("connection {connection} joined {service}");
                }
                event if self.may_write() => write(&event),
                _ => self.left_out += 1,
            }
        }
    }

    fn may_write(&mut self) -> bool {
        let now = Instant::now();
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
        EndpointEvent::Fault { connection, service, fault } => {
            tracing::warn!("closed connection {connection} to {service}: {fault}");
        }
        EndpointEvent::TurnedAway { service } => {
            tracing::warn!("turned a connection to {service} away: all places are taken, and none may give way");
        }
        EndpointEvent::CacheFault(outcome) => tracing::warn!("odd request to the cache: {outcome}"),
        EndpointEvent::Master(event) => write_master(event),
        other => tracing::debug!("{other:?}"),
    }
}

fn write_master(event: &Event) {
    match event {
        Event::WorkerLost { worker, held } => {
            tracing::warn!("lost worker {worker}: what it held goes to others (messages: {held})");
        }
        Event::LeaseExpired { worker, held } => {
            tracing::warn!(
                "worker {worker} has answered nothing for the lease time: what it held goes to others (messages: {held})"
            );
        }
        Event::WorkerBack { worker } => tracing::info!("worker {worker} answers again"),
        Event::DeadLetter { task, client, function, attempts } => {
            tracing::error!(
                "dead letter: task {task}, {function} for client {client}, was lost with {attempts} workers; the client was \
                 sent a failure"
            );
        }
        Event::ResultExpired { client } => {
            tracing::warn!("dropped a result for client {client}: nobody took it within the time to keep");
        }
        Event::Malformed { offset } => {
            tracing::warn!("threw away a message that does not parse (byte {offset})");
        }
        other => tracing::debug!("{other:?}"),
    }
}
