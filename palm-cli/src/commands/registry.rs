//! `palm registry`: keeps the files of clusters, and says what runs where.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Subcommand;
use palm_registry::store::{Store, StoreError};
use tokio::net::TcpListener;

use super::{StopSignals, block_on};
use crate::args::Global;
use crate::{Outcome, output, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm registry add-user ann              prints ann's key, once
  palm registry                           serves http://127.0.0.1:8080
  palm registry --store postgres://palm@db/palm --listen 10.0.0.1:8080 --insecure

It takes the place of pylm-registry for its clients and for pylm-runner:
  pylm-runner --registry http://127.0.0.1:8080 --cluster KEY --config node.ini

Exit status: 0 stopped by a signal; 1 the store or the address failed; 2 wrong use.";

/// Flags of `palm registry`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where everything is kept: a file of SQLite, or postgres://USER@HOST/NAME
    #[arg(long, value_name = "STORE", default_value = "palm-registry.db", global = true)]
    pub(crate) store: String,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Listen where others than this machine can connect, though nothing is encrypted
    #[arg(long)]
    pub(crate) insecure: bool,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Add a user, and print the key that it shows
    AddUser {
        /// The user's name
        name: String,
        /// The user may do everything with everybody's clusters
        #[arg(long)]
        admin: bool,
    },
}

/// Serves until a signal stops it, or adds a user.
///
/// # Errors
/// If the store cannot be opened, or the address cannot be listened at.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    match args.action {
        Some(Action::AddUser { name, admin }) => {
            global.log_aside("registry")?;
            block_on(add_user(&args.store, &name, admin))
        }
        None => {
            if !args.listen.ip().is_loopback() && !args.insecure {
                return Err(wrong_use(format!(
                    "{} can be reached from elsewhere, and nothing is encrypted: put a proxy with TLS before it, or say --insecure",
                    args.listen
                )));
            }
            global.log_component("registry")?;
            block_on(serve(&args))
        }
    }
}

async fn add_user(store: &str, name: &str, admin: bool) -> anyhow::Result<Outcome> {
    let store = open(store).await?;
    let Some(user) = store.add_user(name, admin).await? else {
        anyhow::bail!("there is a user {name} already");
    };
    let token = store.add_token(&user).await?;
    store.close().await;
    output::data(format!("{token}\n").as_bytes())?;
    Ok(Outcome::Done)
}

async fn serve(args: &Args) -> anyhow::Result<Outcome> {
    let mut signals = StopSignals::listen()?;
    let store = open(&args.store).await?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen at {}", args.listen))?;
    tracing::info!("serving http://{}", listener.local_addr()?);
    let stop = async move {
        signals.next().await;
        tracing::info!("stopping");
    };
    palm_registry::http::serve(listener, store, stop).await?;
    Ok(Outcome::Done)
}

async fn open(store: &str) -> anyhow::Result<Store> {
    Store::open(store).await.map_err(|error| match error {
        StoreError::Url(_) => wrong_use(format!("--store {error}")),
        error => anyhow::Error::new(error).context(format!("cannot open {store}")),
    })
}
