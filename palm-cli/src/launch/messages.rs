//! The messages of a job as its client takes them: each is entered in the ledger when it is.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::input::{InputError, Item};
use super::ledger::Ledger;

/// A stream of payloads.
pub(crate) struct Messages {
    items: mpsc::Receiver<Result<Item, InputError>>,
    ledger: Rc<RefCell<Ledger>>,
}

impl Messages {
    /// What is read, entered in `ledger`.
    pub(crate) const fn new(items: mpsc::Receiver<Result<Item, InputError>>, ledger: Rc<RefCell<Ledger>>) -> Self {
        Self { items, ledger }
    }
}

impl Stream for Messages {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            // What cannot be sent is to be reported before more is read.
            task::ready!(self.ledger.borrow_mut().poll_room(context));
            let item = task::ready!(self.items.poll_recv(context));
            let mut ledger = self.ledger.borrow_mut();
            match item {
                None => {
                    ledger.input_ended();
                    return Poll::Ready(None);
                }
                Some(Ok(Item { label, payload, budget })) => {
                    ledger.sent(label, budget);
                    return Poll::Ready(Some(payload));
                }
                Some(Err(InputError { label, reason })) => ledger.not_sent(label, reason),
            }
        }
    }
}
