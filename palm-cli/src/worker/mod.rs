//! What `palm worker` can do, and offering it to a master: over ZeroMQ, or natively.

pub(crate) mod native;
pub(crate) mod zmq;

use std::time::Duration;

use bytes::Bytes;

use crate::Outcome;
use crate::commands::StopSignals;
use crate::output::counted;
use crate::process::{Context, Exec, ProgramError, Serve};

/// Functions, by the methods that they answer.
pub(crate) type Functions = Vec<(String, Function)>;

/// One function, whatever it is called through.
#[derive(Clone)]
pub(crate) enum Function {
    /// Answers at once.
    Immediate(Immediate),
    /// Has a program answer.
    Program(Program),
}

/// A function that takes no time.
#[derive(Clone)]
pub(crate) enum Immediate {
    /// Answers the same in any case.
    Say(Bytes),
    /// Answers with what it was given.
    Echo,
}

/// A function that is a program.
#[derive(Clone)]
pub(crate) enum Program {
    /// A process for each message.
    Exec(Exec),
    /// Processes that live on.
    Serve(Serve),
}

impl Immediate {
    /// The answer.
    pub(crate) fn call(&self, payload: Bytes) -> Bytes {
        match self {
            Self::Say(answer) => answer.clone(),
            Self::Echo => payload,
        }
    }
}

impl Program {
    /// Has the program answer. Dropping the future ends the process at work.
    ///
    /// # Errors
    /// If it gives no result.
    pub(crate) async fn call(&self, context: Context, payload: Bytes) -> Result<Bytes, ProgramError> {
        match self {
            Self::Exec(exec) => exec.call(&context, payload).await,
            Self::Serve(serve) => serve.call(payload).await,
        }
    }
}

/// The functions of the example application.
pub(crate) fn demo_functions(name: &str) -> Functions {
    let answer = Bytes::from(format!("{name} processed a message"));
    [("foo", Immediate::Say(answer)), ("echo", Immediate::Echo)]
        .map(|(method, function)| (method.to_owned(), Function::Immediate(function)))
        .into()
}

/// How a worker is run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) name: String,
    /// Messages worked on at a time.
    pub(crate) jobs: u16,
    /// How long to wait for what is in hand when asked to stop.
    pub(crate) grace: Duration,
}

/// What a worker has done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) results: u64,
    pub(crate) failures: u64,
    pub(crate) handed_back: u64,
    /// Messages that it had no result for when it ended.
    pub(crate) left: usize,
    /// Whether everything has left the process.
    pub(crate) flushed: bool,
}

impl Report {
    /// Of a worker that never was.
    pub(crate) fn idle() -> Self {
        Self { flushed: true, ..Self::default() }
    }

    /// Logs what the worker has done, and says whether that is all it had to do.
    pub(crate) fn told(&self) -> Outcome {
        tracing::info!(
            "Stopped: {}, {} failed, {} handed back, {} left",
            counted(self.results, "result"),
            self.failures,
            self.handed_back,
            self.left,
        );
        if self.left == 0 && self.flushed { Outcome::Done } else { Outcome::Failed }
    }
}

/// Waits until the worker has stopped, as a first signal asks; `None` if a second one cut that short.
pub(crate) async fn until_stopped<R>(
    run: impl Future<Output = R>,
    shutdown: impl FnOnce(),
    signals: &mut StopSignals,
) -> Option<R> {
    tokio::pin!(run);
    tokio::select! {
        report = &mut run => return Some(report),
        signal = signals.next() => stopping(signal),
    }
    shutdown();
    tokio::select! {
        report = &mut run => Some(report),
        signal = signals.next() => {
            tracing::warn!("{signal}: stopping at once");
            None
        }
    }
}

/// Says what a first signal leads to.
pub(crate) fn stopping(signal: &str) {
    tracing::info!("{signal}: finishing what is in hand; a second signal stops at once");
}
