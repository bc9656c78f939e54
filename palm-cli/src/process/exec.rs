//! A process for each message.

use std::time::Duration;

use bytes::Bytes;
use palm_registry::process::Group;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::stderr::{self, LastLine};
use super::{Context, Lifeline, Limits, Program, ProgramError};

/// How long the streams of a process that has ended may stay open: only a process that left its group can hold them.
const DRAIN: Duration = Duration::from_secs(2);

/// A function that is a program: the payload is its standard input, its standard output the result, its exit status says
/// whether it worked.
#[derive(Clone)]
pub(crate) struct Exec {
    program: Program,
    limits: Limits,
    lifeline: Lifeline,
}

/// What one of a process's streams came to.
enum Stream {
    Written(std::io::Result<()>),
    Result(std::io::Result<Vec<u8>>),
    Logged,
}

impl Exec {
    /// Nothing runs until [`Self::call`].
    pub(crate) const fn new(program: Program, limits: Limits, lifeline: Lifeline) -> Self {
        Self { program, limits, lifeline }
    }

    /// Runs the program on `payload`. Dropping the future kills it.
    ///
    /// # Errors
    /// If it cannot be started, fails, takes too long or says too much.
    pub(crate) async fn call(&self, context: &Context, payload: Bytes) -> Result<Bytes, ProgramError> {
        let mut child = self
            .program
            .command(&self.lifeline)
            .env("PALM_METHOD", &context.method)
            .env("PALM_CACHE", &context.cache)
            .spawn()
            .map_err(|error| ProgramError::Start { program: self.program.path().display().to_string(), error })?;
        let mut group = Group::adopt(child.id(), &self.lifeline);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

        // All three at once: a program may answer before it has read everything, and must not wait for us to listen.
        let mut streams = JoinSet::new();
        if let Some(mut stdin) = stdin {
            streams.spawn(async move { Stream::Written(stdin.write_all(&payload).await) });
        }
        if let Some(stdout) = stdout {
            let most = u64::try_from(self.limits.result).unwrap_or(u64::MAX).saturating_add(1);
            streams.spawn(async move {
                let mut result = Vec::new();
                Stream::Result(stdout.take(most).read_to_end(&mut result).await.map(|_| result))
            });
        }
        let last = LastLine::default();
        if let Some(stderr) = stderr {
            let log = stderr::log(stderr, context.method.clone(), last.clone());
            streams.spawn(async move {
                log.await;
                Stream::Logged
            });
        }

        // A task of its own: also a process whose result nobody wants any more is waited for, so that nothing is left of it.
        let mut ended = tokio::spawn(async move { child.wait().await });
        let status = match self.limits.time {
            None => (&mut ended).await,
            Some(time) => match tokio::time::timeout(time, &mut ended).await {
                Ok(status) => status,
                Err(_) => {
                    group.kill();
                    return Err(ProgramError::TimedOut(time));
                }
            },
        }
        .map_err(std::io::Error::from)
        .flatten()
        .map_err(ProgramError::Io)?;
        // What it left running in its group would hold the streams open.
        group.kill();

        let mut result = None;
        while let Ok(Some(Ok(stream))) = tokio::time::timeout(DRAIN, streams.join_next()).await {
            match stream {
                // A program need not read all it is given.
                Stream::Written(Err(error)) if error.kind() != std::io::ErrorKind::BrokenPipe && status.success() => {
                    return Err(ProgramError::Io(error));
                }
                Stream::Result(read) => result = Some(read.map_err(ProgramError::Io)?),
                Stream::Written(_) | Stream::Logged => {}
            }
        }
        match result {
            Some(result) if result.len() > self.limits.result => Err(ProgramError::ResultTooLong(self.limits.result)),
            Some(result) if status.success() => Ok(result.into()),
            None if status.success() => Err(ProgramError::OutputHeld),
            _ => Err(ProgramError::Failed { status, said: last.take() }),
        }
    }
}
