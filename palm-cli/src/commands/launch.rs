//! `palm launch`: sends messages to a server, and prints the results.

use std::path::PathBuf;
use std::time::Duration;

use crate::args::Global;
use crate::output::results::Style;
use crate::{Outcome, values};

const EXAMPLES: &str = "\
Examples:
  palm launch --server test --function foo
      sends ten times ' a message', as the Python example does, and prints the ten results

  palm launch --server test --function upper --lines words.txt --ordered
  producer | palm launch --server test --function upper --lines - | consumer
      a message for each line, a line for each result; --ordered keeps the order of the lines

  palm launch --server test --function thumbnail --files photos/*.jpg --output-dir thumbnails --retries 2 --timeout 5m
      a message for each file, a file of the same name for each result; what is not there after five minutes is sent
      again, up to twice

  palm launch --server test --function foo --repeat 3 --output json | jq -r .latency_ms
      an object for each result, and for each failure

  palm launch --server stage1 --function 'stage1.parse stage2.score' --sub tcp://node-2:5556
      a pipeline: a function for each stage, results taken from the last one's address

Results go to standard output, everything else to standard error. Ctrl-C ends the job and says what is missing. Exit
status: 0 every message has its results; 1 some failed or are missing, and it says which; 2 wrong use.";

/// Flags of `palm launch`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the server
    #[arg(long, value_name = "NAME", required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) server: Option<String>,
    /// Function: `foo` means `SERVER.foo`; several words, one for each stage of a pipeline, each with its server
    #[arg(long, value_name = "FUNCTION", required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) function: Option<String>,
    /// Where the server's cache answers
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::peer_address)]
    pub(crate) db: String,
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

    /// The message to send
    #[arg(long, value_name = "TEXT", default_value = " a message", help_heading = "Messages")]
    pub(crate) message: String,
    /// How often to send it
    #[arg(long, value_name = "TIMES", default_value = "10", help_heading = "Messages")]
    pub(crate) repeat: u64,
    /// Send each line of this file, or of standard input (-)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["message", "repeat", "files"], help_heading = "Messages")]
    pub(crate) lines: Option<PathBuf>,
    /// Send each of these files
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["message", "repeat"], help_heading = "Messages")]
    pub(crate) files: Vec<PathBuf>,
    /// Longest message that is sent
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::size_above_zero, help_heading = "Messages")]
    pub(crate) max_message: usize,

    /// Results of each message
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) results: u32,
    /// Give the results in the order of the messages
    #[arg(long, help_heading = "Delivery")]
    pub(crate) ordered: bool,
    /// Messages without a result at a time at most
    #[arg(long, value_name = "MESSAGES", default_value = "256", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) window: u32,
    /// Bytes of messages without a result at a time at most
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = values::size_above_zero, help_heading = "Delivery")]
    pub(crate) in_flight: usize,
    /// How long to wait for a message's results, at each try
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) timeout: Duration,
    /// How often a message is sent again that failed or has no result in time
    #[arg(long, value_name = "TIMES", default_value = "0", help_heading = "Delivery")]
    pub(crate) retries: u32,

    /// What results look like on standard output
    #[arg(long, value_enum, value_name = "STYLE", default_value_t = Style::Lines, help_heading = "Output")]
    pub(crate) output: Style,
    /// Write each result into a file of its own in this folder, named after its input file or its number
    #[arg(long, value_name = "DIR", conflicts_with = "output", help_heading = "Output")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Say nothing but errors: no progress bar, no closing line
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// Runs the job.
///
/// # Errors
/// If the server cannot be reached, or output cannot be written.
pub(crate) fn run(_global: &Global, _args: Args) -> anyhow::Result<Outcome> {
    todo!()
}
