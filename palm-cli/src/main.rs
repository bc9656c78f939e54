//! The program `palm`: reads a command line, and assembles what it asks for from the libraries.
//!
//! One file a command in [`commands`]; [`args`] and [`config`] say what was asked, [`output`] is all that prints,
//! [`process`] runs other programs, [`worker`] offers them to a master, [`launch`] feeds and follows a job, [`native`] says
//! which protocol is spoken, [`local`] is a cluster inside this process, [`up`] one of the components of a file,
//! [`remote`] a registry that is asked.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod config;
mod given_file;
mod launch;
mod local;
mod logging;
mod native;
mod open_files;
mod output;
mod process;
mod remote;
mod up;
mod values;
mod worker;

use std::process::ExitCode;

use args::ArgsError;
use output::ClosedPipe;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that was asked for is done.
    Done,
    /// Some of it failed or is missing; what, has been said.
    Failed,
    /// As a component of `palm up` ended, or the program that this one stands in for.
    Code(u8),
}

/// A mistake in how the program was used: exit status 2.
#[derive(Debug)]
pub(crate) struct WrongUse(pub(crate) String);

impl std::fmt::Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// An [`anyhow::Error`] for wrong use.
pub(crate) fn wrong_use(text: impl Into<String>) -> anyhow::Error {
    WrongUse(text.into()).into()
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(token) = process::watched(&arguments) {
        process::watch(token, std::io::BufReader::new(std::io::stdin()), std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let cli = match args::parse(&arguments) {
        Ok(cli) => cli,
        Err(ArgsError::Clap(error)) => {
            // Help that is piped into a pager which was left is no error; nor is there anyone to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(ArgsError::Config(error)) => {
            output::error(&error);
            return ExitCode::from(2);
        }
    };
    let ended = if process::is_first() && cli.command.lives_long() {
        process::stand_in(&arguments).map(Outcome::Code)
    } else {
        commands::run(cli)
    };
    logging::flush();
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Code(code)) => ExitCode::from(code),
        Err(error) if error.is::<ClosedPipe>() => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&output::causes(&error));
            if error.is::<WrongUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
