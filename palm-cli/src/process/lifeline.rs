//! Ends what a worker leaves behind when it is killed with no chance to clean up.
//!
//! The worker starts one more copy of this program that does nothing but read, from a pipe, which process groups there
//! are. The pipe closes when the worker ends, in whatever way; the copy then kills the groups that are left, and ends.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// The only argument of the watching copy. It is no command of the program's: nobody else has a use for it.
const WATCHER: &str = "lifeline";

/// Whether these arguments make the process a watching copy.
pub(crate) fn is_watcher(arguments: &[OsString]) -> bool {
    matches!(arguments, [_, only] if only == WATCHER)
}

/// The worker's end of the pipe.
#[derive(Clone)]
pub(crate) struct Lifeline(Arc<Mutex<Watcher>>);

struct Watcher {
    pipe: Option<ChildStdin>,
    child: Child,
}

impl Lifeline {
    /// Starts the watching copy.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        // In a group of its own, so that a Ctrl-C meant for the worker does not reach it.
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WATCHER)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self(Arc::new(Mutex::new(Watcher { pipe, child }))))
    }

    /// The group of `leader` is to end with this process.
    pub(super) fn hold(&self, leader: Pid) {
        self.write('+', leader);
    }

    /// The group of `leader` has ended.
    pub(super) fn release(&self, leader: Pid) {
        self.write('-', leader);
    }

    fn write(&self, sign: char, leader: Pid) {
        let mut watcher = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Lines are far shorter than PIPE_BUF and the reader does nothing else, so this does not wait. Without a watcher
        // (somebody killed it) groups are still ended by whoever holds them.
        if let Some(pipe) = &mut watcher.pipe {
            let _ = writeln!(pipe, "{sign}{}", leader.as_raw_nonzero());
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// Reads which groups there are until `input` ends, and then kills those that are left.
pub(crate) fn watch(input: impl BufRead) {
    let mut groups = BTreeSet::new();
    for line in input.lines() {
        let Ok(line) = line else { break };
        let Some((sign, number)) = line.split_at_checked(1) else { continue };
        let Ok(number) = number.parse::<i32>() else { continue };
        if sign == "+" {
            groups.insert(number);
        } else {
            groups.remove(&number);
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}
