//! Writes what waits for one connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use palm_proto::buffer::{Outgoing, Spare};
use tokio::io::AsyncWrite;

use super::stream::Stream;

/// Parts of one vectored write.
const PARTS: usize = 64;

/// Writes what the connection takes at once; the number of bytes.
pub(super) fn poll_write(
    outgoing: &mut Outgoing,
    context: &mut Context<'_>,
    stream: &mut Stream,
    spare: &mut Spare,
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    let written = match outgoing.slices(&mut [IoSlice::new(&[]); PARTS]) {
        [only] => ready!(stream.poll_write(context, only))?,
        several => ready!(stream.poll_write_vectored(context, several))?,
    };
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    outgoing.advance(written, spare);
    Poll::Ready(Ok(written))
}
