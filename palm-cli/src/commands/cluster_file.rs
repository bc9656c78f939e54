//! `palm cluster validate`, `convert` and `diff`: cluster files, most of it without a registry.

use std::path::Path;

use clap::ValueEnum;
use palm_registry::api::clusters::{Validation, check_text};
use palm_registry::api::versions::{Entry, To, Whole};
use palm_registry::client::Answer;
use palm_registry::cluster::{Cluster, difference};
use serde_json::json;

use super::cluster_view as view;
use crate::remote::Remote;
use crate::{given_file, output, wrong_use};

/// How a cluster file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Ini,
    Toml,
}

/// Checks a file, and says what is wrong with it.
pub(super) fn validate(file: &Path, json: bool) -> anyhow::Result<()> {
    let text = checked(file)?;
    let found = Validation::of(&text);
    if json {
        output::json(&serde_json::to_string(&found)?)?;
    }
    cluster(file, &text)?;
    warn(file, &text);
    if !json {
        let count = output::counted(found.components.len() as u64, "component");
        output::text(format!("{count}: {}\n", found.components.join(", ")).as_bytes())?;
    }
    Ok(())
}

/// Prints a file in another form.
pub(super) fn convert(file: &Path, to: Option<Form>, json: bool) -> anyhow::Result<()> {
    let text = checked(file)?;
    let cluster = cluster(file, &text)?;
    warn(file, &text);
    let to = to.unwrap_or(if Cluster::is_toml(&text) { Form::Ini } else { Form::Toml });
    let converted = match to {
        Form::Toml => cluster.to_toml(),
        Form::Ini => cluster.to_ini().ok_or_else(|| {
            let keys: Vec<_> = cluster.not_in_ini().iter().map(|(name, key)| format!("[{name}] {key}")).collect();
            anyhow::anyhow!("{}: INI cannot say this: {}", file.display(), keys.join(", "))
        })?,
    };
    if json { output::json(&json!({ "file": converted }).to_string()) } else { output::text(converted.as_bytes()) }
}

/// Prints what differs between two versions of a cluster's file.
pub(super) async fn diff(remote: &Remote, id: &str, from: Option<i64>, to: Option<i64>) -> anyhow::Result<()> {
    let numbers = versions(remote, id).await?;
    let to = to.or(numbers.first().copied());
    // The newest first.
    let from = from.or_else(|| numbers.iter().copied().find(|number| Some(*number) < to)).or(to);
    let (Some(from), Some(to)) = (from, to) else { anyhow::bail!("the cluster has no version") };
    let path = ["clusters", id, "versions", &from.to_string(), "diff"];
    let asked = remote.client.text(&path, &To { to: Some(to) }).await;
    let text = asked.map_err(|error| remote.advice(error))?;
    remote.print(&json!({ "from": from, "to": to, "diff": text }).to_string(), || view::diff(&text))
}

/// Prints what differs between a version of a cluster's file, or the newest, and a file that is here.
pub(super) async fn diff_with(remote: &Remote, id: &str, from: Option<i64>, file: &Path) -> anyhow::Result<()> {
    let text = read(file)?;
    let from = from.or(versions(remote, id).await?.first().copied());
    let Some(from) = from else { anyhow::bail!("the cluster has no version") };
    let version: Answer<Whole> = remote.get(&["clusters", id, "versions", &from.to_string()], &()).await?;
    let name = file.display().to_string();
    let text = difference(&version.value.file, &text, (&format!("version {from}"), &name));
    remote.print(&json!({ "from": from, "to": name, "diff": text }).to_string(), || view::diff(&text))
}

/// Numbers of a cluster's versions, the newest first.
async fn versions(remote: &Remote, id: &str) -> anyhow::Result<Vec<i64>> {
    let versions: Answer<Vec<Entry>> = remote.get(&["clusters", id, "versions"], &()).await?;
    Ok(versions.value.iter().map(|version| version.number).collect())
}

/// What a file has in it; `-` is standard input.
pub(super) fn read(file: &Path) -> anyhow::Result<String> {
    if file != Path::new("-") {
        return given_file::text_of(file);
    }
    let text = given_file::read_text(std::io::stdin().lock(), given_file::CLUSTER_MAX);
    text.map_err(|error| given_file::cannot_read(file, &error))
}

/// Says what of a file is passed over, or read otherwise than it looks.
pub(crate) fn warn(file: &Path, text: &str) {
    for remark in Cluster::remarks(text) {
        output::say(&format_args!("warning: {}: {remark}", file.display()));
    }
}

fn checked(file: &Path) -> anyhow::Result<String> {
    let text = read(file)?;
    check_text(&text).map_err(|expected| wrong_use(format!("{}: {expected}", file.display())))?;
    Ok(text)
}

fn cluster(file: &Path, text: &str) -> anyhow::Result<Cluster> {
    Cluster::from_text(text).map_err(|error| wrong_use(format!("{}: {error}", file.display())))
}
