//! What waits to be written to one connection: small parts copied together, large ones sent from where they are.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use palm_proto::PooledBuffer;
use palm_proto::endpoint::Transmit;
use tokio::io::AsyncWrite;

use super::stream::Stream;

/// Bodies from this size on are sent from where they are. Below, a copy costs less than a part of a vectored write.
const SHARE_FROM: usize = 16 << 10;
/// Parts of one vectored write.
const PARTS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
enum Segment {
    /// Copied together; written up to `sent`.
    Copied {
        bytes: Vec<u8>,
        sent: usize,
    },
    Shared(Bytes),
}

impl Segment {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Copied { bytes, sent } => &bytes[*sent..],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn push(&mut self, transmit: Transmit<'_, PooledBuffer>, spare: &mut Spare) {
        let body = transmit.body_bytes();
        let share = body.len() >= SHARE_FROM;
        let copied = self.copied(spare);
        if !share {
            copied.reserve(transmit.len());
        }
        for part in transmit.before() {
            copied.extend_from_slice(part);
        }
        if !share {
            copied.extend_from_slice(body);
            copied.extend_from_slice(transmit.after());
            return;
        }
        let after = transmit.after().to_vec();
        if let Some(span) = transmit.into_body() {
            let (buffer, range) = span.into_parts();
            self.segments.push_back(Segment::Shared(Bytes::from(buffer).slice(range)));
        }
        if !after.is_empty() {
            self.copied(spare).extend_from_slice(&after);
        }
    }

    /// The last segment, if it is one to copy to, or a new one.
    fn copied(&mut self, spare: &mut Spare) -> &mut Vec<u8> {
        if !matches!(self.segments.back(), Some(Segment::Copied { .. })) {
            self.segments.push_back(Segment::Copied { bytes: spare.take(), sent: 0 });
        }
        match self.segments.back_mut() {
            Some(Segment::Copied { bytes, .. }) => bytes,
            _ => unreachable!("a segment to copy to was just added"),
        }
    }

    /// Writes what the connection takes at once; the number of bytes.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
        spare: &mut Spare,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        let written = if let [only] = self.segments.make_contiguous() {
            ready!(stream.poll_write(context, only.rest()))?
        } else {
            let mut parts = [io::IoSlice::new(&[]); PARTS];
            let mut count = 0;
            for (part, segment) in parts.iter_mut().zip(&self.segments) {
                *part = io::IoSlice::new(segment.rest());
                count += 1;
            }
            ready!(stream.poll_write_vectored(context, &parts[..count]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written, spare);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, mut written: usize, spare: &mut Spare) {
        while let Some(first) = self.segments.front_mut() {
            let rest = first.rest().len();
            if written < rest {
                match first {
                    Segment::Copied { sent, .. } => *sent += written,
                    Segment::Shared(bytes) => bytes.advance(written),
                }
                return;
            }
            written -= rest;
            if let Some(Segment::Copied { bytes, .. }) = self.segments.pop_front() {
                spare.put(bytes);
            }
        }
    }
}

/// Empty buffers for those who write, so that a connection that is idle keeps none.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < 8 && buffer.capacity() <= 1 << 20 {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
