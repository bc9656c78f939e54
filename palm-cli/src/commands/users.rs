//! `palm users`: who may use a registry; for admins.

use clap::Subcommand;
use palm_registry::client::Method;
use serde_json::{Value, json};

use super::block_on;
use crate::args::Global;
use crate::output::table::Table;
use crate::remote::{self, Flags, confirm, instant, is, number, text};
use crate::{Outcome, values};

const EXAMPLES: &str = "\
Examples:
  palm users
  palm users add ann --password-file pw        whoever has none cannot log in
  palm users remove ann                        with all clusters that are ann's

On the registry's own machine: palm registry add-user ann

Exit status: 0 done; 1 refused, or no answer; 2 wrong use.";

/// Flags of `palm users`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) remote: Flags,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List them
    List,
    /// Add a user
    Add {
        /// The user's name
        name: String,
        /// The user may do everything with everybody's clusters
        #[arg(long)]
        admin: bool,
        /// File with the password: 10 characters or more
        #[arg(long, value_name = "FILE")]
        password_file: Option<std::path::PathBuf>,
    },
    /// Remove a user, and the clusters that are its own
    Remove {
        /// The user's name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Lists users, adds or removes one.
///
/// # Errors
/// If the registry does not do it.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("users")?;
    let remote = args.remote.remote()?;
    block_on(async {
        match args.action {
            None | Some(Action::List) => remote.show(&remote.get(&["users"], &[]).await?, table)?,
            Some(Action::Add { name, admin, password_file }) => {
                let password = password_file.as_deref().map(values::token).transpose()?;
                let body = json!({ "name": name, "admin": admin, "password": password });
                let user = remote.order(Method::POST, &["users"], body).await?;
                remote.show(&user, |_| format!("{name} is added\n"))?;
            }
            Some(Action::Remove { name, yes }) => {
                confirm(&format!("{name}'s clusters are deleted with all that is kept of them"), yes)?;
                let done = remote.order(Method::DELETE, &["users", &name], Value::Null).await?;
                remote.show(&done, |_| format!("{name} is removed\n"))?;
            }
        }
        Ok(Outcome::Done)
    })
}

fn table(users: &Value) -> String {
    let mut table = Table::new(&["NAME", "ADMIN", "PASSWORD", "SINCE"]);
    let yes = |truth| if truth { "yes" } else { "no" }.to_owned();
    for user in remote::items(users) {
        let name = text(user, "name").to_owned();
        table.row([name, yes(is(user, "admin")), yes(is(user, "has_password")), instant(number(user, "created"))]);
    }
    table.text()
}
