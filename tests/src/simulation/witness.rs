//! Follows what is said over native connections, at the master's end, and knows what may be said next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use palm_proto::Instant;
use palm_proto::native::{Header, Role, SessionId, Streamed, ToMaster, ToPeer, decode_stream};

/// Numbers of tasks.
const NUMBERS: u32 = 16_384;

/// A task, as native peers call it.
type Task = ([u8; 16], u64);

/// What a master may do in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// It takes tasks back from workers that hang: it may give them to others before it says so.
    pub(super) lease: bool,
    /// All workers are native, and none is given up on: what one says it holds is its, if nobody else has it.
    pub(super) claims: bool,
    /// Nothing goes wrong, and nobody hands back: dispatches are in order.
    pub(super) quiet: bool,
    /// How long it remembers a client that is away.
    pub(super) keep: Duration,
}

/// What there was to hear since the master started.
#[derive(Debug)]
pub(super) struct Witness {
    rules: Rules,
    connections: BTreeMap<usize, Connection>,
    holders: BTreeMap<Task, Vec<(usize, u32)>>,
    /// Priorities of what was submitted.
    submitted: BTreeMap<Task, u8>,
    /// What was answered, cancelled, or has a deadline.
    ended: BTreeSet<Task>,
    attempts: BTreeMap<Task, u32>,
    /// Sequences that were submitted, and sessions that the master has forgotten.
    accepted: BTreeMap<[u8; 16], u64>,
    forgotten: BTreeSet<[u8; 16]>,
    /// Since when who is without a connection.
    away: BTreeMap<[u8; 16], Instant>,
}

#[derive(Debug, Default)]
struct Connection {
    session: [u8; 16],
    window: u32,
    draining: bool,
    /// Of a frame that is not whole.
    begun: Vec<u8>,
    /// What it submits has no room.
    dropping: bool,
    next: u32,
    tasks: BTreeMap<u32, Held>,
    sessions: BTreeMap<u16, [u8; 16]>,
    last: BTreeMap<([u8; 16], u8), u64>,
}

#[derive(Debug)]
struct Held {
    task: Task,
    /// It has not been cancelled.
    live: bool,
    /// Nobody else is to have it.
    exclusive: bool,
    announced: bool,
}

impl Witness {
    /// A master starts.
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            connections: BTreeMap::new(),
            holders: BTreeMap::new(),
            submitted: BTreeMap::new(),
            ended: BTreeSet::new(),
            attempts: BTreeMap::new(),
            accepted: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            away: BTreeMap::new(),
        }
    }

    /// The same rules for another master.
    pub(super) fn afresh(&self) -> Self {
        Self::new(self.rules)
    }

    /// A connection is closed.
    pub(super) fn close(&mut self, now: Instant, connection: usize) {
        let Some(closed) = self.connections.remove(&connection) else { return };
        if self.connections.values().all(|other| other.session != closed.session) {
            self.away.insert(closed.session, now);
        }
        // A peer that waits for long for its master gives the connection up.
        self.rules.quiet = false;
        for (number, held) in closed.tasks {
            self.drop_holder(held.task, connection, number);
        }
    }

    /// A worker's process comes over another connection: what it had over the one before goes back.
    fn replace(&mut self, session: [u8; 16]) {
        let before = self.connections.iter().find(|(_, other)| other.session == session).map(|(&before, _)| before);
        if let Some(before) = before
            && let Some(replaced) = self.connections.remove(&before)
        {
            for (number, held) in replaced.tasks {
                self.drop_holder(held.task, before, number);
            }
        }
    }

    /// The master has taken these frames.
    ///
    /// # Errors
    /// If they should not have been sent.
    pub(super) fn hear(&mut self, connection: usize, bytes: &[u8]) -> Result<(), String> {
        // A frame that is dropped is taken in pieces.
        let mut heard = std::mem::take(&mut self.connections.entry(connection).or_default().begun);
        heard.extend_from_slice(bytes);
        let mut rest = &heard[..];
        loop {
            match decode_stream(rest, u32::MAX) {
                Ok(Streamed::Frame { used, range }) => {
                    if let Ok(Some(frame)) = ToMaster::decode(&rest[range]) {
                        self.on_frame(connection, frame.header)?;
                    }
                    rest = &rest[used..];
                }
                Ok(Streamed::Skipped { used }) => rest = &rest[used..],
                _ => break,
            }
        }
        self.connections.entry(connection).or_default().begun = rest.to_vec();
        Ok(())
    }

    /// The master sends this frame.
    ///
    /// # Errors
    /// If it should not.
    pub(super) fn say(&mut self, now: Instant, connection: usize, bytes: &[u8]) -> Result<(), String> {
        let range = match decode_stream(bytes, u32::MAX) {
            Ok(Streamed::Frame { range, .. }) => range,
            Ok(Streamed::Skipped { .. }) => return Ok(()),
            _ => return Err(format!("the master sends what is no frame: {bytes:02x?}")),
        };
        let frame = ToPeer::decode(&bytes[range]).map_err(|error| format!("the master sends a frame: {error}"))?;
        let Some(frame) = frame else { return Ok(()) };
        let entry = self.connections.entry(connection).or_default();
        match frame.header {
            ToPeer::Session { alias, id } => _ = entry.sessions.insert(alias.number(), id.0),
            ToPeer::Skip { numbers } => entry.next = (entry.next + numbers) % NUMBERS,
            ToPeer::Task { session, sequence, .. } => self.dispatch(connection, session.number(), sequence, 1)?,
            ToPeer::TaskWith { session, sequence, attempt, .. } => {
                self.dispatch(connection, session.number(), sequence, attempt)?;
            }
            ToPeer::CancelTask { number } => {
                let Some(held) = entry.tasks.get_mut(&number.number().into()) else { return Ok(()) };
                held.live = false;
                let task = held.task;
                let is_forgotten = self.forgotten.contains(&task.0)
                    || self.away.get(&task.0).is_some_and(|&since| now >= since + self.rules.keep);
                let known = self.submitted.contains_key(&task) && !is_forgotten;
                if held.announced && held.exclusive && known && !self.ended.contains(&task) && self.rules.claims {
                    return Err(format!("what connection {connection} holds is its, and is cancelled: {task:02x?}"));
                }
            }
            ToPeer::Accepted { up_to } => {
                let session = entry.session;
                let before = self.accepted.insert(session, up_to);
                if before.is_some_and(|before| before > up_to) {
                    self.forgotten.insert(session);
                    // It has dropped what it had.
                    self.submitted.retain(|&(other, _), _| other != session);
                }
            }
            ToPeer::NoRoom { from } => {
                entry.dropping = true;
                let session = entry.session;
                self.accepted.insert(session, from);
                self.submitted.retain(|&(other, sequence), _| other != session || sequence < from);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_frame(&mut self, connection: usize, frame: ToMaster) -> Result<(), String> {
        if let ToMaster::Hello { role: Role::Worker, session, resume: true, .. } = frame {
            self.replace(session.handle().0);
        }
        let entry = self.connections.entry(connection).or_default();
        match frame {
            ToMaster::Hello { role, window, session, .. } => {
                // All that others know a client by.
                let SessionId(session) = session.handle();
                entry.session = session;
                self.away.remove(&session);
                entry.window = if role == Role::Worker { window.clamp(1, NUMBERS / 2) } else { window };
            }
            ToMaster::Credit { more } => entry.window = entry.window.saturating_add(more).min(NUMBERS / 2),
            ToMaster::Drain => entry.draining = true,
            ToMaster::HandBack { number } => {
                entry.window = entry.window.saturating_sub(1);
                self.remove(connection, number.number().into())?;
            }
            ToMaster::Done { number } | ToMaster::Failed { number, .. } => {
                let task = self.remove(connection, number.number().into())?;
                self.ended.insert(task);
            }
            ToMaster::Holding { session: SessionId(session), sequence, attempt } => {
                let task = (session, sequence);
                let number = entry.next;
                entry.next = (number + 1) % NUMBERS;
                let others = self.holders.entry(task).or_default();
                let later = self.attempts.get(&task).is_some_and(|&last| last > attempt);
                let exclusive = others.is_empty() && !later && session != [0; 16];
                entry.tasks.insert(number, Held { task, live: true, exclusive, announced: true });
                for &(other, at) in others.iter() {
                    if let Some(held) = self.connections.get_mut(&other).and_then(|other| other.tasks.get_mut(&at)) {
                        held.exclusive = false;
                    }
                }
                others.push((connection, number));
            }
            ToMaster::Restart => entry.dropping = false,
            ToMaster::Submit { .. } | ToMaster::SubmitWith { .. } if entry.dropping => {}
            ToMaster::Submit { sequence, .. } => self.on_submit(connection, sequence, 0, false),
            ToMaster::SubmitWith { sequence, priority, deadline_ms, .. } => {
                self.on_submit(connection, sequence, priority, deadline_ms.is_some());
            }
            ToMaster::Cancel { sequence } => _ = self.ended.insert((entry.session, sequence)),
            _ => {}
        }
        Ok(())
    }

    fn on_submit(&mut self, connection: usize, sequence: u64, priority: u8, deadline: bool) {
        let session = self.connections[&connection].session;
        let accepted = self.accepted.entry(session).or_default();
        *accepted = (*accepted).max(sequence + 1);
        self.submitted.insert((session, sequence), priority);
        if deadline {
            self.ended.insert((session, sequence));
        }
    }

    fn dispatch(&mut self, connection: usize, alias: u16, sequence: u64, attempt: u32) -> Result<(), String> {
        let entry = self.connections.get_mut(&connection).ok_or("a task for nobody")?;
        let session = *entry.sessions.get(&alias).ok_or("a task under an alias that means nothing")?;
        let task = (session, sequence);
        let told = format!("message {sequence}, attempt {attempt}, on connection {connection}");
        if entry.draining {
            return Err(format!("{told}: to a worker that takes no more"));
        }
        if entry.tasks.len() >= entry.window as usize {
            return Err(format!("{told}: beyond the window of {}", entry.window));
        }
        let number = entry.next;
        entry.next = (number + 1) % NUMBERS;
        if entry.tasks.contains_key(&number) {
            return Err(format!("{told}: number {number} is taken"));
        }
        let forgotten = self.forgotten.contains(&session);
        if forgotten && !self.submitted.contains_key(&task) {
            return Err(format!("{told}: its client was forgotten, and has not submitted it since"));
        }
        if self.rules.quiet
            && let Some(&priority) = self.submitted.get(&task)
            && entry.last.insert((session, priority), sequence).is_some_and(|last| last > sequence)
        {
            return Err(format!("{told}: after what was submitted later"));
        }
        let held = Held { task, live: true, exclusive: true, announced: false };
        entry.tasks.insert(number, held);
        let holders = self.holders.entry(task).or_default();
        for &(other, at) in holders.iter() {
            let held = &self.connections[&other].tasks[&at];
            let sure = if held.announced { self.rules.claims } else { !self.rules.lease };
            if held.live && held.exclusive && !forgotten && (sure || other == connection) {
                return Err(format!("{told}: connection {other} is at it"));
            }
        }
        holders.push((connection, number));
        let before = self.attempts.insert(task, attempt);
        if !forgotten && before.is_some_and(|before| before >= attempt) {
            return Err(format!("{told}: after attempt {before:?}"));
        }
        Ok(())
    }

    fn remove(&mut self, connection: usize, number: u32) -> Result<Task, String> {
        let entry = self.connections.get_mut(&connection).ok_or("an answer of nobody")?;
        let held = entry.tasks.remove(&number).ok_or("an answer to what is not out")?;
        self.drop_holder(held.task, connection, number);
        Ok(held.task)
    }

    fn drop_holder(&mut self, task: Task, connection: usize, number: u32) {
        if let Some(holders) = self.holders.get_mut(&task) {
            holders.retain(|&holder| holder != (connection, number));
            if holders.is_empty() {
                self.holders.remove(&task);
            }
        }
    }
}
