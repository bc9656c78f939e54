//! Ends what a program leaves behind when it is killed with no chance to clean up.
//!
//! The program, a worker or a runner, starts one more copy of itself that does nothing but read, from a pipe, which process groups
//! there are. The pipe closes when the program ends, in whatever way; the copy then kills what is left, and ends. A process that
//! was being started when the program was killed has not been announced, and one that left its group is not in it: on Linux
//! those are found by a variable that all of the program's processes have. In it each has a number of its own, if it was marked
//! with one, by which what it has left behind is found when it has ended; the copy says on its standard output how much that was.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use tokio::sync::oneshot;

use crate::locked::locked;

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
    swept: Swept,
}

/// Who waits to be told what processes have left behind, by their numbers; `None`: nobody tells any more.
type Swept = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<usize>>>>>;

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
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let (pipe, answers) = (child.stdin.take(), child.stdout.take());
        let swept: Swept = Arc::new(Mutex::new(Some(HashMap::new())));
        let (told, watcher) = (swept.clone(), Arc::new(Mutex::new(Watcher { pipe, child })));
        let hear = move || {
            let lines = answers.into_iter().flat_map(|answers| BufReader::new(answers).lines().map_while(Result::ok));
            for line in lines {
                let answer =
                    line.split_once(' ').and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
                let waits = answer.and_then(|(number, count)| Some((locked(&told).as_mut()?.remove(&number)?, count)));
                if let Some((waits, count)) = waits {
                    let _ = waits.send(count);
                }
            }
            *locked(&told) = None;
        };
        std::thread::Builder::new().name("palm-lifeline".to_owned()).spawn(hear)?;
        Ok(Self { token, numbers: Arc::default(), watcher, swept })
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

    /// A process has ended that led this group: what it has started ends too, also what has left the group. How many processes that were,
    /// is told; nothing, if nobody can know.
    pub fn sweep(&self, mark: Mark, group: Option<u32>) -> oneshot::Receiver<usize> {
        let (tell, told) = oneshot::channel();
        if let Some(swept) = locked(&self.swept).as_mut() {
            swept.insert(mark.0, tell);
        }
        self.write(format_args!("?{} {}", mark.0, group.unwrap_or(0)));
        told
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
        locked(&self.watcher).write(line);
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

/// Reads which groups there are until `input` ends, and then kills those that are left. What processes that have ended have left
/// behind is told to `output`.
pub fn watch(token: &str, input: impl BufRead + Send, output: impl Write) {
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
        end_what_is_left(token, &lines, output);
    });
}

/// A process that has ended, and the group that it led; 0 if nobody knows.
struct Ended {
    number: u64,
    group: i32,
}

impl Ended {
    fn parse(text: &str) -> Option<Self> {
        let (number, group) = text.split_once(' ')?;
        Some(Self { number: number.parse().ok()?, group: group.parse().ok()? })
    }
}

fn end_what_is_left(token: &str, lines: &mpsc::Receiver<String>, mut output: impl Write) {
    let (mut groups, mut folders, mut is_well, mut was_killed) = (BTreeSet::new(), Vec::new(), false, true);
    while let Ok(line) = lines.recv() {
        let mut ended = Vec::new();
        // Many may end at once, and one look finds all that they have left.
        for line in std::iter::once(line).chain(lines.try_iter()) {
            if line == FAREWELL {
                (is_well, was_killed) = (groups.is_empty(), false);
            } else if line.starts_with('/') {
                folders.push(line);
            } else if let Some(process) = line.strip_prefix('?') {
                ended.extend(Ended::parse(process));
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
        let left = if ended.is_empty() { HashMap::new() } else { sweep(token, &ended) };
        for Ended { number, .. } in ended {
            // The program may be gone.
            let _ = writeln!(output, "{number} {}", left.get(&number).unwrap_or(&0));
        }
        let _ = output.flush();
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for _ in 0..LOOKS.0 {
        // The token is as long as all others.
        let found: Vec<_> = marked().into_iter().filter(|(_, mark)| mark.starts_with(token)).collect();
        for (process, _) in &found {
            let _ = kill_process(*process, Signal::KILL);
        }
        if is_well && found.is_empty() {
            break;
        }
        std::thread::sleep(LOOKS.1);
    }
    // Otherwise the program is not done with them yet, and removes them itself.
    for folder in folders.iter().filter(|_| was_killed) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Kills what processes that have ended have left behind, and gives how many of each had left its group: those in it are killed by who has
/// started it, at any moment.
fn sweep(token: &str, ended: &[Ended]) -> HashMap<u64, usize> {
    let groups: HashMap<u64, i32> = ended.iter().map(|ended| (ended.number, ended.group)).collect();
    let mut left = HashMap::new();
    for (process, mark) in marked() {
        let number = mark.strip_prefix(token).and_then(|mark| mark.strip_prefix('.')?.parse().ok());
        let Some((number, group)) = number.and_then(|number| groups.get_key_value(&number)) else { continue };
        let is_in_it = getpgid(Some(process)).is_ok_and(|its| its.as_raw_nonzero().get() == *group);
        if kill_process(process, Signal::KILL).is_ok() && !is_in_it {
            *left.entry(*number).or_default() += 1;
        }
    }
    left
}

/// The processes that have a mark of some program's, and the mark; none where there is no `/proc` as Linux has it.
fn marked() -> Vec<(Pid, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    if !super::is_proc_ours() {
        return Vec::new();
    }
    let processes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let process = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let mark = environment.split(|byte| *byte == 0).find_map(|variable| {
            variable
                .strip_prefix(VARIABLE.as_bytes())?
                .strip_prefix(b"=")
                .and_then(|mark| std::str::from_utf8(mark).ok())
        })?;
        Some((process, mark.to_owned()))
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
        let mut grouped = escaped(&format!("{token}.1"));
        let group = grouped.id();
        let mut other = escaped(&uuid::Uuid::new_v4().to_string());
        let ((reader, mut writer), (answers, output)) = (io::pipe().unwrap(), io::pipe().unwrap());
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| watch(&token, BufReader::new(reader), output));
            writer.write_all(format!("?1 {group}\n").as_bytes()).unwrap();
            assert_eq!([&mut swept, &mut grouped].map(|child| child.wait().unwrap().signal()), [Some(9); 2]);
            let mut answer = String::new();
            BufReader::new(answers).read_line(&mut answer).unwrap();
            assert_eq!(answer, "1 1\n", "one was in the group");
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
