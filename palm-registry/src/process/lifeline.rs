//! Ends what a program leaves behind when it is killed with no chance to clean up.
//!
//! The program, a worker or a runner, starts one more copy of itself that does nothing but read, from a pipe, which process groups
//! there are. The pipe closes when the program ends, in whatever way; the copy then kills what is left, and ends. A process that
//! was being started when the program was killed has not been announced, and one that left its group is not in it: on Linux
//! those are found by a variable that all of the program's processes have.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The first argument of the watching copy; the second is the program's token. It is no command for people: nobody
/// else has a use for it.
const WATCHER: &str = "lifeline";

/// The variable that has the program's token in all of its processes.
const VARIABLE: &str = "PALM_LIFELINE";

/// How often, and with which pauses, is looked for processes of a program that was killed: one that was just being started
/// has the variable only once it runs its own program.
const LOOKS: (u32, Duration) = (10, Duration::from_millis(50));

/// What the program writes last if it has ended everything itself.
const FAREWELL: &str = ".";

/// The token, if these arguments make the process a watching copy.
pub fn watched(arguments: &[OsString]) -> Option<&str> {
    match arguments {
        [_, only, token] if only == WATCHER => token.to_str(),
        _ => None,
    }
}

/// The program's end of the pipe.
#[derive(Clone, Debug)]
pub struct Lifeline {
    token: String,
    watcher: Arc<Mutex<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    pipe: Option<ChildStdin>,
    child: Child,
}

impl Lifeline {
    /// Starts the watching copy.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start() -> io::Result<Self> {
        let token = uuid::Uuid::new_v4().to_string();
        // In a group of its own, so that a Ctrl-C meant for the program does not reach it.
        let mut child = Command::new(std::env::current_exe()?)
            .args([WATCHER, &token])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { token, watcher: Arc::new(Mutex::new(Watcher { pipe, child })) })
    }

    /// Marks a process that is about to be started as one of the program's.
    pub fn mark(&self, command: &mut tokio::process::Command) {
        command.env(VARIABLE, &self.token);
    }

    /// The group of `leader` is to end with this process.
    pub(super) fn hold(&self, leader: Pid) {
        self.write(format_args!("+{}", leader.as_raw_nonzero()));
    }

    /// The group of `leader` has ended.
    pub(super) fn release(&self, leader: Pid) {
        self.write(format_args!("-{}", leader.as_raw_nonzero()));
    }

    /// This folder, whose path has no end of a line in it, is to go with this process, which removes it unless it is killed.
    pub(crate) fn remove(&self, folder: &Path) {
        if let Some(folder) = folder.to_str().filter(|folder| folder.starts_with('/') && !folder.contains('\n')) {
            self.write(format_args!("{folder}"));
        }
    }

    fn write(&self, line: std::fmt::Arguments<'_>) {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).write(line);
    }
}

impl Watcher {
    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        // Lines are far shorter than a pipe, and the reader does nothing else, so this does not wait. Without a watcher
        // (somebody killed it) groups are still ended by whoever holds them.
        if let Some(pipe) = &mut self.pipe {
            let _ = writeln!(pipe, "{line}");
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.write(format_args!("{FAREWELL}"));
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// Reads which groups there are until `input` ends, and then kills those that are left.
pub fn watch(token: &str, input: impl BufRead) {
    let (mut groups, mut folders) = (BTreeSet::new(), Vec::new());
    for line in input.lines() {
        let Ok(line) = line else { break };
        if line == FAREWELL && groups.is_empty() {
            return;
        }
        if line.starts_with('/') {
            folders.push(line);
            continue;
        }
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
    let mark = format!("{VARIABLE}={token}");
    for _ in 0..LOOKS.0 {
        for process in marked(mark.as_bytes()) {
            let _ = kill_process(process, Signal::KILL);
        }
        std::thread::sleep(LOOKS.1);
    }
    for folder in folders {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// The processes that have this variable; none where there is no `/proc` as Linux has it.
fn marked(mark: &[u8]) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let process = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|variable| variable == mark).then_some(process)
    });
    processes.collect()
}
