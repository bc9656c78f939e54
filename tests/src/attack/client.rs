//! Honest clients of the attacked master, which want their results.

use std::collections::HashSet;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use palm_proto::message::MessageRef;

use super::wire::{SEQUENCE, varint};
use super::{Broken, Outcome, Target};
use crate::raw::message;
use crate::zmtp::Peer;

/// After how long a client of a master that may forget results asks again.
const AGAIN: Duration = Duration::from_millis(300);

/// A client whose results a thread reads as they come.
pub(super) struct Client {
    pub(super) id: String,
    push: Peer,
    results: Receiver<Vec<u8>>,
    sub: TcpStream,
    patience: Duration,
}

impl Client {
    /// Connects, and subscribes to the results of this id.
    pub(super) fn connect(target: &Target, id: &str) -> Outcome<Self> {
        let mut sub = target.honest_peer(&target.addresses.publish, "SUB", 1)?;
        sub.subscribe(id.as_bytes())?;
        let push = target.honest_peer(&target.addresses.pull, "PUSH", 0)?;
        let stream = sub.stream()?;
        stream.set_read_timeout(None)?;
        let (sender, results) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(parts) = sub.recv() {
                if sender.send(parts.into_iter().nth(1).unwrap_or_default()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { id: id.to_owned(), push, results, sub: stream, patience: target.bounds.patience })
    }

    /// Sends bytes as a message.
    pub(super) fn send(&mut self, message: &[u8]) -> Outcome {
        self.push.send(&[message]).map_err(|cause| Broken(format!("a message is not taken: {cause}")))
    }

    /// Sends bytes as a message, which may wait in a buffer for those behind it.
    pub(super) fn feed(&mut self, message: &[u8]) -> Outcome {
        self.push.feed(&[message]).map_err(|cause| Broken(format!("a message is not taken: {cause}")))
    }

    /// The next result, serialised.
    pub(super) fn next(&mut self) -> Outcome<Vec<u8>> {
        self.next_within(self.patience)?.ok_or_else(|| Broken(format!("no result within {:?}", self.patience)))
    }

    /// The next result, serialised; `None`: there is none within a time.
    pub(super) fn next_within(&mut self, time: Duration) -> Outcome<Option<Vec<u8>>> {
        match self.results.recv_timeout(time) {
            Ok(result) => Ok(Some(result)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Broken("its subscription is closed".to_owned())),
        }
    }

    /// Sends a message and waits for its result. What else comes is passed over.
    pub(super) fn call(&mut self, target: &Target, payload: &str) -> Outcome {
        let message = message(&self.id, &target.call(), payload.as_bytes());
        let start = Instant::now();
        loop {
            self.send(&message)?;
            let sent = Instant::now();
            // A stock master forgets results whose subscription it has not read yet: its clients ask again.
            let until = if target.ours { self.patience } else { AGAIN };
            while let Some(left) = until.checked_sub(sent.elapsed()) {
                let Some(result) = self.next_within(left)? else { break };
                if MessageRef::parse(&result).is_ok_and(|result| result.payload == payload.as_bytes()) {
                    return Ok(());
                }
            }
            if start.elapsed() >= self.patience {
                return Err(Broken(format!("no result within {:?}", self.patience)));
            }
        }
    }

    /// Waits for a result with this payload, and hands all before it to `see`.
    pub(super) fn until(&mut self, payload: &[u8], mut see: impl FnMut(&MessageRef<'_>) -> Outcome) -> Outcome {
        loop {
            let result = self.next()?;
            let result = MessageRef::parse(&result).map_err(|cause| Broken(format!("a result: {cause}")))?;
            if result.payload == payload {
                return Ok(());
            }
            see(&result)?;
        }
    }

    /// Waits for one result of each of these numbers, in any order, each with the payload that `expected` gives.
    pub(super) fn all(&mut self, numbers: &[u64], expected: impl Fn(u64) -> Vec<u8>) -> Outcome {
        let mut missing: HashSet<u64> = numbers.iter().copied().collect();
        while !missing.is_empty() {
            let result = self.next().map_err(|broken| broken.after(&format!("{} results missing", missing.len())))?;
            let result = MessageRef::parse(&result).map_err(|cause| Broken(format!("a result: {cause}")))?;
            let Some(number) = result.extension.sequence.filter(|number| missing.remove(number)) else {
                return Err(Broken(format!("a result that it has not asked for: {:?}", shown(result.payload))));
            };
            if result.payload != expected(number) {
                return Err(Broken(format!("another's result: {:?}", shown(result.payload))));
            }
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The thread's read ends; that the master is gone already is no matter.
        let _closed = self.sub.shutdown(Shutdown::Both);
    }
}

/// A client's message with a number of its own.
pub(super) fn numbered(client: &str, function: &str, payload: &[u8], number: u64) -> Vec<u8> {
    [message(client, function, payload), varint(SEQUENCE, number)].concat()
}

/// The beginning of a payload, for a person.
pub(super) fn shown(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload.get(..60).unwrap_or(payload)).into_owned()
}

/// A name that nobody else has, and nobody guesses from another one.
pub(super) fn name(what: &str) -> String {
    format!("{what}-{:016x}{:016x}", random(), random())
}

/// A number that nobody guesses.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds each hasher of its own at random.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
