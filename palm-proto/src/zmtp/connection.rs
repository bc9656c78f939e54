//! The machine for one connection.

use core::fmt;
use core::ops::Range;

use crate::message::{NoRoom, Sink, SliceSink};

use super::command::{self, CONTEXT_MAX};
use super::frame::{self, COMMAND, CommandHeader, Head, MORE};
use super::{Limits, Metadata, ProtocolError, ShortText, SocketType, greeting};

/// Longest identity that [`Connection::with_identity`] takes, in bytes.
pub const IDENTITY_MAX: usize = 64;

/// Room in which [`Connection::poll_transmit`] can always write the next unit, in bytes.
pub const CONTROL_MAX: usize = 112;

/// One end of a ZMTP connection: handshake, frames and commands (`docs/spec.md`, section 4).
///
/// It is the same for the side that called and the side that was called, and does no more than a bounded amount of work
/// in a call. A driver
/// - sends what [`poll_transmit`](Self::poll_transmit) writes, before any message and only between whole messages;
/// - offers what it has received to [`handle_input`](Self::handle_input) again and again, taking off its front what has
///   been used, until that is [`Decoded::Incomplete`];
/// - sends messages once [`is_ready`](Self::is_ready), each frame after its [`frame_header`](super::frame_header);
/// - closes the connection at the first error.
///
/// Its state has a fixed size, whatever the peer sends: of the PINGs that have not been answered yet it keeps the newest
/// one only.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Length of a message frame's body that is too long; 0 while none is acceptable.
    message_end: u64,
    limits: Limits,
    socket: SocketType,
    /// Whether message frames may be subscriptions.
    publishes: bool,
    phase: Phase,
    /// Whether more frames of the message that is being received follow. Kept up to date where `publishes` only.
    in_message: bool,
    peer_type: Option<SocketType>,
    peer_version: Option<(u8, u8)>,
    peer_ttl: u16,
    ping_ttl: u16,
    /// Units that wait to be sent, a bit each.
    pending: u8,
    pong: heapless::Vec<u8, CONTEXT_MAX, u8>,
    identity: heapless::Vec<u8, IDENTITY_MAX, u8>,
    error: ShortText,
}

/// What a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Handshake,
    Traffic,
    Closed,
}

const GREETING: u8 = 1 << 0;
const READY: u8 = 1 << 1;
const ERROR: u8 = 1 << 2;
const PONG: u8 = 1 << 3;
const PING: u8 = 1 << 4;

/// What lies at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Something that is not whole yet; more input is needed.
    Incomplete {
        /// Its whole length with its header, in bytes; a lower bound that exceeds the input's length as long as the
        /// header itself is not whole. Never more than what the limits allow and 9 bytes, nor than 64 in the greeting.
        total: usize,
        /// Whether it is a message frame of which `total` is known, and within the limits. So a driver may set room for
        /// it aside, and account for it.
        message: bool,
    },
    /// Something that does not concern the caller: a greeting, PING (a PONG is pending now), PONG, an unknown command.
    Consumed {
        /// Number of bytes to take off the input.
        used: usize,
    },
    /// The handshake is over.
    Ready {
        /// Number of bytes to take off the input.
        used: usize,
        /// Where in the input the peer's identity is, at most 255 bytes; empty if it gave itself none.
        identity: Range<usize>,
        /// Where in the input all its properties are, for [`property`](super::property).
        properties: Range<usize>,
    },
    /// One frame of a message. From a PUB, one that is no subscription, which a PUB should pass over.
    Frame {
        /// Number of bytes to take off the input.
        used: usize,
        /// Where in the input the frame's body is.
        body: Range<usize>,
        /// Whether more frames of the same message follow.
        more: bool,
    },
    /// A subscription, in either of its forms. To PUB and XPUB sockets only.
    Subscribe {
        /// Number of bytes to take off the input.
        used: usize,
        /// Where in the input the topic is: the front of the messages that are wanted.
        topic: Range<usize>,
    },
    /// The end of a subscription, in either of its forms. To PUB and XPUB sockets only.
    Cancel {
        /// Number of bytes to take off the input.
        used: usize,
        /// Where in the input the topic is.
        topic: Range<usize>,
    },
}

impl Connection {
    /// A connection of a `socket` that has just been established. Our greeting is pending.
    pub fn new(socket: SocketType, limits: Limits) -> Self {
        Self {
            message_end: 0,
            limits,
            socket,
            publishes: socket.publishes(),
            phase: Phase::Greeting,
            in_message: false,
            peer_type: None,
            peer_version: None,
            peer_ttl: 0,
            ping_ttl: 0,
            pending: GREETING,
            pong: heapless::Vec::new(),
            identity: heapless::Vec::new(),
            error: ShortText::new(b""),
        }
    }

    /// Gives the socket a name for its peer: a ROUTER addresses it by that, and a master of ours knows by it which connections
    /// are of one worker.
    ///
    /// # Errors
    /// If it is longer than [`IDENTITY_MAX`], or begins with a zero byte, which is reserved for names that a ROUTER
    /// makes.
    pub fn with_identity(mut self, identity: &[u8]) -> Result<Self, InvalidIdentity> {
        if identity.first() == Some(&0) {
            return Err(InvalidIdentity);
        }
        self.identity = heapless::Vec::from_slice(identity).map_err(|_| InvalidIdentity)?;
        Ok(self)
    }

    /// Looks at the front of `input`, all that has been received and not been used yet, and takes at most one unit off
    /// it.
    ///
    /// O(1), but for commands, where it is O(length of the command).
    ///
    /// # Errors
    /// If the peer broke the protocol or the limits. The connection has to be closed then; every further call fails with
    /// [`ProtocolError::Closed`].
    #[inline]
    pub fn handle_input(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        // The way of almost all input. `message_end` is 0 unless the handshake is over.
        if let Ok(Head { flags, header, len }) = frame::head(input)
            && flags < COMMAND
            && len < self.message_end
            && !self.publishes
        {
            let used = header + len as usize;
            if used <= input.len() {
                return Ok(Decoded::Frame { used, body: header..used, more: flags & MORE != 0 });
            }
            return Ok(Decoded::Incomplete { total: used, message: true });
        }
        self.handle_rest(input)
    }

    /// Writes pending control bytes (greeting, READY, ERROR, PONG, PING) to the front of `out`, as many whole units as
    /// fit; the number of bytes written. [`CONTROL_MAX`] bytes of room always take the next unit.
    ///
    /// They must be sent before any message is, and must not be put between the frames of one message.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> usize {
        self.poll_transmit_with(out, &Metadata::new())
    }

    /// As [`poll_transmit`](Self::poll_transmit), with properties of the application's in READY: the next unit always fits into
    /// [`CONTROL_MAX`] and [`METADATA_MAX`](super::METADATA_MAX) bytes.
    pub fn poll_transmit_with(&mut self, out: &mut [u8], metadata: &Metadata) -> usize {
        let mut written = 0;
        while self.pending != 0 {
            let unit = 1 << self.pending.trailing_zeros();
            let mut sink = SliceSink::new(out.get_mut(written..).unwrap_or(&mut []));
            if self.put(unit, metadata, &mut sink).is_err() {
                break;
            }
            written += sink.position();
            self.pending &= !unit;
        }
        written
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to write.
    #[inline]
    pub fn has_transmit(&self) -> bool {
        self.pending != 0
    }

    /// Whether the handshake is over, so that messages may be sent: after the control bytes that are pending.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Traffic
    }

    /// Type of our socket.
    pub fn socket_type(&self) -> SocketType {
        self.socket
    }

    /// Type of the peer's socket, known when the handshake is over.
    pub fn peer_type(&self) -> Option<SocketType> {
        self.peer_type
    }

    /// ZMTP version that the peer greeted with, major and minor.
    pub fn peer_version(&self) -> Option<(u8, u8)> {
        self.peer_version
    }

    /// Whether the peer greeted as ZMTP 3.1 or later, so that it answers PING.
    pub fn speaks_ping(&self) -> bool {
        self.peer_version >= Some((3, 1))
    }

    /// Time to live that the peer's last PING told, in tenths of a second: it may be given up when nothing has come from
    /// it for so long. 0 if there is none.
    pub fn peer_ttl(&self) -> u16 {
        self.peer_ttl
    }

    /// Has a PING sent, with this time to live in tenths of a second (0: none). Anything that then comes from the peer
    /// shows that it lives; its PONG is [`Decoded::Consumed`].
    ///
    /// `false`, and nothing is sent, if the handshake is not over or the peer does not speak PING.
    pub fn queue_ping(&mut self, ttl_deciseconds: u16) -> bool {
        let possible = self.is_ready() && self.speaks_ping();
        if possible {
            self.ping_ttl = ttl_deciseconds;
            self.pending |= PING;
        }
        possible
    }

    /// Ends the connection: nothing is taken from the peer any more. In the handshake it is sent an ERROR command with
    /// the front of `reason`, [`ShortText::MAX`] bytes; before and after that ZMTP has no word for it. What else is
    /// pending is dropped. The connection is to be closed once [`poll_transmit`](Self::poll_transmit) has been served.
    ///
    /// libzmq never connects again after an ERROR, but does after a connection that was just closed: so this is for peers
    /// that are not wanted, not for those that may try again later.
    pub fn fail(&mut self, reason: &str) {
        let in_handshake = self.phase == Phase::Handshake;
        self.close();
        if in_handshake {
            self.error = ShortText::new(reason.as_bytes());
            self.pending = ERROR;
        }
    }

    /// What a SUB or XSUB sends before the `len` bytes of a topic to subscribe to it, in the form that the peer
    /// understands. To be sent between whole messages, once [`is_ready`](Self::is_ready).
    pub fn subscribe_header(&self, len: usize) -> CommandHeader {
        self.subscription(true, len)
    }

    /// What a SUB or XSUB sends before the `len` bytes of a topic to end its subscription; as
    /// [`subscribe_header`](Self::subscribe_header).
    pub fn cancel_header(&self, len: usize) -> CommandHeader {
        self.subscription(false, len)
    }

    fn subscription(&self, subscribe: bool, len: usize) -> CommandHeader {
        if self.speaks_ping() {
            frame::command_header(if subscribe { command::SUBSCRIBE } else { command::CANCEL }, len)
        } else {
            frame::subscription_header(subscribe, len)
        }
    }

    #[inline(never)]
    fn handle_rest(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let decoded = match self.phase {
            Phase::Greeting => self.on_greeting(input),
            Phase::Handshake | Phase::Traffic => self.on_frame(input),
            Phase::Closed => Err(ProtocolError::Closed),
        };
        if decoded.is_err() {
            self.close();
        }
        decoded
    }

    fn on_greeting(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let Some(version) = greeting::check(input)? else {
            return Ok(Decoded::Incomplete { total: greeting::LEN, message: false });
        };
        self.peer_version = Some(version);
        self.phase = Phase::Handshake;
        self.pending |= READY;
        Ok(Decoded::Consumed { used: greeting::LEN })
    }

    fn on_frame(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        if let Some(&flags) = input.first() {
            frame::check_flags(flags)?;
            if flags & COMMAND == 0 {
                self.check_message_is_due()?;
            }
        }
        match frame::head(input) {
            Ok(head) if head.flags & COMMAND != 0 => self.on_command(head, input),
            Ok(head) => self.on_message(head, input),
            Err(total) => Ok(Decoded::Incomplete { total, message: false }),
        }
    }

    fn check_message_is_due(&self) -> Result<(), ProtocolError> {
        if self.phase != Phase::Traffic {
            return Err(ProtocolError::MessageBeforeReady);
        }
        if self.socket == SocketType::Push {
            return Err(ProtocolError::UnexpectedMessage { ours: self.socket });
        }
        Ok(())
    }

    fn on_message(&mut self, Head { flags, header, len }: Head, input: &[u8]) -> Result<Decoded, ProtocolError> {
        if len >= self.message_end {
            return Err(self.too_long(len));
        }
        let used = header + len as usize;
        let more = flags & MORE != 0;
        // In ZMTP 3.0 a subscription is a message of one frame; its first byte tells it from others.
        let first = if self.publishes && !self.in_message && !more { input.get(header).copied() } else { None };
        let subscription = first.filter(|&byte| byte <= 1 && len > 0);
        if subscription.is_some() {
            self.check_topic(len - 1)?;
        }
        if input.len() < used {
            return Ok(Decoded::Incomplete { total: used, message: true });
        }
        self.in_message = more;
        Ok(match subscription {
            Some(1) => Decoded::Subscribe { used, topic: header + 1..used },
            Some(_) => Decoded::Cancel { used, topic: header + 1..used },
            None => Decoded::Frame { used, body: header..used, more },
        })
    }

    fn on_command(&mut self, Head { header, len, .. }: Head, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let max = self.limits.max_command;
        let len = match usize::try_from(len) {
            Ok(short) if len <= u64::from(max) => short,
            _ => return Err(ProtocolError::CommandTooLong { len, max }),
        };
        let used = header + len;
        let Some(body) = input.get(header..used) else {
            return Ok(Decoded::Incomplete { total: used, message: false });
        };
        let (name, data) = command::split(body)?;
        let start = used - data.len();
        match name {
            command::ERROR => Err(ProtocolError::PeerError { reason: command::reason(data) }),
            command::READY if self.phase == Phase::Handshake => {
                let properties = command::properties(data)?;
                self.on_ready(properties.socket_type)?;
                let identity = properties.identity;
                Ok(Decoded::Ready {
                    used,
                    identity: start + identity.start..start + identity.end,
                    properties: start..used,
                })
            }
            name if name == command::READY || self.phase == Phase::Handshake => {
                Err(ProtocolError::UnexpectedCommand { name: ShortText::new(name) })
            }
            command::PING => {
                let (ttl, context) = command::ping(data)?;
                self.peer_ttl = ttl;
                self.pong.clear();
                // Has room: a context has been checked to be no longer.
                let _ = self.pong.extend_from_slice(context);
                self.pending |= PONG;
                Ok(Decoded::Consumed { used })
            }
            command::SUBSCRIBE if self.publishes => {
                self.check_topic(data.len() as u64)?;
                Ok(Decoded::Subscribe { used, topic: start..used })
            }
            command::CANCEL if self.publishes => {
                self.check_topic(data.len() as u64)?;
                Ok(Decoded::Cancel { used, topic: start..used })
            }
            _ => Ok(Decoded::Consumed { used }),
        }
    }

    fn on_ready(&mut self, name: &[u8]) -> Result<(), ProtocolError> {
        let peer = SocketType::from_name(name).filter(|&peer| self.socket.accepts(peer));
        let Some(peer) = peer else {
            return Err(ProtocolError::IncompatibleSocket { ours: self.socket, peer: ShortText::new(name) });
        };
        self.peer_type = Some(peer);
        self.phase = Phase::Traffic;
        self.message_end = match self.socket {
            SocketType::Push => 0,
            // Is sent nothing but subscriptions, and need not buffer more than one.
            SocketType::Pub => u64::from(self.limits.max_topic) + 2,
            _ => self.max_frame() + 1,
        };
        Ok(())
    }

    /// Longest message frame, such that it fits with its header into what can be a slice.
    fn max_frame(&self) -> u64 {
        self.limits.max_frame.min(isize::MAX as u64 - 16)
    }

    fn too_long(&self, len: u64) -> ProtocolError {
        match self.socket {
            SocketType::Pub => ProtocolError::TopicTooLong { len: len - 1, max: self.limits.max_topic },
            _ => ProtocolError::FrameTooLong { len, max: self.max_frame() },
        }
    }

    fn check_topic(&self, len: u64) -> Result<(), ProtocolError> {
        let max = self.limits.max_topic;
        if len > u64::from(max) { Err(ProtocolError::TopicTooLong { len, max }) } else { Ok(()) }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.message_end = 0;
        self.pending = 0;
    }

    fn put(&self, unit: u8, metadata: &Metadata, sink: &mut impl Sink) -> Result<(), NoRoom> {
        match unit {
            GREETING => sink.put(&greeting::OURS),
            READY => command::put_ready(sink, self.socket, &self.identity, metadata.as_bytes()),
            ERROR => command::put_error(sink, &self.error),
            PONG => command::put_pong(sink, &self.pong),
            _ => command::put_ping(sink, self.ping_ttl),
        }
    }
}

/// A name that a socket cannot have: too long, or one of those that are a ROUTER's to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidIdentity;

impl fmt::Display for InvalidIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an identity has at most {IDENTITY_MAX} bytes, of which the first is not zero")
    }
}

impl core::error::Error for InvalidIdentity {}
