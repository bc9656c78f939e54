//! `palm audit`: what was done; for admins. `palm cluster audit`: of one cluster.

use palm_registry::api::audit::{Before, Deed};
use palm_registry::client::Answer;

use super::block_on;
use crate::args::Global;
use crate::output::table::Table;
use crate::remote::{Flags, Remote, dash, instant};
use crate::{Outcome, output};

const EXAMPLES: &str = "\
Examples:
  palm audit                           the last 100 deeds, for admins
  palm audit -n 1000 --before 4711     older ones
  palm cluster audit test              what was done to a cluster

Exit status: 0 done; 1 refused, or no answer; 2 wrong use.";

/// Flags of `palm audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Deeds,
    #[command(flatten)]
    pub(crate) remote: Flags,
}

/// Deeds deeds.
#[derive(Debug, clap::Args)]
pub(crate) struct Deeds {
    /// How many, the newest of them
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(i64).range(1..=1000))]
    number: i64,
    /// Those that were done before the one with this id
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
}

/// Shows what was done.
///
/// # Errors
/// If the registry does not tell.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("audit")?;
    let remote = args.remote.remote()?;
    block_on(async {
        show(&remote, &["audit"], args.which).await?;
        Ok(Outcome::Done)
    })
}

/// Shows what was done, as it is told at this path.
pub(super) async fn show(remote: &Remote, path: &[&str], which: Deeds) -> anyhow::Result<()> {
    let asked = Before { before: which.before, limit: Some(which.number) };
    let deeds: Answer<Vec<Deed>> = remote.get(path, &asked).await?;
    remote.show(&deeds, |deeds| table(deeds))?;
    let is_more = i64::try_from(deeds.value.len()).is_ok_and(|count| count == which.number);
    if let Some(last) = deeds.value.last().filter(|deed| is_more && deed.id > 1 && !remote.json) {
        output::say(&format_args!("there may be older ones: --before {}", last.id));
    }
    Ok(())
}

fn table(deeds: &[Deed]) -> String {
    let mut table = Table::new(&["ID", "AT", "WHO", "FROM", "WHAT", "CLUSTER", "DETAIL"]);
    for Deed { id, at, who, address, what, cluster, detail } in deeds {
        table.row([
            id.to_string(),
            instant(*at),
            dash(Some(who)),
            dash(Some(address)),
            what.clone(),
            dash(cluster.as_deref()),
            detail.clone(),
        ]);
    }
    table.text()
}
