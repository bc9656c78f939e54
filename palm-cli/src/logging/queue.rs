//! Log lines on their way to standard output, written by a thread of their own.
//!
//! Whoever reads a component's log may pause: a runner that waits for its registry, a terminal that is stopped. The
//! component must not pause with it, so lines wait here, up to a bound, and beyond it are left out and counted.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// Lines that wait at most.
const LINES: usize = 8192;

/// How long the end of the process waits for a reader that has paused.
const FAREWELL: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Line(Vec<u8>),
    /// Everything before this is to be written; then say so.
    Flush(SyncSender<()>),
}

/// Starts the thread.
///
/// # Errors
/// If the system has none to give.
pub(super) fn start() -> io::Result<()> {
    let (sender, entries) = mpsc::sync_channel(LINES);
    std::thread::Builder::new().name("palm-log".to_owned()).spawn(move || write_all(&entries))?;
    // There is one queue in a process; a second thread would end at once.
    let _ = QUEUE.set(sender);
    Ok(())
}

/// Hands a line over, or counts it.
pub(super) fn put(line: &[u8]) {
    let sent = QUEUE.get().map(|queue| queue.try_send(Entry::Line(line.to_owned())));
    if !matches!(sent, Some(Ok(()))) {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits, for a bounded time, until everything is written that was handed over before.
pub(super) fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, wait) = mpsc::sync_channel(1);
    if queue.try_send(Entry::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FAREWELL);
    }
}

fn write_all(entries: &Receiver<Entry>) {
    let mut out = io::stdout();
    // An error means that nobody reads any more. The component goes on; so does this, to take the lines off its hands.
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Line(line) => {
                let _ = out.write_all(&line).and_then(|()| out.flush());
            }
            Entry::Flush(done) => {
                let _ = done.send(());
            }
        }
        let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let _ = writeln!(out, "({left_out} log lines were left out here, since nobody read them)");
        }
    }
}
