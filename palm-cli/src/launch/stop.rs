//! Ctrl-C: the first one stops a job in order, the second one at once.

use std::sync::mpsc;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::commands::{StopSignals, block_on};

/// Exit status of a job that is not waited for.
const FAILED: i32 = 1;

/// Whether somebody has asked the job to stop.
#[derive(Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// From now on, signals are heard by a thread of its own: whatever else is stuck, a second one ends the process.
    ///
    /// # Errors
    /// If there is no thread, or signals cannot be listened for.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let (asked, stop) = watch::channel(false);
        let (ready, listening) = mpsc::channel();
        let listen = move || {
            // Its errors are those that are sent.
            let _ = block_on(async {
                let (heard, mut signals) = match StopSignals::listen() {
                    Ok(signals) => (Ok(()), Some(signals)),
                    Err(error) => (Err(error), None),
                };
                let _ = ready.send(heard);
                let Some(signals) = &mut signals else { return Ok(()) };
                signals.next().await;
                asked.send_replace(true);
                signals.next().await;
                std::process::exit(FAILED);
            });
        };
        std::thread::Builder::new().name("palm-stop".to_owned()).spawn(listen).context("cannot listen for signals")?;
        listening.recv().context("cannot listen for signals")??;
        Ok(Self(stop))
    }

    /// Waits for the first signal; afterwards at once.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // Nobody listens any more, so nobody will ask.
            std::future::pending::<()>().await;
        }
    }
}
