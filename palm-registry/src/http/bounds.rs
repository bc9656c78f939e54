//! How much strangers, and others, can have the registry do at a time: connections, bodies, streams.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::app::App;
use super::connections::whose;
use super::problem::Problem;
use super::shares::{Full, Place, Shares};

/// Longest body of a request, in bytes.
pub(super) const BODY_MAX: usize = 16 << 20;
/// Bytes of a body for which it needs no place.
const SMALL: usize = 64 << 10;
/// Bytes of a body of those who are not known yet: a name and a password have room in it.
pub(super) const PUBLIC: usize = 8 << 10;
/// What places are counted in, in bytes.
const UNIT: usize = 1 << 20;

/// How much there is at a time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections: half are of those who are known, and a quarter of strangers.
    pub connections: usize,
    /// Of strangers' connections, those of one address.
    pub strangers_of_one: usize,
    /// How long a connection may be silent before the head of its next request is there.
    pub head: Duration,
    /// Bytes of bodies that are longer than a few KiB.
    pub bodies: usize,
    /// Of these, those of one user, or of one cluster's nodes.
    pub bodies_of_one: usize,
    /// How long a body may be silent before the next part of it is there.
    pub silence: Duration,
    /// How long a body may take, with the wait for its place.
    pub body: Duration,
    /// Streams of events.
    pub streams: usize,
    /// Of these, those of one user.
    pub streams_of_one: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let (head, silence, body) = (Duration::from_secs(30), Duration::from_secs(15), Duration::from_secs(60));
        let (connections, strangers_of_one) = (4096, 128);
        let (bodies, bodies_of_one) = (128 << 20, 32 << 20);
        let (streams, streams_of_one) = (1024, 64);
        Self { connections, strangers_of_one, head, bodies, bodies_of_one, silence, body, streams, streams_of_one }
    }
}

/// What is there of it.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    bodies: Arc<Semaphore>,
    /// What each user, or each cluster's nodes, may send at a time, of those who send anything.
    senders: Mutex<HashMap<String, Weak<Semaphore>>>,
    pub(super) bodies_refused: AtomicU64,
    pub(super) streams: Arc<Shares>,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Self {
        let bodies = Arc::new(Semaphore::new(bounds.bodies.div_ceil(UNIT)));
        let streams = Shares::new(bounds.streams, bounds.streams_of_one);
        Self { bounds, bodies, senders: Mutex::default(), bodies_refused: AtomicU64::new(0), streams }
    }

    /// A place for a stream of a user, until it is dropped.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(super) fn stream(&self, user: i64) -> Result<Place, Problem> {
        self.streams.enter(&format!("user {user}")).map_err(|full| {
            let whose = if full == Full::Own { "you have" } else { "there are" };
            Problem::busy(format!("{whose} too many open streams: end one, or try again"))
        })
    }

    /// Bytes of bodies for which there is room at the moment.
    pub(super) fn room_for_bodies(&self) -> usize {
        self.bodies.available_permits() * UNIT
    }

    /// What one may send at a time. Those who send nothing are forgotten.
    fn sender(&self, whose: &str) -> Arc<Semaphore> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = senders.get(whose).and_then(Weak::upgrade) {
            return own;
        }
        senders.retain(|_, sender| sender.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.bounds.bodies_of_one.div_ceil(UNIT)));
        senders.insert(whose.to_owned(), Arc::downgrade(&own));
        own
    }
}

/// Room for a body: of the sender's own, and of all.
#[derive(Debug)]
struct Room {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    /// Held, so that the sender is known as long as it sends.
    _sender: Arc<Semaphore>,
}

/// What is known of a body that is read, until its request is answered.
#[derive(Default)]
struct Told {
    place: Option<Room>,
    problem: Option<Problem>,
}

/// Lets bodies wait for a place when somebody begins to read them, and ends those that are slow. Nobody reads one before it is known who
/// sends it, or it is a short one.
pub(super) async fn bodies(State(app): State<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let told = Arc::new(Mutex::new(Told::default()));
    let expected = body.size_hint().upper().map(|upper| usize::try_from(upper).unwrap_or(usize::MAX));
    let (places, body, told_here) = (app.places.clone(), body.into_data_stream(), told.clone());
    let reading = Reading { places, body, expected, read: 0, deadline: None, is_placed: false, told: told_here };
    let body = Body::from_stream(unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(bytes) => Some((Ok(bytes?), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    }));
    let response = next.run(Request::from_parts(parts, body)).await;
    let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    told.problem.map_or(response, Problem::into_response)
}

struct Reading {
    places: Arc<Places>,
    body: BodyDataStream,
    /// How long it says that it is.
    expected: Option<usize>,
    read: usize,
    deadline: Option<Instant>,
    is_placed: bool,
    told: Arc<Mutex<Told>>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, io::Error> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.places.bounds.body);
        if !self.is_placed && self.expected.unwrap_or(self.read) > SMALL {
            self.place(deadline).await?;
        }
        let next = deadline.min(Instant::now() + self.places.bounds.silence);
        let bytes = match timeout_at(next, self.body.next()).await {
            Ok(bytes) => bytes.transpose().map_err(io::Error::other)?,
            Err(_) => {
                let message = "the body did not come in time";
                return Err(self.fail(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", message)));
            }
        };
        self.read += bytes.as_ref().map_or(0, Bytes::len);
        Ok(bytes)
    }

    /// Waits for room for the whole of it, so that of those who are being read each can be read to its end.
    async fn place(&mut self, deadline: Instant) -> Result<(), io::Error> {
        let most = self.expected.unwrap_or(BODY_MAX);
        if most > BODY_MAX {
            let message = format!("the body is too long: expected {BODY_MAX} bytes at most");
            return Err(self.fail(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", message)));
        }
        let bounds = &self.places.bounds;
        let units = most.div_ceil(UNIT).min(bounds.bodies.min(bounds.bodies_of_one).div_ceil(UNIT));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let sender = self.places.sender(&whose());
        // Who sends much waits for its own, and has one place among those who wait for room.
        let room = async {
            let own = sender.clone().acquire_many_owned(units).await.ok()?;
            let all = self.places.bodies.clone().acquire_many_owned(units).await.ok()?;
            Some(Room { _own: own, _all: all, _sender: sender })
        };
        let Ok(Some(place)) = timeout_at(deadline, room).await else {
            self.places.bodies_refused.fetch_add(1, Ordering::Relaxed);
            return Err(self.fail(Problem::busy("too much is being sent to the registry at the same time: try again")));
        };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).place = Some(place);
        self.is_placed = true;
        Ok(())
    }

    fn fail(&self, problem: Problem) -> io::Error {
        let error = io::Error::other(problem.message.clone());
        self.told.lock().unwrap_or_else(PoisonError::into_inner).problem = Some(problem);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_places_of_their_own_and_of_all() {
        let places = Arc::new(Places::new(Bounds { streams: 3, streams_of_one: 2, ..Bounds::default() }));
        let first = places.stream(1).unwrap();
        let _second = places.stream(1).unwrap();
        assert_eq!(places.stream(1).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        let _other = places.stream(2).unwrap();
        assert!(places.stream(3).is_err(), "there are as many as there may be");
        drop(first);
        let third = places.stream(3).unwrap();
        assert!(places.stream(1).is_err());
        drop(third);
        assert!(places.stream(1).is_ok());
    }

    #[tokio::test]
    async fn a_body_waits_for_room_and_is_refused_if_none_comes() {
        let bounds = Bounds { bodies: 2 << 20, body: Duration::from_millis(50), ..Bounds::default() };
        let places = Arc::new(Places::new(bounds));
        let reading = |length: usize, expected: Option<usize>| Reading {
            places: places.clone(),
            body: Body::from(vec![0; length]).into_data_stream(),
            expected,
            read: 0,
            deadline: None,
            is_placed: false,
            told: Arc::default(),
        };
        let mut first = reading(2 << 20, Some(2 << 20));
        assert_eq!(first.next().await.unwrap().unwrap().len(), 2 << 20);
        let mut second = reading(1 << 20, Some(1 << 20));
        assert!(second.next().await.is_err());
        let problem = second.told.lock().unwrap().problem.take().unwrap();
        assert_eq!((problem.status, problem.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(5)));
        assert!(reading(SMALL, Some(SMALL)).next().await.is_ok(), "a short one needs no room");
        drop(first);
        assert!(reading(1 << 20, Some(1 << 20)).next().await.is_ok());
        // One that does not say how long it is needs room once it is not short any more.
        let mut unsaid = reading(SMALL + 1, None);
        assert!(unsaid.next().await.is_ok() && unsaid.told.lock().unwrap().place.is_none());
        assert!(unsaid.next().await.unwrap().is_none() && unsaid.told.lock().unwrap().place.is_some());
    }
}
