//! A relay of TCP connections that cuts them, holds them up, leads them elsewhere, and sends rubbish before it cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A relay on a free port of loopback; what goes through it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: Mutex<SocketAddr>,
    /// Both ends of every connection, to be shut down.
    ends: Mutex<Vec<TcpStream>>,
    /// Milliseconds that each piece is held up.
    delay: AtomicU64,
    /// Nothing goes through, and nobody is told.
    held: AtomicBool,
    over: AtomicBool,
}

impl Proxy {
    /// A relay to `to`, which need not be there yet.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let ends = Mutex::new(Vec::new());
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            ends,
            delay: AtomicU64::new(0),
            held: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let _ = client.and_then(|client| accepting.relay(&client));
            }
        });
        Self { address, shared }
    }

    /// Where to connect to.
    pub fn address(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Holds up each piece by so much from now on.
    pub fn delay(&self, by: Duration) {
        self.shared.delay.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Lets nothing through from now on, as a network that carries nothing, or lets all through again, and what has come meanwhile.
    pub fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::Relaxed);
    }

    /// Relays to another from the next connection on, and cuts those that there are.
    pub fn redirect(&self, to: SocketAddr) {
        *self.shared.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
        self.cut(&[]);
    }

    /// Cuts all connections; with `rubbish` first sent in both directions.
    pub fn cut(&self, rubbish: &[u8]) {
        let ends = std::mem::take(&mut *self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner));
        for mut end in ends {
            // It may be gone already.
            let _ = end.write(rubbish);
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.cut(&[]);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn relay(self: &Arc<Self>, client: &TcpStream) -> std::io::Result<()> {
        let to = *self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let server = TcpStream::connect(to)?;
        for end in [client, &server] {
            end.set_nodelay(true)?;
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(end.try_clone()?);
        }
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client.try_clone()?)] {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pump(from, to));
        }
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let delay = self.delay.load(Ordering::Relaxed);
            if delay > 0 {
                thread::sleep(Duration::from_millis(delay));
            }
            while self.held.load(Ordering::Relaxed) && !self.over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
