//! `palm bench registry`: what a registry takes for a fleet of nodes, and how quick its pages are beside that.
//!
//! The registry is a process of its own; the nodes are simulated here, each with a connection, and say all that a runner says: a sign of
//! life each second with the state of each process, and lines that these have printed.

mod fleet;
mod pages;
mod served;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use palm_registry::api::clusters::{Create, Entry, Key};
use palm_registry::client::{Answer, Client, Method};
use tokio::time::sleep;

use self::fleet::Fleet;
use self::served::Served;
use crate::output::latency::Short;
use crate::{Outcome, output, up};

/// How long nodes may take until each has what it is to run.
const JOINING: Duration = Duration::from_secs(300);

/// How large the fleet is, and for how long it is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) nodes: u32,
    /// Processes in all
    #[arg(long, value_name = "NUMBER", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) processes: u32,
    /// Processes of each component
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) copies: u32,
    /// Clusters that have equal parts of both
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clusters: u32,
    /// Lines a second that all processes print, in the second part
    #[arg(long, value_name = "NUMBER", default_value = "20000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) lines: u32,
    /// Nodes that send these lines
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) talkers: u32,
    /// How long each part is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// URL of an empty PostgreSQL store, in place of SQLite in a temporary file
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

/// Measures, and prints a table.
///
/// # Errors
/// If the registry cannot be started, or does not answer.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Outcome> {
    let folder = up::temporary_folder()?;
    let file = folder.path().join("registry.db").display().to_string();
    let served = Served::start(args.store.as_deref().unwrap_or(&file)).await?;
    let admin = Client::new(&served.url, &served.token, None)?;
    let mut clusters = Vec::new();
    for number in 0..args.clusters {
        let file = fleet::cluster_file(args.processes / args.clusters, args.copies);
        let body = Create { file, alias: Some(format!("fleet-{number}")) };
        let made: Answer<Entry> = admin.order_with(Method::POST, &["clusters"], &body).await?;
        let id = made.value.id;
        let key: Answer<Key> = admin.get(&["clusters", &id, "key"], &()).await?;
        let key = key.value.key;
        clusters.push((id, key));
    }
    let mut text = format!(
        "{} nodes, {} processes, {} of clusters; registry of {}\n",
        args.nodes,
        args.processes,
        args.clusters,
        if args.store.is_some() { "PostgreSQL" } else { "SQLite" }
    );

    let begun = Instant::now();
    let fleet = Fleet::start(&served.url, &clusters, args);
    while fleet.placed() < u64::from(args.processes / args.clusters * args.clusters) {
        anyhow::ensure!(
            begun.elapsed() < JOINING,
            "only {} processes have a place: {}",
            fleet.placed(),
            fleet.trouble()
        );
        sleep(Duration::from_millis(100)).await;
    }
    let _ = writeln!(text, "all nodes placed after {}", Short(begun.elapsed()));

    let id = &clusters[0].0;
    for (what, lines) in [("states alone", 0), ("states and lines", args.lines)] {
        fleet.print(lines);
        // What comes at first is not what stays.
        sleep(Duration::from_secs(3)).await;
        fleet.begin();
        let (before, begun) = (served.cpu_seconds()?, Instant::now());
        let pages = pages::measure(&admin, id, Duration::from_secs(args.seconds)).await?;
        let (took, cpu) = (begun.elapsed().as_secs_f64(), served.cpu_seconds()? - before);
        let figures = fleet.figures();
        let _ = writeln!(text, "\n{what}, {took:.0} s");
        let _ = writeln!(text, "  processor      {:.0} % of one", cpu / took * 100.0);
        let _ = writeln!(text, "  memory         {} MiB", served.resident_bytes()? >> 20);
        let _ = writeln!(text, "  signs of life  {:.0}/s, {}", figures.syncs as f64 / took, figures.sync_times);
        if lines > 0 {
            let _ =
                writeln!(text, "  lines kept     {:.0}/s, a batch {}", figures.lines as f64 / took, figures.line_times);
        }
        let _ = writeln!(text, "  failures       {}", figures.failures);
        for (page, times) in pages {
            let _ = writeln!(text, "  {page:40} {times}");
        }
    }
    let trouble = fleet.trouble();
    fleet.stop();
    served.stop().await?;
    output::data(text.as_bytes())?;
    anyhow::ensure!(trouble.is_empty(), "{trouble}");
    Ok(Outcome::Done)
}
