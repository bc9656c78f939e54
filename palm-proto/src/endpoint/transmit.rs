//! What a driver is to send over one connection.

use core::ops::Range;

use crate::buffer::{Buffer, Span};
use crate::zmtp::FrameHeader;

/// Where a driver puts what is to be sent over one connection: see [`Endpoint::transmit_to`](super::Endpoint::transmit_to).
pub trait Outlet<B> {
    /// Small parts, one after the other: to be copied.
    fn copy(&mut self, head: &[u8], body: &[u8]);

    /// Anything else.
    fn put(&mut self, transmit: Transmit<'_, B>);
}

/// One whole message, or control bytes, as parts to be sent one after the other.
///
/// A driver copies small parts together, and sends large ones from where they are.
#[derive(Debug)]
pub struct Transmit<'a, B> {
    pub(super) lead: &'a [u8],
    pub(super) topic_header: Option<FrameHeader>,
    pub(super) topic: Topic<'a>,
    pub(super) header: Option<FrameHeader>,
    pub(super) body: Body<'a, B>,
    /// The part of the body that is sent; `None`: all of it.
    pub(super) part: Option<Range<usize>>,
    pub(super) after: &'a [u8],
}

#[derive(Debug)]
pub(super) enum Topic<'a> {
    None,
    InBody(Range<usize>),
    Own(&'a [u8]),
}

#[derive(Debug)]
pub(super) enum Body<'a, B> {
    None,
    Kept(&'a Span<B>),
    Given(Span<B>),
}

impl<B> Transmit<'_, B> {
    pub(super) const EMPTY: Self = Self {
        lead: &[],
        topic_header: None,
        topic: Topic::None,
        header: None,
        body: Body::None,
        part: None,
        after: &[],
    };
}

impl<B: Buffer> Transmit<'_, B> {
    /// The bytes before the body: to be copied.
    #[inline]
    pub fn before(&self) -> [&[u8]; 4] {
        let topic = match &self.topic {
            Topic::None => &[],
            Topic::InBody(range) => self.whole().get(range.clone()).unwrap_or(&[]),
            Topic::Own(name) => name,
        };
        [self.lead, as_bytes(&self.topic_header), topic, as_bytes(&self.header)]
    }

    /// The message's own bytes.
    #[inline]
    pub fn body_bytes(&self) -> &[u8] {
        match &self.part {
            None => self.whole(),
            Some(part) => self.whole().get(part.clone()).unwrap_or(&[]),
        }
    }

    #[inline]
    fn whole(&self) -> &[u8] {
        match &self.body {
            Body::None => &[],
            Body::Kept(span) => span.as_slice(),
            Body::Given(span) => span.as_slice(),
        }
    }

    /// The bytes after the body: to be copied.
    pub fn after(&self) -> &[u8] {
        self.after
    }

    /// Number of bytes in all.
    pub fn len(&self) -> usize {
        self.before().iter().map(|part| part.len()).sum::<usize>() + self.body_bytes().len() + self.after.len()
    }

    /// Whether there is nothing to send, which never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<B: Buffer + Clone> Transmit<'_, B> {
    /// The body in the buffer that holds it, for a driver that sends it from there; a clone where the master keeps it.
    pub fn into_body(self) -> Option<Span<B>> {
        let whole = match self.body {
            Body::None => return None,
            Body::Kept(span) => span.clone(),
            Body::Given(span) => span,
        };
        match self.part {
            None => Some(whole),
            Some(part) => whole.narrowed(part),
        }
    }
}

fn as_bytes(header: &Option<FrameHeader>) -> &[u8] {
    header.as_ref().map_or(&[], AsRef::as_ref)
}
