//! `palm nodes`: what clusters run on.

use clap::Subcommand;
use palm_registry::api::status::{ClusterNode, NodeStatus};
use palm_registry::client::{Answer, Method};

use super::block_on;
use crate::Outcome;
use crate::args::Global;
use crate::output::table::Table;
use crate::remote::{Flags, confirm, document, instant};

const EXAMPLES: &str = "\
Examples:
  palm nodes                           those of all clusters that you may see
  palm nodes test --json
  palm nodes remove test node-3        what it ran waits for another place

Exit status: 0 done; 1 refused, or no answer; 2 wrong use.";

/// Flags of `palm nodes`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Those of this cluster only: its alias, or the beginning of its id
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Flags,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List them
    List {
        /// Those of this cluster only
        cluster: Option<String>,
    },
    /// Remove a node: what it ran waits for another place
    Remove {
        /// The cluster
        cluster: String,
        /// The node's name
        node: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Lists nodes, or removes one.
///
/// # Errors
/// If the registry does not do it.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("nodes")?;
    let remote = args.remote.remote()?;
    block_on(async {
        let cluster = match args.action {
            Some(Action::Remove { cluster, node, yes }) => {
                let id = remote.cluster(&cluster).await?;
                confirm(&format!("what {node} runs of {cluster} ends"), yes)?;
                let done = remote.order(Method::DELETE, &["clusters", &id, "nodes", &node]).await?;
                remote.show(&done, |_| String::new())?;
                return Ok(Outcome::Done);
            }
            Some(Action::List { cluster }) => cluster.or(args.cluster),
            None => args.cluster,
        };
        let nodes: Answer<Vec<ClusterNode>> = remote.get(&["nodes"], &()).await?;
        let Some(cluster) = cluster else {
            remote.show(&nodes, |nodes| table(nodes))?;
            return Ok(Outcome::Done);
        };
        let id = remote.cluster(&cluster).await?;
        let mut nodes = nodes.items()?;
        nodes.retain(|node| node.value.cluster == id);
        remote.print(&document(&nodes), || table(nodes.iter().map(|node| &node.value)))?;
        Ok(Outcome::Done)
    })
}

fn table<'a>(nodes: impl IntoIterator<Item = &'a ClusterNode>) -> String {
    let mut table = Table::new(&["CLUSTER", "NODE", "STATE", "IP", "SLOTS", "PLACED", "SEEN"]);
    for ClusterNode { cluster, alias, node } in nodes {
        table.row([
            alias.as_ref().filter(|alias| !alias.is_empty()).unwrap_or(cluster).clone(),
            node.name.clone(),
            state(node).to_owned(),
            node.ip.clone(),
            node.processors.to_string(),
            node.placed.to_string(),
            node.seen.map_or_else(|| "-".to_owned(), instant),
        ]);
    }
    table.text()
}

/// What is known of a node.
pub(super) fn state(node: &NodeStatus) -> &'static str {
    match node.seen {
        _ if node.silent => "silent",
        Some(_) => "alive",
        None => "unknown",
    }
}
