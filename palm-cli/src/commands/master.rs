//! `palm master`: a master on five sockets.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use palm_transport_tcp::BridgeOptions;
use palm_transport_zmq::{Addresses, CacheLimits, Counters, Master, MasterConfig, Report, tell_runner};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

use super::master_lines::{Lines, PRIVATE};
use super::master_sockets::Sockets;
use super::{StopSignals, block_on};
use crate::args::Global;
use crate::output::counted;
use crate::{Outcome, given_file, open_files, values, wrong_use};

/// Longest message that is accepted unless something else is said, memory permitting.
const LONGEST_MESSAGE: usize = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  palm master --name test
      listens on 127.0.0.1, ports 5555 to 5559, as the Python example does

  palm master --name test --advertise node-1.lan --pull 'tcp://*:5555' \\
      --pub 'tcp://*:5556' --wpush 'tcp://*:5557' --wpull 'tcp://*:5558' \\
      --db 'tcp://*:5559'
      for other machines: binds every interface, and tells clients and workers
      to connect to node-1.lan

  palm master --name test --memory 256MiB --lease 5m --attempts 5
      holds at most 256 MiB; a message that a worker does not answer within
      five minutes goes to another; it is given up after five attempts

  palm master --name test --tcp 127.0.0.1:5550 --unix /run/palm/test.sock
      serves native clients and workers beside those that speak ZeroMQ

  palm master --name test --serial '/dev/ttyUSB0?baud=921600'
      and a microcontroller at a serial line

  palm master --name test --no-zmq --tcp eth1:5550 --token-file token
      native clients and workers only, at the first address of an interface

ZeroMQ knows no tokens: with a token and without --no-zmq, whoever reaches the
ZeroMQ sockets needs none. At a Unix socket, who may connect is up to its folder
and to the umask. One that was left behind by a master of the same user is
replaced; whatever else is in its place is left alone, and that is an error.

Stop it with Ctrl-C or SIGTERM: it takes no more messages, waits up to --grace
for those that are out, and says what was left. A second signal stops it at
once. SIGUSR1 logs the counters: what was taken has been answered (or passed
over in silence), its deadline passed, it was cancelled, is a dead letter,
named no function, could not be sent or was given back at the end; or it is
queued or with workers. Exit status: 0 nothing was left, 1 something was left
undone, 2 wrong use.";

/// Flags of `palm master`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the server, which clients address
    #[arg(long, value_name = "NAME", required = true, value_parser = values::server_name)]
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
    /// Take native clients and workers only, and bind no ZeroMQ sockets
    #[arg(long, conflicts_with_all = ["pull", "publish", "wpush", "wpull", "db", "pipelined"], help_heading = "Native protocol")]
    pub(crate) no_zmq: bool,
    /// Where native clients and workers connect to over TCP, HOST:PORT; may be given several times
    #[arg(long, value_name = "ADDRESS", value_parser = values::native_tcp, help_heading = "Native protocol")]
    pub(crate) tcp: Vec<String>,
    /// The same over a Unix socket; may be given several times
    #[arg(long, value_name = "PATH", value_parser = values::native_unix, help_heading = "Native protocol")]
    pub(crate) unix: Vec<String>,
    /// Serial line at which a native client or worker is, DEVICE or DEVICE?baud=RATE (115200 unless given); may be given several times
    #[arg(long, value_name = "DEVICE", value_parser = values::serial_line, help_heading = "Native protocol")]
    pub(crate) serial: Vec<String>,
    /// File with the token that native clients and workers have to give
    #[arg(long, value_name = "FILE", help_heading = "Native protocol")]
    pub(crate) token_file: Option<PathBuf>,
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
    /// Longest message accepted [default: 64MiB, or a quarter of --memory]
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) max_message: Option<usize>,
    /// Connections accepted at most, of all sockets together
    #[arg(long, value_name = "NUMBER", default_value = "4096", value_parser = above_zero, help_heading = "Bounds")]
    pub(crate) connections: usize,
    /// Entries of the cache at most [default: 65536]
    #[arg(long, value_name = "NUMBER", value_parser = above_zero, help_heading = "Bounds")]
    pub(crate) cache_entries: Option<usize>,
    /// Bytes of all keys and values of the cache at most [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) cache_size: Option<usize>,
    /// Longest value that the cache takes [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) cache_value: Option<usize>,
    /// Longest key that the cache takes [default: 4KiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size_above_zero, help_heading = "Bounds")]
    pub(crate) cache_key: Option<usize>,

    /// Messages that a worker has at a time at most [default: adapts to how fast the worker is]
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) window: Option<u32>,
    /// Time after which a message without an answer goes to another worker [default: only if its worker is lost]
    #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero, help_heading = "Delivery")]
    pub(crate) lease: Option<Duration>,
    /// Workers may yield nothing for a message, as a MuxWorker that filters does, and answer in order, as Python ones do
    #[arg(long, help_heading = "Delivery")]
    pub(crate) silent_workers: bool,
    /// Workers that a message is given to at most, before its client is told that it failed
    #[arg(long, value_name = "NUMBER", default_value = "3", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) attempts: u32,
    /// Up to this priority, messages rank across clients; higher ones count as this one. With 0, priorities rank only a client's own messages
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = clap::value_parser!(u8).range(0..=3), help_heading = "Delivery")]
    pub(crate) priority_across: u8,
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

impl Args {
    /// What the library is told.
    fn config(&self) -> anyhow::Result<MasterConfig> {
        let name = self.name.clone().ok_or_else(|| wrong_use("the master needs a name; use --name"))?;
        if self.no_zmq && self.tcp.is_empty() && self.unix.is_empty() && self.serial.is_empty() {
            return Err(wrong_use("--no-zmq leaves no way to reach the master: add --tcp, --unix or --serial"));
        }
        let limits = CacheLimits::default();
        Ok(MasterConfig {
            pull: self.pull.clone(),
            publish: self.publish.clone(),
            worker_push: self.wpush.clone(),
            worker_pull: self.wpull.clone(),
            cache: self.db.clone(),
            zeromq: !self.no_zmq,
            native: self.tcp.iter().chain(&self.unix).cloned().collect(),
            token: self.token_file.as_deref().map(given_file::token).transpose()?,
            advertise: self.advertise.clone(),
            memory: self.memory,
            queue: self.queue,
            window: self.window,
            lease: self.lease,
            silent_workers: self.silent_workers,
            attempts: self.attempts,
            priority_across: self.priority_across,
            keep: self.keep,
            max_message: self.max_message.unwrap_or_else(|| LONGEST_MESSAGE.min(self.memory / 4)),
            connections: self.connections,
            heartbeat: self.heartbeat,
            handshake_timeout: self.handshake_timeout,
            grace: self.grace,
            pipelined: self.pipelined,
            cache_limits: CacheLimits {
                entries: self.cache_entries.unwrap_or(limits.entries),
                bytes: self.cache_size.unwrap_or(limits.bytes),
                key: self.cache_key.unwrap_or(limits.key),
                value: self.cache_value.unwrap_or(limits.value),
            },
            ..MasterConfig::new(name)
        })
    }
}

/// Runs the master until a signal stops it.
///
/// # Errors
/// If an address cannot be bound, or the bounds cannot work together.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    let mut config = args.config()?;
    let sockets = Sockets::of(&args);
    sockets.check()?;
    let socket = Lines::socket(&args.serial, &mut config)?;
    // The Python master's log has this name, whatever the master's own is.
    global.log_component("root")?;
    let ended = block_on(serve(config, args.stats, &args.serial, &sockets));
    drop(socket);
    if let Err(error) = &ended
        && !std::io::stdout().is_terminal()
    {
        // A runner sees nothing but the log.
        tracing::error!("{}", crate::output::causes(error));
    }
    ended
}

async fn serve(
    config: MasterConfig,
    stats: Option<Duration>,
    lines: &[String],
    sockets: &Sockets,
) -> anyhow::Result<Outcome> {
    let mut signals = StopSignals::listen()?;
    let mut show = signal(SignalKind::user_defined1()).context("cannot listen for signals")?;
    open_files::make_room_for(config.connections, "connections", ", or lower --connections");
    let name = config.name.clone();
    let asked =
        [&config.pull, &config.publish, &config.worker_push, &config.worker_pull, &config.cache].map(Clone::clone);
    let options = BridgeOptions { max_message: config.max_message, heartbeat: config.heartbeat };
    tracing::info!("Starting the router");
    if config.zeromq {
        tracing::info!("Starting inbound part Pull");
        tracing::info!("Starting inbound part WorkerPull");
        tracing::info!("Starting outbound part WorkerPush");
        tracing::info!("Starting outbound part Pub");
        tracing::info!("Starting bypass part Cache");
    }
    let master = Master::bind(config).await.map_err(|error| sockets.explain(error))?;
    log_started(&name, &asked, master.addresses());
    // They are served for as long as this lives: until the master has stopped.
    let _lines = Lines::start(lines, master.addresses(), options)?;

    let handle = master.handle();
    let counted = handle.clone();
    let _telling = tell_runner(move || counted.counters().messages.submitted);
    let mut ticks = stats.map(tokio::time::interval);
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
    }
    let run = master.run();
    tokio::pin!(run);
    let mut stopping = false;
    loop {
        tokio::select! {
            report = &mut run => return Ok(told(&report)),
            () = next_tick(&mut ticks) => log_counters(&handle.counters()),
            _ = show.recv() => log_counters(&handle.counters()),
            signal = signals.next() => {
                let now = handle.counters().now;
                if stopping {
                    tracing::warn!("{signal}: stopping at once; left: {now}");
                    return Ok(Outcome::Failed);
                }
                stopping = true;
                tracing::info!("{signal}: taking no more messages; {now}; a second signal stops at once");
                handle.shutdown();
            }
        }
    }
}

/// The lines that a Python master writes once its parts are up, and where ours are.
fn log_started(name: &str, asked: &[String; 5], addresses: &Addresses) {
    if addresses.pull.is_empty() {
        tracing::info!("{name} successfully started");
    } else {
        log_routes();
        log_addresses(name, asked, addresses);
    }
    for address in addresses.native.iter().filter(|address| !address.contains(PRIVATE)) {
        tracing::info!("Native clients and workers connect to {address}");
    }
}

fn log_routes() {
    tracing::info!("Launch router");
    tracing::info!("Inbound Pull connects to WorkerPush");
    tracing::info!("b'Pull' successfully started");
    tracing::info!("Inbound WorkerPull connects to Pub");
    tracing::info!("b'WorkerPull' successfully started");
    tracing::info!("b'WorkerPush' successfully started");
    tracing::info!("Outbound WorkerPush connects to exterior");
    tracing::info!("b'Pub' successfully started");
    tracing::info!("Outbound Pub connects to exterior");
}

/// Where the master is. A Python master does not say so: it is worth a line only where it is not what was asked for.
fn log_addresses(name: &str, asked: &[String; 5], addresses: &Addresses) {
    let Addresses { pull, publish, worker_push, worker_pull, cache, .. } = addresses;
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                pull,
                r#pub = publish,
                wpush = worker_push,
                wpull = worker_pull,
                db = cache,
                "{name} successfully started"
            )
        };
    }
    if asked.each_ref() == [pull, publish, worker_push, worker_pull, cache] { say!(debug) } else { say!(info) }
}

/// Logs how the master ended, and says whether that is all it had to do.
pub(super) fn told(report: &Report) -> Outcome {
    log_counters(&report.counters);
    if report.left == 0 && report.results_left == 0 {
        tracing::info!("Stopped: nothing was left");
        return Outcome::Done;
    }
    tracing::warn!(
        "Stopped: {} left undone, of which their clients were told; {} left that nobody took",
        counted(report.left as u64, "message"),
        counted(report.results_left as u64, "result"),
    );
    Outcome::Failed
}

fn log_counters(counters: &Counters) {
    let Counters { messages, peers, now, connections, .. } = counters;
    tracing::info!(
        taken = messages.submitted,
        // What has become of those: together with what is queued and with workers, as many.
        answered = messages.answered,
        silent = messages.silent,
        deadlines = messages.deadline_exceeded,
        cancelled = messages.cancelled,
        dead_letters = messages.dead_letters,
        unaddressed = messages.unaddressed,
        unsendable = messages.unsendable,
        unavailable = messages.unavailable,
        delivered = messages.delivered,
        results_dropped = messages.expired,
        // Of results that others have taken, and of copies for others.
        kept_dropped = messages.kept_dropped,
        copies_dropped = messages.copies_dropped,
        redispatched = messages.redispatched,
        handed_back = messages.handed_back,
        duplicates = messages.duplicates,
        forged = messages.unmarked + messages.disbelieved,
        malformed = messages.malformed + messages.malformed_results,
        workers_lost = messages.workers_lost,
        connections,
        refused = peers.refused,
        protocol_errors = peers.protocol_errors + peers.handshake_timeouts,
        "Counters: {now};"
    );
}

/// Waits for the next time the counters are due, which may be never.
async fn next_tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn config(arguments: &[&str]) -> MasterConfig {
        let line = ["palm", "master", "--name", "m"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Master(args) => args.config().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_flags_it_is_the_librarys_own_master() {
        assert_eq!(config(&[]), MasterConfig::new("m"));
    }

    #[test]
    fn a_message_takes_at_most_a_quarter_of_the_memory() {
        assert_eq!(config(&["--memory", "256MiB"]).max_message, 64 << 20);
        assert_eq!(config(&["--memory", "16MiB"]).max_message, 4 << 20);
        assert_eq!(config(&["--memory", "16MiB", "--max-message", "1KiB"]).max_message, 1 << 10);
    }
}
