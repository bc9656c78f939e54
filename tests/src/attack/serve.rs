//! The other direction: servers that mean harm, for programs that connect to them.
//!
//! One port is all of a server's sockets: whoever comes is met by what he says he is. A [`Trick`] is what is done to him. Each
//! visitor has a thread, of which there are [`VISITORS`] at most, and is sent [`MOST`] bytes at most.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub use super::tricks::{NATIVE, TRICKS, Trick, WEB};

/// Visitors that are there at the same time.
pub const VISITORS: usize = 64;
/// Bytes that a visitor is sent at most.
pub const MOST: usize = 3 << 29;
/// How long a visitor has to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that does one trick to each visitor, until it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

/// What is known of the visitors.
#[derive(Default)]
pub(super) struct State {
    visits: AtomicUsize,
    tricked: AtomicUsize,
    over: AtomicBool,
    there: Mutex<Vec<TcpStream>>,
    heard: Mutex<Vec<u8>>,
}

impl Server {
    /// Listens at a free port of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub fn start(trick: &Trick) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let (of_thread, act) = (Arc::clone(&state), trick.act);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.over.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(stream) = stream {
                    of_thread.receive(stream, address, act);
                }
            }
        });
        Ok(Self { address, state })
    }

    /// Where it is: `tcp://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// How many have come so far.
    pub fn visits(&self) -> usize {
        self.state.visits.load(Ordering::Acquire)
    }

    /// To how many the trick itself was done: to those that came as far as that.
    pub fn tricked(&self) -> usize {
        self.state.tricked.load(Ordering::Acquire)
    }

    /// The beginning of what visitors have said that were only listened to.
    pub fn heard(&self) -> Vec<u8> {
        lock(&self.state.heard).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
        for stream in lock(&self.state.there).drain(..) {
            let _closed = stream.shutdown(Shutdown::Both);
        }
        // The listener wakes up, and sees that it is over.
        let _woken = TcpStream::connect(self.address);
    }
}

impl State {
    fn receive(self: &Arc<Self>, stream: TcpStream, server: SocketAddr, act: fn(&mut Visitor) -> io::Result<()>) {
        self.visits.fetch_add(1, Ordering::AcqRel);
        let handle = stream.try_clone();
        let Ok(handle) = handle else { return };
        {
            let mut there = lock(&self.there);
            if there.len() >= VISITORS {
                let oldest = there.remove(0);
                let _closed = oldest.shutdown(Shutdown::Both);
            }
            there.push(handle);
        }
        let state = Arc::clone(self);
        thread::spawn(move || {
            let options = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_nodelay(true));
            let mut visitor = Visitor { stream, server, state };
            // How it ends is the visitor's business; but it ends, though there is another handle to it.
            let _ended = options.and_then(|()| act(&mut visitor));
            let _closed = visitor.stream.shutdown(Shutdown::Both);
        });
    }
}

/// Who has come.
pub struct Visitor {
    pub(super) stream: TcpStream,
    pub(super) server: SocketAddr,
    state: Arc<State>,
}

impl Visitor {
    /// Sends bytes, and counts the visitor as tricked.
    pub(super) fn trick(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.tricked.fetch_add(1, Ordering::AcqRel);
        self.stream.write_all(bytes)
    }

    /// Sends the same bytes again and again, [`MOST`] in all.
    pub(super) fn pour(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.tricked.fetch_add(1, Ordering::AcqRel);
        let lot = bytes.repeat((64 << 10) / bytes.len().max(1) + 1);
        for _ in 0..MOST / lot.len() {
            self.stream.write_all(&lot)?;
        }
        self.stay()
    }

    /// Sends bytes one at a time, ten a second, for two minutes at most.
    pub(super) fn drip(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.tricked.fetch_add(1, Ordering::AcqRel);
        for byte in bytes.iter().take(1_200) {
            self.stream.write_all(&[*byte])?;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Says nothing more until the visitor goes or the time is over, and keeps the beginning of what it hears.
    pub(super) fn stay(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            let mut heard = lock(&self.state.heard);
            let room = (1_usize << 20).saturating_sub(heard.len());
            heard.extend(bytes.iter().take(count.min(room)));
        }
    }

    /// Counts the visitor as one to whom nothing is said.
    pub(super) fn ignore(&mut self) -> io::Result<()> {
        self.state.tricked.fetch_add(1, Ordering::AcqRel);
        self.stay()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
