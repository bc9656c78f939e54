//! Long-lived processes that are fed one message after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_registry::process::Group;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::framing::{Answer, Framing};
use super::stderr::{self, LastLine};
use super::{Lifeline, Limits, Program, ProgramError};

/// Rest before a process is started again that ended soon after its start: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A process that lived this long before it ended is started again at once.
const HEALTHY: Duration = Duration::from_secs(10);

/// How long to wait for what a process that has ended said last.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long to look for more behind a process's first answer. One that greets before it reads may be fed before it has done so;
/// its greeting is then taken for the answer, and the answer is what comes right behind it.
const SETTLE: Duration = Duration::from_millis(100);

/// How long a process may take to end by itself after its input is closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// A function that is a set of processes, as many as messages are worked on at a time.
///
/// A process that dies, answers too much or takes too long is replaced, and so is one that prints what nobody asked for. The
/// message it had in hand fails: it may well be what killed it, and a client that wants another try asks for it.
#[derive(Clone)]
pub(crate) struct Serve(Arc<Shared>);

struct Shared {
    method: String,
    program: Program,
    framing: Framing,
    limits: Limits,
    lifeline: Lifeline,
    /// As many permits as processes in `idle`: whoever holds one finds a process there.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Process>>,
}

struct Process {
    child: Child,
    group: Group,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    last: LastLine,
    /// Reads its standard error until that is closed.
    log: JoinHandle<()>,
    started: Instant,
    /// Whether it has answered a message.
    answered: bool,
    /// How long its place rested before it was started.
    rested: Duration,
}

impl Serve {
    /// Starts `jobs` processes.
    ///
    /// # Errors
    /// If they cannot be started.
    pub(crate) fn start(
        method: String,
        program: Program,
        framing: Framing,
        limits: Limits,
        lifeline: Lifeline,
        jobs: usize,
    ) -> Result<Self, ProgramError> {
        let free = Arc::new(Semaphore::new(jobs));
        let shared = Shared { method, program, framing, limits, lifeline, free, idle: Mutex::default() };
        for _ in 0..jobs {
            let process = Process::start(&shared, Duration::ZERO)?;
            shared.idle().push(process);
        }
        Ok(Self(Arc::new(shared)))
    }

    /// Has one of the processes work on `payload`. Dropping the future replaces that process, since nobody would know
    /// which message its next answer is for.
    ///
    /// # Errors
    /// If the process says that it failed, dies, takes too long or says too much.
    pub(crate) async fn call(&self, payload: Bytes) -> Result<Bytes, ProgramError> {
        let mut loan = loop {
            let mut loan = self.borrow().await?;
            // Where it had nothing to do, no message suffers: dropping the loan replaces it.
            if loan.process().has_more() {
                tracing::warn!("{}: {}; starting the process again", self.0.method, ProgramError::Unasked);
                if !loan.process().answered {
                    // The next one would greet as well.
                    return Err(ProgramError::Unasked);
                }
            } else if loan.process().is_running() {
                break loan;
            } else {
                tracing::warn!("{}: the process has ended while idle; starting it again", self.0.method);
            }
        };
        let time = self.0.limits.time.unwrap_or(Duration::MAX);
        let exchanged = tokio::time::timeout(time, loan.process().exchange(&self.0, &payload)).await;
        let error = match exchanged {
            Ok(Ok(Answer::Result(_))) if loan.process().says_more().await => ProgramError::Unasked,
            Ok(Ok(Answer::Result(result))) => {
                loan.give_back();
                return result.map(Bytes::from);
            }
            Ok(Err(ProgramError::LineBreakInPayload)) => {
                loan.give_back();
                return Err(ProgramError::LineBreakInPayload);
            }
            Ok(Ok(Answer::Closed)) => loan.process().last_words().await,
            Ok(Err(ProgramError::Io(error))) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                loan.process().last_words().await
            }
            Ok(Err(error)) => error,
            Err(_) => ProgramError::TimedOut(time),
        };
        tracing::warn!("{}: {error}; starting the process again", self.0.method);
        Err(error)
    }

    /// Closes the processes' input, gives them a moment to end, and then ends them. Nothing can be called any more.
    pub(crate) async fn stop(&self) {
        self.0.free.close();
        let idle = std::mem::take(&mut *self.0.idle());
        let mut ends = tokio::task::JoinSet::new();
        for process in idle {
            ends.spawn(process.end());
        }
        while ends.join_next().await.is_some() {}
    }

    async fn borrow(&self) -> Result<Loan, ProgramError> {
        let stopping = || ProgramError::Refused("the worker is stopping".to_owned());
        let permit = Arc::clone(&self.0.free).acquire_owned().await.map_err(|_| stopping())?;
        let process = self.0.idle().pop().ok_or_else(stopping)?;
        Ok(Loan { serve: self.clone(), held: Some((process, permit)) })
    }

    /// Starts a process in the place of one that is gone, after `rest`, and for as long as it takes.
    async fn replace(self, mut rest: Duration) {
        loop {
            tokio::time::sleep(rest).await;
            if self.0.free.is_closed() {
                return;
            }
            match Process::start(&self.0, rest) {
                Ok(process) => {
                    self.0.idle().push(process);
                    self.0.free.add_permits(1);
                    return;
                }
                Err(error) => {
                    rest = longer(rest);
                    tracing::warn!("{}: {error}; trying again in {rest:?}", self.0.method);
                }
            }
        }
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rest that follows on `rest`.
fn longer(rest: Duration) -> Duration {
    (rest * 2).clamp(BACKOFF.0, BACKOFF.1)
}

/// A process that works on a message. Unless it is given back, it is ended and replaced.
struct Loan {
    serve: Serve,
    held: Option<(Process, OwnedSemaphorePermit)>,
}

impl Loan {
    fn process(&mut self) -> &mut Process {
        let (process, _) = self.held.as_mut().expect("invariant: a loan holds its process until it ends");
        process
    }

    fn give_back(mut self) {
        if let Some((process, permit)) = self.held.take() {
            self.serve.0.idle().push(process);
            drop(permit);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some((process, permit)) = self.held.take() else { return };
        permit.forget();
        let rest = if process.started.elapsed() >= HEALTHY { Duration::ZERO } else { longer(process.rested) };
        drop(process);
        // Without a runtime everything ends anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.serve.clone().replace(rest));
        }
    }
}

impl Process {
    fn start(shared: &Shared, rested: Duration) -> Result<Self, ProgramError> {
        let failed = |error| ProgramError::Start { program: shared.program.path().display().to_string(), error };
        let mut child =
            shared.program.command(&shared.lifeline).env("PALM_METHOD", &shared.method).spawn().map_err(failed)?;
        let group = Group::adopt(child.id(), &shared.lifeline);
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let last = LastLine::default();
        let log = tokio::spawn(stderr::log(stderr, shared.method.clone(), last.clone()));
        Ok(Self {
            child,
            group,
            stdin,
            stdout: BufReader::new(stdout),
            last,
            log,
            started: Instant::now(),
            answered: false,
            rested,
        })
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it has printed what nobody has read yet. What tokio knows may be older.
    fn has_more(&self) -> bool {
        let unread = || rustix::io::ioctl_fionread(self.stdout.get_ref());
        !self.stdout.buffer().is_empty() || unread().is_ok_and(|bytes| bytes > 0)
    }

    /// Whether it has printed more than the answer that has just been read.
    async fn says_more(&mut self) -> bool {
        if !std::mem::replace(&mut self.answered, true) {
            // Ends at once if it has closed its output, which is no more than an end.
            let _ = tokio::time::timeout(SETTLE, self.stdout.fill_buf()).await;
        }
        self.has_more()
    }

    /// Writes a message and reads the answer, at the same time: a program may begin to answer a long message before it has
    /// read all of it.
    async fn exchange(&mut self, shared: &Shared, payload: &[u8]) -> Result<Answer, ProgramError> {
        let write = shared.framing.write(&mut self.stdin, payload);
        let read = shared.framing.read(&mut self.stdout, shared.limits.result);
        tokio::pin!(write, read);
        tokio::select! {
            biased;
            written = &mut write => written?,
            answer = &mut read => {
                let answer = answer?;
                if matches!(answer, Answer::Result(_)) {
                    write.await?;
                }
                return Ok(answer);
            }
        }
        read.await
    }

    /// How the process ended that has closed its output.
    async fn last_words(&mut self) -> ProgramError {
        let status = tokio::time::timeout(FAREWELL, self.child.wait()).await.ok().and_then(Result::ok);
        // Unless a process that it started still holds it, its standard error is closed now.
        let _ = tokio::time::timeout(LAST_WORDS, &mut self.log).await;
        ProgramError::Died { status, said: self.last.take() }
    }

    async fn end(self) {
        let Self { mut child, mut group, stdin, .. } = self;
        drop(stdin);
        if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
            group.terminate();
            let _ = tokio::time::timeout(FAREWELL, child.wait()).await;
        }
        group.kill();
    }
}
