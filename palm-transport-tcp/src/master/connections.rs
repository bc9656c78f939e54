//! All connections of a master: by the token of their events, and by the endpoint's name for them.

use std::collections::VecDeque;

use palm_proto::endpoint::ConnectionId;

use super::connection::Connection;
use super::line::Line;

/// What moves bytes.
#[derive(Debug)]
pub(super) enum Carrier {
    Socket(Box<Connection>),
    Line(Box<Line>),
}

#[derive(Debug, Default)]
pub(super) struct Connections {
    carriers: Vec<Option<Carrier>>,
    free: Vec<usize>,
    /// Which carrier has a connection, by [`ConnectionId::index`].
    places: Vec<Option<usize>>,
    pub(super) reading: Turns,
    pub(super) writing: Turns,
}

impl Connections {
    /// Where the next carrier goes.
    pub(super) fn next_place(&self) -> usize {
        self.free.last().copied().unwrap_or(self.carriers.len())
    }

    /// Keeps a carrier at [`next_place`](Self::next_place).
    pub(super) fn insert(&mut self, carrier: Carrier) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.carriers[place] = Some(carrier);
                place
            }
            None => {
                self.carriers.push(Some(carrier));
                self.carriers.len() - 1
            }
        }
    }

    pub(super) fn at(&mut self, place: usize) -> Option<&mut Carrier> {
        self.carriers.get_mut(place)?.as_mut()
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Carrier> {
        let carrier = self.carriers.get_mut(place)?.take()?;
        self.free.push(place);
        Some(carrier)
    }

    /// Notes which carrier has a connection.
    pub(super) fn note(&mut self, id: ConnectionId, place: usize) {
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, None);
        }
        self.places[id.index()] = Some(place);
    }

    pub(super) fn place_of(&self, id: ConnectionId) -> Option<usize> {
        self.places.get(id.index()).copied().flatten()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        0..self.carriers.len()
    }
}

/// Whose turn it is: each carrier once.
#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: VecDeque<usize>,
    queued: Vec<bool>,
}

impl Turns {
    pub(super) fn push(&mut self, place: usize) {
        if self.queued.len() <= place {
            self.queued.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.queued[place], true) {
            self.queue.push_back(place);
        }
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        let place = self.queue.pop_front()?;
        self.queued[place] = false;
        Some(place)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
