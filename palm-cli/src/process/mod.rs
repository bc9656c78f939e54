//! Other people's programs as functions of a worker: what is started, fed, watched and, at the end, ended.
//!
//! Every program leads a process group of its own, so that what it started goes with it; a [`Lifeline`] ends those groups
//! even if the worker itself is killed.

mod command;
mod exec;
mod framing;
mod init;
mod serve;
mod stderr;

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

pub(crate) use command::{MethodCommand, Program};
pub(crate) use exec::Exec;
pub(crate) use framing::Framing;
pub(crate) use init::{is_first, stand_in};
pub(crate) use palm_registry::process::{Lifeline, watch, watched};
pub(crate) use serve::Serve;

/// What a program is told about the message besides its payload.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The method that was called.
    pub(crate) method: String,
    /// The message's cache field.
    pub(crate) cache: String,
}

/// Bounds that hold for each message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a program may take for it.
    pub(crate) time: Option<Duration>,
    /// How long its result may be, in bytes.
    pub(crate) result: usize,
}

/// Why a program gave no result.
#[derive(Debug)]
pub(crate) enum ProgramError {
    /// It cannot be started.
    Start { program: String, error: std::io::Error },
    /// It said that it failed.
    Failed { status: ExitStatus, said: String },
    /// It said so itself, through its framing.
    Refused(String),
    /// It took longer than [`Limits::time`], and was killed.
    TimedOut(Duration),
    /// The result is longer than [`Limits::result`].
    ResultTooLong(usize),
    /// It printed something besides one answer for each message, so nobody knows which is which.
    Unasked,
    /// It ended with the message in hand.
    Died { status: Option<ExitStatus>, said: String },
    /// It ended, but something that it started holds its output open.
    OutputHeld,
    /// A line cannot hold the payload.
    LineBreakInPayload,
    /// Something went wrong between the two.
    Io(std::io::Error),
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |f: &mut fmt::Formatter<'_>, said: &str| match said {
            "" => Ok(()),
            said => write!(f, ": {said}"),
        };
        match self {
            Self::Start { program, error } => write!(f, "cannot start {program}: {error}"),
            Self::Failed { status, said } => {
                write!(f, "{status}")?;
                with(f, said)
            }
            Self::Refused(text) => f.write_str(text),
            Self::TimedOut(time) => write!(f, "killed after {time:?}, the time it may take (--exec-timeout)"),
            Self::ResultTooLong(limit) => write!(f, "the result is longer than {limit} bytes (--max-result)"),
            Self::Unasked => f.write_str(
                "the program printed more than it was asked for: nothing but one answer for each message may go to its \
                 standard output",
            ),
            Self::Died { status: Some(status), said } => {
                write!(f, "the program ended with the message in hand: {status}")?;
                with(f, said)
            }
            Self::Died { status: None, said } => {
                f.write_str("the program closed its output with the message in hand")?;
                with(f, said)
            }
            Self::OutputHeld => f.write_str("it has ended, but a process that it left behind holds its output open"),
            Self::LineBreakInPayload => f.write_str("the payload contains a line break; use --framing length"),
            Self::Io(error) => write!(f, "cannot talk to the program: {error}"),
        }
    }
}

impl std::error::Error for ProgramError {}
