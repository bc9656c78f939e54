//! A connection's bytes, over TCP, a Unix socket or a serial line.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use palm_proto::buffer::{Outgoing, Spare};
use rustix::buffer::spare_capacity;
use socket2::{SockRef, TcpKeepalive};

/// Parts of one vectored write.
const PARTS: usize = 64;
/// Questions that the operating system asks of a host that does not answer, before it gives the connection up.
const PROBES: u32 = 2;

/// How long a silent peer is trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    /// Silence after which the operating system asks whether the other host is still there.
    pub(crate) idle: Duration,
    /// How long what was sent may go without an acknowledgement.
    pub(crate) unacknowledged: Duration,
}

impl Liveness {
    /// For a connection on which the peers ask each other after `heartbeat`.
    pub(crate) fn of(heartbeat: Duration) -> Self {
        Self { idle: heartbeat.max(Duration::from_secs(1)), unacknowledged: heartbeat * 3 }
    }
}

/// A connection that does not block.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Serial(File),
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes. Whether there may be more before the next event.
    Bytes(usize, More),
    /// Nothing before the next event.
    Blocked,
    /// The other side sends no more.
    End,
}

/// Whether something is left for another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    Perhaps,
    No,
}

impl Stream {
    /// Has small messages leave at once, and a host that vanishes be missed.
    pub(crate) fn set_liveness(&self, liveness: Liveness) -> io::Result<()> {
        let Self::Tcp(stream) = self else { return Ok(()) };
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(liveness.idle).with_interval(liveness.idle).with_retries(PROBES);
        let options = SockRef::from(stream);
        options.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        options.set_tcp_user_timeout(Some(liveness.unacknowledged))?;
        Ok(())
    }

    /// Appends what has come to `into`, at most `most` bytes, for which it should have room already.
    pub(crate) fn read_more(&self, into: &mut Vec<u8>, most: usize) -> io::Result<Received> {
        let (len, room) = (into.len(), into.capacity() - into.len());
        if room > 0 && room <= most {
            return self.received(room, || rustix::io::read(self, spare_capacity(into)));
        }
        into.resize(len + most, 0);
        let received = self.read(&mut into[len..]);
        into.truncate(len + if let Ok(Received::Bytes(count, _)) = received { count } else { 0 });
        received
    }

    /// Puts what has come into `room`.
    pub(crate) fn read(&self, room: &mut [u8]) -> io::Result<Received> {
        self.received(room.len(), || rustix::io::read(self, &mut *room))
    }

    /// Puts what has come into `room`, and what is behind that into `next`.
    pub(crate) fn read_both(&self, room: &mut [u8], next: &mut [u8]) -> io::Result<Received> {
        self.received(room.len() + next.len(), || {
            rustix::io::readv(self, &mut [IoSliceMut::new(&mut *room), IoSliceMut::new(&mut *next)])
        })
    }

    fn received(&self, room: usize, mut read: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Received> {
        debug_assert!(room > 0, "a read without room looks like the end");
        loop {
            return match read() {
                Ok(0) => Ok(Received::End),
                // A socket that gives less than it was asked for is empty; a terminal gives what it likes.
                Ok(count) if count < room && !self.is_serial() => Ok(Received::Bytes(count, More::No)),
                Ok(count) => Ok(Received::Bytes(count, More::Perhaps)),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => Ok(Received::Blocked),
                // How a terminal says that its other end is gone.
                Err(rustix::io::Errno::IO) if self.is_serial() => Ok(Received::End),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Writes what waits, as much as is taken at once; the number of bytes, 0 if nothing is taken before the next event.
    pub(crate) fn write(&self, outgoing: &mut Outgoing, spare: &mut Spare) -> io::Result<usize> {
        if outgoing.is_empty() {
            return Ok(0);
        }
        loop {
            let written = match outgoing.slices(&mut [IoSlice::new(&[]); PARTS]) {
                [only] => self.write_bytes(only),
                several => self.write_parts(several),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    outgoing.advance(written, spare);
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error),
            }
        }
    }

    fn write_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(bytes),
            Self::Unix(stream) => (&mut &*stream).write(bytes),
            Self::Serial(file) => (&mut &*file).write(bytes),
        }
    }

    fn write_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write_vectored(parts),
            Self::Unix(stream) => (&mut &*stream).write_vectored(parts),
            Self::Serial(file) => (&mut &*file).write_vectored(parts),
        }
    }

    /// Says that nothing more will be sent. A line has no end.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Serial(_) => Ok(()),
        }
    }

    pub(crate) fn is_serial(&self) -> bool {
        matches!(self, Self::Serial(_))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Serial(file) => file.as_fd(),
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) => stream.register(registry, token, interests),
            Self::Serial(file) => SourceFd(&file.as_raw_fd()).register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, interests),
            Self::Unix(stream) => stream.reregister(registry, token, interests),
            Self::Serial(file) => SourceFd(&file.as_raw_fd()).reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
            Self::Serial(file) => SourceFd(&file.as_raw_fd()).deregister(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Reads all that has come; `true` if that is all.
    fn drain(stream: &Stream, into: &mut Vec<u8>) -> bool {
        loop {
            into.reserve(1 << 16);
            match stream.read_more(into, 1 << 16).unwrap() {
                Received::Bytes(_, More::Perhaps) => {}
                Received::Bytes(_, More::No) | Received::Blocked => return false,
                Received::End => return true,
            }
        }
    }

    fn pairs() -> Vec<(&'static str, Stream, Stream)> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let tcp = (Stream::Tcp(TcpStream::from_std(near)), Stream::Tcp(TcpStream::from_std(far)));
        let unix = UnixStream::pair().unwrap();
        let (end, path) = crate::serial::tests::pseudo_line();
        let line = crate::serial::open_line(&path, 115_200).unwrap();
        vec![
            ("tcp", tcp.0, tcp.1),
            ("unix", Stream::Unix(unix.0), Stream::Unix(unix.1)),
            ("serial", Stream::Serial(end), Stream::Serial(line)),
        ]
    }

    #[test]
    fn what_a_slow_reader_does_not_take_is_kept_and_sent_in_order() {
        for (name, near, far) in pairs() {
            near.set_liveness(Liveness::of(Duration::from_secs(5))).unwrap();
            let (mut outgoing, mut spare) = (Outgoing::new(), Spare::new());
            let mut sent = Vec::new();
            let parts = if near.is_serial() { 100 } else { 500 };
            for number in 0..parts {
                let part = vec![number as u8; number * 200];
                sent.extend_from_slice(&part);
                outgoing.push(Bytes::from(part), &mut spare);
            }
            let mut received = Vec::new();
            let mut blocked = 0;
            while received.len() < sent.len() {
                while near.write(&mut outgoing, &mut spare).unwrap() > 0 {}
                blocked += usize::from(!outgoing.is_empty());
                assert!(!drain(&far, &mut received), "{name}");
            }
            assert!(received == sent, "{name}");
            assert!(blocked > 0, "{name}: it takes all at once");
            near.finish().unwrap();
            drop(near);
            while !drain(&far, &mut received) {}
            assert_eq!(received.len(), sent.len(), "{name}");
        }
    }

    #[test]
    fn more_room_than_is_asked_for_is_not_filled() {
        let (near, far) = UnixStream::pair().unwrap();
        let (near, far) = (Stream::Unix(near), Stream::Unix(far));
        let (mut outgoing, mut spare) = (Outgoing::new(), Spare::new());
        outgoing.copy(&[b"0123456789"], &mut spare);
        near.write(&mut outgoing, &mut spare).unwrap();
        let mut into = Vec::with_capacity(100);
        assert_eq!(far.read_more(&mut into, 4).unwrap(), Received::Bytes(4, More::Perhaps));
        assert_eq!(far.read_more(&mut into, 100).unwrap(), Received::Bytes(6, More::No));
        assert_eq!((&into[..], far.read_more(&mut into.clone(), 1).unwrap()), (&b"0123456789"[..], Received::Blocked));
    }
}
