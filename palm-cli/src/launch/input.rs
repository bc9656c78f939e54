//! Reads what is to be sent, a little ahead of what is being sent and no further.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Label;
use crate::given_file;

/// Bytes that one permit of the budget stands for: a message takes at least one.
const UNIT: usize = 1024;

/// How many messages are read ahead at most, whatever their size.
const AHEAD: usize = 64;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The same message several times.
    Repeat { message: Bytes, count: u64 },
    /// Each line of a file, or of standard input.
    Lines(Option<PathBuf>),
    /// Each file.
    Files(Vec<PathBuf>),
}

/// One message to send.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) label: Label,
    pub(crate) payload: Bytes,
    /// Its part of the budget, to be kept until its result is there.
    pub(crate) budget: OwnedSemaphorePermit,
}

/// Something that cannot be sent.
#[derive(Debug)]
pub(crate) struct InputError {
    /// What.
    pub(crate) label: Label,
    /// Why.
    pub(crate) reason: String,
}

/// Bounds on what is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of all messages that have no result yet.
    pub(crate) in_flight: usize,
    /// Bytes of one message.
    pub(crate) message: usize,
}

impl Source {
    /// How many messages there are, where that can be known without reading.
    pub(crate) fn total(&self) -> Option<u64> {
        match self {
            Self::Repeat { count, .. } => Some(*count),
            Self::Lines(_) => None,
            Self::Files(paths) => u64::try_from(paths.len()).ok(),
        }
    }

    /// Whether the file of lines can be read. It is not opened: to open a FIFO waits for its writer, and to close it again
    /// loses what was written.
    ///
    /// # Errors
    /// The file, and why not.
    pub(crate) fn check(&self) -> Result<(), (PathBuf, io::Error)> {
        let Self::Lines(Some(path)) = self else { return Ok(()) };
        let readable = || {
            if path.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(io::Error::from)
        };
        readable().map_err(|error| (path.clone(), error))
    }

    /// The files that are read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Lines(Some(path)) => vec![path.clone()],
            Self::Lines(None) => vec!["/dev/stdin".into()],
            Self::Files(paths) => paths.clone(),
            Self::Repeat { .. } => Vec::new(),
        }
    }

    /// Starts to read, in a thread of its own, which ends with the source or when the receiver is dropped. A FIFO that nobody
    /// writes to yet is waited for there.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn open(self, bounds: Bounds) -> io::Result<mpsc::Receiver<Result<Item, InputError>>> {
        let (out, items) = mpsc::channel(AHEAD);
        // Far below what a semaphore can hold on a 64-bit machine, and capped for the others.
        let units = (bounds.in_flight / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let feeder = Feeder { out, budget: Arc::new(Semaphore::new(units)), units, bounds, runtime: Handle::current() };
        let work: Box<dyn FnOnce() + Send> = match self {
            Self::Repeat { message, count } => Box::new(move || feeder.repeat(&message, count)),
            Self::Files(paths) => Box::new(move || feeder.files(paths)),
            Self::Lines(None) => Box::new(move || feeder.lines(BufReader::with_capacity(1 << 16, io::stdin()))),
            Self::Lines(Some(path)) => Box::new(move || match File::open(&path) {
                Ok(file) => feeder.lines(BufReader::with_capacity(1 << 16, file)),
                Err(error) => feeder.fail(Label::File(path), error.to_string()),
            }),
        };
        std::thread::Builder::new().name("palm-input".to_owned()).spawn(work)?;
        Ok(items)
    }
}

struct Feeder {
    out: mpsc::Sender<Result<Item, InputError>>,
    budget: Arc<Semaphore>,
    units: usize,
    bounds: Bounds,
    runtime: Handle,
}

/// The other side wants no more.
struct Gone;

impl Feeder {
    fn repeat(&self, message: &Bytes, count: u64) {
        for number in 1..=count {
            let most = self.bounds.message;
            let payload = || if message.len() > most { Err(too_long(most)) } else { Ok(message.clone()) };
            if self.send(Label::Message(number), message.len(), payload).is_err() {
                return;
            }
        }
    }

    fn files(&self, paths: Vec<PathBuf>) {
        for path in paths {
            let size = path.metadata().map_or(0, |meta| usize::try_from(meta.len()).unwrap_or(usize::MAX));
            let most = self.bounds.message;
            if self.send(Label::File(path.clone()), size, || read_file(&path, most).map(Bytes::from)).is_err() {
                return;
            }
        }
    }

    fn lines(&self, mut input: impl BufRead) {
        let most = self.bounds.message;
        for number in 1.. {
            let label = Label::Line(number);
            let sent = match read_line(&mut input, most) {
                Ok(Line::Whole(line)) => self.send(label, line.len(), || Ok(line.into())),
                Ok(Line::TooLong) => self.pass_over(label, too_long(most)),
                Ok(Line::End) => return,
                Err(error) => return self.fail(label, format!("{error}; nothing is read after it")),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// What follows is sent all the same.
    fn pass_over(&self, label: Label, reason: String) -> Result<(), Gone> {
        self.out.blocking_send(Err(InputError { label, reason })).map_err(|_| Gone)
    }

    /// Nothing follows.
    fn fail(&self, label: Label, reason: String) {
        // Whoever wants no more need not be told.
        let _ = self.pass_over(label, reason);
    }

    /// Waits for its share of the budget, and only then reads the payload.
    fn send(&self, label: Label, size: usize, payload: impl FnOnce() -> Result<Bytes, String>) -> Result<(), Gone> {
        let units = size.div_ceil(UNIT).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let acquire = Arc::clone(&self.budget).acquire_many_owned(units);
        // The receiver may be dropped while all of the budget is out.
        let budget = self.runtime.block_on(async {
            tokio::select! {
                budget = acquire => budget.ok(),
                () = self.out.closed() => None,
            }
        });
        let Some(budget) = budget else { return Err(Gone) };
        let item = match payload() {
            Ok(payload) => Ok(Item { label, payload, budget }),
            Err(reason) => Err(InputError { label, reason }),
        };
        self.out.blocking_send(item).map_err(|_| Gone)
    }
}

/// What was read of a file of lines.
enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// A line that may not be sent. It is read to its end, and none of it is kept.
    TooLong,
    /// There are no more.
    End,
}

fn read_line(input: &mut impl BufRead, most: usize) -> io::Result<Line> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut line = Vec::new();
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(Line::End);
    }
    if line.ends_with(b"\n") {
        line.pop();
    } else if line.len() > most {
        drop(line);
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole(line))
}

fn read_file(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let read = File::open(path).and_then(|file| given_file::read_all(file, most));
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => too_long(most),
        _ => error.to_string(),
    })
}

fn too_long(most: usize) -> String {
    format!("longer than {most} bytes, the most that the master, --max-message and --in-flight allow")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const BOUNDS: Bounds = Bounds { in_flight: 1 << 20, message: 10 };

    async fn all(source: Source, bounds: Bounds) -> Vec<String> {
        let mut items = source.open(bounds).unwrap();
        let mut seen = Vec::new();
        while let Some(item) = items.recv().await {
            seen.push(match item {
                Ok(item) => format!("{}: {}", item.label, String::from_utf8_lossy(&item.payload)),
                Err(error) => format!("{}! {}", error.label, error.reason.split(' ').next().unwrap()),
            });
        }
        seen
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[tokio::test]
    async fn lines_keep_what_is_in_them() {
        let lines = file(b"one\n\nthree\r\nno end");
        let seen = all(Source::Lines(Some(lines.path().to_owned())), BOUNDS).await;
        assert_eq!(seen, ["line 1: one", "line 2: ", "line 3: three\r", "line 4: no end"]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over_alone() {
        let long = "A".repeat(1 << 17);
        let lines = file(format!("0123456789\n0123456789A\nx\n{long}\ny\n\n{long}").as_bytes());
        let seen = all(Source::Lines(Some(lines.path().to_owned())), BOUNDS).await;
        let expected = ["1: 0123456789", "2! longer", "3: x", "4! longer", "5: y", "6: ", "7! longer"]
            .map(|line| format!("line {line}"));
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_file_that_vanishes_before_it_is_read_is_told() {
        let seen = all(Source::Lines(Some("/no/such/file".into())), BOUNDS).await;
        assert_eq!(seen, ["/no/such/file! No"]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_sent_is_passed_over() {
        let (good, long) = (file(b"good"), file(b"much too long"));
        let paths = vec!["/no/such/file".into(), long.path().to_owned(), good.path().to_owned()];
        let seen = all(Source::Files(paths), BOUNDS).await;
        let named = |file: &tempfile::NamedTempFile, rest: &str| format!("{}{rest}", file.path().display());
        assert_eq!(seen, ["/no/such/file! No".to_owned(), named(&long, "! longer"), named(&good, ": good")]);
    }

    #[tokio::test]
    async fn nothing_is_read_beyond_the_budget() {
        let bounds = Bounds { in_flight: 3 * UNIT, message: 1 << 20 };
        let mut items = Source::Repeat { message: Bytes::from(vec![0; UNIT]), count: 100 }.open(bounds).unwrap();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(items.recv().await.unwrap().unwrap());
        }
        tokio::task::yield_now().await;
        assert!(items.try_recv().is_err(), "all of the budget is out");
        held.clear();
        assert!(items.recv().await.unwrap().is_ok(), "and there is some again");
    }
}
