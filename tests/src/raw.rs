//! A client of two hand-made ZMTP peers: fast, and without anything of the libraries under test but the codec.

use std::io;
use std::time::Duration;

use palm_proto::message::{MessageRef, MessageWriter};

use crate::cluster::Addresses;
use crate::zmtp::Peer;

/// A client as PALM sees it: a name, a PUSH and a SUB that is subscribed to the name.
#[derive(Debug)]
pub struct RawClient {
    /// Its id, and the topic of its results.
    pub id: String,
    /// Towards the master.
    pub push: Peer,
    /// From the master.
    pub sub: Peer,
}

impl RawClient {
    /// Connects both and subscribes.
    ///
    /// # Errors
    /// If the master cannot be reached.
    pub fn connect(addresses: &Addresses, id: &str) -> io::Result<Self> {
        let sub = subscriber(addresses, id)?;
        Ok(Self { id: id.to_owned(), push: Peer::pusher(&addresses.pull)?, sub })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// If the master has closed or does not take it for a while.
    pub fn send(&mut self, function: &str, payload: &[u8]) -> io::Result<()> {
        self.push.send(&[&message(&self.id, function, payload)])
    }

    /// The next result's payload.
    ///
    /// # Errors
    /// If there is none for a while, or what comes is not a result for this client.
    pub fn recv(&mut self) -> io::Result<Vec<u8>> {
        result(&mut self.sub, &self.id)
    }
}

/// A SUB that is subscribed to a client's results.
///
/// # Errors
/// If the master cannot be reached.
pub fn subscriber(addresses: &Addresses, id: &str) -> io::Result<Peer> {
    let mut sub = Peer::connect(&addresses.publish, "SUB")?;
    sub.subscribe(id.as_bytes())?;
    Ok(sub)
}

/// The next result's payload from a client's SUB.
///
/// # Errors
/// If there is none for a while, or what comes is not a result for this client.
pub fn result(sub: &mut Peer, id: &str) -> io::Result<Vec<u8>> {
    let parts = sub.recv()?;
    let [topic, body] = &parts[..] else {
        return Err(io::Error::other(format!("a result has {} parts", parts.len())));
    };
    if topic != id.as_bytes() {
        return Err(io::Error::other(format!("a result for {}", String::from_utf8_lossy(topic))));
    }
    let message = MessageRef::parse(body).map_err(io::Error::other)?;
    Ok(message.payload.to_vec())
}

/// A client's message, serialised.
pub fn message(client: &str, function: &str, payload: &[u8]) -> Vec<u8> {
    written(|writer| {
        writer.pipeline("a pipeline").client(client).function(function).payload(payload);
    })
}

/// What `write` writes, serialised.
///
/// # Panics
/// Never: the buffer grows.
pub fn written(write: impl FnOnce(&mut MessageWriter<'_, bytes::BytesMut>)) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    let mut writer = MessageWriter::new(&mut out);
    write(&mut writer);
    writer.finish().expect("the buffer grows");
    out.to_vec()
}

/// One cache command on a connection of its own: `key` and `value` go to the fields that the verb needs.
///
/// # Errors
/// If the cache does not answer within `patience`.
pub fn cache(address: &str, verb: &str, key: &str, value: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut peer = Peer::connect(address, "REQ")?;
    peer.patience(Some(patience))?;
    let request = written(|writer| match verb {
        "set" => {
            writer.client("raw").function("_.set").cache(key).payload(value);
        }
        _ => {
            writer.client("raw").function(&format!("_.{verb}")).payload(key.as_bytes());
        }
    });
    exchange(&mut peer, &request)
}

/// One request and its reply on a REQ connection.
///
/// # Errors
/// If the cache closes or does not answer in time.
pub fn exchange(peer: &mut Peer, request: &[u8]) -> io::Result<Vec<u8>> {
    peer.send(&[b"", request])?;
    let reply = peer.recv()?;
    match &reply[..] {
        [empty, body] if empty.is_empty() => Ok(body.clone()),
        parts => Err(io::Error::other(format!("a reply of {} parts", parts.len()))),
    }
}
