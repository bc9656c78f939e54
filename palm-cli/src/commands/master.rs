//! `palm master`: a master on five sockets.

use std::time::Duration;

use crate::args::Global;
use crate::{Outcome, values};

const EXAMPLES: &str = "\
Examples:
  palm master --name test
      listens on 127.0.0.1, ports 5555 to 5559, as the Python example does

  palm master --name test --pull 'tcp://*:5555' --pub 'tcp://*:5556' --wpush 'tcp://*:5557' \\
      --wpull 'tcp://*:5558' --db 'tcp://*:5559' --advertise node-1.lan
      for other machines: binds every interface, and tells clients and workers to connect to node-1.lan

  palm master --name test --memory 256MiB --lease 5m --attempts 5
      holds at most 256 MiB; a message that a worker does not answer within five minutes goes to another; it is given up
      after five attempts

Stop it with Ctrl-C or SIGTERM: it takes no more messages, waits up to --grace for those that are out, and says what was
left. A second signal stops it at once. SIGUSR1 logs the counters. Exit status: 0 nothing was left, 1 something was left
undone, 2 wrong use.";

/// Flags of `palm master`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the server, which clients address
    #[arg(long, value_name = "NAME", required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// Where clients push their messages to
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5555", value_parser = values::bind_address)]
    pub(crate) pull: String,
    /// Where results are published
    #[arg(long = "pub", value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5556", value_parser = values::bind_address)]
    pub(crate) publish: String,
    /// Where workers get messages from
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5557", value_parser = values::bind_address)]
    pub(crate) wpush: String,
    /// Where workers push their results to
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5558", value_parser = values::bind_address)]
    pub(crate) wpull: String,
    /// Where the cache answers
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5559", value_parser = values::bind_address)]
    pub(crate) db: String,
    /// Host that clients and workers are told to connect to [default: the one bound]
    #[arg(long, value_name = "HOST")]
    pub(crate) advertise: Option<String>,
    /// Results go to the next component of a pipeline, under this master's name, and not to clients
    #[arg(long)]
    pub(crate) pipelined: bool,

    /// Bytes of messages and results held at most; then senders have to wait
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) memory: usize,
    /// Messages held at most; then senders have to wait
    #[arg(long, value_name = "MESSAGES", default_value = "100000", value_parser = above_zero, help_heading = "Bounds")]
    pub(crate) queue: usize,
    /// Longest message accepted
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) max_message: usize,
    /// Connections accepted at most, of all sockets together
    #[arg(long, value_name = "NUMBER", default_value = "4096", value_parser = above_zero, help_heading = "Bounds")]
    pub(crate) connections: usize,
    /// Entries of the cache at most
    #[arg(long, value_name = "NUMBER", value_parser = above_zero, help_heading = "Bounds")]
    pub(crate) cache_entries: Option<usize>,
    /// Bytes of all keys and values of the cache at most
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) cache_size: Option<usize>,
    /// Longest value that the cache takes
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) cache_value: Option<usize>,
    /// Longest key that the cache takes
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) cache_key: Option<usize>,

    /// Messages that a worker has at a time at most [default: adapts to how fast the worker is]
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) window: Option<u32>,
    /// Time after which a message without an answer goes to another worker [default: only if its worker is lost]
    #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) lease: Option<Duration>,
    /// Workers that a message is given to at most, before its client is told that it failed
    #[arg(long, value_name = "NUMBER", default_value = "3", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) attempts: u32,
    /// How long results wait for a client that is away
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::duration, help_heading = "Delivery")]
    pub(crate) keep: Duration,
    /// How often silent peers are asked for a sign of life
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) heartbeat: Duration,
    /// Time that a new connection has to say what it is
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) handshake_timeout: Duration,
    /// How long to wait for what is out when asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration, help_heading = "Delivery")]
    pub(crate) grace: Duration,

    /// Log the counters this often
    #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero)]
    pub(crate) stats: Option<Duration>,
}

fn above_zero(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be more than 0".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// Runs the master until a signal stops it.
///
/// # Errors
/// If an address cannot be bound.
pub(crate) fn run(_global: &Global, _args: Args) -> anyhow::Result<Outcome> {
    todo!()
}
