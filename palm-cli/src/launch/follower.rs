//! Follows a job: what comes of its messages, until all have come to their end or somebody stops it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::FutureExt as _;
use palm_transport_zmq::Status;

use super::job::{self, Job};
use super::ledger::{Ledger, News, NotSent};
use super::server::{Server, connect_zmq};
use super::stop::Stop;
use crate::commands::launch::Args;
use crate::output::progress::Progress;
use crate::output::results::Sink;

/// Ends when there is no native master to be found any more.
pub(crate) type Gone = Pin<Box<dyn Future<Output = ()>>>;

/// How following a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Everything has come to its end.
    Complete,
    /// A signal stopped it.
    Stopped,
}

/// A job, and what is made of its outcomes.
pub(crate) struct Follower<'a> {
    pub(crate) args: &'a Args,
    pub(crate) job: Job,
    pub(crate) gone: Gone,
    pub(crate) sink: Sink,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) progress: Progress,
    pub(crate) stop: Stop,
}

impl Follower<'_> {
    /// Follows it.
    ///
    /// # Errors
    /// If a result cannot be written, or the way over ZeroMQ is not found.
    pub(crate) async fn follow(&mut self) -> anyhow::Result<Ended> {
        loop {
            if self.take_news() {
                return self.flush().await;
            }
            // What is there already is collected; what is collected is written when there is no more, or enough.
            let ready = self.job.next().now_or_never();
            if (ready.is_none() || self.sink.is_full()) && self.flush().await? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
            let outcome = match ready {
                Some(outcome) => outcome,
                None => {
                    self.show_progress();
                    tokio::select! {
                        outcome = self.job.next() => outcome,
                        () = self.stop.asked() => return Ok(Ended::Stopped),
                        news = poll_fn(|context| self.ledger.borrow_mut().poll_news(context)) => {
                            if self.hear(news) {
                                return self.flush().await;
                            }
                            continue;
                        }
                        () = &mut self.gone => {
                            if self.go_over_to_zmq().await? == Ended::Stopped {
                                return Ok(Ended::Stopped);
                            }
                            continue;
                        }
                    }
                }
            };
            match outcome {
                Some(outcome) => self.take(outcome),
                None => {
                    self.take_news();
                    return self.flush().await;
                }
            }
        }
    }

    /// Takes what no outcome tells. Whether that is the end.
    fn take_news(&mut self) -> bool {
        loop {
            let Some(news) = self.ledger.borrow_mut().news() else { return false };
            if self.hear(news) {
                return true;
            }
        }
    }

    fn hear(&mut self, news: News) -> bool {
        match news {
            News::NotSent(NotSent { arrived, reason }) => {
                self.sink.put(&arrived, Err(("not sent", &reason)));
                false
            }
            News::Enough => true,
        }
    }

    /// What is under way goes on over ZeroMQ, as soon as the master is reached.
    async fn go_over_to_zmq(&mut self) -> anyhow::Result<Ended> {
        self.gone = Box::pin(std::future::pending());
        let server = tokio::select! {
            server = connect_zmq(self.args) => server?,
            () = self.stop.asked() => return Ok(Ended::Stopped),
        };
        if let Server::Zmq { client, .. } = server {
            self.job = std::mem::replace(&mut self.job, Job::Between).over_zmq(&client);
        }
        Ok(Ended::Complete)
    }

    fn show_progress(&self) {
        let ledger = self.ledger.borrow();
        self.progress.at(ledger.through(), || ledger.note());
    }

    fn take(&mut self, outcome: job::Outcome) {
        let mut ledger = self.ledger.borrow_mut();
        match outcome.result {
            Ok(payload) => {
                if let Some(arrived) = ledger.arrived(outcome.sequence) {
                    self.sink.put(&arrived, Ok(payload));
                }
            }
            Err(failure) => {
                let status = failure.status.to_string();
                let why: &dyn std::fmt::Display = match failure.status {
                    Status::Failed if !failure.text.is_empty() => &failure.text,
                    _ => &failure,
                };
                let arrived = match failure.status {
                    Status::DeadlineExceeded => ledger.late(outcome.sequence, why),
                    _ => ledger.failed(outcome.sequence, why),
                };
                if let Some(arrived) = arrived {
                    self.sink.put(&arrived, Err((&status, &failure.text)));
                }
            }
        }
    }

    async fn flush(&mut self) -> anyhow::Result<Ended> {
        tokio::select! {
            biased;
            written = self.sink.flush() => written.map(|()| Ended::Complete),
            () = self.stop.asked() => Ok(Ended::Stopped),
        }
    }
}
