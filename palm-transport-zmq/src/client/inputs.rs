//! Inputs of a job from where they usually are.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;

/// Inputs from an iterator, which must not block: [`from_channel`] is for one that does.
pub fn from_iter<I>(inputs: I) -> FromIter<I::IntoIter>
where
    I: IntoIterator,
    I::Item: Into<Bytes>,
{
    FromIter(inputs.into_iter())
}

/// Inputs from the other end of a channel, until every sender is dropped.
pub fn from_channel(inputs: mpsc::Receiver<Bytes>) -> FromChannel {
    FromChannel(inputs)
}

/// See [`from_iter`].
#[derive(Clone, Debug)]
pub struct FromIter<I>(I);

impl<I> Stream for FromIter<I>
where
    I: Iterator + Unpin,
    I::Item: Into<Bytes>,
{
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Poll::Ready(self.0.next().map(Into::into))
    }
}

/// See [`from_channel`].
#[derive(Debug)]
pub struct FromChannel(mpsc::Receiver<Bytes>);

impl Stream for FromChannel {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(context)
    }
}
