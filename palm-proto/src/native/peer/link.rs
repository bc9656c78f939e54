//! The connection itself: handshake, heartbeats, farewell (`docs/spec.md`, section 9.5). The same for both roles.

use core::time::Duration;

use crate::native::{
    Frame, Header, Magic, NAME_MAX, RefusalCode, Role, STREAM_FRAME_MAX, SessionId, TOKEN_MAX, ToMaster, ToPeer,
    Versions, When, front_of,
};
use crate::time::Instant;

use super::cache::{self, CacheAnswer, CacheRequests};
use super::config::PeerConfig;
use super::error::{Fault, Lost, NotSent};

/// One end of a connection, and what is kept over all of them.
#[derive(Debug)]
pub(super) struct Link {
    /// Of the master that was connected last; none before the first connection.
    epoch: Option<u64>,
    /// When something was heard last, or since when an answer to Hello or Ping is waited for.
    since: Instant,
    session: SessionId,
    cache: CacheRequests,
    /// Longest frame that this side takes.
    takes: u32,
    /// Longest frame that the master takes.
    max_frame: u32,
    handshake_ms: u32,
    /// 0 if the master does not tell one.
    heartbeat_ms: u32,
    role: Role,
    phase: Phase,
    /// Whether a Ping waits for any sign of life.
    pinged: bool,
    ping_due: bool,
    pong_due: bool,
    bye_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    HelloDue,
    HelloSent,
    Connected,
}

/// What a frame says to the connection, or that it is for the role.
pub(super) enum Heard<'a> {
    Nothing,
    Welcome { master: &'a str, epoch: u64, window: u32, resumed: bool },
    Refused { code: RefusalCode, text: &'a str },
    Goodbye,
    Cache { id: u32, answer: CacheAnswer<'a> },
    ForRole(Frame<'a, ToPeer>),
}

impl Link {
    pub(super) fn new<T>(role: Role, config: &PeerConfig<T>) -> Self {
        Self {
            epoch: None,
            since: Instant::ZERO,
            session: config.session,
            cache: CacheRequests::default(),
            takes: config.max_frame,
            max_frame: 0,
            handshake_ms: u32::try_from(config.handshake.as_millis()).unwrap_or(u32::MAX),
            heartbeat_ms: 0,
            role,
            phase: Phase::Closed,
            pinged: false,
            ping_due: false,
            pong_due: false,
            bye_due: false,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) const fn max_frame(&self) -> u32 {
        self.max_frame
    }

    pub(super) fn handle_connected(&mut self, now: Instant) {
        self.close();
        (self.phase, self.since) = (Phase::HelloDue, now);
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        (self.pinged, self.ping_due, self.pong_due, self.bye_due) = (false, false, false, false);
        self.cache.forget();
    }

    /// Farewell, as soon as it can be said; at once if there is nobody to say it to.
    pub(super) fn bye(&mut self) {
        match self.phase {
            Phase::Connected => self.bye_due = true,
            Phase::Closed | Phase::HelloDue | Phase::HelloSent => self.close(),
        }
    }

    /// Hello, if it is due.
    pub(super) fn poll_hello<'a>(
        &mut self,
        name: &'a str,
        token: &'a str,
        window: u32,
        holding: u32,
    ) -> Option<Frame<'a, ToMaster>> {
        if self.phase != Phase::HelloDue {
            return None;
        }
        self.phase = Phase::HelloSent;
        let front = front_of(name, NAME_MAX);
        // It has NAME_MAX bytes at most.
        let name_len = front.len() as u8;
        let header = ToMaster::Hello {
            magic: Magic,
            versions: Versions::OURS,
            role: self.role,
            max_frame: self.takes,
            window,
            session: self.session,
            resume: self.epoch.is_some(),
            holding,
            name_len,
        };
        Some(Frame { header, front: front.as_bytes(), body: front_of(token, TOKEN_MAX).as_bytes() })
    }

    /// Ping or Pong, if one is due.
    pub(super) fn poll_heartbeat(&mut self) -> Option<ToMaster> {
        if core::mem::take(&mut self.pong_due) {
            return Some(ToMaster::Pong);
        }
        core::mem::take(&mut self.ping_due).then_some(ToMaster::Ping)
    }

    pub(super) const fn is_bye_due(&self) -> bool {
        self.bye_due
    }

    /// Bye, if it is due: the connection is over then.
    pub(super) fn poll_bye(&mut self) -> Option<ToMaster> {
        if !self.bye_due {
            return None;
        }
        self.close();
        Some(ToMaster::Bye)
    }

    pub(super) fn handle_frame<'a>(&mut self, now: Instant, frame: &'a [u8]) -> Result<Heard<'a>, Fault> {
        let heard = self.hear(now, frame);
        if heard.is_err() {
            self.close();
        }
        heard
    }

    fn hear<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> Result<Heard<'a>, Fault> {
        if matches!(self.phase, Phase::Closed | Phase::HelloDue) {
            return Ok(Heard::Nothing);
        }
        let frame = ToPeer::decode(bytes)?;
        if self.phase == Phase::Connected {
            (self.since, self.pinged, self.ping_due) = (now, false, false);
        }
        let Some(frame) = frame else { return Ok(Heard::Nothing) };
        match frame.header {
            ToPeer::Refused { code: RefusalCode::NotConnected } if self.phase == Phase::HelloSent => Ok(Heard::Nothing),
            ToPeer::Refused { code } => {
                self.close();
                Ok(Heard::Refused { code, text: frame.body_text() })
            }
            ToPeer::Bye => {
                self.close();
                Ok(Heard::Goodbye)
            }
            ToPeer::Welcome { version, epoch, max_frame, window, heartbeat_ms, .. }
                if self.phase == Phase::HelloSent =>
            {
                if !(Versions::OURS.min..=Versions::OURS.max).contains(&version) {
                    return Err(Fault::Version { version });
                }
                let resumed = self.epoch.replace(epoch) == Some(epoch);
                (self.phase, self.since, self.heartbeat_ms) = (Phase::Connected, now, heartbeat_ms);
                self.max_frame = max_frame.min(STREAM_FRAME_MAX);
                Ok(Heard::Welcome { master: frame.body_text(), epoch, window, resumed })
            }
            _ if self.phase == Phase::HelloSent => Err(unexpected(bytes)),
            ToPeer::Welcome { .. } => Err(unexpected(bytes)),
            ToPeer::Ping => {
                self.pong_due = true;
                Ok(Heard::Nothing)
            }
            ToPeer::Pong => Ok(Heard::Nothing),
            _ => match CacheAnswer::of(&frame) {
                Some((id, answer)) => self.cache.answered(id).map(|()| Heard::Cache { id, answer }),
                None => Ok(Heard::ForRole(frame)),
            },
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let millis = match self.phase {
            Phase::Closed => return None,
            Phase::HelloDue | Phase::HelloSent => self.handshake_ms,
            Phase::Connected if self.heartbeat_ms == 0 => return None,
            Phase::Connected => self.heartbeat_ms,
        };
        Some(self.since + Duration::from_millis(millis.into()))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Lost> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        let lost = match self.phase {
            Phase::Connected if !self.pinged => {
                // From now: who was asleep for long has not listened either.
                (self.pinged, self.ping_due, self.since) = (true, true, now);
                return None;
            }
            Phase::Connected => Lost::Silence,
            Phase::Closed | Phase::HelloDue | Phase::HelloSent => Lost::Handshake,
        };
        self.close();
        Some(lost)
    }

    /// # Errors
    /// If the frame cannot be sent.
    pub(super) fn check(&self, frame: &Frame<'_, ToMaster>) -> Result<(), NotSent> {
        if self.phase != Phase::Connected || self.bye_due {
            return Err(NotSent::NotConnected);
        }
        let rest = frame.front.len().saturating_add(frame.body.len());
        let room = (self.max_frame as usize).checked_sub(rest).ok_or(NotSent::TooLong)?;
        if room < crate::native::HEADER_MAX && frame.header.encode().len() > room {
            return Err(NotSent::TooLong);
        }
        Ok(())
    }

    pub(super) fn cache_get<'a>(&mut self, key: &'a [u8]) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.ask(cache::get(self.cache.next(), key))
    }

    pub(super) fn cache_set<'a>(
        &mut self,
        key: &'a [u8],
        value: &'a [u8],
        ttl_ms: Option<u32>,
        when: When,
    ) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.ask(cache::set(self.cache.next(), key, value, ttl_ms, when))
    }

    pub(super) fn cache_delete<'a>(
        &mut self,
        key: &'a [u8],
        when: When,
    ) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.ask(cache::delete(self.cache.next(), key, when))
    }

    fn ask<'a>(&mut self, request: Frame<'a, ToMaster>) -> Result<(u32, Frame<'a, ToMaster>), NotSent> {
        self.check(&request)?;
        let id = self.cache.next();
        self.cache.sent();
        Ok((id, request))
    }
}

/// The fault of a frame that has no place.
pub(super) fn unexpected(frame: &[u8]) -> Fault {
    Fault::Unexpected { kind: frame.first().copied().unwrap_or_default() }
}
