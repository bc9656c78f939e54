//! `palm cluster`: the clusters of a registry.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use palm_registry::client::Method;
use serde_json::{Value, json};

use super::{block_on, cluster_logs, cluster_view as view};
use crate::args::Global;
use crate::remote::{self, Flags, Remote, confirm, text};
use crate::{Outcome, output, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm cluster new cluster.toml --alias test
  palm runner --registry URL --cluster $(palm cluster key test)
  palm cluster status test
  palm cluster logs test --follow --component Worker
  palm cluster scale test Worker 3             three copies beside the first
  palm cluster set test cluster.toml
  palm cluster diff test                       what that has changed
  palm cluster delete test --yes

A cluster is named by its alias, its id, or the beginning of that.

Exit status: 0 done; 1 refused, or no answer; 2 wrong use.";

/// Flags of `palm cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) remote: Flags,
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make a cluster of a file
    New {
        /// The cluster file, INI or TOML; -: standard input
        file: PathBuf,
        /// A name for people
        #[arg(long, value_name = "NAME")]
        alias: Option<String>,
    },
    /// List the clusters that you may see
    List,
    /// Print a cluster's file
    Show(Which),
    /// Print the key by which a cluster's nodes are known, a secret
    Key {
        #[command(flatten)]
        which: Which,
        /// Give it another first: nobody is known by the one before any more
        #[arg(long)]
        new: bool,
    },
    /// Replace a cluster's file; what it still has stays where it is
    Set {
        #[command(flatten)]
        which: Which,
        /// The cluster file, INI or TOML; -: standard input
        file: PathBuf,
    },
    /// Show what is placed where, what runs, and what is missing
    Status(Which),
    /// List the versions of a cluster's file, or put one back
    Versions {
        #[command(flatten)]
        which: Which,
        /// Put this one back: it becomes the newest
        #[arg(long, value_name = "NUMBER")]
        restore: Option<i64>,
    },
    /// Print what differs between two versions of a cluster's file
    Diff {
        #[command(flatten)]
        which: Which,
        /// The older version [default: the last but one]
        #[arg(long, value_name = "NUMBER")]
        from: Option<i64>,
        /// The newer version [default: the newest]
        #[arg(long, value_name = "NUMBER")]
        to: Option<i64>,
    },
    /// Set how many copies a component has beside the first, until the file is another
    Scale {
        #[command(flatten)]
        which: Which,
        /// The component
        component: String,
        /// Copies beside the first
        #[arg(value_parser = clap::value_parser!(u32).range(0..=9999))]
        replicas: u32,
    },
    /// Start components that were stopped
    Start(Components),
    /// Stop components; they keep their places
    Stop(Components),
    /// Replace the processes of components by new ones
    Restart(Components),
    /// Forget all places and nodes; nodes that ask again are given theirs anew
    Reset(Sure),
    /// Delete a cluster with all that is kept of it
    Delete(Sure),
    /// Print what components have printed
    Logs(cluster_logs::Args),
    /// List with whom a cluster is shared, or share it
    Share {
        #[command(flatten)]
        which: Which,
        /// With this user
        user: Option<String>,
        /// The user may also start, stop, restart, scale and reset
        #[arg(long, requires = "user")]
        operate: bool,
        /// Share it with this user no more
        #[arg(long, requires = "user", conflicts_with = "operate")]
        end: bool,
    },
}

/// A cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Its alias, its id, or the beginning of that
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: String,
}

/// Components of a cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Components {
    #[command(flatten)]
    which: Which,
    /// The component [default: all]
    component: Option<String>,
}

/// A cluster of which something is lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Sure {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Does it.
///
/// # Errors
/// If the registry does not.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("cluster")?;
    let remote = args.remote.remote()?;
    block_on(async {
        act(&remote, args.action).await?;
        Ok(Outcome::Done)
    })
}

async fn act(remote: &Remote, action: Action) -> anyhow::Result<()> {
    match action {
        Action::New { file, alias } => {
            let body = json!({ "file": read(&file)?, "alias": alias });
            let made = remote.order(Method::POST, &["clusters"], body).await.map_err(|error| about(&file, error))?;
            remote.show(&made, |made| format!("{}\n", text(made, "id")))?;
            if !remote.json {
                let id = text(&made, "id");
                output::say(&format_args!(
                    "on each node: palm runner --registry {} --cluster $(palm cluster key {id})",
                    remote.client.url()
                ));
            }
        }
        Action::List => remote.show(&remote.get(&["clusters"], &[]).await?, view::clusters)?,
        Action::Show(which) => {
            let id = remote.cluster(&which.cluster).await?;
            let found = remote.get(&["clusters", &id], &[]).await?;
            remote.show(&found, |found| text(found, "file").to_owned())?;
        }
        Action::Key { which, new } => {
            let id = remote.cluster(&which.cluster).await?;
            let path = ["clusters", &id, "key"];
            let key = match new {
                true => remote.order(Method::POST, &path, Value::Null).await?,
                false => remote.get(&path, &[]).await?,
            };
            if new {
                output::say(&format_args!(
                    "runners with the key before go on with what they run, and have to be started again with this one"
                ));
            }
            remote.show(&key, |key| format!("{}\n", text(key, "key")))?;
        }
        Action::Set { which, file } => {
            let id = remote.cluster(&which.cluster).await?;
            let body = json!({ "file": read(&file)? });
            let set = remote.order(Method::PUT, &["clusters", &id, "file"], body).await;
            remote.show(&set.map_err(|error| about(&file, error))?, |_| "the file is set\n".to_owned())?;
        }
        Action::Status(which) => {
            let id = remote.cluster(&which.cluster).await?;
            remote.show(&remote.get(&["clusters", &id, "status"], &[]).await?, view::status)?;
        }
        Action::Versions { which, restore } => {
            let id = remote.cluster(&which.cluster).await?;
            match restore.map(|number| number.to_string()) {
                None => remote.show(&remote.get(&["clusters", &id, "versions"], &[]).await?, view::versions)?,
                Some(number) => {
                    let path = ["clusters", &id, "versions", &number, "restore"];
                    let done = remote.order(Method::POST, &path, Value::Null).await?;
                    remote.show(&done, |_| format!("version {number} is put back\n"))?;
                }
            }
        }
        Action::Diff { which, from, to } => {
            let id = remote.cluster(&which.cluster).await?;
            diff(remote, &id, from, to).await?;
        }
        Action::Scale { which, component, replicas } => {
            let body = json!({ "component": component, "replicas": replicas });
            let said = format!("{component}: {replicas} beside the first\n");
            order(remote, &which, "scale", body, said).await?;
        }
        Action::Start(some) => each(remote, some, "start").await?,
        Action::Stop(some) => each(remote, some, "stop").await?,
        Action::Restart(some) => each(remote, some, "restart").await?,
        Action::Reset(Sure { which, yes }) => {
            confirm(&format!("{} loses all its places and nodes", which.cluster), yes)?;
            let said = format!("{} is reset\n", which.cluster);
            order(remote, &which, "reset", Value::Null, said).await?;
        }
        Action::Delete(Sure { which, yes }) => {
            let id = remote.cluster(&which.cluster).await?;
            confirm(&format!("{}, its file, its versions and its logs are lost", which.cluster), yes)?;
            let done = remote.order(Method::DELETE, &["clusters", &id], Value::Null).await?;
            remote.show(&done, |_| format!("{} is deleted\n", which.cluster))?;
        }
        Action::Logs(args) => cluster_logs::run(remote, args).await?,
        Action::Share { which, user, operate, end } => {
            let id = remote.cluster(&which.cluster).await?;
            let Some(user) = user else {
                return remote.show(&remote.get(&["clusters", &id, "shares"], &[]).await?, view::shares);
            };
            let (method, body) = match end {
                true => (Method::DELETE, Value::Null),
                false => (Method::PUT, json!({ "share": if operate { "operate" } else { "read" } })),
            };
            let done = remote.order(method, &["clusters", &id, "shares", &user], body).await?;
            remote.show(&done, |_| {
                format!("{} is shared with {user}{}\n", which.cluster, if end { " no more" } else { "" })
            })?;
        }
    }
    Ok(())
}

async fn each(remote: &Remote, Components { which, component }: Components, what: &str) -> anyhow::Result<()> {
    let id = remote.cluster(&which.cluster).await?;
    let done = remote.order(Method::POST, &["clusters", &id, what], json!({ "component": component })).await?;
    remote.show(&done, |done| {
        let names: Vec<_> = remote::list(done, "components").iter().filter_map(Value::as_str).collect();
        format!("{what}: {}\n", names.join(", "))
    })
}

async fn order(remote: &Remote, which: &Which, what: &str, body: Value, said: String) -> anyhow::Result<()> {
    let id = remote.cluster(&which.cluster).await?;
    let done = remote.order(Method::POST, &["clusters", &id, what], body).await?;
    remote.show(&done, |_| said)
}

async fn diff(remote: &Remote, id: &str, from: Option<i64>, to: Option<i64>) -> anyhow::Result<()> {
    let versions = remote.get(&["clusters", id, "versions"], &[]).await?;
    let numbers: Vec<_> = remote::items(&versions).iter().map(|version| remote::number(version, "number")).collect();
    let to = to.or(numbers.first().copied());
    // The newest first.
    let from = from.or_else(|| numbers.iter().copied().find(|number| Some(*number) < to)).or(to);
    let (Some(from), Some(to)) = (from, to) else { anyhow::bail!("the cluster has no version") };
    let query = [("to", to.to_string())];
    let asked = remote.client.text(&["clusters", id, "versions", &from.to_string(), "diff"], &query).await;
    let text = asked.map_err(|error| remote.advice(error))?;
    remote.show(&json!({ "from": from, "to": to, "diff": text }), |_| view::diff(&text))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().lock().read_to_string(&mut text).map(|_| ()),
        false => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| wrong_use(format!("cannot read {}: {error}", file.display())))?;
    Ok(text)
}

/// A mistake in a file is told with the file's name.
fn about(file: &Path, error: anyhow::Error) -> anyhow::Error {
    if error.is::<crate::WrongUse>() { wrong_use(format!("{}: {error}", file.display())) } else { error }
}
