//! `palm worker`: runs programs on a master's messages.

use std::time::Duration;

use crate::args::Global;
use crate::process::{Framing, MethodCommand};
use crate::{Outcome, values};

const EXAMPLES: &str = "\
Examples:
  palm worker --exec 'upper=tr a-z A-Z'
      a process for each message: payload on its standard input, result from its standard output; an exit status other
      than 0 is a failure; what it says on standard error is logged. PALM_METHOD and PALM_CACHE tell it the method and
      the message's cache field

  palm worker --jobs 4 --serve 'score=python3 score.py'
      four processes that live on, each fed one line for a message and asked for one line in return:
          import sys
          for line in sys.stdin:
              print(len(line), flush=True)
      --framing length puts four bytes (big-endian length) before each payload and each result instead; an answer whose
      length has the highest bit set is a failure, and its text says why

  palm worker --shell --exec 'count=sort | uniq | wc -l'
      commands are split into words and run without a shell, unless --shell is given

  palm worker --demo
      the functions of the example application: foo (answers '<name> processed a message') and echo

A process of --serve that dies is started again: at once if it had run for ten seconds, else after a rest of 0.1 s that
doubles up to 30 s. The message it had in hand fails, since it may be what killed it; `palm launch --retries` tries
again. Processes and what they started end with the worker, even if it is killed.

Stop it with Ctrl-C or SIGTERM: it finishes, or hands back, what it has. A second signal stops it at once.";

/// Flags of `palm worker`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the worker [default: a UUID]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Where the master's cache answers
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address)]
    pub(crate) db: String,
    /// Where to push results to [default: what the cache says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) push: Option<String>,
    /// Where to get messages from [default: what the cache says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) pull: Option<String>,

    /// A program that is run for each message of a method
    #[arg(long, value_name = "METHOD=COMMAND", help_heading = "Functions")]
    pub(crate) exec: Vec<MethodCommand>,
    /// A program that lives on and is fed the messages of a method
    #[arg(long, value_name = "METHOD=COMMAND", help_heading = "Functions")]
    pub(crate) serve: Vec<MethodCommand>,
    /// How messages and results of --serve are told apart
    #[arg(long, value_enum, value_name = "FRAMING", default_value_t = Framing::Lines, help_heading = "Functions")]
    pub(crate) framing: Framing,
    /// Hand commands to `sh -c`
    #[arg(long, help_heading = "Functions")]
    pub(crate) shell: bool,
    /// Offer the functions `foo` and `echo` of the example application
    #[arg(long, help_heading = "Functions")]
    pub(crate) demo: bool,

    /// Messages worked on at a time
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,
    /// Time that a program may take for a message; then it is killed, and the message fails [default: any]
    #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero)]
    pub(crate) exec_timeout: Option<Duration>,
    /// Longest result that is taken from a program
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::size_above_zero)]
    pub(crate) max_result: usize,
    /// How long to wait for what is in hand when asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    pub(crate) grace: Duration,
}

/// Runs the worker until a signal stops it.
///
/// # Errors
/// If there are no functions, a program does not exist, or the master cannot be reached.
pub(crate) fn run(_global: &Global, _args: Args) -> anyhow::Result<Outcome> {
    todo!()
}
