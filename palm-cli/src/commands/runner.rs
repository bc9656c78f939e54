//! `palm runner`: runs on this node what a registry wants of it.

use std::path::PathBuf;

use anyhow::Context as _;
use palm_registry::client::Client;
use palm_registry::plan::{HOST, NodeOffer, is_host};
use palm_registry::runner::{self, Config, Order, RunnerError};
use tokio::sync::watch;

use super::{StopSignals, block_on};
use crate::args::Global;
use crate::{Outcome, config, given_file, up, values, wrong_use};

/// What holds a token.
const TOKEN: &str = "PALM_TOKEN";

const EXAMPLES: &str = "\
Examples:
  palm runner --registry http://127.0.0.1:8080 --cluster KEY
  palm runner --registry https://palm.example.org --cluster KEY --ip 10.0.0.7
  palm runner --registry http://127.0.0.1:8080 --cluster KEY --config node.ini

It starts what the registry hands to this node, starts again what fails, and
sends the output there. What was printed while the registry is away is kept on
the disk. It takes the place of pylm-runner, and so reads a node's file as that
does, and works with Python's registry too:
  [DEFAULT]
  Name = My node
  Ip = 127.0.0.1
  Processors = 3
  Ports_from = 5555

Who lists processes sees the key on the command line; PALM_RUNNER_CLUSTER keeps
it from them, and from the components. So does a token, of the scope runner,
with which --cluster is the cluster's id:
  palm tokens new node7 --scope runner >token
  palm runner --registry URL --cluster ID --token-file token

A registry that refuses a node which it took before is asked again and again,
and what runs goes on; a cluster that is deleted ends its runners.

Exit status: 0 stopped by a signal; 1 the registry does not want this node, or
something failed; 2 wrong use.";

/// Flags of `palm runner`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the registry is
    #[arg(long, value_name = "URL")]
    pub(crate) registry: String,
    /// The cluster's key; with a token its id
    #[arg(long, value_name = "KEY")]
    pub(crate) cluster: String,
    /// File with a token of one who may run the cluster's nodes, such as one of the scope runner; or PALM_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The node's name, by which it is known again [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where others reach this node's sockets [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<String>,
    /// Slots for processes [default: as many as there are processors]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) processors: Option<u16>,
    /// The first port for sockets [default: 5555]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports_from: Option<u16>,
    /// Folder for what is printed until it is sent [default: one for this node and cluster in ~/.local/state/palm]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) spool: Option<PathBuf>,
    /// Most that may be there; then the oldest goes
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = values::size)]
    pub(crate) spool_max: usize,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Send the key and all output over a network where others can read it
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// Runs until a signal stops it.
///
/// # Errors
/// If the registry does not want this node.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    let node = node(global, &args)?;
    let ca = args.ca.as_ref().map(|file| given_file::certificates("--ca", file));
    let token = match &args.token_file {
        Some(file) => Some(given_file::token(file)?),
        None => std::env::var(TOKEN).ok().filter(|token| !token.is_empty() && is_id(&args.cluster)),
    };
    let client = Client::new(&args.registry, token.as_ref().unwrap_or(&args.cluster), ca.transpose()?.as_deref());
    let client = client.map_err(|error| wrong_use(error.to_string()))?;
    let client = if token.is_some() { client.for_cluster(&args.cluster) } else { client };
    if client.is_open_to_others() && !args.insecure {
        let url = client.url();
        return Err(wrong_use(format!(
            "{url} is not encrypted, so others could read the {}: use https, or say --insecure",
            if token.is_some() { "token" } else { "key" }
        )));
    }
    let is_by_token = token.is_some();
    let spool = match args.spool {
        Some(spool) => spool,
        None => up::state_folder("runners", &[&args.registry, &args.cluster, &node.name])
            .context("there is no place for a spool; choose one with --spool")?,
    };
    global.log_component("runner")?;
    let config = Config {
        client,
        node,
        spool,
        spool_max: u64::try_from(args.spool_max).unwrap_or(u64::MAX),
        programs: up::programs(),
        view: None,
        standing: None,
        remembers: true,
        temporary: None,
        withheld: vec![TOKEN, "PALM_RUNNER_CLUSTER"],
    };
    block_on(async {
        let mut signals = StopSignals::listen()?;
        let (order, orders) = watch::channel(Order::Run);
        tokio::spawn(async move {
            for next in [Order::Stop, Order::Kill] {
                tracing::info!(
                    "{}: {}",
                    signals.next().await,
                    if next == Order::Stop { "stopping" } else { "killing all" }
                );
                order.send_replace(next);
            }
        });
        let ended = runner::run(config, orders).await;
        match ended {
            Err(RunnerError::Refused(error)) if is_by_token && error.status() == Some(404) => Err(anyhow::anyhow!(
                "{error}: with a token --cluster is the cluster's id, as palm cluster list shows it, and the token is of one who may run \
                 that cluster"
            )),
            ended => Ok(ended.map(|()| Outcome::Done)?),
        }
    })
}

/// Whether something looks like a cluster's id, and not like its key: whoever has a token for other commands may name either.
fn is_id(cluster: &str) -> bool {
    cluster.len() == 16 && cluster.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What this node offers.
fn node(global: &Global, args: &Args) -> anyhow::Result<NodeOffer> {
    let mut node = NodeOffer {
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        ip: "127.0.0.1".to_owned(),
        processors: std::thread::available_parallelism()
            .map_or(1, |number| number.get().try_into().unwrap_or(u32::MAX)),
        ports_from: 5555,
    };
    if let Some(file) = &global.config {
        let text = given_file::text_of(file)?;
        if config::is_of_a_node(&text) {
            node = NodeOffer::from_ini(&text).map_err(|error| wrong_use(format!("{}, {error}", file.display())))?;
        }
    }
    node.name = args.name.clone().unwrap_or(node.name);
    node.ip = args.ip.clone().unwrap_or(node.ip);
    node.processors = args.processors.map_or(node.processors, u32::from);
    node.ports_from = args.ports_from.unwrap_or(node.ports_from);
    if node.name.trim().is_empty() {
        return Err(wrong_use("--name: expected the node's name, found nothing"));
    }
    if !is_host(&node.ip) {
        return Err(wrong_use(format!("--ip: expected {HOST}, found `{}`", node.ip)));
    }
    Ok(node)
}
