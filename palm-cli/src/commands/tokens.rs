//! `palm tokens`: by what a registry knows who asks.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use palm_registry::api::account::{self, AddToken, NewToken, TokenEntry};
use palm_registry::client::{Answer, Method};

use super::block_on;
use crate::args::Global;
use crate::output::table::Table;
use crate::remote::{self, Flags, instant};
use crate::{Outcome, output, values};

const EXAMPLES: &str = "\
Examples:
  palm tokens
  palm tokens new laptop > token               shown now, and never again
  palm tokens new board --scope read --expires 12h
  palm tokens --user ann                       another's; for admins
  palm tokens revoke ID

Exit status: 0 done; 1 refused, or no answer; 2 wrong use.";

/// Flags of `palm tokens`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Those of another user; for admins, to list and to revoke
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Flags,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List them
    List,
    /// Make a token, and print it
    New {
        /// What to call it
        name: String,
        /// What it may do at most
        #[arg(long, value_enum, default_value_t = Scope::Owner)]
        scope: Scope,
        /// After how long it ends [default: never]
        #[arg(long, value_name = "TIME", value_parser = values::duration_above_zero)]
        expires: Option<Duration>,
    },
    /// Revoke a token
    Revoke {
        /// Its id, as the list shows it
        id: String,
    },
}

/// What a token may do at most.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scope {
    /// All that its user may
    Admin,
    /// Everything with the user's own clusters
    Owner,
    /// Be a node
    Runner,
    /// See
    Read,
}

impl From<Scope> for account::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Admin => Self::Admin,
            Scope::Owner => Self::Owner,
            Scope::Runner => Self::Runner,
            Scope::Read => Self::Read,
        }
    }
}

/// Lists tokens, makes or revokes one.
///
/// # Errors
/// If the registry does not do it.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    global.log_aside("tokens")?;
    let remote = args.remote.remote()?;
    let of: Vec<&str> = args.user.as_deref().map_or_else(|| vec!["tokens"], |user| vec!["users", user, "tokens"]);
    block_on(async {
        match args.action {
            None | Some(Action::List) => {
                let tokens: Answer<Vec<TokenEntry>> = remote.get(&of, &()).await?;
                remote.show(&tokens, |tokens| table(tokens))?;
            }
            Some(Action::New { name, scope, expires }) => {
                if args.user.is_some() {
                    return Err(crate::wrong_use("a token is made by its own user: leave --user out"));
                }
                let end = |after: Duration| {
                    remote::now().saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX))
                };
                let body = AddToken { name, scope: scope.into(), expires: expires.map(end) };
                let token: Answer<NewToken> = remote.order_with(Method::POST, &["tokens"], &body).await?;
                remote.show(&token, |new| format!("{}\n", new.token))?;
                if !remote.json {
                    output::say(&"this is the only time that it is shown");
                }
            }
            Some(Action::Revoke { id }) => {
                let path: Vec<&str> = of.iter().copied().chain([id.as_str()]).collect();
                let done = remote.order(Method::DELETE, &path).await?;
                remote.show(&done, |_| format!("{id} is revoked\n"))?;
            }
        }
        Ok(Outcome::Done)
    })
}

fn table(tokens: &[TokenEntry]) -> String {
    let mut table = Table::new(&["ID", "NAME", "SCOPE", "SINCE", "UNTIL"]);
    for TokenEntry { id, name, scope, created, expires } in tokens {
        let until = expires.map_or_else(|| "-".to_owned(), instant);
        table.row([id.clone(), name.clone(), scope.to_string(), instant(*created), until]);
    }
    table.text()
}
