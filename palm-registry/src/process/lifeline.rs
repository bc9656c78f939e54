//! Ends what a program leaves behind when it is killed with no chance to clean up.
//!
//! The program, a worker or a runner, starts one more copy of itself that does nothing but read, from a pipe, which process groups
//! there are. The pipe closes when the program ends, in whatever way; the copy then kills what is left, and ends. A process that
//! was being started when the program was killed has not been announced, and one that left its group is not in it: on Linux
//! those are found by a variable that all of the program's processes have. In it each has a number of its own, if it was marked
//! with one, by which what it has left behind is found when it has ended.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
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
    numbers: Arc<AtomicU64>,
    watcher: Arc<Mutex<Watcher>>,
}

/// By which all that a process has started is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

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
            // It may itself be of a program that is watched: whose copy must not end it before it has done its work.
            .env_remove(VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { token, numbers: Arc::default(), watcher: Arc::new(Mutex::new(Watcher { pipe, child })) })
    }

    /// Marks a process that is about to be started as one of the program's.
    pub fn mark(&self, command: &mut tokio::process::Command) {
        command.env(VARIABLE, &self.token);
    }

    /// As [`Self::mark`], with a mark of its own.
    pub fn mark_alone(&self, command: &mut tokio::process::Command) -> Mark {
        let mark = Mark(self.numbers.fetch_add(1, Ordering::Relaxed));
        command.env(VARIABLE, format!("{}.{}", self.token, mark.0));
        mark
    }

    /// A process has ended: what it has started ends too, also what has left its group.
    pub fn sweep(&self, mark: Mark) {
        self.write(format_args!("?{}", mark.0));
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
pub fn watch(token: &str, input: impl BufRead + Send) {
    let (sender, lines) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for line in input.lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        end_what_is_left(token, &lines);
    });
}

fn end_what_is_left(token: &str, lines: &mpsc::Receiver<String>) {
    let (mut groups, mut folders, mut is_well, mut was_killed) = (BTreeSet::new(), Vec::new(), false, true);
    while let Ok(line) = lines.recv() {
        let mut ended = Vec::new();
        // Many may end at once, and one look finds all that they have left.
        for line in std::iter::once(line).chain(lines.try_iter()) {
            if line == FAREWELL {
                (is_well, was_killed) = (groups.is_empty(), false);
            } else if line.starts_with('/') {
                folders.push(line);
            } else if let Some(number) = line.strip_prefix('?') {
                ended.push(format!("{VARIABLE}={token}.{number}"));
            } else if let Some((sign, number)) = line.split_at_checked(1)
                && let Ok(number) = number.parse::<i32>()
            {
                if sign == "+" {
                    groups.insert(number);
                } else {
                    groups.remove(&number);
                }
            }
        }
        if !ended.is_empty() {
            kill(|variable| ended.iter().any(|mark| variable == mark.as_bytes()));
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let mark = format!("{VARIABLE}={token}");
    for _ in 0..LOOKS.0 {
        // The token is as long as all others.
        let found = kill(|variable| variable.starts_with(mark.as_bytes()));
        if is_well && found == 0 {
            break;
        }
        std::thread::sleep(LOOKS.1);
    }
    // Otherwise the program is not done with them yet, and removes them itself.
    for folder in folders.iter().filter(|_| was_killed) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Kills the processes that have a variable, and gives how many there were.
fn kill(has: impl Fn(&[u8]) -> bool) -> usize {
    let found = marked(has);
    for process in &found {
        let _ = kill_process(*process, Signal::KILL);
    }
    found.len()
}

/// The processes that have this variable; none where there is no `/proc` as Linux has it.
fn marked(has: impl Fn(&[u8]) -> bool) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    if !super::is_proc_ours() {
        return Vec::new();
    }
    let processes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let process = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(&has).then_some(process)
    });
    processes.collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// A process in a group that nobody has announced.
    fn escaped(mark: &str) -> Child {
        Command::new("sleep").arg("1000").env(VARIABLE, mark).process_group(0).spawn().expect("sleep can be started")
    }

    #[test]
    fn what_has_left_its_group_ends_with_its_process_or_with_the_program() {
        let token = uuid::Uuid::new_v4().to_string();
        let [mut swept, mut kept] = [1, 12].map(|number| escaped(&format!("{token}.{number}")));
        let mut other = escaped(&uuid::Uuid::new_v4().to_string());
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| watch(&token, io::BufReader::new(reader)));
            writer.write_all(b"?1\n").unwrap();
            assert_eq!(swept.wait().unwrap().signal(), Some(9));
            assert!(kept.try_wait().unwrap().is_none(), "its own process has not ended");
            // The program ends well, and leaves no group behind.
            writer.write_all(b".\n").unwrap();
            drop(writer);
            watching.join().unwrap();
        });
        assert_eq!(kept.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
