//! What is said while components are stopped.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// For how long the last words are waited for, at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

type Saying = Box<dyn FnOnce() + Send>;

/// Says things on a thread of its own, so that a terminal which stands still stops nothing.
#[derive(Debug)]
pub(crate) struct Voice {
    sayings: mpsc::Sender<Saying>,
    /// Nothing comes: it closes when all is said.
    said: mpsc::Receiver<()>,
}

impl Voice {
    /// One that has said nothing yet.
    ///
    /// # Errors
    /// If there is no thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (sayings, next) = mpsc::channel::<Saying>();
        let (done, said) = mpsc::channel();
        std::thread::Builder::new().name("palm-voice".to_owned()).spawn(move || {
            let _done: mpsc::Sender<()> = done;
            next.into_iter().for_each(|say| say());
        })?;
        Ok(Self { sayings, said })
    }

    /// Says something after what was said before.
    pub(crate) fn say(&self, what: impl FnOnce() + Send + 'static) {
        let _ = self.sayings.send(Box::new(what));
    }

    /// Waits until all is said, unless that takes long. Whether it is.
    pub(crate) fn finish(self) -> bool {
        drop(self.sayings);
        self.said.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_said_in_its_order_and_nobody_waits_for_it() {
        let (heard, said) = mpsc::channel();
        let (let_go, wait) = mpsc::channel::<()>();
        let voice = Voice::start().unwrap();
        voice.say(move || _ = wait.recv());
        for word in ["one", "two"] {
            let heard = heard.clone();
            voice.say(move || heard.send(word).unwrap());
        }
        assert!(said.try_recv().is_err(), "the first has still to be said");
        drop(let_go);
        assert!(voice.finish());
        assert_eq!(said.try_iter().collect::<Vec<_>>(), ["one", "two"]);

        let (_never, wait) = mpsc::channel::<()>();
        let voice = Voice::start().unwrap();
        voice.say(move || _ = wait.recv());
        assert!(!voice.finish());
    }
}
