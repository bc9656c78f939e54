//! What processes tell of themselves: datagrams with words such as `messages=12345`, at a socket that each has of its own.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::locked::locked;
use crate::private::FOLDER_MODE;
use crate::process::Lifeline;

/// The variable that tells a process where its socket is.
pub(super) const VARIABLE: &str = "PALM_STATUS";
/// Longest path of a socket that there can be, in bytes.
const PATH_MAX: usize = 107;
/// Room for a socket's name in the folder.
const NAME_MAX: usize = 24;
/// Longest datagram that is read, in bytes.
const DATAGRAM_MAX: usize = 512;
/// Datagrams that are taken at a time, and the rest after that: who sends more has to wait, and not the runner.
const AT_A_TIME: usize = 256;
const REST: Duration = Duration::from_millis(20);
/// The shortest time over which a rate is worked out.
const SHORTEST: Duration = Duration::from_millis(500);
/// How long a rate counts, unless its process tells one more seldom.
const LASTS: Duration = Duration::from_secs(10);

/// The folder of all sockets of a runner, which goes with it.
#[derive(Debug)]
pub(super) struct Sockets {
    folder: TempDir,
    made: AtomicU64,
}

impl Sockets {
    /// Makes the folder, where its path leaves room for sockets; the lifeline removes it if the runner is killed.
    ///
    /// # Errors
    /// If there is no place for it.
    pub(super) fn open(lifeline: &Lifeline) -> io::Result<Self> {
        let folder = private_folder()?;
        lifeline.remove(folder.path());
        Ok(Self { folder, made: AtomicU64::new(0) })
    }

    /// A socket for a process.
    ///
    /// # Errors
    /// If none can be made.
    pub(super) fn bind(&self) -> io::Result<Socket> {
        let path = self.folder.path().join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
        let datagrams = UnixDatagram::bind(&path)?;
        datagrams.set_nonblocking(true)?;
        let awaited = tokio::net::UnixDatagram::from_std(datagrams.try_clone()?)?;
        Ok(Socket { datagrams, awaited, path, told: Arc::new(Mutex::new(Told::new(Instant::now()))) })
    }
}

/// A folder for its user alone, where its path leaves room for sockets.
fn private_folder() -> io::Result<TempDir> {
    let places = [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(std::env::temp_dir())];
    let places = places.into_iter().flatten().chain([PathBuf::from("/tmp")]);
    let mut ended = Err(io::Error::from(io::ErrorKind::NotFound));
    for place in places.filter(|place| place.is_absolute()) {
        let mut builder = tempfile::Builder::new();
        ended = builder.prefix("palm-runner-").permissions(Permissions::from_mode(FOLDER_MODE)).tempdir_in(place);
        if ended.as_ref().is_ok_and(|folder| folder.path().as_os_str().len() + NAME_MAX <= PATH_MAX) {
            break;
        }
    }
    ended
}

/// A socket at which one process tells of itself. Dropped, it is no more.
#[derive(Debug)]
pub(super) struct Socket {
    datagrams: UnixDatagram,
    /// The same, which tells when there is something.
    awaited: tokio::net::UnixDatagram,
    path: PathBuf,
    told: Arc<Mutex<Told>>,
}

impl Socket {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is told there.
    pub(super) fn told(&self) -> Arc<Mutex<Told>> {
        self.told.clone()
    }

    /// Hears what is told, until it is dropped.
    pub(super) async fn hear(&self) {
        while self.awaited.readable().await.is_ok() {
            self.take(|datagram| self.awaited.try_recv(datagram));
            tokio::time::sleep(REST).await;
        }
    }

    /// Hears what was told already.
    pub(super) fn hear_now(&self) {
        self.take(|datagram| self.datagrams.recv(datagram));
    }

    fn take(&self, next: impl Fn(&mut [u8]) -> io::Result<usize>) {
        let mut datagram = [0; DATAGRAM_MAX];
        for _ in 0..AT_A_TIME {
            let Ok(length) = next(&mut datagram) else { return };
            // One that fills the room may have been longer, and a number may be cut.
            let text = datagram.get(..length).filter(|_| length < DATAGRAM_MAX);
            if let Some(messages) = text.and_then(messages) {
                locked(&self.told).hear(messages, Instant::now());
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Its folder goes with all that is left in it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The number of messages that a datagram tells; other words are not for this runner.
fn messages(datagram: &[u8]) -> Option<u64> {
    let words = std::str::from_utf8(datagram).ok()?.split_ascii_whitespace();
    words.filter_map(|word| word.strip_prefix("messages=")?.parse().ok()).next_back()
}

/// What a process has told since its start.
#[derive(Debug)]
pub(super) struct Told {
    messages: Option<u64>,
    rate: Option<f64>,
    /// What the next rate is worked out from.
    base: (u64, Instant),
    /// How long the rate counts.
    lasts: Duration,
}

impl Told {
    /// Of a process that starts now.
    fn new(now: Instant) -> Self {
        Self { messages: None, rate: None, base: (0, now), lasts: LASTS }
    }

    fn hear(&mut self, messages: u64, now: Instant) {
        self.messages = Some(messages);
        let (before, at) = self.base;
        let time = now.duration_since(at);
        if messages < before {
            // It counts anew.
            (self.rate, self.base) = (None, (messages, now));
        } else if time >= SHORTEST {
            #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
            let rate = (messages - before) as f64 / time.as_secs_f64();
            (self.rate, self.base, self.lasts) = (Some(rate), (messages, now), LASTS.max(time * 3));
        }
    }

    /// Messages that it has handled.
    pub(super) const fn messages(&self) -> Option<u64> {
        self.messages
    }

    /// Messages a second between the last two times that it told.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        self.rate.filter(|_| now.duration_since(self.base.1) <= self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_known_and_what_is_none_are_passed_over() {
        assert_eq!(messages(b"messages=12345"), Some(12345));
        assert_eq!(messages(b"READY=1\nmessages=7 errors=2\n"), Some(7));
        let last = u64::MAX.to_string();
        assert_eq!(messages(format!("messages={last}").as_bytes()), Some(u64::MAX));
        for nothing in [
            "",
            "messages=",
            "messages=-1",
            "messages=1e9",
            "messages= 7",
            "message=7",
            "messages=18446744073709551616",
        ] {
            assert_eq!(messages(nothing.as_bytes()), None, "{nothing}");
        }
        assert_eq!(messages(b"messages=7 \xff"), None);
    }

    #[test]
    fn a_rate_is_over_the_time_between_two_reports_and_does_not_last_for_ever() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut told = Told::new(start);
        assert_eq!((told.messages(), told.rate(start)), (None, None));
        told.hear(0, at(10));
        assert_eq!((told.messages(), told.rate(at(10))), (Some(0), None));
        told.hear(500, at(1000));
        assert_eq!(told.rate(at(1000)), Some(500.0));
        // Too soon for a rate of its own, but not for its number.
        told.hear(600, at(1100));
        assert_eq!((told.messages(), told.rate(at(1100))), (Some(600), Some(500.0)));
        told.hear(2500, at(3000));
        assert_eq!(told.rate(at(3000)), Some(1000.0));
        assert_eq!(told.rate(at(14_000)), None);
        assert_eq!(told.messages(), Some(2500));
        // It has begun anew.
        told.hear(5, at(15_000));
        assert_eq!((told.messages(), told.rate(at(15_000))), (Some(5), None));
        // One that tells each minute is shown for as long.
        told.hear(65, at(75_000));
        assert_eq!(told.rate(at(140_000)), Some(1.0));
    }

    #[test]
    fn nobody_else_sees_the_sockets() {
        let mode = private_folder().unwrap().path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[tokio::test]
    async fn whoever_tells_too_much_waits_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = Sockets { folder, made: AtomicU64::new(0) };
        let socket = sockets.bind().unwrap();
        let (path, told) = (socket.path().to_owned(), socket.told());
        let hearing = tokio::spawn(async move { socket.hear().await });
        let sending = path.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let process = UnixDatagram::unbound().unwrap();
            process.send_to(&[b'x'; 4000], &sending).unwrap();
            for number in 1..=2000 {
                process.send_to(format!("messages={number}").as_bytes(), &sending).unwrap();
            }
        });
        sent.await.unwrap();
        while locked(&told).messages() != Some(2000) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        hearing.abort();
        assert!(hearing.await.unwrap_err().is_cancelled());
        assert!(!path.exists());
    }
}
