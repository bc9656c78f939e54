//! `palm launch`: sends messages to a server, and prints the results.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use palm_transport_zmq::tell_runner;

use super::block_on;
use crate::args::Global;
use crate::launch::follower::{Ended, Follower};
use crate::launch::input::{Bounds, Source};
use crate::launch::job::Options;
use crate::launch::ledger::Ledger;
use crate::launch::messages::Messages;
use crate::launch::server::connect;
use crate::launch::stop::Stop;
use crate::native::Flags;
use crate::output::progress::Progress;
use crate::output::results::{Sink, Style};
use crate::output::{ClosedPipe, Folder};
use crate::{Outcome, WrongUse, output, values, wrong_use};

/// Messages without a result at a time unless something else is said: where each has its results, and where many may have none.
const WINDOW: u32 = 256;
const WINDOW_EXPECTING: u32 = 100_000;

/// Target of the lines that a Python client logs.
pub(crate) const LAUNCHER: &str = "launcher";

const EXAMPLES: &str = "\
Examples:
  palm launch --server test --function foo
      sends ten times ' a message', as the Python example does, and prints what
      that prints: its log and the ten results, all to standard output

  palm launch --server test --function upper --message hello
      sends one message; --repeat says if there are to be more

  palm launch --server test --function upper --lines words.txt --ordered
  producer | palm launch --server test --function upper --lines - | consumer
      a message for each line, a line for each result; --ordered keeps the
      order of the lines

  palm launch --server test --function thumbnail --files photos/*.jpg \\
      --output-dir thumbnails --timeout 5m --retries 2
      a message for each file, a file of the same name for each result; what
      is not there after five minutes is sent again, up to twice

  palm launch --server test --function foo --output json | jq .latency_ms
      an object for each result, and for each failure

  palm launch --server stage1 --function 'parse stage2.score' \\
      --sub tcp://node-2:5556
      a pipeline: a function for each stage, results taken from the last one's
      address

  palm launch --server stage1 --function 'parse stage2.filter' --lines in.txt \\
      --sub tcp://node-2:5556 --expect 40
      a pipeline that ends some messages on the way: complete with 40 results

  palm launch --connect node-1:5550 --token-file token --function upper \\
      --lines words.txt --priority 2 --deadline 10s
      a master's native listener instead of its ZeroMQ sockets

Otherwise results go to standard output, everything else to standard error. A result that
ends in a line break gets no second one; --output raw and --output-dir keep
every byte. What a terminal is shown has no control characters in it but
colours; --output raw is as it is.

A FIFO is read once, from its first writer on, and ends when its last writer
closes it. A line or a file that is too long fails alone; the others are sent.

Files in --output-dir that an earlier run has written are replaced; an input is
never overwritten.

Ctrl-C ends the job, and says what is missing and what was never sent; a
second one ends it at once.
Exit status: 0 every message has its results; 1 some failed or are missing, and
it says which; 2 wrong use.";

/// Flags of `palm launch`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the server; may be left out with --connect
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) server: Option<String>,
    /// Function: `foo` means `SERVER.foo`; several words, one for each stage of a pipeline, each with its server
    #[arg(long, value_name = "FUNCTION", required = true, value_parser = values::function)]
    pub(crate) function: Option<String>,
    /// Where the server's cache answers [default: tcp://127.0.0.1:5559]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) db: Option<String>,
    /// Where to push messages to [default: what the cache says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) push: Option<String>,
    /// Where to take results from [default: what the cache says]
    #[arg(long, value_name = "ADDRESS", value_parser = values::peer_address)]
    pub(crate) sub: Option<String>,
    /// Name of the session: the messages' pipeline, and prefix of the keys it sets [default: a UUID, and no prefix]
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<String>,
    /// What the messages carry in their cache field
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) cache: String,
    #[command(flatten)]
    pub(crate) native: Flags,

    /// The message to send [default: ' a message', ten times]
    #[arg(long, value_name = "TEXT", help_heading = "Messages")]
    pub(crate) message: Option<String>,
    /// How often to send it [default: once]
    #[arg(long, value_name = "TIMES", help_heading = "Messages")]
    pub(crate) repeat: Option<u64>,
    /// Send each line of this file or FIFO, or of standard input (-)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["message", "repeat", "files"], help_heading = "Messages")]
    pub(crate) lines: Option<PathBuf>,
    /// Send each of these files
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["message", "repeat"], help_heading = "Messages")]
    pub(crate) files: Vec<PathBuf>,
    /// Longest message that is sent [default: what the master accepts, and at most --in-flight]
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Messages")]
    pub(crate) max_message: Option<usize>,

    /// Results of each message
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) results: u32,
    /// Results of all messages together, where a message may have fewer than --results: done when so many are there and all is
    /// sent. A message without a result keeps its place in --window until --timeout
    #[arg(long, value_name = "NUMBER", conflicts_with = "ordered", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Delivery")]
    pub(crate) expect: Option<u64>,
    /// Give the results in the order of the messages
    #[arg(long, help_heading = "Delivery")]
    pub(crate) ordered: bool,
    /// Messages without a result at a time at most [default: 256; 100000 with --expect]
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) window: Option<u32>,
    /// Bytes of messages without a result at a time at most
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = values::size_above_zero, help_heading = "Delivery")]
    pub(crate) in_flight: usize,
    /// How long to wait for a message's results, at each try
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) timeout: Duration,
    /// How often a message is sent again that has no result in time, or was lost with its workers or its master
    #[arg(long, value_name = "TIMES", default_value = "0", help_heading = "Delivery")]
    pub(crate) retries: u32,
    /// How urgent the messages are beside others of yours, from 0 to 3; beside those of other clients only as far as the master's --priority-across allows. A master that is not ours pays no heed
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = clap::value_parser!(u8).range(0..=3), help_heading = "Delivery")]
    pub(crate) priority: u8,
    /// Time after which a message's result is of no use, and a message that waits is not begun any more [default: --timeout]
    #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) deadline: Option<Duration>,
    /// How long to try to reach the server at first
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) connect_timeout: Duration,

    /// Silence after which the server is asked whether it lives; after twice as much more it is looked for anew.
    /// Native masters set their own
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) heartbeat: Duration,

    /// What results look like on standard output [default: lines; python with the flags of its example alone]
    #[arg(long, value_enum, value_name = "STYLE", help_heading = "Output")]
    pub(crate) output: Option<Style>,
    /// Write each result into a file of its own in this folder, named after its input file or its number
    #[arg(long, value_name = "DIR", conflicts_with = "output", help_heading = "Output")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Say nothing but errors: no progress bar, no closing line
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

impl Args {
    /// Whether there is no flag but those of the Python example's launcher: then what it prints is what is printed.
    fn is_example(&self) -> bool {
        let Self { push, sub, session, message, repeat, lines, files, output, output_dir, .. } = self;
        let is_told_what = message.is_some() || repeat.is_some() || lines.is_some() || !files.is_empty();
        let is_told_where = push.is_some() || sub.is_some() || session.is_some() || self.native.connect.is_some();
        let is_told_how = output.is_some() || output_dir.is_some() || self.quiet || self.ordered || self.results > 1;
        !is_told_what && !is_told_where && !is_told_how && self.expect.is_none()
    }

    fn style(&self) -> Style {
        self.output.unwrap_or(if self.is_example() { Style::Python } else { Style::Lines })
    }

    pub(crate) fn window(&self) -> u32 {
        self.window.unwrap_or(if self.expect.is_some() { WINDOW_EXPECTING } else { WINDOW })
    }
}

/// Runs the job.
///
/// # Errors
/// If the server cannot be reached, or output cannot be written.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    if args.is_example() {
        global.log_launcher(LAUNCHER)?
    } else {
        global.log_aside("launch")?
    }
    let function = args.function.as_deref().ok_or_else(|| wrong_use("the function is missing; use --function"))?;
    if args.server.is_none() && args.native.connect.is_none() {
        return Err(no_server());
    }
    let wish = args.native.wish(&zmq_only(&args))?;
    let mut stop = Stop::listen()?;
    block_on(async {
        // Before anything is sent, whatever is wrong with the input or the output.
        let source = source(&args);
        source.check().map_err(|(path, error)| wrong_use(format!("cannot read {}: {error}", path.display())))?;
        let sink = sink(&args, &source)?;
        tracing::info!(target: LAUNCHER, "Fetching configuration from the server");
        let server = tokio::select! {
            server = connect(&args, wish) => server?,
            () = stop.asked() => anyhow::bail!("stopped before there was a connection; nothing was sent"),
        };
        server.log_addresses();
        // Before the first result, which goes the other way to the same place.
        crate::logging::flush();
        let function = qualified(function, args.server.as_deref().unwrap_or_else(|| server.name()));
        let message = server.longest_payload(&args, &function);
        let total = source.total();
        let items = source.open(Bounds { in_flight: args.in_flight, message }).context("cannot read what to send")?;
        let progress = Progress::start(total, args.quiet);
        let options = Options {
            window: args.window(),
            ordered: args.ordered,
            timeout: args.timeout,
            retries: args.retries,
            results: args.results,
            user_data: args.cache.clone(),
            priority: args.priority,
            deadline: args.deadline,
        };
        let ledger = Rc::new(RefCell::new(Ledger::new(args.results, args.expect, total)));
        let results = ledger.borrow().results();
        let _telling = tell_runner(move || results.load(Ordering::Relaxed));
        let (job, gone) = server.job(&function, Messages::new(items, Rc::clone(&ledger)), options);
        let mut follower = Follower { args: &args, job, gone, sink, ledger: Rc::clone(&ledger), progress, stop };
        let ended = follower.follow().await;
        follower.progress.finish();
        close(&args, &ledger.borrow(), ended)
    })
}

/// Ends with what is the matter, and the closing line.
fn close(args: &Args, ledger: &Ledger, ended: anyhow::Result<Ended>) -> anyhow::Result<Outcome> {
    let outcome = match ended {
        Ok(Ended::Complete) if ledger.is_complete() => Outcome::Done,
        Ok(_) => Outcome::Failed,
        // Nobody wants more, and nothing is wrong.
        Err(error) if error.is::<ClosedPipe>() => return Err(error),
        Err(error) => {
            output::error(&output::causes(&error));
            if error.is::<WrongUse>() { Outcome::Code(2) } else { Outcome::Failed }
        }
    };
    let troubles = ledger.troubles();
    if !troubles.is_empty() {
        output::say(&troubles.trim_end());
    }
    if !args.quiet || outcome != Outcome::Done {
        output::say(ledger);
    }
    Ok(outcome)
}

/// Each word with a server: the one that is addressed, unless the word names its own.
fn qualified(function: &str, server: &str) -> String {
    let words = function.split_ascii_whitespace();
    let words = words.map(|word| if word.contains('.') { word.to_owned() } else { format!("{server}.{word}") });
    words.collect::<Vec<_>>().join(" ")
}

fn source(args: &Args) -> Source {
    match &args.lines {
        Some(path) if path.as_os_str() == "-" => Source::Lines(None),
        Some(path) => Source::Lines(Some(path.clone())),
        None if !args.files.is_empty() => Source::Files(args.files.clone()),
        None => {
            // As Python's example does it, if nothing else is said.
            let (message, count) = match &args.message {
                Some(message) => (message.as_str(), 1),
                None => (" a message", 10),
            };
            Source::Repeat { message: Bytes::from(message.to_owned()), count: args.repeat.unwrap_or(count) }
        }
    }
}

fn sink(args: &Args, source: &Source) -> anyhow::Result<Sink> {
    Ok(match &args.output_dir {
        Some(path) => {
            let read: Vec<_> = source.files().into_iter().chain(args.native.token_file.clone()).collect();
            Sink::folder(Folder::create(path, &args.files, &read, args.results, source.total())?)
        }
        None => Sink::stdout(args.style()),
    })
}

/// Flags that were given and mean nothing to the native protocol.
fn zmq_only(args: &Args) -> Vec<&'static str> {
    let given = [("--push", args.push.is_some()), ("--sub", args.sub.is_some()), ("--session", args.session.is_some())];
    given.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
}

/// What is said if nothing names the server.
pub(crate) fn no_server() -> anyhow::Error {
    wrong_use("the name of the server is missing; use --server, or --connect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_one_of_the_server() {
        assert_eq!(qualified("foo", "s"), "s.foo");
        assert_eq!(qualified("t.foo", "s"), "t.foo");
        assert_eq!(qualified(" parse  t.score count", "s"), "s.parse t.score s.count");
    }
}
