//! `palm nodes`: what clusters run on.

use clap::Subcommand;
use palm_registry::client::Method;
use serde_json::Value;

use super::block_on;
use crate::Outcome;
use crate::args::Global;
use crate::output::table::Table;
use crate::remote::{self, Flags, confirm, instant, is, number, text};

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
                let done = remote.order(Method::DELETE, &["clusters", &id, "nodes", &node], Value::Null).await?;
                remote.show(&done, |_| String::new())?;
                return Ok(Outcome::Done);
            }
            Some(Action::List { cluster }) => cluster.or(args.cluster),
            None => args.cluster,
        };
        let mut nodes = remote.get(&["nodes"], &[]).await?;
        if let Some(cluster) = cluster {
            let id = remote.cluster(&cluster).await?;
            if let Value::Array(nodes) = &mut nodes {
                nodes.retain(|node| text(node, "cluster") == id);
            }
        }
        remote.show(&nodes, table)?;
        Ok(Outcome::Done)
    })
}

fn table(nodes: &Value) -> String {
    let mut table = Table::new(&["CLUSTER", "NODE", "STATE", "IP", "SLOTS", "PLACED", "SEEN"]);
    for node in remote::items(nodes) {
        let cluster = [text(node, "alias"), text(node, "cluster")].into_iter().find(|name| !name.is_empty());
        let seen = node.get("seen").and_then(Value::as_i64);
        table.row([
            cluster.unwrap_or_default().to_owned(),
            text(node, "name").to_owned(),
            state(node).to_owned(),
            text(node, "ip").to_owned(),
            number(node, "processors").to_string(),
            number(node, "placed").to_string(),
            seen.map_or_else(|| "-".to_owned(), instant),
        ]);
    }
    table.text()
}

/// What is known of a node.
pub(super) fn state(node: &Value) -> &'static str {
    match node.get("seen").and_then(Value::as_i64) {
        _ if is(node, "silent") => "silent",
        Some(_) => "alive",
        None => "unknown",
    }
}
