//! The server that a job is for: how it is reached, and what is known of it.

use std::time::{Duration, Instant};

use palm_transport_tcp::PeerOptions;
use palm_transport_zmq::{Client, ConnectError};

use super::follower::Gone;
use super::job::{Job, Options};
use super::messages::Messages;
use super::native::{self, Connection, OpenError};
use crate::commands::launch::{Args, LAUNCHER, no_server};
use crate::commands::{DEFAULT_DB, unreachable, wrong_server};
use crate::native::{Peer, Wish, follow, out_of_reach, reach};
use crate::wrong_use;

/// Room for what a message has besides its payload and the texts that the command line gives: ids, numbers, and what goes
/// before each field.
const ENVELOPE: usize = 192;

/// With both addresses given, a cache that nobody named need not be there.
const fn has_cache(args: &Args) -> bool {
    args.db.is_some() || args.push.is_none() || args.sub.is_none()
}

/// A server that is connected to.
pub(crate) enum Server {
    Zmq {
        client: Client,
        name: String,
    },
    /// With how it was found.
    Native(Connection, Peer),
}

impl Server {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Zmq { name, .. } => name,
            Self::Native(connection, _) => connection.master(),
        }
    }

    /// The lines that a Python client writes once it knows where the server is.
    pub(crate) fn log_addresses(&self) {
        match self {
            Self::Zmq { client, .. } => {
                let (id, push, sub) = (client.id(), client.push_address(), client.sub_address());
                tracing::info!(target: LAUNCHER, "CLIENT {id}: Got subscription address: {sub}");
                tracing::info!(target: LAUNCHER, "CLIENT {id}: Got push address: {push}");
            }
            Self::Native(_, peer) => tracing::info!(target: LAUNCHER, "Got native address: {}", peer.address),
        }
    }

    /// How long a payload may be: what is longer is not even read.
    pub(crate) fn longest_payload(&self, args: &Args, function: &str) -> usize {
        let (most, ids) = match self {
            Self::Zmq { client, .. } => (client.max_message(), client.pipeline().len() + client.id().len()),
            // What is too long for the master fails then, one by one.
            Self::Native(..) => (usize::MAX, 0),
        };
        let texts = function.len() + args.cache.len() + ids;
        args.max_message.unwrap_or(most).saturating_sub(ENVELOPE + texts).min(args.in_flight)
    }

    /// The job, and what ends when it has to go on over ZeroMQ.
    pub(crate) fn job(self, function: &str, messages: Messages, options: Options) -> (Job, Gone) {
        match self {
            Self::Zmq { client, .. } => {
                (Job::Zmq(client.job(function, messages, &options.zmq())), Box::pin(std::future::pending()))
            }
            Self::Native(connection, peer) => {
                let job = native::Job::new(connection, function, messages, options);
                let whereabouts = job.whereabouts();
                let gone = async move {
                    follow(&peer, || whereabouts.is_connected(), |address| whereabouts.relocate(address)).await;
                };
                (Job::Native(job), Box::pin(gone))
            }
        }
    }
}

/// Connects, over what is wished for.
///
/// # Errors
/// If the server is not reached, or is another.
pub(crate) async fn connect(args: &Args, wish: Wish) -> anyhow::Result<Server> {
    let db = args.db.as_deref().unwrap_or(DEFAULT_DB);
    let begun = Instant::now();
    if let Some(peer) = wish.peer(db, Some(args.connect_timeout)).await? {
        let patience = args.connect_timeout.saturating_sub(begun.elapsed()).max(Duration::from_millis(100));
        let options =
            PeerOptions { token: peer.token.clone(), window: args.window(), ..PeerOptions::new(&peer.address) };
        match Connection::open(&options, patience).await {
            Ok(connection) => return checked(args, connection, &peer),
            Err(OpenError::Refused(why)) if peer.optional => {
                tracing::warn!("{}: {}: speaking ZeroMQ", peer.address, peer.refusal(&why));
            }
            Err(OpenError::Refused(why)) => {
                anyhow::bail!("no connection to {}: {}", peer.address, peer.refusal(&why));
            }
            Err(OpenError::TimedOut) => return Err(out_of_reach(&peer.address, args.connect_timeout).await),
            Err(OpenError::Build(error)) => return Err(wrong_use(error.to_string())),
        }
    }
    connect_zmq(args).await
}

/// Connects over ZeroMQ.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_zmq(args: &Args) -> anyhow::Result<Server> {
    let db = args.db.as_deref().unwrap_or(DEFAULT_DB);
    let server = args.server.as_deref().ok_or_else(no_server)?;
    let mut builder = Client::builder(server, db).timeout(args.connect_timeout).patience(args.connect_timeout);
    builder = builder.check_name(has_cache(args)).heartbeat(args.heartbeat);
    if let Some(session) = &args.session {
        builder = builder.session(session);
    }
    if let Some(address) = &args.push {
        builder = builder.push_address(address);
    }
    if let Some(address) = &args.sub {
        builder = builder.sub_address(address);
    }
    let client = builder.connect().await;
    match client {
        Ok(client) => Ok(Server::Zmq { client, name: server.to_owned() }),
        Err(error @ ConnectError::TimedOut { .. }) => match nobody_there(args).await {
            Some((flag, address)) => anyhow::bail!(
                "the server {server} could not be reached within {:?}: nobody listens at {address}, which {flag} names",
                args.connect_timeout
            ),
            None => Err(unreachable(error, server, db, args.connect_timeout)),
        },
        Err(error) => Err(unreachable(error, server, db, args.connect_timeout)),
    }
}

/// An address of a socket that was given, with its flag, at which nobody listens.
async fn nobody_there(args: &Args) -> Option<(&'static str, &str)> {
    for (flag, address) in [("--push", &args.push), ("--sub", &args.sub)] {
        if let Some(address) = address
            && reach(&address.replacen("ipc://", "unix://", 1)).await.is_err()
        {
            return Some((flag, address));
        }
    }
    None
}

/// The connection, if it leads to the server that was named.
fn checked(args: &Args, connection: Connection, peer: &Peer) -> anyhow::Result<Server> {
    match &args.server {
        Some(server) if server != connection.master() => Err(wrong_server(&peer.address, connection.master(), server)),
        _ => Ok(Server::Native(connection, peer.clone())),
    }
}
