//! A server as simple as PALM's Python master: it forwards, and what is not subscribed to is lost.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod peer;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use palm_proto::MessageRef;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use zeromq::{PubSocket, PullSocket, PushSocket, RepSocket, Socket, SocketRecv, SocketSend, ZmqError, ZmqMessage};

/// What becomes of a result: what is published for it. The number counts results from 0.
pub type Change = Arc<dyn Fn(u64, Bytes) -> Vec<Bytes> + Send + Sync>;

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub pull: String,
    pub publish: String,
    pub worker_push: String,
    pub worker_pull: String,
    pub cache: String,
}

/// A server in a runtime of its own, so that it can be killed as a process is.
pub struct Server {
    runtime: Option<Runtime>,
    pub addresses: Addresses,
}

impl Server {
    /// One on free ports.
    pub async fn start() -> Self {
        Self::with(None, Arc::new(|_, result| vec![result])).await
    }

    /// One that changes results.
    pub async fn start_changing(change: impl Fn(u64, Bytes) -> Vec<Bytes> + Send + Sync + 'static) -> Self {
        Self::with(None, Arc::new(change)).await
    }

    /// One where another was.
    pub async fn start_at(addresses: &Addresses) -> Self {
        Self::with(Some(addresses.clone()), Arc::new(|_, result| vec![result])).await
    }

    async fn with(at: Option<Addresses>, change: Change) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, receiver) = oneshot::channel();
        runtime.spawn(async move {
            let free = "tcp://127.0.0.1:0".to_owned();
            let at = at.unwrap_or(Addresses {
                pull: free.clone(),
                publish: free.clone(),
                worker_push: free.clone(),
                worker_pull: free.clone(),
                cache: free,
            });
            let (clients, pull) = bind::<PullSocket>(&at.pull).await;
            let (publisher, publish) = bind::<PubSocket>(&at.publish).await;
            let (to_workers, worker_push) = bind::<PushSocket>(&at.worker_push).await;
            let (from_workers, worker_pull) = bind::<PullSocket>(&at.worker_pull).await;
            let (cache, cache_address) = bind::<RepSocket>(&at.cache).await;
            let addresses = Addresses { pull, publish, worker_push, worker_pull, cache: cache_address };
            tokio::spawn(forward(clients, to_workers));
            tokio::spawn(publish_results(from_workers, publisher, change));
            tokio::spawn(serve_cache(cache, addresses.clone()));
            let _ = sender.send(addresses);
        });
        let addresses = within(receiver).await.unwrap();
        Self { runtime: Some(runtime), addresses }
    }

    /// Ends it at once, and every connection with it.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for what must come, with a bound.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// Binds as soon as the address is free.
pub async fn bind<S: Socket>(address: &str) -> (S, String) {
    loop {
        let mut socket = S::new();
        match socket.bind(address).await {
            Ok(bound) => return (socket, bound.to_string()),
            Err(error) => {
                assert!(!address.ends_with(":0"), "a free port can be bound: {error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Sends as soon as there is a peer.
pub async fn send(socket: &mut PushSocket, message: Bytes) {
    let mut message = ZmqMessage::from(message);
    while let Err(ZmqError::ReturnToSender { message: back, .. }) = socket.send(message).await {
        message = back;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn forward(mut from: PullSocket, mut to: PushSocket) {
    loop {
        if let Ok(message) = from.recv().await {
            send(&mut to, message.into_vec().remove(0)).await;
        }
    }
}

async fn publish_results(mut from: PullSocket, mut to: PubSocket, change: Change) {
    let mut count = 0;
    loop {
        let Ok(result) = from.recv().await else { continue };
        for result in change(count, result.into_vec().remove(0)) {
            let client = MessageRef::parse(&result).unwrap().client.to_owned();
            let mut message = ZmqMessage::from(client);
            message.push_back(result);
            to.send(message).await.unwrap();
        }
        count += 1;
    }
}

async fn serve_cache(mut socket: RepSocket, addresses: Addresses) {
    let mut values: HashMap<String, Bytes> = HashMap::from([
        ("name".to_owned(), "server".into()),
        ("pull_address".to_owned(), addresses.pull.into()),
        ("pub_address".to_owned(), addresses.publish.into()),
        ("worker_push_address".to_owned(), addresses.worker_push.into()),
        ("worker_pull_address".to_owned(), addresses.worker_pull.into()),
        ("db_address".to_owned(), addresses.cache.into()),
    ]);
    loop {
        let Ok(request) = socket.recv().await else { continue };
        let request = request.into_vec().remove(0);
        let message = MessageRef::parse(&request).unwrap();
        let payload = String::from_utf8_lossy(message.payload).into_owned();
        let answer: Bytes = match message.address().unwrap().method {
            "get" => values.get(&payload).cloned().unwrap_or_default(),
            "set" => {
                let key = if message.cache.is_empty() { "made-up".to_owned() } else { message.cache.to_owned() };
                values.insert(key.clone(), Bytes::copy_from_slice(message.payload));
                key.into()
            }
            "delete" => {
                values.remove(&payload);
                payload.into()
            }
            _ => Bytes::new(),
        };
        let _ = socket.send(ZmqMessage::from(answer)).await;
    }
}
