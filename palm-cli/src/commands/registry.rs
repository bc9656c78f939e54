//! `palm registry`: keeps the files of clusters, and says what runs where.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use palm_registry::http::{App, LogBounds, Settings, access, tls};
use palm_registry::private;
use palm_registry::store::{Store, StoreError};
use tokio::net::TcpListener;

use super::{StopSignals, block_on};
use crate::args::Global;
use crate::{Outcome, given_file, open_files, output, values, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm registry                           serves http://127.0.0.1:8080, and prints a link for the first admin
  palm registry add-user ann --admin      the same without a browser: prints ann's key, once
  palm registry --listen 10.0.0.1:8443 --host palm.example --tls-self-signed
  palm registry --store postgres://palm@db/palm --tls-cert cert.pem --tls-key key.pem

It takes the place of pylm-registry for its clients and for pylm-runner:
  pylm-runner --registry http://127.0.0.1:8080 --cluster KEY --config node.ini

Exit status: 0 stopped by a signal; 1 the store or the address failed; 2 wrong use.";

/// Nodes are not forgotten sooner.
const FORGET_MIN: Duration = Duration::from_secs(10);

/// Flags of `palm registry`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where everything is kept: a file of SQLite, or postgres://USER@HOST/NAME
    #[arg(long, value_name = "STORE", default_value = "palm-registry.db", global = true)]
    pub(crate) store: String,
    /// Where to listen: an address, or an interface's name for its first one, and a port
    #[arg(long, value_parser = values::listen, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Listen where others than this machine can connect, though nothing is encrypted
    #[arg(long)]
    pub(crate) insecure: bool,
    /// A name by which browsers ask for it, beside the address that it listens at; can be given again
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// The certificate, and those that vouch for it, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Encrypt with a certificate of its own making, which is kept beside the store; its fingerprint is told at each start
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) tls_self_signed: bool,
    /// How long lines that components print are kept; 0: for ever
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = values::duration)]
    pub(crate) logs_max_age: Duration,
    /// How much of them is kept, of all clusters; 0: all
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = values::size)]
    pub(crate) logs_max_bytes: usize,
    /// Remove nodes that have been silent for so long: what they ran is placed again; 0: never
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = values::duration)]
    pub(crate) forget_after: Duration,
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
            access::check_name(&name).map_err(|problem| wrong_use(problem.message))?;
            block_on(add_user(&args.store, &name, admin))
        }
        None => {
            let encrypted = args.tls_cert.is_some() || args.tls_self_signed;
            if !args.listen.ip().is_loopback() && !encrypted && !args.insecure {
                return Err(wrong_use(format!(
                    "{} can be reached from elsewhere, and nothing is encrypted: say --tls-cert and --tls-key, --tls-self-signed, \
                     or --insecure",
                    args.listen
                )));
            }
            if !args.forget_after.is_zero() && args.forget_after < FORGET_MIN {
                let seconds = FORGET_MIN.as_secs();
                return Err(wrong_use(format!(
                    "--forget-after: expected {seconds} s or more, as a runner that is started anew is silent for a while"
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
    let config = encryption(args)?;
    let store = open(&args.store).await?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen at {}", args.listen))?;
    let mut settings = Settings::new(listener.local_addr()?);
    settings.hosts.clone_from(&args.host);
    settings.tls = config.is_some();
    open_files::make_room_for(settings.bounds.connections, "connections", "");
    if let Some(link) = access::setup_link(&store, &settings).await? {
        // Not into the log, which others may read.
        output::say(&format_args!(
            "nobody is known here yet: the first admin is made at\n  {link}\nonce, within a day"
        ));
    }
    tracing::info!("serving {}://{}", if settings.tls { "https" } else { "http" }, settings.listen);
    let stop = async move {
        signals.next().await;
        tracing::info!("stopping");
    };
    let bounds = LogBounds {
        age: Some(args.logs_max_age).filter(|age| !age.is_zero()),
        bytes: Some(args.logs_max_bytes as u64).filter(|bytes| *bytes > 0),
    };
    let pruning = tokio::spawn(palm_registry::http::prune(store.clone(), bounds));
    let forgetting = (!args.forget_after.is_zero())
        .then(|| tokio::spawn(palm_registry::http::forget_silent_nodes(store.clone(), args.forget_after)));
    palm_registry::http::serve(listener, App::new(store, settings), config, stop).await?;
    pruning.abort();
    forgetting.inspect(tokio::task::JoinHandle::abort);
    Ok(Outcome::Done)
}

/// What to encrypt with, if anything.
fn encryption(args: &Args) -> anyhow::Result<Option<tls::ServerConfig>> {
    let (certificate, key) = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ if args.tls_self_signed => self_signed(args)?,
        _ => return Ok(None),
    };
    let key = given_file::secret(&key).map_err(|error| given_file::cannot_read(&key, &error))?;
    let certificate = given_file::certificates("--tls-cert", &certificate)?;
    if args.tls_self_signed {
        tracing::info!("the certificate's SHA-256 is {}", tls::fingerprint(&certificate)?);
    }
    Ok(Some(tls::config(&certificate, &key)?))
}

/// The files of a certificate of its own making, made if they are not there.
fn self_signed(args: &Args) -> anyhow::Result<(PathBuf, PathBuf)> {
    if args.store.starts_with("postgres") {
        return Err(wrong_use(
            "--tls-self-signed keeps its files beside a store that is a file: say --tls-cert and --tls-key".to_owned(),
        ));
    }
    let store = args.store.trim_start_matches("sqlite:").trim_start_matches("//");
    let beside = |ending: &str| PathBuf::from(format!("{store}.{ending}"));
    let (certificate, key) = (beside("cert.pem"), beside("key.pem"));
    if !certificate.exists() || !key.exists() {
        let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), args.listen.ip().to_string()];
        let (made, secret) = tls::self_signed(args.host.iter().cloned().chain(own).collect())?;
        let secret = private::write_secret(&key, secret.as_bytes());
        secret.with_context(|| format!("cannot write {}", key.display()))?;
        let made = private::write_public(&certificate, made.as_bytes());
        made.with_context(|| format!("cannot write {}", certificate.display()))?;
    }
    // Whoever has put another key there would read all that is sent.
    private::read(&key)
        .with_context(|| format!("cannot use the key of --tls-self-signed; remove {}", key.display()))?;
    Ok((certificate, key))
}

async fn open(store: &str) -> anyhow::Result<Store> {
    Store::open(store).await.map_err(|error| match error {
        StoreError::Url(_) | StoreError::NoDatabase { .. } => wrong_use(format!("--store {error}")),
        StoreError::Unreachable { .. } | StoreError::Later { .. } => anyhow::Error::new(error),
        error => anyhow::Error::new(error).context(format!("cannot open {store}")),
    })
}
