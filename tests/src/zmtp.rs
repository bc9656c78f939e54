//! ZMTP by hand over a plain TCP stream: what a well-behaved peer sends, and the pieces to send something else.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Flag of a frame that another one of the same message follows.
pub const MORE: u8 = 0x01;
/// Flag of a frame with an eight-byte length.
pub const LONG: u8 = 0x02;
/// Flag of a command.
pub const COMMAND: u8 = 0x04;

/// Longest that a peer waits for bytes, or to write some, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection whose handshake is over.
#[derive(Debug)]
pub struct Peer {
    from: BufReader<TcpStream>,
    to: BufWriter<TcpStream>,
    minor: u8,
}

impl Peer {
    /// Connects, greets as ZMTP 3.1 and shakes hands as a socket of `socket_type`.
    ///
    /// # Errors
    /// If the other side does not listen, closes, or sends something that is no handshake.
    pub fn connect(address: &str, socket_type: &str) -> io::Result<Self> {
        Self::handshake(dial(address)?, socket_type, 1)
    }

    /// Connects as a PUSH of ZMTP 3.0, which is sent no PING: for one that never reads.
    ///
    /// # Errors
    /// As [`Peer::connect`].
    pub fn pusher(address: &str) -> io::Result<Self> {
        Self::handshake(dial(address)?, "PUSH", 0)
    }

    /// Shakes hands on a stream, as ZMTP 3.`minor`.
    ///
    /// # Errors
    /// As [`Peer::connect`].
    pub fn handshake(mut stream: TcpStream, socket_type: &str, minor: u8) -> io::Result<Self> {
        stream.write_all(&greeting(minor))?;
        let mut theirs = [0; 64];
        stream.read_exact(&mut theirs)?;
        if theirs[0] != 0xff || theirs[9] != 0x7f || theirs[10] != 3 || !theirs[12..].starts_with(b"NULL\0") {
            return Err(io::Error::other("the other side's greeting is not ZMTP 3 with NULL"));
        }
        stream.write_all(&ready(socket_type))?;
        let minor = minor.min(theirs[11]);
        let mut peer = Self { from: BufReader::new(stream.try_clone()?), to: BufWriter::new(stream), minor };
        let (flags, body) = peer.frame()?;
        if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
            return Err(io::Error::other("the other side's first frame is not READY"));
        }
        Ok(peer)
    }

    /// Sends a message and flushes.
    ///
    /// # Errors
    /// If the connection is closed, or nothing could be written for [`PATIENCE`].
    pub fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.feed(parts)?;
        self.flush()
    }

    /// Sends a message that may stay in the buffer.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub fn feed(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for (number, part) in parts.iter().enumerate() {
            let more = if number + 1 < parts.len() { MORE } else { 0 };
            self.to.write_all(&frame_header(more, part.len() as u64))?;
            self.to.write_all(part)?;
        }
        Ok(())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.flush()
    }

    /// Sends what is in the buffer.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Subscribes to a topic: by a command to a peer of ZMTP 3.1, by a message to an older one.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub fn subscribe(&mut self, topic: &[u8]) -> io::Result<()> {
        let body = if self.minor >= 1 { [b"\x09SUBSCRIBE", topic].concat() } else { [b"\x01", topic].concat() };
        let flags = if self.minor >= 1 { COMMAND } else { 0 };
        self.raw(&[&frame_header(flags, body.len() as u64), &body[..]].concat())
    }

    /// The next message. Commands on the way are passed over, and a PING is answered.
    ///
    /// # Errors
    /// If the connection is closed, or no message came for [`PATIENCE`], or for as long as [`Peer::patience`] says.
    pub fn recv(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        let start = Instant::now();
        loop {
            let (flags, body) = self.frame()?;
            if flags & COMMAND != 0 {
                // Commands are no sign that a message is coming.
                if self.from.get_ref().read_timeout()?.is_some_and(|patience| start.elapsed() > patience) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                if let Some(context) = body.strip_prefix(b"\x04PING") {
                    let pong = [b"\x04PONG", context.get(2..).unwrap_or_default()].concat();
                    self.raw(&[&frame_header(COMMAND, pong.len() as u64), &pong[..]].concat())?;
                }
                continue;
            }
            parts.push(body);
            if flags & MORE == 0 {
                return Ok(parts);
            }
        }
    }

    /// The next frame as it is: flags and body.
    ///
    /// # Errors
    /// As [`Peer::recv`].
    pub fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut flags = [0];
        self.from.read_exact(&mut flags)?;
        let len = if flags[0] & LONG == 0 {
            let mut len = [0];
            self.from.read_exact(&mut len)?;
            u64::from(len[0])
        } else {
            let mut len = [0; 8];
            self.from.read_exact(&mut len)?;
            u64::from_be_bytes(len)
        };
        let mut body = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.from.read_exact(&mut body)?;
        Ok((flags[0], body))
    }

    /// How long a read or a write may wait; `None`: for ever.
    ///
    /// # Errors
    /// If the stream refuses.
    pub fn patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.from.get_ref().set_read_timeout(patience)?;
        self.from.get_ref().set_write_timeout(patience)
    }

    /// A second handle on the stream, to close it from elsewhere, say.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn stream(&self) -> io::Result<TcpStream> {
        self.from.get_ref().try_clone()
    }

    /// The two directions apart, for a thread each. The reading one must not be sent a PING.
    pub fn split(self) -> (BufReader<TcpStream>, BufWriter<TcpStream>) {
        (self.from, self.to)
    }
}

/// Connects to an address as PALM writes it, `tcp://host:port`.
///
/// # Errors
/// If nobody listens there.
pub fn dial(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address.strip_prefix("tcp://").unwrap_or(address))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The 64 bytes that a peer of ZMTP 3.`minor` without security sends first.
pub fn greeting(minor: u8) -> [u8; 64] {
    let mut out = [0; 64];
    (out[0], out[8], out[9], out[10], out[11]) = (0xff, 1, 0x7f, 3, minor);
    out[12..16].copy_from_slice(b"NULL");
    out
}

/// The READY command of a socket of this type, framed.
pub fn ready(socket_type: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    body.extend(u32::try_from(socket_type.len()).unwrap_or_default().to_be_bytes());
    body.extend(socket_type.as_bytes());
    if matches!(socket_type, "REQ" | "DEALER" | "ROUTER") {
        body.extend(b"\x08Identity\0\0\0\0");
    }
    [&frame_header(COMMAND, body.len() as u64), &body[..]].concat()
}

/// The header of a frame that claims a body of `len` bytes.
pub fn frame_header(flags: u8, len: u64) -> Vec<u8> {
    match u8::try_from(len) {
        Ok(len) => vec![flags, len],
        Err(_) => [&[flags | LONG], &len.to_be_bytes()[..]].concat(),
    }
}
