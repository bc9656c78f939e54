//! Places for connections: strangers have few, each address of them a share, and who is known has others.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::access::Peer;
use super::bounds::Bounds;
use super::remembered::Remembered;
use super::shares::{Place, Shares};

/// For how long an address is known from which somebody came who was.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

tokio::task_local! {
    /// The connection of the request that is answered.
    static CONNECTION: Arc<Connection>;
}

/// All places.
#[derive(Debug)]
pub(super) struct Connections {
    /// Of addresses from which nobody has come who is known.
    pub(super) strangers: Arc<Shares>,
    /// Of those from which somebody has, and of this machine, before it is known who it is this time.
    pub(super) expected: Arc<Shares>,
    /// Of those who are known.
    pub(super) known: Arc<Shares>,
    addresses: Remembered,
}

impl Connections {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (quarter, half) = (bounds.connections.div_ceil(4), bounds.connections.div_ceil(2));
        Self {
            strangers: Shares::new(quarter, bounds.strangers_of_one),
            expected: Shares::new(quarter, quarter.div_ceil(2)),
            known: Shares::new(half, half - half / 8),
            addresses: Remembered::new(KNOWN_FOR),
        }
    }

    /// A place for a connection that has come; `None`: there is none.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Connection> {
        let network = peer.network();
        let is_expected = peer.0.to_canonical().is_loopback() || self.addresses.has(&network);
        let shares = if is_expected { &self.expected } else { &self.strangers };
        let place = shares.enter(&network).ok()?;
        Some(Connection { all: self.clone(), network, held: Mutex::new(Held { _place: place, whose: None }) })
    }
}

/// A connection, in its place.
#[derive(Debug)]
pub(super) struct Connection {
    all: Arc<Connections>,
    network: String,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    _place: Place,
    /// Who is known to use it.
    whose: Option<String>,
}

impl Connection {
    /// Answers a request of it.
    pub(super) fn answer<F: Future>(self: &Arc<Self>, answer: F) -> impl Future<Output = F::Output> + use<F> {
        CONNECTION.scope(self.clone(), answer)
    }

    fn known(&self, whose: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.whose.as_deref() == Some(whose) {
            return;
        }
        self.all.addresses.see(&self.network);
        // If there is no place, it keeps the one that it has.
        if let Ok(place) = self.all.known.enter(whose) {
            *held = Held { _place: place, whose: Some(whose.to_owned()) };
        } else {
            held.whose = Some(whose.to_owned());
        }
    }
}

/// It is known now whose request is answered: a user's, or of a cluster's nodes.
pub(super) fn known(whose: &str) {
    let _ = CONNECTION.try_with(|connection| connection.known(whose));
}

/// Whose request is answered, or from which network, if that is not known; and if there is no connection, nobody's.
pub(super) fn whose() -> String {
    let whose = CONNECTION.try_with(|connection| {
        let held = connection.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.whose.clone().unwrap_or_else(|| format!("address {}", connection.network))
    });
    whose.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Peer {
        Peer(ip.parse().unwrap())
    }

    #[tokio::test]
    async fn strangers_have_few_places_and_who_is_known_has_others() {
        let bounds = Bounds { connections: 16, strangers_of_one: 2, ..Bounds::default() };
        let all = Arc::new(Connections::new(&bounds));
        let mut held: Vec<_> = (0..2).map(|_| all.enter(peer("192.0.2.1")).unwrap()).collect();
        assert!(all.enter(peer("192.0.2.1")).is_none(), "an address has its share");
        held.extend((0..2).map(|_| all.enter(peer("192.0.2.2")).unwrap()));
        assert!(all.enter(peer("192.0.2.3")).is_none(), "strangers have no more than a quarter");
        // Who is known gives the place back, and its address is expected from then on.
        let first = Arc::new(held.remove(0));
        first.answer(async { (known("user 1"), assert_eq!(whose(), "user 1")) }).await;
        assert_eq!((all.strangers.taken(), all.known.taken()), (3, 1));
        assert!(all.enter(peer("192.0.2.3")).is_some());
        let again: Vec<_> = (0..2).map(|_| all.enter(peer("192.0.2.1")).unwrap()).collect();
        assert!(all.enter(peer("192.0.2.1")).is_none());
        let here: Vec<_> = (0..2).map(|_| all.enter(peer("127.0.0.1")).unwrap()).collect();
        assert!(all.enter(peer("127.0.0.1")).is_none() && all.enter(peer("127.0.0.2")).is_none());
        drop(here);
        drop((again, first));
        assert_eq!((all.expected.taken(), all.known.taken()), (0, 0));
        assert!(all.enter(peer("127.0.0.1")).is_some(), "this machine is always expected");
        assert!(whose().is_empty());
    }
}
