//! Lines on their way to the registry, in files: they outlast a registry that is away, and a runner that is killed.
//!
//! A folder has segments, `NUMBER.lines`, with a line of JSON for each line that was printed, and `state`, which says how far they are
//! sent. At the bound the oldest segment goes; in its place a line for each process says how many were thrown away. What cannot be
//! written, as the disk is full, is lost; the next line that can be has one before it that says how many were.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::private::Folder;
use crate::wire::{LINES_MAX, Line, Stream};

/// Segments that the bound is divided into: so much of it goes at once.
const SEGMENTS: u64 = 16;
/// Most that one batch has, in bytes of JSON.
const BATCH_MAX: usize = 2 << 20;
/// Times that a spool is tried which somebody has, and the rest between them.
const LOCK_TRIES: u32 = 50;
const LOCK_REST: Duration = Duration::from_millis(20);
/// The file that says how far lines are sent.
const STATE: &str = "state";
/// Least bound, in bytes.
pub const SPOOL_MIN: u64 = 64 << 10;

/// A line that has no number yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) component: String,
    pub(super) copy: u32,
    pub(super) stream: Stream,
    pub(super) at: i64,
    pub(super) text: String,
}

/// Lines to be sent, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    /// Where what is not sent begins.
    begin: Position,
    /// Where the next batch begins.
    end: Position,
}

impl Batch {
    /// Some of its lines, from one on.
    pub(super) fn part(&self, from: usize, count: usize) -> Self {
        let end = from.saturating_add(count).min(self.lines.len());
        let lines = self.lines.get(from..end).unwrap_or_default().to_vec();
        // A part may end anywhere between the two; its last number tells what is sent.
        Self { lines, begin: self.begin, end: if end == self.lines.len() { self.end } else { self.begin } }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    segment: u64,
    offset: u64,
}

/// The spool of a node.
#[derive(Debug)]
pub(super) struct Spool {
    folder: Folder,
    max: u64,
    state: State,
    /// The segments by their numbers, and their lengths.
    segments: BTreeMap<u64, u64>,
    /// The last segment.
    file: File,
    /// The first line that is not sent.
    unsent: Position,
    last: u64,
    /// How many lines of each process could not be written, and nobody was told of.
    lost: BTreeMap<(String, u32), u64>,
    /// Instants do not go back, whatever the clock does.
    at: i64,
    _lock: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    id: Uuid,
    sent: u64,
    /// How many lines of each process were thrown away that nobody was told of.
    #[serde(default)]
    dropped: Vec<Dropped>,
    /// The number of the last of them.
    #[serde(default)]
    dropped_last: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Dropped {
    component: String,
    copy: u32,
    lines: u64,
    at: i64,
}

impl Spool {
    /// Opens the spool in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be read or written, or another runner has it.
    pub(super) fn open(folder: &Path, max: u64) -> io::Result<Self> {
        let folder = Folder::make(folder)?;
        let lock = folder.open("lock")?;
        lock_soon(&lock)?;
        let state = match folder.content(STATE)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other)?,
            None => State { id: Uuid::new_v4(), sent: 0, dropped: Vec::new(), dropped_last: 0 },
        };
        let mut segments = BTreeMap::new();
        for name in folder.names()? {
            if let Some(number) = name.strip_suffix(".lines").and_then(|number| number.parse().ok()) {
                segments.insert(number, folder.read(&segment(number))?.metadata()?.len());
            }
        }
        let number = segments.last_key_value().map_or(1, |(number, _)| *number);
        let file = folder.append(&segment(number))?;
        let mut spool = Self {
            folder,
            max: max.max(SPOOL_MIN),
            last: state.sent.max(state.dropped_last),
            state,
            segments,
            file,
            unsent: Position::default(),
            lost: BTreeMap::new(),
            at: 0,
            _lock: lock,
        };
        spool.recover(number)?;
        spool.write_state()?;
        Ok(spool)
    }

    /// Its name for the registry.
    pub(super) fn id(&self) -> Uuid {
        self.state.id
    }

    /// Adds lines.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn append(&mut self, lines: impl IntoIterator<Item = Printed>) -> io::Result<()> {
        let lines: Vec<Printed> = lines.into_iter().collect();
        let (mut bytes, mut last) = (Vec::new(), self.last);
        for printed in self.told_of_lost().iter().chain(&lines) {
            last += 1;
            self.at = self.at.max(printed.at);
            let Printed { component, copy, stream, text, .. } = printed.clone();
            serde_json::to_writer(&mut bytes, &Line { seq: last, component, copy, stream, at: self.at, text })?;
            bytes.push(b'\n');
        }
        let written = match self.write(&bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.make_room().and_then(|()| self.write(&bytes)).map_err(|_| error)
            }
            written => written,
        };
        if let Err(error) = written {
            for Printed { component, copy, .. } in lines {
                *self.lost.entry((component, copy)).or_default() += 1;
            }
            return Err(error);
        }
        self.last = last;
        self.lost.clear();
        while self.segments.len() > 1 && self.segments.values().sum::<u64>() > self.max {
            self.drop_oldest()?;
        }
        Ok(())
    }

    /// Adds bytes to the last segment, or to a new one if that is long.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut number, mut length) =
            self.segments.last_key_value().map_or((1, 0), |(number, length)| (*number, *length));
        if length > self.max / SEGMENTS {
            number += 1;
            length = 0;
            self.file = self.folder.append(&segment(number))?;
            self.segments.insert(number, 0);
        }
        if let Err(error) = self.file.write_all(bytes) {
            // A line that is there in part would spoil the next.
            let _ = self.file.set_len(length);
            return Err(error);
        }
        self.segments.insert(number, length + bytes.len() as u64);
        Ok(())
    }

    /// Empties the last segment, if all of it is sent.
    fn make_room(&mut self) -> io::Result<()> {
        if let Some(mut last) = self.segments.last_entry().filter(|_| self.state.sent >= self.last) {
            self.file.set_len(0)?;
            last.insert(0);
            self.unsent = Position { segment: *last.key(), offset: 0 };
            // The numbers go on from there.
            self.write_state()?;
        }
        Ok(())
    }

    /// The next lines that are not sent.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn batch(&self) -> io::Result<Batch> {
        let mut batch = Batch { lines: self.told_of_dropped(), begin: self.unsent, end: self.unsent };
        let mut bytes = 0;
        let first = self.unsent.segment;
        for (&number, &length) in self.segments.range(first..) {
            let offset = if number == first { self.unsent.offset } else { 0 };
            batch.end = Position { segment: number, offset };
            if offset >= length {
                continue;
            }
            let mut file = self.folder.read(&segment(number))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut reader = BufReader::new(file.take(length - offset));
            let mut record = Vec::new();
            while reader.read_until(b'\n', &mut record)? > 0 {
                if batch.lines.len() >= LINES_MAX || bytes + record.len() > BATCH_MAX && bytes > 0 {
                    return Ok(batch);
                }
                bytes += record.len();
                batch.end.offset += record.len() as u64;
                let line: Option<Line> = serde_json::from_slice(&record).ok();
                batch.lines.extend(line.filter(|line| line.seq > self.state.sent));
                record.clear();
            }
        }
        Ok(batch)
    }

    /// A batch has arrived.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub(super) fn sent(&mut self, batch: &Batch) -> io::Result<()> {
        let Some(last) = batch.lines.last() else { return Ok(()) };
        self.state.sent = self.state.sent.max(last.seq);
        if last.seq >= self.state.dropped_last {
            self.state.dropped.clear();
        }
        // While it was under way, what it came from may have been thrown away.
        if self.segments.contains_key(&batch.end.segment) && batch.end >= self.unsent {
            self.unsent = batch.end;
        }
        let written = self.write_state();
        while let Some((&number, _)) = self.segments.first_key_value()
            && number < self.unsent.segment
        {
            self.segments.remove(&number);
            self.folder.remove(&segment(number))?;
        }
        // On a disk that was full there is room now.
        written.or_else(|_| {
            self.make_room()?;
            self.write_state()
        })
    }

    /// Whether all is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.state.sent >= self.last
    }

    /// Finds what the last segment has, without a line that is there in part, and the last number.
    fn recover(&mut self, number: u64) -> io::Result<()> {
        let mut reader = BufReader::new(self.folder.read(&segment(number))?);
        let (mut length, mut record) = (0, Vec::new());
        while reader.read_until(b'\n', &mut record)? > 0 {
            let Ok(line) = serde_json::from_slice::<Line>(&record) else { break };
            if record.last() != Some(&b'\n') {
                break;
            }
            length += record.len() as u64;
            self.last = self.last.max(line.seq);
            self.at = self.at.max(line.at);
            record.clear();
        }
        self.file.set_len(length)?;
        self.segments.insert(number, length);
        if length == 0 {
            // The one before it has the last number.
            for &earlier in self.segments.keys().rev().skip(1).take(1) {
                for line in read_lines(self.folder.read(&segment(earlier))?)? {
                    self.last = self.last.max(line.seq);
                    self.at = self.at.max(line.at);
                }
            }
        }
        self.unsent = Position { segment: self.segments.keys().next().copied().unwrap_or(number), offset: 0 };
        Ok(())
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        let Some((&number, _)) = self.segments.first_key_value() else { return Ok(()) };
        for line in
            read_lines(self.folder.read(&segment(number))?)?.into_iter().filter(|line| line.seq > self.state.sent)
        {
            self.state.dropped_last = line.seq;
            let known = self
                .state
                .dropped
                .iter_mut()
                .find(|known| known.component == line.component && known.copy == line.copy);
            match known {
                Some(known) => {
                    known.lines += 1;
                    known.at = line.at;
                }
                None => {
                    let Line { component, copy, at, .. } = line;
                    self.state.dropped.push(Dropped { component, copy, lines: 1, at });
                }
            }
        }
        self.segments.remove(&number);
        if self.unsent.segment <= number {
            self.unsent = Position { segment: number + 1, offset: 0 };
        }
        self.write_state()?;
        self.folder.remove(&segment(number))
    }

    /// The lines that say what was thrown away, with the numbers of the last that were.
    fn told_of_dropped(&self) -> Vec<Line> {
        let dropped = &self.state.dropped;
        let first = (self.state.dropped_last + 1).saturating_sub(dropped.len() as u64);
        let told = dropped.iter().zip(first..).map(|(dropped, seq)| Line {
            seq,
            component: dropped.component.clone(),
            copy: dropped.copy,
            stream: Stream::Runner,
            at: dropped.at,
            text: format!("{} lines before this one were thrown away: the spool was full", dropped.lines),
        });
        told.collect()
    }

    /// The lines that say how many could not be written.
    fn told_of_lost(&self) -> Vec<Printed> {
        let told = self.lost.iter().map(|((component, copy), lines)| Printed {
            component: component.clone(),
            copy: *copy,
            stream: Stream::Runner,
            at: self.at,
            text: format!("{lines} lines before this one are lost: the spool could not be written"),
        });
        told.collect()
    }

    fn write_state(&self) -> io::Result<()> {
        self.folder.replace(STATE, &serde_json::to_vec(&self.state)?)
    }
}

/// Locks a file. A process that is being started shares its parent's files for a moment, so one that is locked is tried again.
fn lock_soon(lock: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_REST),
        }
    }
    Err(io::Error::other("another runner has this spool: give this one a folder of its own (--spool)"))
}

/// The name of a segment's file.
fn segment(number: u64) -> String {
    format!("{number}.lines")
}

fn read_lines(segment: File) -> io::Result<Vec<Line>> {
    let records = BufReader::new(segment).split(b'\n');
    let lines = records.filter_map(|record| record.map(|record| serde_json::from_slice(&record).ok()).transpose());
    lines.collect()
}

#[cfg(test)]
mod tests;
