//! `palm cluster`: the clusters of a registry.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use palm_registry::api::{actions, clusters, shares, status, versions};
use palm_registry::client::{Answer, Method};
use serde::de::IgnoredAny;

use super::cluster_file::{self as file, Form, read};
use super::{audit, block_on, cluster_logs, cluster_set, cluster_view as view};
use crate::args::Global;
use crate::remote::{Flags, Remote, confirm};
use crate::{Outcome, output, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm cluster validate cluster.toml           asks no registry
  palm cluster convert cluster.ini > cluster.toml
  palm cluster new cluster.toml --alias test
  palm runner --registry URL --cluster $(palm cluster key test)
  palm cluster status test
  palm cluster logs test --follow --component Worker
  palm cluster scale test Worker 3             three copies beside the first
  palm cluster diff test cluster.toml          what that would change
  palm cluster set test cluster.toml
  palm cluster diff test                       what that has changed
  palm cluster set test --alias prod --python off
  palm cluster audit test
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
    /// Check a file without a registry: what is wrong with it, by line and key
    Validate {
        /// The cluster file, INI or TOML; -: standard input
        file: PathBuf,
    },
    /// Print a file as TOML if it is INI and as INI if it is TOML, without its comments; needs no registry
    Convert {
        /// The cluster file, INI or TOML; -: standard input
        file: PathBuf,
        /// How to write it [default: the other form]
        #[arg(long, value_enum, value_name = "FORM")]
        to: Option<Form>,
    },
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
    /// Replace a cluster's file, where what it still has stays where it is, or change its settings
    Set(cluster_set::Args),
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
    /// Print what differs between two versions of a cluster's file, or from a version to a file that is here
    Diff {
        #[command(flatten)]
        which: Which,
        /// The file to compare with, instead of a version; -: standard input
        file: Option<PathBuf>,
        /// The older version [default: the last but one, or with FILE the newest]
        #[arg(long, value_name = "NUMBER")]
        from: Option<i64>,
        /// The newer version [default: the newest]
        #[arg(long, value_name = "NUMBER", conflicts_with = "file")]
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
    /// Show what was done to a cluster, the newest first
    Audit {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        deeds: audit::Deeds,
    },
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
    match &args.action {
        Action::Validate { file } => return file::validate(file, args.remote.json).map(|()| Outcome::Done),
        Action::Convert { file, to } => return file::convert(file, *to, args.remote.json).map(|()| Outcome::Done),
        _ => {}
    }
    let remote = args.remote.remote()?;
    block_on(async {
        act(&remote, args.action).await?;
        Ok(Outcome::Done)
    })
}

async fn act(remote: &Remote, action: Action) -> anyhow::Result<()> {
    match action {
        // These need no registry.
        Action::Validate { .. } | Action::Convert { .. } => {}
        Action::New { file, alias } => {
            let body = clusters::Create { file: read(&file)?, alias };
            let made = remote.order_with(Method::POST, &["clusters"], &body).await;
            let made: Answer<clusters::Entry> = made.map_err(|error| about(&file, error))?;
            file::warn(&file, &body.file);
            remote.show(&made, |made| format!("{}\n", made.id))?;
            if !remote.json {
                output::say(&format_args!(
                    "on each node: palm runner --registry {} --cluster $(palm cluster key {})",
                    remote.client.url(),
                    made.value.id
                ));
            }
        }
        Action::List => {
            let list: Answer<Vec<clusters::Entry>> = remote.get(&["clusters"], &()).await?;
            remote.show(&list, |list| view::clusters(list))?;
        }
        Action::Show(which) => {
            let id = remote.cluster(&which.cluster).await?;
            let found: Answer<clusters::Whole> = remote.get(&["clusters", &id], &()).await?;
            remote.show(&found, |found| found.file.clone())?;
        }
        Action::Key { which, new } => {
            let id = remote.cluster(&which.cluster).await?;
            let path = ["clusters", &id, "key"];
            let key: Answer<clusters::Key> = match new {
                true => remote.client.order(Method::POST, &path).await.map_err(|error| remote.advice(error))?,
                false => remote.get(&path, &()).await?,
            };
            if new {
                output::say(&format_args!(
                    "runners with the key before go on with what they run, and have to be started again with this one"
                ));
            }
            remote.show(&key, |key| format!("{}\n", key.key))?;
        }
        Action::Set(args) => cluster_set::run(remote, args).await?,
        Action::Status(which) => {
            let id = remote.cluster(&which.cluster).await?;
            let found: Answer<status::Status> = remote.get(&["clusters", &id, "status"], &()).await?;
            remote.show(&found, view::status)?;
        }
        Action::Versions { which, restore } => {
            let id = remote.cluster(&which.cluster).await?;
            match restore.map(|number| number.to_string()) {
                None => {
                    let list: Answer<Vec<versions::Entry>> = remote.get(&["clusters", &id, "versions"], &()).await?;
                    remote.show(&list, |list| view::versions(list))?;
                }
                Some(number) => {
                    let path = ["clusters", &id, "versions", &number, "restore"];
                    let done = remote.order(Method::POST, &path).await?;
                    remote.show(&done, |_| format!("version {number} is put back\n"))?;
                }
            }
        }
        Action::Diff { which, file: here, from, to } => {
            let id = remote.cluster(&which.cluster).await?;
            match here {
                Some(here) => file::diff_with(remote, &id, from, &here).await?,
                None => file::diff(remote, &id, from, to).await?,
            }
        }
        Action::Scale { which, component, replicas } => {
            let id = remote.cluster(&which.cluster).await?;
            let body = actions::Scale { component, replicas };
            let done: Answer<IgnoredAny> = remote.order_with(Method::POST, &["clusters", &id, "scale"], &body).await?;
            remote.show(&done, |_| format!("{}: {replicas} beside the first\n", body.component))?;
        }
        Action::Start(some) => each(remote, some, "start").await?,
        Action::Stop(some) => each(remote, some, "stop").await?,
        Action::Restart(some) => each(remote, some, "restart").await?,
        Action::Reset(Sure { which, yes }) => {
            confirm(&format!("{} loses all its places and nodes", which.cluster), yes)?;
            let id = remote.cluster(&which.cluster).await?;
            let done = remote.order(Method::POST, &["clusters", &id, "reset"]).await?;
            remote.show(&done, |_| format!("{} is reset\n", which.cluster))?;
        }
        Action::Delete(Sure { which, yes }) => {
            let id = remote.cluster(&which.cluster).await?;
            confirm(&format!("{}, its file, its versions and its logs are lost", which.cluster), yes)?;
            let done = remote.order(Method::DELETE, &["clusters", &id]).await?;
            remote.show(&done, |_| format!("{} is deleted\n", which.cluster))?;
        }
        Action::Logs(args) => cluster_logs::run(remote, args).await?,
        Action::Audit { which, deeds } => {
            let id = remote.cluster(&which.cluster).await?;
            audit::show(remote, &["clusters", &id, "audit"], deeds).await?;
        }
        Action::Share { which, user, operate, end } => {
            let id = remote.cluster(&which.cluster).await?;
            let Some(user) = user else {
                let list: Answer<Vec<shares::Entry>> = remote.get(&["clusters", &id, "shares"], &()).await?;
                return remote.show(&list, |list| view::shares(list));
            };
            let path = ["clusters", &id, "shares", &user];
            let share = if operate { shares::Share::Operate } else { shares::Share::Read };
            let done = match end {
                true => remote.order(Method::DELETE, &path).await?,
                false => remote.order_with(Method::PUT, &path, &shares::Level { share }).await?,
            };
            remote.show(&done, |_| {
                format!("{} is shared with {user}{}\n", which.cluster, if end { " no more" } else { "" })
            })?;
        }
    }
    Ok(())
}

async fn each(remote: &Remote, Components { which, component }: Components, what: &str) -> anyhow::Result<()> {
    let id = remote.cluster(&which.cluster).await?;
    let path = ["clusters", &id, what];
    let done: Answer<actions::Done> = remote.order_with(Method::POST, &path, &actions::Which { component }).await?;
    remote.show(&done, |done| format!("{what}: {}\n", done.components.join(", ")))
}

/// A mistake in a file is told with the file's name.
pub(super) fn about(file: &Path, error: anyhow::Error) -> anyhow::Error {
    if error.is::<crate::WrongUse>() { wrong_use(format!("{}: {error}", file.display())) } else { error }
}
