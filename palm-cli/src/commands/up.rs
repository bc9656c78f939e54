//! `palm up`: a registry, a runner and all components of a cluster file on this machine.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use palm_registry::client::Client;
use palm_registry::cluster::Cluster;
use palm_registry::http::{App, Settings};
use palm_registry::plan::NodeOffer;
use palm_registry::private::FOLDER_MODE;
use palm_registry::runner::{self, Config, Order, Standing};
use palm_registry::store::{ClusterRow, Saved, Store, secret};
use palm_registry::wire::{Exit, Process, State};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tracing::level_filters::LevelFilter;

use super::cluster_file::warn;
use super::{HANGUP, StopSignals, block_on, up_detached};
use crate::args::Global;
use crate::up::{self, Claim, Running, View, Voice};
use crate::{Outcome, output, wrong_use};

/// Who owns clusters that are up.
pub(super) const USER: &str = "palm-up";
/// The name of this node.
const NODE: &str = "here";
/// Most that waits for the registry, which is in the same process.
const SPOOL_MAX: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  palm up examples/parallel.toml       until Ctrl-C, or until all has ended
  palm up --exit-when Launcher         of palm.toml or palm.ini here; ends with
                                       the launcher, and with its exit status
  palm up --detach cluster.toml        and then: palm down cluster.toml; says how
                                       to see what components print

Components run in the folder of the file. A script that begins with palm finds
this very program. Ctrl-C stops all in order, a second one at once. Control
characters that components print are shown as ^[ and the like; colours are kept
for a terminal.

Exit status: 0 stopped by a signal, or all components exited with 0; 1 one of
them failed; 2 wrong use; with --exit-when that of the component.";

/// Flags of `palm up`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster file [default: palm.toml or palm.ini]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Stop all when this component has ended, with its exit status
    #[arg(long, value_name = "COMPONENT", conflicts_with = "detach")]
    pub(crate) exit_when: Option<String>,
    /// Go on in the background, and say how to see what is printed
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Folder for what the registry keeps [default: one that goes when all has ended]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
    /// The first port for sockets; as many as are needed must be free in a row
    #[arg(long, value_name = "PORT", default_value = "5555", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports_from: u16,
    /// Is what was detached.
    #[arg(long, hide = true)]
    pub(crate) in_background: bool,
}

/// Runs a cluster file.
///
/// # Errors
/// If it cannot be read, or is up already.
pub(crate) fn run(global: &Global, args: Args) -> anyhow::Result<Outcome> {
    let file = up::file(args.file.as_deref())?;
    let (cluster, text) = up::cluster(&file)?;
    warn(&file, &text);
    check_exit_when(&args, &cluster)?;
    if args.in_background {
        rustix::process::setsid().context("cannot leave the terminal")?;
    }
    let is_up = || anyhow::anyhow!("{0} is up already; end that with: palm down {0}", file.display());
    if args.detach {
        if Claim::is_taken(&file)? {
            return Err(is_up());
        }
        return up_detached::detach(&args, &file);
    }
    let mut claim = Claim::take(&file)?.ok_or_else(is_up)?;
    global.log_aside_at("up", LevelFilter::WARN)?;
    let temporary = up::temporary_folder()?;
    let store = match &args.store {
        Some(folder) => made(folder)?,
        None => temporary.path().to_owned(),
    };
    let ports_from = up::free_ports(&cluster, args.ports_from)?;
    std::env::set_current_dir(file.parent().unwrap_or(Path::new("/")))?;
    let (view, shown) = view(&args, &cluster)?;
    let node = NodeOffer { name: NODE.into(), ip: "127.0.0.1".into(), processors: up::slots(&cluster), ports_from };
    let mut is_hung_up = false;
    let outcome = block_on(async {
        let mut signals = StopSignals::listen()?;
        let registry = Store::open(&store.join("registry.db").to_string_lossy()).await?;
        let key = keep(&registry, &file, text, cluster).await?;
        let token_file = match args.in_background {
            true => Some(up_detached::reader(&registry, temporary.path()).await?),
            false => None,
        };
        let (url, serving, stop_registry) = serve(registry).await?;
        claim.write(&Running { token_file, ..Running::here(url.clone(), key.clone()) })?;

        let (order, orders) = watch::channel(Order::Run);
        let (standing, stands) = watch::channel(Standing::default());
        let config = config(Client::new(&url, &key, None)?, node, (&store, temporary.path()), shown.clone(), standing);
        let running = tokio::spawn(runner::run(config, orders));
        let (exit_when, shown) = (args.exit_when.as_deref(), shown.as_ref());
        let voice = Voice::start()?;
        let outcome = Outcome::Done;
        let mut watch = Watch { order, stands, shown, exit_when, voice: &voice, outcome, was_signalled: false };
        let ended = watch.follow(running, &mut signals, &mut is_hung_up).await;
        let outcome = if watch.was_signalled { Outcome::Done } else { watch.outcome };
        voice.finish();
        let _ = stop_registry.send(());
        let _ = tokio::time::timeout(Duration::from_secs(5), serving).await;
        ended.context("the runner has panicked")??;
        Ok(outcome)
    });
    drop(shown);
    let shown = view.map_or(Ok(()), View::finish);
    drop(claim);
    let outcome = outcome?;
    // On a terminal that was closed nothing can be shown.
    if is_hung_up { Ok(outcome) } else { shown.map(|()| outcome) }
}

/// What this node's runner needs; the folders are the one of the store and one for what goes at the end.
fn config(
    client: Client,
    node: NodeOffer,
    (store, temporary): (&Path, &Path),
    view: Option<mpsc::Sender<runner::Shown>>,
    standing: watch::Sender<Standing>,
) -> Config {
    Config {
        client,
        node,
        spool: store.join("spool"),
        spool_max: SPOOL_MAX,
        programs: up::programs(),
        view,
        standing: Some(standing),
        remembers: false,
        temporary: Some(temporary.to_owned()),
        withheld: Vec::new(),
    }
}

/// Where output is shown; nowhere in the background.
fn view(args: &Args, cluster: &Cluster) -> io::Result<(Option<View>, Option<mpsc::Sender<runner::Shown>>)> {
    if args.in_background {
        return Ok((None, None));
    }
    let (view, shown) = View::start(cluster)?;
    Ok((Some(view), Some(shown)))
}

fn check_exit_when(args: &Args, cluster: &Cluster) -> anyhow::Result<()> {
    let Some(name) = args.exit_when.as_ref().filter(|name| cluster.component(name).is_none()) else { return Ok(()) };
    let names: Vec<_> = cluster.components.iter().map(|component| component.name.as_str()).collect();
    Err(wrong_use(format!("--exit-when: there is no component {name}; there are {}", names.join(", "))))
}

/// The folder of a name, which may not be there yet.
fn made(folder: &Path) -> anyhow::Result<PathBuf> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// Serves a registry on a port of this machine until somebody says so: where, and how that is said.
async fn serve(registry: Store) -> anyhow::Result<(String, JoinHandle<io::Result<()>>, oneshot::Sender<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr()?;
    let app = App::new(registry, Settings::new(address));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(palm_registry::http::serve(listener, app, None, async {
        let _ = stopped.await;
    }));
    Ok((format!("http://{address}"), serving, stop))
}

/// Looks after what runs, and has it stopped when it is time.
struct Watch<'a> {
    order: watch::Sender<Order>,
    stands: watch::Receiver<Standing>,
    /// Where its output goes; `None`: it is in the background.
    shown: Option<&'a mpsc::Sender<runner::Shown>>,
    exit_when: Option<&'a str>,
    voice: &'a Voice,
    outcome: Outcome,
    /// Nothing had ended by itself when it was to stop.
    was_signalled: bool,
}

impl Watch<'_> {
    /// Waits for the end.
    async fn follow<T>(
        &mut self,
        mut running: JoinHandle<T>,
        signals: &mut StopSignals,
        is_hung_up: &mut bool,
    ) -> Result<T, JoinError> {
        loop {
            let is_running = *self.order.borrow() == Order::Run;
            tokio::select! {
                ended = &mut running => return ended,
                signal = signals.next() => {
                    *is_hung_up |= signal == HANGUP;
                    self.on_signal(signal);
                }
                () = unread(self.shown), if is_running => {
                    self.order.send_replace(Order::Stop);
                }
                Ok(()) = self.stands.changed() => {
                    let ended = ended(&self.stands.borrow_and_update(), self.exit_when);
                    if is_running && let Some(ended) = ended {
                        self.outcome = ended;
                        self.order.send_replace(Order::Stop);
                    }
                }
            }
        }
    }

    /// The first one stops the components, the next one kills them.
    fn on_signal(&mut self, signal: &str) {
        let next = if *self.order.borrow() == Order::Run { Order::Stop } else { Order::Kill };
        self.was_signalled |= next == Order::Stop && self.outcome == Outcome::Done;
        // Before anything is said: a terminal may be stopped, and would keep this waiting.
        self.order.send_replace(next);
        // In the background nobody reads it, nor where the terminal was closed.
        let is_read = self.shown.is_some() && signal != HANGUP;
        let signal = signal.to_owned();
        self.voice.say(move || {
            tracing::info!("{signal}");
            match next {
                _ if !is_read => {}
                Order::Kill => output::say(&"palm: killing the components"),
                _ => output::say(&"palm: stopping the components; a second Ctrl-C kills them"),
            }
        });
    }
}

/// Waits until nobody reads the output any more.
async fn unread(shown: Option<&mpsc::Sender<runner::Shown>>) {
    match shown {
        Some(shown) => shown.closed().await,
        None => std::future::pending().await,
    }
}

/// How all has ended, if it has.
fn ended(standing: &Standing, exit_when: Option<&str>) -> Option<Outcome> {
    let is_over = |process: &&Process| matches!(process.state, State::Exited | State::Failed);
    let awaited: Vec<_> =
        standing.processes.iter().filter(|process| Some(process.component.as_str()) == exit_when).collect();
    if exit_when.is_some() && !awaited.is_empty() && awaited.iter().all(is_over) {
        return Some(Outcome::Code(awaited.iter().map(|process| code(process)).max().unwrap_or(1)));
    }
    let all_well = || standing.processes.iter().all(|process| code(process) == 0);
    standing.is_over.then(|| if all_well() && exit_when.is_none() { Outcome::Done } else { Outcome::Failed })
}

/// An exit status as a shell has it.
fn code(process: &Process) -> u8 {
    let code = match process.exit {
        Some(Exit::Code(code)) => code,
        Some(Exit::Signal(signal)) => signal.saturating_add(128),
        // It was stopped.
        None if process.state == State::Exited => 0,
        None => 1,
    };
    u8::try_from(code).unwrap_or(1)
}

/// What a file's cluster is called in its registry.
pub(super) fn alias(file: &Path) -> String {
    file.display().to_string()
}

/// Puts the file into the registry, in the place of what was up before, and gives the cluster's key.
async fn keep(store: &Store, file: &Path, text: String, cluster: Cluster) -> anyhow::Result<String> {
    let user = match store.add_user(USER, false).await? {
        Some(user) => user,
        None => store.user(USER).await?.context("the store has lost its user")?,
    };
    let alias = alias(file);
    let earlier = store.clusters_of(&user).await?.into_iter().find(|row| row.alias.as_deref() == Some(&alias));
    let (row, saved) = match earlier {
        Some(mut row) => {
            // Addresses and wishes are those of then.
            row.set_file(&user, text, cluster.clone());
            *row.plan_mut() = palm_registry::plan::Plan::new(cluster);
            let saved = store.save_cluster(&row).await?;
            (row, saved)
        }
        None => {
            let key = secret::key();
            let row = ClusterRow::new(key, &user, Some(alias), text, cluster);
            let saved = store.add_cluster(&row).await?;
            (row, saved)
        }
    };
    anyhow::ensure!(saved == Saved::Yes, "somebody else changes the store");
    Ok(row.secret)
}
