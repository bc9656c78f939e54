//! A client's connections: found, kept, and found again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::client::Reply;
use palm_proto::{Backoff, Reminder};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::state::Shared;
use super::{Config, ConnectError};
use crate::cache_client::CacheClient;
use crate::clock::{Clock, backoff};
use crate::discovery::{self, ClientAddresses};
use crate::log_limit::LogLimit;
use crate::socket::{PushSocket, SocketError, SubSocket};

/// Messages taken from the jobs at a time.
const BATCH: usize = 128;
/// Shortest time between two looks at what is due.
const TICK: Duration = Duration::from_millis(2);

/// The connections to one server.
pub(super) struct Link {
    subscription: SubSocket,
    push: PushSocket,
    /// A subscription to nothing at the server itself, if results are taken elsewhere: it shows when the server goes, which the
    /// socket that only sends does not until too late.
    watch: Option<SubSocket>,
    /// Where messages go, and where results come from.
    pub(super) addresses: (String, String),
}

impl Link {
    /// Longest message that the server takes: at a longer one it closes the connection, with all messages behind it.
    fn max_message(&self) -> usize {
        self.push.told().max_message.unwrap_or(usize::MAX)
    }
}

/// Connects once. The subscription is there before anything can be sent, and has taken effect when this returns, as far as
/// that can be known.
pub(super) async fn open(config: &Config, cache: &CacheClient) -> Result<Link, ConnectError> {
    let addresses = discover(config, cache).await?;
    let options = config.sockets();
    let failed = |address: &str| {
        let address = address.to_owned();
        |source| ConnectError::Socket { address, source }
    };
    let subscription = SubSocket::connect(&addresses.subscribe, Some(&config.id), &options)
        .await
        .map_err(failed(&addresses.subscribe))?;
    let push = PushSocket::connect(&addresses.push, "", &options).await.map_err(failed(&addresses.push))?;
    let watch = match &addresses.watch {
        Some(address) => Some(SubSocket::connect(address, None, &options).await.map_err(failed(address))?),
        None => None,
    };
    // A publisher of ours keeps what nobody has subscribed to yet.
    if !subscription.told().extensions {
        settle(config, cache).await?;
    }
    info!(push = addresses.push, subscription = addresses.subscribe, "connected to {}", config.server);
    let addresses = (addresses.push, addresses.subscribe);
    Ok(Link { subscription, push, watch, addresses })
}

async fn discover(config: &Config, cache: &CacheClient) -> Result<ClientAddresses, ConnectError> {
    if config.ask {
        discovery::check_name(cache, &config.server).await?;
    }
    let mut watch = None;
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
    Ok(ClientAddresses { push, subscribe, watch })
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

/// How a client goes about connecting.
pub(super) struct Trying {
    clock: Clock,
    backoff: Backoff,
    /// When to say again that there is no connection.
    reminder: Reminder,
    /// Why the last try was in vain.
    pub(super) in_vain: Option<String>,
    /// Of lines about a server that goes and comes back.
    limit: LogLimit,
}

impl Trying {
    pub(super) fn new() -> Self {
        let clock = Clock::start();
        let reminder = Reminder::after(clock.now());
        Self { clock, backoff: backoff(), reminder, in_vain: None, limit: LogLimit::default() }
    }

    /// Connects, and tries again until it works or, unless `for_ever`, cannot ever: another server is there. Says so now and then.
    pub(super) async fn open(
        &mut self,
        config: &Config,
        cache: &CacheClient,
        for_ever: bool,
    ) -> Result<Link, ConnectError> {
        // It is tried again here, where that is said.
        let cache = cache.without_waiting();
        loop {
            match open(config, &cache).await {
                Ok(link) => {
                    self.backoff.handle_connected(self.clock.now());
                    return Ok(link);
                }
                Err(error) if error.is_final() && !for_ever => return Err(error),
                Err(error) => {
                    if self.reminder.is_due(self.clock.now()) {
                        warn!("{error}; trying again");
                    } else {
                        debug!(%error, "no connection to {} yet", config.server);
                    }
                    self.in_vain = Some(error.to_string());
                }
            }
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.backoff.wait(self.clock.now())).await;
    }
}

/// The tasks that keep a client going; they end when this is dropped.
pub(super) fn start(
    config: Arc<Config>,
    cache: CacheClient,
    shared: Arc<Shared>,
    link: Link,
    trying: Trying,
) -> JoinSet<()> {
    shared.set_max_message(link.max_message());
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_time(shared.clone()));
    tasks.spawn(keep_connected(config, cache, shared, link, trying));
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

async fn keep_connected(
    config: Arc<Config>,
    cache: CacheClient,
    shared: Arc<Shared>,
    mut link: Link,
    mut trying: Trying,
) {
    loop {
        let (error, useful) = serve(&config, &shared, link).await;
        if shared.is_closed() {
            // The runtime stops its tasks in any order; this is no loss.
            return;
        }
        if useful {
            trying.backoff.handle_useful();
        }
        if trying.limit.allows(Instant::now()).is_some() {
            warn!("{} is gone ({error}); looking for it", config.server);
        }
        trying.pause().await;
        link = match trying.open(&config, &cache, true).await {
            Ok(link) => link,
            Err(_) => unreachable!("it tries for ever"),
        };
        if trying.limit.allows(Instant::now()).is_some() {
            info!("{} is back", config.server);
        }
        shared.on_reconnect();
    }
}

/// Works on one link until it is lost: why, and whether any result came.
async fn serve(config: &Config, shared: &Arc<Shared>, link: Link) -> (SocketError, bool) {
    shared.set_max_message(link.max_message());
    let Link { mut subscription, push, mut watch, addresses: _ } = link;
    // Dropped with this function, and the sender with it.
    let mut sender = JoinSet::new();
    let to_send = shared.clone();
    sender.spawn(async move { send_all(&to_send, push).await });
    let (mut limit, mut useful) = (LogLimit::default(), false);
    loop {
        tokio::select! {
            received = subscription.recv() => match received {
                Ok(Some((topic, result))) => useful |= on_message(config, shared, &mut limit, &topic, result),
                Ok(None) => debug!("dropped what is no topic and message"),
                Err(error) => return (error, useful),
            },
            error = gone(&mut watch) => return (error, useful),
            Some(ended) = sender.join_next() => return (ended.unwrap_or(SocketError::Closed), useful),
        }
    }
}

/// Ends when the server is gone, if there is a connection to tell.
async fn gone(watch: &mut Option<SubSocket>) -> SocketError {
    let Some(socket) = watch else { return std::future::pending().await };
    loop {
        // Nothing comes, but only a socket that is read notices its end.
        if let Err(error) = socket.recv().await {
            return error;
        }
    }
}

/// Whether it was a result.
fn on_message(config: &Config, shared: &Shared, limit: &mut LogLimit, topic: &[u8], result: Bytes) -> bool {
    if topic != config.id.as_bytes() {
        // Subscriptions match prefixes.
        return false;
    }
    match Reply::parse(result) {
        Ok(reply) => {
            shared.on_reply(reply);
            true
        }
        Err(error) => {
            if let Some(left_out) = limit.allows(Instant::now()) {
                warn!(%error, left_out, "dropped what is no result");
            }
            false
        }
    }
}

/// Sends what the jobs have to send until the peer is gone. What is lost with it the jobs send again.
async fn send_all(shared: &Shared, mut socket: PushSocket) -> SocketError {
    let mut batch: VecDeque<Bytes> = VecDeque::with_capacity(BATCH);
    loop {
        while socket.has_room() {
            if batch.is_empty() {
                shared.take_batch(BATCH, &mut batch);
            }
            let Some(message) = batch.pop_front() else { break };
            socket.put(message);
        }
        let room = socket.has_room();
        tokio::select! {
            biased;
            progress = socket.progress() => if let Err(error) = progress { return error },
            () = shared.transmit.notified(), if room => {}
        }
    }
}
