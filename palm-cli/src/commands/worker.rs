//! `palm worker`: runs programs on a master's messages.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use palm_registry::cluster::ForShell;
use palm_transport_zmq::Worker;

use super::{DEFAULT_DB, StopSignals, block_on};
use crate::args::Global;
use crate::native::{self, Wish};
use crate::process::{Exec, Framing, Lifeline, Limits, MethodCommand, Program, Serve};
use crate::worker::native::Ended;
use crate::worker::{self, Function, Functions, Options, Report, demo_functions, stopping};
use crate::{Outcome, open_files, output, values, wrong_use};

/// Files that a program at work takes: its pipes, with both ends while it starts, and what watches over it.
const FILES_A_JOB: usize = 8;

const EXAMPLES: &str = "\
Examples:
  palm worker --exec 'upper=tr a-z A-Z'
      a process for each message: payload on its standard input, result from
      its standard output; an exit status other than 0 is a failure; what it
      says on standard error is logged. PALM_METHOD and PALM_CACHE tell it the
      method and the message's cache field

  palm worker --jobs 4 --serve 'score=python3 score.py'
      four processes that live on, each fed one line for a message and asked
      for one line in return:
          import sys
          for line in sys.stdin:
              print(len(line), flush=True)
      nothing else may go to its standard output, no greeting either: it would
      be taken for an answer
      --framing length puts four bytes (big-endian length) before each payload
      and each result instead; an answer whose length has the highest bit set
      is a failure, and its text says why

  palm worker --shell --exec 'count=sort | uniq | wc -l'
      commands are split into words and run without a shell, unless --shell is
      given

  palm worker --demo
      the functions of the example application: foo (answers '<name> processed
      a message') and echo

  palm worker --connect node-1:5550 --token-file token --exec 'upper=tr a-z A-Z'
      a master's native listener instead of its ZeroMQ sockets: one connection,
      and a message whose client is gone or late is ended

A process of --serve that dies, or prints more than it was asked for, is
started again: at once if it had run for ten seconds, else after a rest of
0.1 s that doubles up to 30 s. The message it had in hand fails, since it may
be what killed it; its client is told why.
Processes and what they started end with the worker, even if it is killed.

Stop it with Ctrl-C or SIGTERM: it finishes, or hands back, what it has. A
second signal stops it at once. Exit status: 0 nothing was left, 1 something
was left or no master wants it, 2 wrong use.";

/// Flags of `palm worker`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the worker [default: a UUID]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Where the master's cache answers [default: tcp://127.0.0.1:5559]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) db: Option<String>,
    /// Where to push results to [default: what the cache says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) push: Option<String>,
    /// Where to get messages from [default: what the cache says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) pull: Option<String>,
    /// Silence after which the master is asked whether it lives; after twice as much more it is looked for anew.
    /// Native masters set their own
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration_above_zero)]
    pub(crate) heartbeat: Duration,
    #[command(flatten)]
    pub(crate) native: native::Flags,

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
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Work")]
    pub(crate) jobs: u16,
    /// Time that a program may take for a message; then it is killed, and the message fails [default: any]
    #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero, help_heading = "Work")]
    pub(crate) exec_timeout: Option<Duration>,
    /// Longest result that is taken from a program
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::size_above_zero, help_heading = "Work")]
    pub(crate) max_result: usize,
    /// How long to wait for what is in hand when asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration, help_heading = "Work")]
    pub(crate) grace: Duration,
}

/// Runs the worker until a signal stops it.
///
/// # Errors
/// If there are no functions, a program does not exist, or the master wants no such worker.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    let name = args.name.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let plan = Plan::of(&args)?;
    global.log_component(&name)?;
    let wish = args.native.wish(&zmq_only(&args))?;
    open_files::make_room_for(usize::from(args.jobs) * FILES_A_JOB, "files of programs at work", ", or lower --jobs");
    let ended = block_on(async {
        let mut signals = StopSignals::listen()?;
        let mut functions = if args.demo { demo_functions(&name) } else { Functions::new() };
        let serving = plan.start(&mut functions, &args)?;
        let options = Options { name, jobs: args.jobs, grace: args.grace };
        let ended = work(&args, wish, &functions, &options, &mut signals).await;
        for serve in &serving {
            serve.stop().await;
        }
        ended
    });
    if let Err(error) = &ended
        && !std::io::stdout().is_terminal()
    {
        // A runner sees nothing but the log.
        tracing::error!("{}", crate::output::causes(error));
    }
    ended
}

/// Flags that were given and say something about sockets of ZeroMQ.
fn zmq_only(args: &Args) -> Vec<&'static str> {
    let given = [("--push", args.push.is_some()), ("--pull", args.pull.is_some())];
    given.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
}

/// Works for the master that is asked for, in the protocol that is asked for or found.
async fn work(
    args: &Args,
    wish: Wish,
    functions: &Functions,
    options: &Options,
    signals: &mut StopSignals,
) -> anyhow::Result<Outcome> {
    let db = cache_address(args);
    if !matches!(wish, Wish::Native(_))
        && let Some(address) = db
    {
        tracing::debug!("Asking the cache at {address} for the master's addresses");
    }
    let peer = tokio::select! {
        peer = wish.peer(db.unwrap_or(DEFAULT_DB), None) => peer?,
        signal = signals.next() => {
            stopping(signal);
            return Ok(Report::idle().told());
        }
    };
    let mut before = 0;
    if let Some(peer) = peer {
        tracing::info!("Connecting to the master at {}", peer.address);
        match worker::native::run(&peer, functions, options, signals).await? {
            Ended::Stopped(report) => return Ok(report.told()),
            Ended::CutShort => return Ok(Outcome::Failed),
            Ended::Refused { why, connected: false } if peer.optional => {
                tracing::warn!("{}: {}: speaking ZeroMQ", peer.address, peer.refusal(&why));
            }
            Ended::NotNative { answered } => before = answered,
            Ended::Refused { why, .. } => anyhow::bail!("no work at {}: {}", peer.address, peer.refusal(&why)),
        }
    }
    let mut builder = Worker::builder()
        .name(&options.name)
        .concurrency(options.jobs.into())
        .heartbeat(args.heartbeat)
        .grace(options.grace);
    if let Some(address) = db {
        builder = builder.cache_address(address);
    }
    if let Some(address) = &args.push {
        builder = builder.push_address(address);
    }
    if let Some(address) = &args.pull {
        builder = builder.pull_address(address);
    }
    let worker = worker::zmq::offer(builder, functions).build()?;
    let report = worker::zmq::run(worker, before, signals).await;
    Ok(report.map_or(Outcome::Failed, |report| report.told()))
}

/// The cache, unless both other addresses are given and nobody named a cache.
fn cache_address(args: &Args) -> Option<&str> {
    match &args.db {
        Some(db) => Some(db),
        None if args.push.is_some() && args.pull.is_some() => None,
        None => Some(DEFAULT_DB),
    }
}

/// The programs behind the methods, found before anything is connected.
struct Plan {
    exec: Vec<(String, Program)>,
    serve: Vec<(String, Program)>,
}

impl Plan {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let mut methods = BTreeSet::new();
        if args.demo {
            methods.extend(["foo", "echo"]);
        }
        let parse = |commands: &[MethodCommand], flag| -> anyhow::Result<Vec<_>> {
            let mut programs = Vec::new();
            for MethodCommand { method, command } in commands {
                let meant_for_a_shell = ForShell::in_command(command).filter(|_| !args.shell);
                let hint = meant_for_a_shell.map(|found| format!("{found}: to have one, say --shell"));
                let program = Program::parse(command, args.shell).map_err(|reason| match &hint {
                    Some(hint) => wrong_use(format!("{flag} {method}: {hint} ({reason})")),
                    None => wrong_use(format!("{flag} {method}: {reason}")),
                })?;
                if let Some(hint) = hint {
                    output::say(&format_args!("palm: {flag} {method}: {hint}"));
                }
                programs.push((method.clone(), program));
            }
            Ok(programs)
        };
        let (exec, serve) = (parse(&args.exec, "--exec")?, parse(&args.serve, "--serve")?);
        for MethodCommand { method, .. } in args.exec.iter().chain(&args.serve) {
            if !methods.insert(method) {
                return Err(wrong_use(format!("the method `{method}` is given more than once")));
            }
        }
        if methods.is_empty() {
            return Err(wrong_use(
                "the worker has no functions: give it some with --exec METHOD=COMMAND, --serve METHOD=COMMAND or --demo",
            ));
        }
        Ok(Self { exec, serve })
    }

    /// Adds the functions, and starts the processes of those that have some.
    fn start(self, functions: &mut Functions, args: &Args) -> anyhow::Result<Vec<Serve>> {
        let mut serving = Vec::new();
        if self.exec.is_empty() && self.serve.is_empty() {
            return Ok(serving);
        }
        let limits = Limits { time: args.exec_timeout, result: args.max_result };
        let lifeline = Lifeline::start().context("cannot start the process that watches over others")?;
        for (method, program) in self.exec {
            let exec = Exec::new(program, limits, lifeline.clone());
            functions.push((method, Function::Program(worker::Program::Exec(exec))));
        }
        for (method, program) in self.serve {
            let serve =
                Serve::start(method.clone(), program, args.framing, limits, lifeline.clone(), args.jobs.into())?;
            serving.push(serve.clone());
            functions.push((method, Function::Program(worker::Program::Serve(serve))));
        }
        Ok(serving)
    }
}
