//! Which protocol is spoken with a master: the flags that say so, and what the master's cache says.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use palm_proto::Reminder;
use palm_transport_tcp::{Address, NO_TOKEN};
use palm_transport_zmq::{CacheClient, CacheError};

use crate::{given_file, values, wrong_use};

/// Why a token that was given is of no use. An address that was not given may be a stranger's, to whom no token is shown.
const NAME_IT: &str = "a token goes only to an address that you name: use --connect ADDRESS beside --token-file";

/// How long a native address may take to be reached before it counts as out of reach.
const REACH: Duration = Duration::from_secs(2);

/// How long a cache may take to answer one who asks again and again.
const ANSWER: Duration = Duration::from_secs(5);

/// Pause before a cache that did not answer is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a peer may be without a connection before the cache is asked where its master is now, and how often that is looked
/// at.
const LOST: Duration = Duration::from_secs(3);
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// How long a cache may take to answer one who has lost its master.
const FOUND: Duration = Duration::from_secs(2);

/// The flags.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Native protocol")]
pub(crate) struct Flags {
    /// Where the master takes native peers: HOST:PORT, unix://PATH or serial://DEVICE?baud=RATE; its cache is not asked then
    #[arg(long, value_name = "ADDRESS", value_parser = values::native_peer, global = true)]
    pub(crate) connect: Option<String>,
    /// File with the token that the master wants to be shown; it goes to the address of --connect and to no other
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Which protocol is spoken
    #[arg(long, value_name = "TRANSPORT", value_enum, default_value_t = Transport::Auto, global = true)]
    pub(crate) transport: Transport,
}

/// What may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// The native protocol if --connect is given, or the master's cache says where it is and that can be reached; else ZeroMQ
    Auto,
    /// ZeroMQ, in any case
    Zmq,
    /// The native protocol, in any case: over TCP, or whatever the master offers
    Tcp,
}

/// A master that is spoken to natively.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Where it is.
    pub(crate) address: String,
    /// What it wants to be shown; empty: nothing.
    pub(crate) token: String,
    /// If it refuses, ZeroMQ will do: nobody has asked for the native protocol.
    pub(crate) optional: bool,
    /// The cache that has said where it is.
    pub(crate) cache: Option<String>,
}

/// What the flags ask for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// ZeroMQ.
    Zmq,
    /// The native protocol.
    Native(Peer),
    /// What the cache says.
    Ask {
        /// A flag for which only the native protocol will do.
        insists: Option<&'static str>,
    },
}

impl Flags {
    /// What is asked for. `zmq_only` are flags that were given and mean nothing to the native protocol.
    ///
    /// # Errors
    /// If flags contradict each other, or there is no token in its file.
    pub(crate) fn wish(&self, zmq_only: &[&str]) -> anyhow::Result<Wish> {
        let token = self.token_file.as_deref().map(given_file::token).transpose()?;
        let alone = |flag: &str| match zmq_only.first() {
            Some(other) => Err(wrong_use(format!("{flag} cannot be used with {other}, which is for ZeroMQ"))),
            None => Ok(()),
        };
        Ok(match (&self.connect, self.transport) {
            (Some(_), Transport::Zmq) => {
                return Err(wrong_use(
                    "--connect leads to a native master, and --transport zmq rules that out: leave one of them away",
                ));
            }
            (None, Transport::Zmq) if token.is_some() => {
                return Err(wrong_use("--token-file is for the native protocol, and --transport zmq rules that out"));
            }
            (Some(address), Transport::Auto | Transport::Tcp) => {
                alone("--connect")?;
                let token = token.unwrap_or_default();
                Wish::Native(Peer { address: address.clone(), token, optional: false, cache: None })
            }
            (None, Transport::Zmq) => Wish::Zmq,
            (None, Transport::Tcp) => {
                alone("--transport tcp")?;
                if token.is_some() {
                    return Err(wrong_use(NAME_IT));
                }
                Wish::Ask { insists: Some("--transport tcp") }
            }
            // A native master that wants a token would not be shown it there.
            (None, Transport::Auto) if token.is_some() => {
                tracing::warn!("{NAME_IT}; speaking ZeroMQ");
                Wish::Zmq
            }
            (None, Transport::Auto) if zmq_only.is_empty() => Wish::Ask { insists: None },
            (None, Transport::Auto) => Wish::Zmq,
        })
    }
}

impl Peer {
    /// Why it refuses, and what can be done about that.
    pub(crate) fn refusal(&self, why: &str) -> String {
        match &self.cache {
            _ if !(self.token.is_empty() && why.contains(NO_TOKEN)) => why.to_owned(),
            None => format!("{why}: name its file with --token-file FILE"),
            // It goes only to an address that was given.
            Some(_) => format!("{why}: name its file with --connect {} --token-file FILE", self.address),
        }
    }
}

impl Wish {
    /// The native master that is to be spoken to; `None`: over ZeroMQ. The cache is asked for as long as `patience` lasts, or
    /// for ever.
    ///
    /// # Errors
    /// If the cache does not answer, or there is no native master and nothing else will do.
    pub(crate) async fn peer(self, db: &str, patience: Option<Duration>) -> anyhow::Result<Option<Peer>> {
        let insists = match self {
            Self::Zmq => return Ok(None),
            Self::Native(peer) => return Ok(Some(peer)),
            Self::Ask { insists } => insists,
        };
        let Some(address) = ask(db, patience).await.map_err(crate::commands::no_answer)? else {
            if let Some(flag) = insists {
                return Err(wrong_use(format!(
                    "the master whose cache is at {db} offers no native protocol: start it with --tcp or --unix, or leave \
                     {flag} away"
                )));
            }
            return Ok(None);
        };
        match reach(&address).await {
            Ok(()) => {
                let cache = Some(db.to_owned());
                Ok(Some(Peer { address, token: String::new(), optional: insists.is_none(), cache }))
            }
            Err(error) if insists.is_some() => Err(error.context(format!(
                "the master whose cache is at {db} takes native peers at {address}, which cannot be reached from here"
            ))),
            Err(error) => {
                tracing::info!("{address} cannot be reached ({}): speaking ZeroMQ", crate::output::causes(&error));
                Ok(None)
            }
        }
    }
}

/// Has a peer follow its master to where the cache says that it is, if that is how it was found. Ends when the master takes no native
/// peers any more and ZeroMQ will do.
pub(crate) async fn follow(peer: &Peer, is_connected: impl Fn() -> bool, relocate: impl Fn(&str)) {
    let Some(db) = &peer.cache else { return std::future::pending().await };
    let (mut address, mut lost) = (peer.address.clone(), None);
    loop {
        tokio::time::sleep(LOOK_ROUND).await;
        if is_connected() {
            lost = None;
            continue;
        }
        if lost.get_or_insert_with(Instant::now).elapsed() < LOST {
            continue;
        }
        // A cache that does not answer is not there yet.
        let Ok(found) = CacheClient::new(db, FOUND).without_waiting().native_address().await else { continue };
        match found {
            Some(now) if now != address => {
                tracing::info!("Looking for the master at {now}, as the cache at {db} says");
                relocate(&now);
                address = now;
            }
            None if peer.optional => {
                tracing::warn!("the master whose cache is at {db} takes no native peers any more: speaking ZeroMQ");
                return;
            }
            Some(_) | None => {}
        }
    }
}

/// What the cache says.
async fn ask(db: &str, patience: Option<Duration>) -> Result<Option<String>, CacheError> {
    let (begun, mut reminder) = (Instant::now(), Reminder::after(palm_proto::Instant::ZERO));
    let until = patience.and_then(|patience| Instant::now().checked_add(patience));
    loop {
        let left = until.map_or(ANSWER, |until| until.saturating_duration_since(Instant::now()).max(PAUSE));
        match CacheClient::new(db, left).without_waiting().native_address().await {
            Ok(address) => return Ok(address),
            Err(error) if until.is_some_and(|until| Instant::now() + PAUSE >= until) => {
                return Err(match (error, patience) {
                    // Not what was left of it for the last time of asking.
                    (CacheError::TimedOut { address, cause, .. }, Some(after)) => {
                        CacheError::TimedOut { address, after, cause }
                    }
                    (CacheError::Connection { address, source }, Some(after)) => {
                        CacheError::TimedOut { address, after, cause: Some(source.to_string()) }
                    }
                    (error, _) => error,
                });
            }
            Err(error) if reminder.is_due(palm_proto::Instant::from_micros(begun.elapsed().as_micros() as u64)) => {
                tracing::warn!("{error}; trying again");
            }
            Err(error) => tracing::debug!("{error}; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether somebody listens at a native address.
pub(crate) async fn reach(address: &str) -> anyhow::Result<()> {
    let connect = async {
        match address.parse()? {
            Address::Tcp { host, port } => drop(tokio::net::TcpStream::connect((host, port)).await?),
            Address::Unix { path } => drop(tokio::net::UnixStream::connect(path).await?),
            other => anyhow::bail!("{other} is not listened at"),
        }
        Ok(())
    };
    tokio::time::timeout(REACH, connect).await.context("no answer")?
}

/// Says that a native master was not reached for as long as it was tried, and why it cannot be reached now.
pub(crate) async fn out_of_reach(address: &str, patience: Duration) -> anyhow::Error {
    let cause = match reach(address).await {
        Err(error) if !address.starts_with("serial://") => format!(" ({})", crate::output::causes(&error)),
        _ => String::new(),
    };
    anyhow::anyhow!(
        "no master was reached at {address} within {patience:?}{cause}: is it running, with --tcp or --unix?"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(connect: Option<&str>, transport: Transport) -> Flags {
        Flags { connect: connect.map(str::to_owned), token_file: None, transport }
    }

    #[test]
    fn the_native_protocol_is_spoken_where_nothing_speaks_against_it() {
        let ask = |insists: bool| Wish::Ask { insists: insists.then_some("--transport tcp") };
        let native =
            Wish::Native(Peer { address: "tcp://a:1".into(), token: String::new(), optional: false, cache: None });
        for (connect, transport, zmq_only, wish) in [
            (None, Transport::Auto, &[][..], ask(false)),
            (None, Transport::Auto, &["--push"], Wish::Zmq),
            (None, Transport::Zmq, &["--push"], Wish::Zmq),
            (None, Transport::Tcp, &[], ask(true)),
            (Some("tcp://a:1"), Transport::Auto, &[], native.clone()),
            (Some("tcp://a:1"), Transport::Tcp, &[], native),
        ] {
            assert!(
                flags(connect, transport).wish(zmq_only).unwrap() == wish,
                "{connect:?} {transport:?} {zmq_only:?}"
            );
        }
        for (connect, transport, zmq_only) in [
            (Some("tcp://a:1"), Transport::Zmq, &[][..]),
            (Some("tcp://a:1"), Transport::Auto, &["--push"]),
            (None, Transport::Tcp, &["--push"]),
        ] {
            assert!(flags(connect, transport).wish(zmq_only).is_err(), "{connect:?} {transport:?} {zmq_only:?}");
        }
    }

    #[test]
    fn a_token_goes_only_to_an_address_that_was_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        let wish = |connect, transport| {
            Flags { token_file: Some(file.path().to_owned()), ..flags(connect, transport) }.wish(&[])
        };
        let Wish::Native(peer) = wish(Some("tcp://a:1"), Transport::Auto).unwrap() else { panic!("not native") };
        // It stays with that address: nobody else says where the master is now.
        assert_eq!((peer.token.as_str(), peer.cache), ("secret", None));
        assert!(wish(None, Transport::Auto).unwrap() == Wish::Zmq);
        assert!(wish(None, Transport::Tcp).is_err());
    }
}
