//! A process that runs.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::output::{Output, Source};
use super::ready;
use super::told::{self, Sockets, Told};
use crate::cluster::Readiness;
use crate::locked::locked;
use crate::process::{Group, Lifeline};
use crate::wire::{Exit, Stream, WantedProcess};
use crate::words;

/// How long the streams of a process that has ended may stay open: only a process that is being killed can hold them.
const DRAIN: Duration = Duration::from_secs(2);

/// What becomes of a process.
#[derive(Debug)]
pub(super) enum Happened {
    /// Its check says that it is ready.
    Ready,
    /// It has ended, and all that it printed is kept.
    Exited {
        /// How.
        exit: Exit,
        /// How many processes it had left running that had left its group.
        left: usize,
    },
}

/// What all processes of a runner share.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) lifeline: Lifeline,
    pub(super) output: Arc<Output>,
    /// The variable `PATH`, if it is to be another than the runner's.
    pub(super) path: Option<OsString>,
    /// Variables of the runner that are not handed on.
    pub(super) withheld: Vec<&'static str>,
    /// Where processes tell of themselves.
    pub(super) sockets: Option<Sockets>,
}

/// A process that was started. Dropped, its group is killed.
#[derive(Debug)]
pub(super) struct Child {
    group: Arc<Mutex<Group>>,
    check: Option<AbortHandle>,
    /// The number of the process and of its group.
    pub(super) id: Option<u32>,
    /// What it tells of itself.
    pub(super) told: Option<Arc<Mutex<Told>>>,
}

impl Child {
    /// Starts a process; `tell` is called with what becomes of it.
    ///
    /// # Errors
    /// Why it cannot be started, for people.
    pub(super) fn start<T: Send + 'static>(
        wanted: &WantedProcess,
        around: &Arc<Surroundings>,
        events: &mpsc::UnboundedSender<T>,
        tell: impl Fn(Happened) -> T + Clone + Send + 'static,
    ) -> Result<Self, String> {
        let mut command = program(&wanted.command, wanted, around)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mark = around.lifeline.mark_alone(&mut command);
        let socket = around.sockets.as_ref().and_then(|sockets| sockets.bind().ok()).map(Arc::new);
        if let Some(socket) = &socket {
            command.env(told::VARIABLE, socket.path());
        }
        let told = socket.as_ref().map(|socket| socket.told());
        let mut child = command.spawn().map_err(|error| reason(&command, &error))?;
        let group = Group::adopt(child.id(), &around.lifeline);
        let id = group.id();
        let group = Arc::new(Mutex::new(group));

        let mut streams = JoinSet::new();
        let line = match &wanted.ready {
            Some(Readiness::Line(text)) => Some(text.clone()),
            _ => None,
        };
        let mut read = |stream: Stream, pipe: Pipe| {
            let source = Source { component: wanted.component.clone(), copy: wanted.copy, stream };
            let (output, events, tell, mut line) = (around.output.clone(), events.clone(), tell.clone(), line.clone());
            let seen = move |text: &str| {
                if line.as_ref().is_some_and(|line| text.contains(line)) {
                    line = None;
                    let _ = events.send(tell(Happened::Ready));
                }
            };
            streams.spawn(async move {
                match pipe {
                    Pipe::Out(pipe) => output.read(pipe, source, seen).await,
                    Pipe::Err(pipe) => output.read(pipe, source, seen).await,
                }
            });
        };
        if let Some(pipe) = child.stdout.take() {
            read(Stream::Out, Pipe::Out(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            read(Stream::Err, Pipe::Err(pipe));
        }

        let check = wanted.ready.clone().filter(|check| !matches!(check, Readiness::Line(_))).map(|check| {
            let (wanted, around, events, tell) = (wanted.clone(), around.clone(), events.clone(), tell.clone());
            let looking = tokio::spawn(async move {
                ready::wait(&check, &wanted, &around).await;
                let _ = events.send(tell(Happened::Ready));
            });
            looking.abort_handle()
        });

        let hearing = socket.clone().map(|socket| tokio::spawn(async move { socket.hear().await }));
        let (ended, events, looking) = (group.clone(), events.clone(), check.clone());
        let lifeline = around.lifeline.clone();
        tokio::spawn(async move {
            let status = child.wait().await;
            looking.inspect(AbortHandle::abort);
            // What it left running in its group would hold the streams open.
            let id = {
                let mut group = locked(&ended);
                let id = group.id();
                group.kill();
                id
            };
            let swept = lifeline.sweep(mark, id);
            hearing.inspect(tokio::task::JoinHandle::abort);
            // Its last word, too.
            socket.inspect(|socket| socket.hear_now());
            let _ = tokio::time::timeout(DRAIN, async { while streams.join_next().await.is_some() {} }).await;
            // Whoever holds them still is read on.
            streams.detach_all();
            let left = tokio::time::timeout(DRAIN, swept).await.ok().and_then(Result::ok).unwrap_or(0);
            let _ = events.send(tell(Happened::Exited { exit: status.map_or(Exit::Code(-1), exit), left }));
        });
        Ok(Self { group, check, id, told })
    }

    /// Asks its group to end.
    pub(super) fn terminate(&self) {
        locked(&self.group).terminate();
    }

    /// Ends its group.
    pub(super) fn kill(&self) {
        locked(&self.group).kill();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.check.take().inspect(AbortHandle::abort);
        self.kill();
    }
}

/// One of a process's streams.
enum Pipe {
    Out(tokio::process::ChildStdout),
    Err(tokio::process::ChildStderr),
}

/// A command line of a process, as a group of its own in its surroundings.
pub(super) fn program(line: &str, wanted: &WantedProcess, around: &Surroundings) -> Result<Command, String> {
    let mut words = words::split_all(line).into_iter();
    let name = words.next().filter(|name| !name.is_empty()).ok_or("the command is empty")?;
    let mut command = Command::new(name);
    command.args(words).process_group(0).kill_on_drop(true);
    // That of this runner's own runner is not for it.
    for name in around.withheld.iter().chain([&told::VARIABLE]) {
        command.env_remove(name);
    }
    if let Some(path) = &around.path {
        command.env("PATH", path);
    }
    command.envs(&wanted.environment);
    if let Some(directory) = &wanted.directory {
        if !Path::new(directory).is_dir() {
            return Err(format!("there is no folder {directory}"));
        }
        command.current_dir(directory);
    }
    Ok(command)
}

fn reason(command: &Command, error: &std::io::Error) -> String {
    let name = command.as_std().get_program().to_string_lossy();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no program {name}"),
        std::io::ErrorKind::PermissionDenied => format!("{name} is no program that may be run"),
        _ => format!("{name}: {error}"),
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}
