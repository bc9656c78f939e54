//! Places for connections: strangers have few, each address of them a share, and who is known has others. Where places are short,
//! connections on which nothing has been asked for longest give way.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::access::Peer;
use super::bounds::Bounds;
use super::remembered::Remembered;
use super::shares::{Full, Place, Shares};
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
    idle: Mutex<Idle>,
}

/// Connections that are nobody's yet, and on which nothing is answered, in the order in which they came to that.
#[derive(Debug, Default)]
struct Idle {
    seats: BTreeMap<u64, Arc<Seat>>,
    next: u64,
}

impl Connections {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (quarter, half) = (bounds.connections.div_ceil(4), bounds.connections.div_ceil(2));
        Self {
            strangers: Shares::new(quarter, bounds.strangers_of_one),
            expected: Shares::new(quarter, quarter.div_ceil(2)),
            known: Shares::new(half, half - half / 8),
            addresses: Remembered::new(KNOWN_FOR),
            idle: Mutex::default(),
        }
    }

    /// A place for a connection that has come; `None`: there is none, and no other connection gives way.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Arc<Connection>> {
        let network = peer.network();
        let is_expected = peer.0.to_canonical().is_loopback() || self.addresses.has(&network);
        let shares = if is_expected { &self.expected } else { &self.strangers };
        let place = loop {
            match shares.try_enter(&network) {
                Ok(place) => break place,
                Err(full) => {
                    // Either this one is sent away, or another is.
                    shares.refuse();
                    let own = (full == Full::Own).then_some(network.as_str());
                    if !self.push_one_out(is_expected, own) {
                        return None;
                    }
                }
            }
        };
        let held = Mutex::new(Held { place: Some(place), whose: None });
        let seat = Arc::new(Seat { network, is_expected, held, left: Notify::new() });
        let connection = Arc::new(Connection { all: self.clone(), number: Mutex::default(), seat });
        connection.rest();
        Some(connection)
    }

    /// Has the connection give way that has been idle longest, of one network if one is named. Whether there was one.
    fn push_one_out(&self, is_expected: bool, network: Option<&str>) -> bool {
        let mut idle = locked(&self.idle);
        let may = |seat: &Seat| seat.is_expected == is_expected && network.is_none_or(|own| own == seat.network);
        let Some(number) = idle.seats.iter().find(|(_, seat)| may(seat)).map(|(&number, _)| number) else {
            return false;
        };
        if let Some(seat) = idle.seats.remove(&number) {
            locked(&seat.held).place = None;
            seat.left.notify_one();
        }
        true
    }
}

/// A connection, in its place.
#[derive(Debug)]
pub(super) struct Connection {
    all: Arc<Connections>,
    /// Which one it is among those that are idle, if it is.
    number: Mutex<Option<u64>>,
    seat: Arc<Seat>,
}

#[derive(Debug)]
struct Seat {
    network: String,
    /// Whether it is among those that are expected, or among strangers.
    is_expected: bool,
    held: Mutex<Held>,
    /// It has given way.
    left: Notify,
}

#[derive(Debug)]
struct Held {
    /// None: it has given way.
    place: Option<Place>,
    /// Who is known to use it.
    whose: Option<String>,
}

impl Connection {
    /// Answers a request of it.
    pub(super) fn answer<F: Future>(self: &Arc<Self>, answer: F) -> impl Future<Output = F::Output> + use<F> {
        self.begin();
        let connection = self.clone();
        async move {
            let answered = CONNECTION.scope(connection.clone(), answer).await;
            connection.rest();
            answered
        }
    }

    /// Returns once it has to give way.
    pub(super) async fn left(&self) {
        self.seat.left.notified().await;
    }

    /// Nothing is answered, for now.
    fn rest(&self) {
        if locked(&self.seat.held).whose.is_none() {
            let mut number = locked(&self.number);
            let mut idle = locked(&self.all.idle);
            *number = Some(idle.next);
            let next = idle.next;
            idle.seats.insert(next, self.seat.clone());
            idle.next += 1;
        }
    }

    fn begin(&self) {
        let mut number = locked(&self.number);
        if let Some(number) = number.take() {
            locked(&self.all.idle).seats.remove(&number);
        }
    }

    fn known(&self, whose: &str) {
        let mut held = locked(&self.seat.held);
        if held.whose.as_deref() == Some(whose) {
            return;
        }
        self.all.addresses.see(&self.seat.network);
        held.whose = Some(whose.to_owned());
        // If there is no place, it keeps the one that it has.
        if let Ok(place) = self.all.known.enter(whose) {
            held.place = Some(place);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.begin();
    }
}

/// It is known now whose request is answered: a user's, or of a cluster's nodes.
pub(super) fn known(whose: &str) {
    let _ = CONNECTION.try_with(|connection| connection.known(whose));
}

/// Whose request is answered, or from which network, if that is not known; and if there is no connection, nobody's.
pub(super) fn whose() -> String {
    let whose = CONNECTION.try_with(|connection| {
        let whose = locked(&connection.seat.held).whose.clone();
        whose.unwrap_or_else(|| format!("address {}", connection.seat.network))
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
            connection.begin();
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
        assert_eq!((all.strangers.taken(), all.known.taken(), locked(&all.idle).seats.len()), (1, 0, 1));
    }
}
