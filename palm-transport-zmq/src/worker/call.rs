//! What a function is called with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use palm_proto::worker::CallId;
use palm_proto::{MessageRef, Request};
use tokio::sync::mpsc;

use crate::cache_client::CacheClient;

/// One message, as the function that it is for sees it.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) message: Bytes,
    pub(super) payload: Bytes,
    pub(super) deadline: Option<Instant>,
    pub(super) cache: CacheClient,
}

impl Call {
    /// The data.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The data, without copying it.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// Name of the function.
    pub fn method(&self) -> &str {
        self.view().and_then(|view| view.address()).map_or("", |address| address.method)
    }

    /// The message's cache field: what the client put there, or a name that the master gave the message.
    pub fn user_data(&self) -> &str {
        self.view().map_or("", |view| view.cache)
    }

    /// Id of the stream that the message belongs to, or the client's session.
    pub fn pipeline(&self) -> &str {
        self.view().map_or("", |view| view.pipeline)
    }

    /// Id of the client that sent the message.
    pub fn client(&self) -> &str {
        self.view().map_or("", |view| view.client)
    }

    /// When the client stops waiting for the result, if it said.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The master's cache.
    pub fn cache(&self) -> &CacheClient {
        &self.cache
    }

    /// The message was checked when it was received; the fields that few functions ask for are looked up again.
    fn view(&self) -> Option<MessageRef<'_>> {
        MessageRef::parse(&self.message).ok()
    }
}

impl Request for Call {
    type Payload = Bytes;

    fn payload(&self) -> &Bytes {
        self.payload()
    }

    fn into_payload(self) -> Bytes {
        self.into_payload()
    }

    fn method(&self) -> &str {
        self.method()
    }

    fn user_data(&self) -> &str {
        self.user_data()
    }

    fn client(&self) -> impl AsRef<str> {
        self.client()
    }

    fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// One result of a call that goes on.
pub(super) type Part = (CallId, Bytes);

/// Takes the results of a function that has several, as they are made.
#[derive(Clone, Debug)]
pub struct Results {
    pub(super) id: CallId,
    pub(super) results: mpsc::Sender<Part>,
}

impl Results {
    /// Hands in a result; waits while the worker has many that are not sent yet. What is handed in after the function has
    /// ended is dropped.
    pub async fn send(&self, result: impl Into<Bytes>) {
        // The receiver lives as long as the worker; after that nobody asks for results.
        let _ = self.results.send((self.id, result.into())).await;
    }
}
