//! Bare sockets that carry the same bytes as the native protocol, and know nothing of them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::{LARGE, LARGE_WINDOW, SMALL, round_trips};

/// Sends back what comes, until the other side closes.
fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len])?;
    }
}

/// A listener whose first connection `serve` gets, on a thread of its own.
fn serving(
    serve: impl FnOnce(TcpStream) -> std::io::Result<()> + Send + 'static,
) -> anyhow::Result<(std::net::SocketAddr, JoinHandle<std::io::Result<()>>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    Ok((address, std::thread::spawn(move || serve(listener.accept()?.0))))
}

/// The middle of what two round trips over one bare connection take, of which both ends wait for events as a master has to.
pub(super) fn two_trips() -> anyhow::Result<f64> {
    let (address, thread) = serving(|stream| pass_on(&mut WatchedEnd::new(stream)?, None))?;
    let mut stream = WatchedEnd::new(TcpStream::connect(address)?)?;
    let mut buffer = [0; SMALL + 8];
    let trip = round_trips(2000, || {
        for _ in 0..2 {
            stream.stream.write_all(&[b'x'; SMALL + 8])?;
            stream.receive(&mut buffer)?;
        }
        Ok(())
    });
    drop(stream);
    thread.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
    trip
}

/// The middle of what two round trips through a relay take, which passes on what comes from either side: three threads, as those
/// of client, master and worker.
pub(super) fn relayed_trip() -> anyhow::Result<f64> {
    let (end, last) = serving(|stream| pass_on(&mut WatchedEnd::new(stream)?, None))?;
    let (middle, relay) = serving(move |client| {
        let mut server = WatchedEnd::new(TcpStream::connect(end)?)?;
        pass_on(&mut WatchedEnd::new(client)?, Some(&mut server))
    })?;
    let mut stream = WatchedEnd::new(TcpStream::connect(middle)?)?;
    let mut buffer = [0; SMALL + 8];
    let trip = round_trips(2000, || {
        stream.stream.write_all(&[b'x'; SMALL + 8])?;
        stream.receive(&mut buffer)?;
        Ok(())
    });
    drop(stream);
    for thread in [relay, last] {
        thread.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
    }
    trip
}

/// Sends back what comes, or what `on` sends back for it, until the other side closes.
fn pass_on(back: &mut WatchedEnd, mut on: Option<&mut WatchedEnd>) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let mut len = back.receive(&mut buffer)?;
        if let (Some(on), 1..) = (&mut on, len) {
            on.stream.write_all(&buffer[..len])?;
            len = on.receive(&mut buffer)?;
        }
        if len == 0 {
            return Ok(());
        }
        back.stream.write_all(&buffer[..len])?;
    }
}

/// A stream, and what waits for it.
struct WatchedEnd {
    stream: mio::net::TcpStream,
    poll: mio::Poll,
    events: mio::Events,
}

impl WatchedEnd {
    fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (mut stream, poll) = (mio::net::TcpStream::from_std(stream), mio::Poll::new()?);
        poll.registry().register(&mut stream, mio::Token(0), mio::Interest::READABLE)?;
        Ok(Self { stream, poll, events: mio::Events::with_capacity(4) })
    }

    fn receive(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            self.poll.poll(&mut self.events, None)?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }
}

/// Large tasks a second through a relay that knows nothing of them: there and on, and back the same way.
pub(super) fn relay() -> anyhow::Result<f64> {
    let tasks = 20_000;
    let (end, last) = serving(echo)?;
    let (middle, relay) = serving(move |client| {
        let server = TcpStream::connect(end)?;
        let (mut up, mut down) = ((client.try_clone()?, server.try_clone()?), (server, client));
        let back = std::thread::spawn(move || pump(&mut down.0, &mut down.1));
        pump(&mut up.0, &mut up.1)?;
        up.1.shutdown(std::net::Shutdown::Write)?;
        back.join().unwrap_or(Ok(()))
    })?;
    let mut stream = TcpStream::connect(middle)?;
    stream.set_nodelay(true)?;
    let mut sending = stream.try_clone()?;
    let credit = Arc::new((Mutex::new(0_usize), Condvar::new()));
    let given = Arc::clone(&credit);
    let started = Instant::now();
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let payload = vec![b'x'; LARGE];
        for sent in 0..tasks {
            let (received, changed) = &*given;
            let received = received.lock().unwrap_or_else(PoisonError::into_inner);
            drop(changed.wait_while(received, |received| sent >= *received + LARGE_WINDOW));
            sending.write_all(&payload)?;
        }
        Ok(())
    });
    let mut buffer = vec![0; LARGE];
    for _ in 0..tasks {
        stream.read_exact(&mut buffer)?;
        let (received, changed) = &*credit;
        *received.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_one();
    }
    let rate = tasks as f64 / started.elapsed().as_secs_f64();
    sender.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
    stream.shutdown(std::net::Shutdown::Both)?;
    drop(stream);
    _ = (relay.join(), last.join());
    Ok(rate)
}

/// Sends on what comes.
fn pump(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    to.set_nodelay(true)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..len])?;
    }
}
