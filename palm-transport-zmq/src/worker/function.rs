//! A worker's functions, and calling them so that a panic is no more than a failure.

use std::any::Any;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use palm_proto::Status;
use palm_proto::worker::Answer;

use super::call::{Call, Results};

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a call ends with: nothing, if its results were handed in before.
pub(super) type End = Option<Answer<Bytes>>;

/// How a function runs.
#[derive(Clone)]
pub(super) enum Function {
    /// As a task of the runtime.
    Async(Arc<dyn Fn(Call) -> BoxFuture<Answer<Bytes>> + Send + Sync>),
    /// On a thread where it may block.
    Blocking(Arc<dyn Fn(Call) -> Answer<Bytes> + Send + Sync>),
    /// As a task that hands in results before it ends.
    Yielding(Arc<dyn Fn(Call, Results) -> BoxFuture<End> + Send + Sync>),
    /// Between receiving one message and the next.
    Inline(Arc<dyn Fn(Call) -> Answer<Bytes> + Send + Sync>),
}

impl Function {
    pub(super) fn from_async<F, R, T, E>(function: F) -> Self
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        let function = Arc::new(function);
        Self::Async(Arc::new(move |call| {
            let function = function.clone();
            Box::pin(caught(async move { answer(function(call).await) }, panicked))
        }))
    }

    pub(super) fn from_yielding<F, R, E>(function: F) -> Self
    where
        F: Fn(Call, Results) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let function = Arc::new(function);
        Self::Yielding(Arc::new(move |call, results| {
            let function = function.clone();
            let ended = async move { function(call, results).await.err().map(|error| answer(Err::<Bytes, _>(error))) };
            Box::pin(caught(ended, |panic| Some(panicked(panic))))
        }))
    }

    pub(super) fn from_blocking<F, T, E>(function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        Self::Blocking(Arc::new(move |call| {
            catch_unwind(AssertUnwindSafe(|| answer(function(call)))).unwrap_or_else(panicked)
        }))
    }

    pub(super) fn from_inline<F, T, E>(function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        Self::Inline(Arc::new(move |call| {
            catch_unwind(AssertUnwindSafe(|| answer(function(call)))).unwrap_or_else(panicked)
        }))
    }
}

fn answer<T: Into<Bytes>, E: Display>(result: Result<T, E>) -> Answer<Bytes> {
    match result {
        Ok(payload) => Answer::Result(payload.into()),
        Err(error) => Answer::Failure(Status::Failed, error.to_string().into()),
    }
}

/// The future, which a panic ends as `panicked` says.
async fn caught<T>(
    future: impl Future<Output = T> + Send + 'static,
    panicked: impl Fn(Box<dyn Any + Send>) -> T + Send,
) -> T {
    let mut future = Box::pin(future);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(panicked(panic)),
    })
    .await
}

fn panicked(panic: Box<dyn Any + Send>) -> Answer<Bytes> {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned());
    Answer::Failure(Status::Failed, format!("the function panicked: {text}").into())
}
