//! Places for connections: strangers have few, each address of them a share, and who is known has others. Where places are short,
//! connections on which nothing has been asked for longest give way.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::access::Peer;
use super::bounds::Bounds;
use super::remembered::Remembered;
use super::seats::{Seat, Seats};
use super::shares::Shares;
use crate::locked::locked;

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
    /// Those that are nobody's yet, and on which nothing is answered, give way.
    seats: Arc<Seats>,
}

impl Connections {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (quarter, half) = (bounds.connections.div_ceil(4), bounds.connections.div_ceil(2));
        Self {
            strangers: Shares::new(quarter, bounds.strangers_of_one),
            expected: Shares::new(quarter, quarter.div_ceil(2)),
            known: Shares::new(half, half - half / 8),
            addresses: Remembered::new(KNOWN_FOR),
            seats: Arc::default(),
        }
    }

    /// A place for a connection that has come; `None`: there is none, and no other connection gives way.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Arc<Connection>> {
        let network = peer.network();
        let is_expected = peer.0.to_canonical().is_loopback() || self.addresses.has(&network);
        let seat = self.seats.enter(if is_expected { &self.expected } else { &self.strangers }, &network)?;
        Some(Arc::new(Connection { all: self.clone(), seat, whose: Mutex::default() }))
    }
}

/// A connection, in its place.
#[derive(Debug)]
pub(super) struct Connection {
    all: Arc<Connections>,
    seat: Seat,
    /// Who is known to use it.
    whose: Mutex<Option<String>>,
}

impl Connection {
    /// Answers a request of it.
    pub(super) fn answer<F: Future>(self: &Arc<Self>, answer: F) -> impl Future<Output = F::Output> + use<F> {
        self.seat.begin();
        let connection = self.clone();
        async move {
            let answered = CONNECTION.scope(connection.clone(), answer).await;
            // What is somebody's stays.
            if locked(&connection.whose).is_none() {
                connection.seat.rest();
            }
            answered
        }
    }

    /// Returns once it has to give way.
    pub(super) async fn left(&self) {
        self.seat.left().await;
    }

    fn known(&self, whose: &str) {
        let mut known = locked(&self.whose);
        if known.as_deref() == Some(whose) {
            return;
        }
        self.all.addresses.see(self.seat.whose());
        *known = Some(whose.to_owned());
        // If there is no place, it keeps the one that it has.
        if let Ok(place) = self.all.known.enter(whose) {
            self.seat.exchange(place);
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
        let whose = locked(&connection.whose).clone();
        whose.unwrap_or_else(|| format!("address {}", connection.seat.whose()))
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
        // Something is answered on each of them.
        let busy = |ip| {
            let connection = all.enter(peer(ip)).unwrap();
            connection.seat.begin();
            connection
        };
        let mut held: Vec<_> = (0..2).map(|_| busy("192.0.2.1")).collect();
        assert!(all.enter(peer("192.0.2.1")).is_none(), "an address has its share");
        held.extend((0..2).map(|_| busy("192.0.2.2")));
        assert!(all.enter(peer("192.0.2.3")).is_none(), "strangers have no more than a quarter");
        // Who is known gives the place back, and its address is expected from then on.
        let first = held.remove(0);
        first.answer(async { (known("user 1"), assert_eq!(whose(), "user 1")) }).await;
        assert_eq!((all.strangers.taken(), all.known.taken()), (3, 1));
        assert!(all.enter(peer("192.0.2.3")).is_some());
        let again: Vec<_> = (0..2).map(|_| busy("192.0.2.1")).collect();
        assert!(all.enter(peer("192.0.2.1")).is_none());
        let here: Vec<_> = (0..2).map(|_| busy("127.0.0.1")).collect();
        assert!(all.enter(peer("127.0.0.1")).is_none() && all.enter(peer("127.0.0.2")).is_none());
        drop(here);
        drop((again, first));
        assert_eq!((all.expected.taken(), all.known.taken()), (0, 0));
        assert!(all.enter(peer("127.0.0.1")).is_some(), "this machine is always expected");
        assert!(whose().is_empty());
    }

    #[tokio::test]
    async fn where_places_are_short_who_has_been_idle_longest_gives_way() {
        let bounds = Bounds { connections: 16, strangers_of_one: 2, ..Bounds::default() };
        let all = Arc::new(Connections::new(&bounds));
        let [first, second] = [(); 2].map(|()| all.enter(peer("192.0.2.1")).unwrap());
        first.answer(async {}).await;
        let third = all.enter(peer("192.0.2.1")).unwrap();
        second.left().await;
        assert_eq!((all.strangers.taken(), all.strangers.refused()), (2, 1));
        drop(second);
        assert_eq!(all.strangers.taken(), 2, "its place was free before");
        first.answer(async { known("user 1") }).await;
        let others = ["192.0.2.2", "192.0.2.3", "192.0.2.4"].map(|ip| all.enter(peer(ip)).unwrap());
        let _next = all.enter(peer("192.0.2.5")).unwrap();
        third.left().await;
        assert_eq!((all.strangers.taken(), all.known.taken()), (4, 1));
        drop((first, third, others));
        assert_eq!((all.strangers.taken(), all.known.taken(), all.seats.idle()), (1, 0, 1));
    }
}
