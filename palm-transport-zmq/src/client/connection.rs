//! A client's connections: found, kept, and found again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::client::Reply;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};
use zeromq::{PushSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use super::state::Shared;
use super::{Config, ConnectError};
use crate::backoff::Backoff;
use crate::cache_client::CacheClient;
use crate::discovery::{self, ClientAddresses};
use crate::log_limit::LogLimit;
use crate::socket::{self, Monitor};

/// Messages taken from the jobs at a time.
const BATCH: usize = 128;
/// Shortest time between two looks at what is due.
const TICK: Duration = Duration::from_millis(2);

/// The connections to one server.
pub(super) struct Link {
    subscription: SubSocket,
    subscription_monitor: Monitor,
    push: PushSocket,
    push_monitor: Monitor,
    /// A subscription to nothing at the server itself, if results are taken elsewhere: it shows when the server goes, which the
    /// socket that only sends does not until too late.
    watch: Option<(SubSocket, Monitor)>,
    /// Longest message that the server takes: at a longer one it closes the connection, with all messages behind it.
    max_message: usize,
}

/// Connects once. The subscription is there before anything can be sent, and has taken effect when this returns, as far as
/// that can be known.
pub(super) async fn open(config: &Config, cache: &CacheClient) -> Result<Link, ConnectError> {
    let addresses = discover(config, cache).await?;
    let failed = |address: &str| {
        let address = address.to_owned();
        |source| ConnectError::Socket { address, source }
    };
    let mut subscription = socket::unconnected::<SubSocket>(config.timeout, None);
    let subscription_monitor = socket::monitor(&mut subscription);
    subscription.subscribe(&config.id).await.map_err(failed(&addresses.subscribe))?;
    subscription.connect(&addresses.subscribe).await.map_err(failed(&addresses.subscribe))?;
    let (push, push_monitor) =
        socket::connect::<PushSocket>(&addresses.push, config.timeout).await.map_err(failed(&addresses.push))?;
    let watch = match &addresses.watch {
        Some(address) => Some(socket::connect::<SubSocket>(address, config.timeout).await.map_err(failed(address))?),
        None => None,
    };
    if !addresses.extensions {
        settle(config, cache).await?;
    }
    info!(push = addresses.push, subscription = addresses.subscribe, "connected to {}", config.server);
    let max_message = addresses.max_message;
    Ok(Link { subscription, subscription_monitor, push, push_monitor, watch, max_message })
}

async fn discover(config: &Config, cache: &CacheClient) -> Result<ClientAddresses, ConnectError> {
    let (mut extensions, mut watch, mut max_message) = (false, None, usize::MAX);
    if config.ask {
        discovery::check_name(cache, &config.server).await?;
        // What another component's publisher does is not for this server to say.
        extensions = config.sub_address.is_none() && discovery::extensions(cache).await?;
    }
    if config.ask && config.push_address.is_none() {
        max_message = discovery::max_message(cache).await?;
    }
    if config.ask && config.sub_address.is_some() && config.push_address.is_none() {
        watch = Some(discovery::address(cache, "pub_address").await?);
    }
    let subscribe = match &config.sub_address {
        Some(address) => address.clone(),
        None => discovery::address(cache, "pub_address").await?,
    };
    let push = match &config.push_address {
        Some(address) => address.clone(),
        None => discovery::address(cache, "pull_address").await?,
    };
    Ok(ClientAddresses { push, subscribe, watch, extensions, max_message })
}

/// Waits until a publisher that drops what nobody has subscribed to knows of the subscription.
///
/// It does not say when it does. A libzmq publisher reads the subscription in the same thread that then reads a request to the
/// cache of the same process, so once that is answered the subscription is on its way to the publishing socket, which looks
/// for it within milliseconds.
async fn settle(config: &Config, cache: &CacheClient) -> Result<(), ConnectError> {
    if config.ask && config.sub_address.is_none() {
        discovery::check_name(cache, &config.server).await?;
    }
    tokio::time::sleep(config.settle).await;
    Ok(())
}

/// Connects, and tries again until it works or cannot ever: another server is there. Says once that it tries.
pub(super) async fn open_patiently(config: &Config, cache: &CacheClient, mut told: bool) -> Result<Link, ConnectError> {
    let mut backoff = Backoff::new();
    loop {
        match open(config, cache).await {
            Ok(link) => return Ok(link),
            Err(error) if error.is_final() => return Err(error),
            Err(error) if told => debug!(%error, "no connection to {} yet", config.server),
            Err(error) => {
                told = true;
                warn!(%error, "no connection to {}; trying until there is one", config.server);
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// The tasks that keep a client going; they end when this is dropped.
pub(super) fn start(config: Arc<Config>, cache: CacheClient, shared: Arc<Shared>, link: Link) -> JoinSet<()> {
    shared.set_max_message(link.max_message);
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_time(shared.clone()));
    tasks.spawn(keep_connected(config, cache, shared, link));
    tasks
}

async fn keep_time(shared: Arc<Shared>) {
    loop {
        match shared.due() {
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {
                    shared.on_timeout();
                    // What is due was due at the earliest: a burst of answers leaves this early by as much as they came.
                    tokio::time::sleep(TICK).await;
                }
                () = shared.timer.notified() => {}
            },
            None => shared.timer.notified().await,
        }
    }
}

async fn keep_connected(config: Arc<Config>, cache: CacheClient, shared: Arc<Shared>, mut link: Link) {
    loop {
        serve(&config, &shared, link).await;
        if shared.is_closed() {
            // The runtime stops its tasks in any order; this is no loss.
            return;
        }
        warn!("{} is gone; looking for it", config.server);
        let mut backoff = Backoff::new();
        link = loop {
            match open_patiently(&config, &cache, true).await {
                Ok(link) => break link,
                Err(error) => debug!(%error, "another server is in the place of {}", config.server),
            }
            tokio::time::sleep(backoff.next()).await;
        };
        info!("{} is back", config.server);
        shared.on_reconnect();
    }
}

/// Works on one link until it is lost.
async fn serve(config: &Config, shared: &Arc<Shared>, link: Link) {
    let Link { mut subscription, mut subscription_monitor, push, push_monitor, mut watch, max_message } = link;
    shared.set_max_message(max_message);
    // Dropped with this function, and the sender with it.
    let mut sender = JoinSet::new();
    let to_send = shared.clone();
    sender.spawn(async move { send_all(&to_send, push, push_monitor).await });
    let mut limit = LogLimit::default();
    loop {
        tokio::select! {
            received = subscription.recv() => match received {
                Ok(message) => on_message(config, shared, &mut limit, message),
                Err(error) => {
                    debug!(%error, "the subscription broke");
                    return;
                }
            },
            () = subscription_monitor.gone() => return,
            () = gone(&mut watch) => return,
            _ = sender.join_next() => return,
        }
    }
}

/// Ends when the server is gone, if there is a connection to tell.
async fn gone(watch: &mut Option<(SubSocket, Monitor)>) {
    match watch {
        Some((socket, monitor)) => tokio::select! {
            // Nothing comes, but only a socket that is read notices its end.
            _ = socket.recv() => {}
            () = monitor.gone() => {}
        },
        None => std::future::pending().await,
    }
}

fn on_message(config: &Config, shared: &Shared, limit: &mut LogLimit, message: ZmqMessage) {
    let mut frames = message.into_vecdeque();
    let (Some(topic), Some(result), None) = (frames.pop_front(), frames.pop_front(), frames.pop_front()) else {
        debug!("dropped what is no topic and message");
        return;
    };
    if topic != config.id.as_bytes() {
        // Subscriptions match prefixes.
        return;
    }
    match Reply::parse(result) {
        Ok(reply) => shared.on_reply(reply),
        Err(error) => {
            if let Some(left_out) = limit.allows(Instant::now()) {
                warn!(%error, left_out, "dropped what is no result");
            }
        }
    }
}

/// Sends what the jobs have to send until the peer is gone. What is lost with it the jobs send again.
async fn send_all(shared: &Shared, mut socket: PushSocket, mut monitor: Monitor) {
    let mut batch: VecDeque<Bytes> = VecDeque::with_capacity(BATCH);
    loop {
        shared.take_batch(BATCH, &mut batch);
        if batch.is_empty() {
            tokio::select! {
                () = shared.transmit.notified() => {}
                () = monitor.gone() => return,
            }
        }
        while let Some(message) = batch.pop_front() {
            if let Err(error) = socket.send(ZmqMessage::from(message)).await {
                debug!(%error, "the connection broke");
                return;
            }
        }
    }
}
