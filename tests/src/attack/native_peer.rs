//! A native peer by hand: frames over a plain stream, in whatever order.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use palm_proto::native::{
    Alias, Frame, Header, Magic, Role, STREAM_FRAME_MAX, SessionId, Streamed, ToMaster, ToPeer, Versions, decode_stream,
};

use super::client::{random, shown};
use super::target::Native;
use super::{Broken, Outcome, Target};

/// A stream with the native protocol on it.
pub(super) struct NativePeer {
    stream: TcpStream,
    received: Vec<u8>,
    patience: Duration,
}

/// A frame that was heard.
pub(super) struct Heard {
    pub(super) header: ToPeer,
    pub(super) body: Vec<u8>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.header, shown(&self.body))
    }
}

impl NativePeer {
    /// A stranger's connection.
    pub(super) fn stranger(target: &Target, native: &Native) -> io::Result<Self> {
        Ok(Self::on(target.dial(&native.address)?, target.bounds.patience))
    }

    /// An honest peer's connection.
    pub(super) fn honest(target: &Target, native: &Native) -> io::Result<Self> {
        Ok(Self::on(target.honest_dial(&native.address)?, target.bounds.patience))
    }

    fn on(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, received: Vec::new(), patience }
    }

    pub(super) fn say(&mut self, header: ToMaster) -> io::Result<()> {
        self.frame(&Frame::new(header))
    }

    pub(super) fn frame(&mut self, frame: &Frame<'_, ToMaster>) -> io::Result<()> {
        self.raw(&wire(frame))
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame that is no Ping, which is answered; `None`: there is none within a time.
    pub(super) fn hear_within(&mut self, time: Duration) -> io::Result<Option<Heard>> {
        let start = Instant::now();
        loop {
            let found = decode_stream(&self.received, STREAM_FRAME_MAX);
            match found.map_err(|cause| io::Error::other(cause.to_string()))? {
                Streamed::Skipped { used } => drop(self.received.drain(..used)),
                Streamed::Frame { used, range } => {
                    let bytes: Vec<u8> = self.received.drain(..used).collect();
                    let frame = ToPeer::decode(bytes.get(range).unwrap_or_default());
                    let frame =
                        frame.map_err(|cause| io::Error::other(format!("a frame of the master's: {cause:?}")))?;
                    match frame {
                        Some(Frame { header: ToPeer::Ping, .. }) => self.say(ToMaster::Pong)?,
                        Some(Frame { header, body, .. }) => return Ok(Some(Heard { header, body: body.to_vec() })),
                        None => {}
                    }
                }
                Streamed::Incomplete { .. } => {
                    let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                        return Ok(None);
                    };
                    self.read(left)?;
                }
            }
        }
    }

    /// The next frame that is no Ping.
    pub(super) fn hear(&mut self) -> io::Result<Heard> {
        let heard = self.hear_within(self.patience)?;
        heard.ok_or_else(|| io::Error::other(format!("nothing within {:?}", self.patience)))
    }

    /// Whether the master closes the connection in time, whatever it says before.
    pub(super) fn closes(&mut self) -> bool {
        crate::hostile::closes(&mut self.stream, self.patience)
    }

    fn read(&mut self, left: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.extend_from_slice(bytes.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(cause) if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(cause) => Err(cause),
        }
    }
}

/// A connection after its Welcome.
pub(super) struct Session {
    pub(super) peer: NativePeer,
    window: u64,
    next: u64,
}

impl Session {
    /// Says Hello under an id that nobody has, and waits for Welcome.
    pub(super) fn open(peer: NativePeer, role: Role, token: &[u8]) -> Outcome<Self> {
        let id = u128::from(random()) << 64 | u128::from(random());
        Self::open_as(peer, &Hello { role, session: SessionId(id.to_be_bytes()), ..Hello::default() }, token)
    }

    /// Says Hello, and waits for Welcome.
    pub(super) fn open_as(mut peer: NativePeer, hello: &Hello, token: &[u8]) -> Outcome<Self> {
        peer.frame(&Frame::with_body(hello.header(), token))?;
        match peer.hear()? {
            Heard { header: ToPeer::Welcome { window, .. }, .. } => Ok(Self { peer, window: window.into(), next: 0 }),
            Heard { header: ToPeer::Refused { code }, body } => {
                Err(Broken(format!("refused: {code:?} {}", shown(&body))))
            }
            other => Err(Broken(format!("{other:?} instead of Welcome"))),
        }
    }

    /// A client says what an alias means.
    pub(super) fn declare(&mut self, alias: u16, function: &str) -> Outcome {
        let header = ToMaster::Function { alias: self::alias(alias) };
        Ok(self.peer.frame(&Frame::with_body(header, function.as_bytes()))?)
    }

    /// A client submits a task under alias 0, once it may. Its sequence.
    pub(super) fn submit(&mut self, payload: &[u8]) -> Outcome<u64> {
        while self.window == 0 {
            let heard = self.peer.hear()?;
            if let Some(heard) = self.note(heard)? {
                return Err(Broken(format!("{heard:?} while it waits for a window")));
            }
        }
        self.window -= 1;
        let sequence = self.next;
        self.next += 1;
        let header = ToMaster::Submit { sequence, function: alias(0) };
        self.peer.frame(&Frame::with_body(header, payload))?;
        Ok(sequence)
    }

    /// The next result or failure: its sequence, and the payload or what is wrong.
    pub(super) fn outcome(&mut self) -> Outcome<(u64, Result<Vec<u8>, String>)> {
        loop {
            let heard = self.peer.hear()?;
            match self.note(heard)? {
                None => {}
                Some(Heard { header: ToPeer::Result { sequence }, body }) => {
                    self.peer.say(ToMaster::Received { results: 1 })?;
                    return Ok((sequence, Ok(body)));
                }
                Some(Heard { header: ToPeer::Failed { sequence, code }, body }) => {
                    self.peer.say(ToMaster::Received { results: 1 })?;
                    return Ok((sequence, Err(format!("status {code}: {}", shown(&body)))));
                }
                Some(other) => return Err(Broken(format!("{other:?} while it waits for a result"))),
            }
        }
    }

    /// A client has one task done.
    pub(super) fn eval(&mut self, function: &str, payload: &[u8]) -> Outcome {
        self.declare(0, function)?;
        let submitted = self.submit(payload)?;
        match self.outcome()? {
            (sequence, Ok(result)) if sequence == submitted && result == payload => Ok(()),
            (sequence, result) => Err(Broken(format!("{submitted} is answered by {sequence}: {result:?}"))),
        }
    }

    /// Takes what is only for the window.
    fn note(&mut self, heard: Heard) -> Outcome<Option<Heard>> {
        match heard.header {
            ToPeer::Window { more } => self.window += u64::from(more),
            ToPeer::Accepted { .. } | ToPeer::Pong | ToPeer::Progress { .. } => {}
            ToPeer::NoRoom { from } => return Err(Broken(format!("no room for its task {from}"))),
            _ => return Ok(Some(heard)),
        }
        Ok(None)
    }
}

/// What a peer says of itself.
pub(super) struct Hello {
    pub(super) role: Role,
    pub(super) session: SessionId,
    pub(super) resume: bool,
    pub(super) holding: u32,
    pub(super) window: u32,
}

impl Default for Hello {
    fn default() -> Self {
        Self { role: Role::Client, session: SessionId::NOBODY, resume: false, holding: 0, window: 64 }
    }
}

impl Hello {
    pub(super) fn header(&self) -> ToMaster {
        ToMaster::Hello {
            magic: Magic,
            versions: Versions::OURS,
            role: self.role,
            max_frame: STREAM_FRAME_MAX,
            window: self.window,
            session: self.session,
            resume: self.resume,
            holding: self.holding,
            name_len: 0,
        }
    }
}

/// A frame as it is on a stream.
pub(super) fn wire(frame: &Frame<'_, ToMaster>) -> Vec<u8> {
    // Those of the attacks are short.
    let head = frame.stream_head().map(|head| head.as_slice().to_vec()).unwrap_or_default();
    [&head, frame.front, frame.body].concat()
}

/// An alias of this number, or the last there is.
pub(super) fn alias(number: u16) -> Alias {
    Alias::new(number).unwrap_or(Alias::LAST)
}
