//! `palm users`: who may use a registry; for admins.

use clap::Subcommand;
use palm_registry::api::users::{AddUser, ChangeUser, Entry};
use palm_registry::client::{Answer, Method};
use serde::de::IgnoredAny;

use super::block_on;
use crate::args::Global;
use crate::output::table::Table;
use crate::remote::{Flags, confirm, instant};
use crate::{Outcome, given_file};

const EXAMPLES: &str = "\
Examples:
  palm users
  palm users add ann --password-file pw        whoever has none cannot log in
  palm users set ann --admin true              or false
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
    /// Make an admin of a user or the other way round, or set its password: its sessions end
    #[command(group = clap::ArgGroup::new("change").args(["admin", "password_file"]).required(true).multiple(true))]
    Set {
        /// The user's name
        name: String,
        /// Whether the user may do everything with everybody's clusters
        #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
        admin: Option<bool>,
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
            None | Some(Action::List) => {
                let users: Answer<Vec<Entry>> = remote.get(&["users"], &()).await?;
                remote.show(&users, |users| table(users))?;
            }
            Some(Action::Add { name, admin, password_file }) => {
                let password = password_file.as_deref().map(given_file::token).transpose()?;
                let body = AddUser { name, admin, password };
                let user: Answer<Entry> = remote.order_with(Method::POST, &["users"], &body).await?;
                remote.show(&user, |user| format!("{} is added\n", user.name))?;
            }
            Some(Action::Set { name, admin, password_file }) => {
                let password = password_file.as_deref().map(given_file::token).transpose()?;
                let body = ChangeUser { admin, password };
                let done: Answer<IgnoredAny> = remote.order_with(Method::PUT, &["users", &name], &body).await?;
                remote.show(&done, |_| format!("{name} is changed\n"))?;
            }
            Some(Action::Remove { name, yes }) => {
                confirm(&format!("{name}'s clusters are deleted with all that is kept of them"), yes)?;
                let done = remote.order(Method::DELETE, &["users", &name]).await?;
                remote.show(&done, |_| format!("{name} is removed\n"))?;
            }
        }
        Ok(Outcome::Done)
    })
}

fn table(users: &[Entry]) -> String {
    let mut table = Table::new(&["NAME", "ADMIN", "PASSWORD", "SINCE"]);
    let yes = |truth| if truth { "yes" } else { "no" }.to_owned();
    for user in users {
        table.row([user.name.clone(), yes(user.admin), yes(user.has_password), instant(user.created)]);
    }
    table.text()
}
