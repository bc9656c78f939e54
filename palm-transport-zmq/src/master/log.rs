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
            if self.left_out > 0 {
                tracing::warn!("{} further lines of this kind were left out", self.left_out);
            }
            (self.since, self.lines, self.left_out) = (Some(now), 0, 0);
        }
        self.lines += 1;
        self.lines <= LINES
    }
}

fn write(event: &EndpointEvent) {
    match event {
        EndpointEvent::Fault { connection, service, fault } => {
            tracing::warn!("closed connection {connection} to {service}: {fault}");
        }
        EndpointEvent::CacheFault(outcome) => tracing::warn!("odd request to the cache: {outcome}"),
        EndpointEvent::Master(event) => write_master(event),
        other => tracing::debug!("{other:?}"),
    }
}

fn write_master(event: &Event) {
    match event {
        Event::WorkerLost { worker, held } => {
            tracing::warn!("lost worker {worker}: the {held} messages it held go to others");
        }
        Event::LeaseExpired { worker, held } => {
            tracing::warn!(
                "worker {worker} has answered nothing for the lease time: the {held} messages it held go to others"
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
