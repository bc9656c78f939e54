//! `palm cluster set`: another file, another name, and whether Python's clients are answered.

use std::path::PathBuf;

use palm_registry::api::clusters;
use palm_registry::client::{Answer, Method};

use super::cluster::{Which, about};
use super::cluster_file::{read, warn};
use crate::remote::Remote;

/// Flags of `palm cluster set`.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("change").args(["file", "alias", "python"]).required(true).multiple(true))]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// The cluster file, INI or TOML; -: standard input
    file: Option<PathBuf>,
    /// A name for people; empty: none
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Whether Python's clients are answered
    #[arg(long, value_enum, value_name = "WHETHER")]
    python: Option<Switch>,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Sets what is said.
pub(super) async fn run(remote: &Remote, Args { which, file, alias, python }: Args) -> anyhow::Result<()> {
    let id = remote.cluster(&which.cluster).await?;
    let mut said = String::new();
    let mut answer: Option<Answer<clusters::Entry>> = None;
    // First, as it is what may well be refused; then nothing is changed.
    if let Some(file) = file {
        let body = clusters::File { file: read(&file)? };
        let set = remote.order_with(Method::PUT, &["clusters", &id, "file"], &body).await;
        answer = Some(set.map_err(|error| about(&file, error))?);
        warn(&file, &body.file);
        said += "the file is set\n";
    }
    if alias.is_some() || python.is_some() {
        match alias.as_deref() {
            Some("") => said += "the cluster has no name\n",
            Some(alias) => said += &format!("the cluster is named {alias}\n"),
            None => {}
        }
        match python {
            Some(Switch::On) => said += "Python's clients are answered\n",
            Some(Switch::Off) => said += "Python's clients are not answered\n",
            None => {}
        }
        let body = clusters::Change { alias, python: python.map(|python| python == Switch::On) };
        answer = Some(remote.order_with(Method::PUT, &["clusters", &id], &body).await?);
    }
    answer.map_or(Ok(()), |answer| remote.show(&answer, |_| said))
}
