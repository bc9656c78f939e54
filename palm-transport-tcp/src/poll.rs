//! Waiting for events.

use std::io;
use std::time::Duration;

use mio::{Events, Poll};

/// Waits for events, or until `timeout` has passed; a signal that interrupts it counts as an event.
pub(crate) fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        polled => polled,
    }
}
