//! Where lines go: into the spool, and to whoever looks on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{Notify, mpsc};

use super::lines::Splitter;
use super::spool::{Printed, Spool};
use crate::store::now;
use crate::wire::Stream;

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;
/// How long whoever looks on may hold a process up.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line for whoever looks on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The component.
    pub component: String,
    /// Which of its copies.
    pub copy: u32,
    /// Where it was printed.
    pub stream: Stream,
    /// Itself.
    pub text: String,
}

/// Takes what processes print.
#[derive(Debug)]
pub(super) struct Output {
    spool: Mutex<Spool>,
    /// There is more to send.
    pub(super) more: Notify,
    view: Option<mpsc::Sender<Shown>>,
    /// Lines that whoever looks on was too slow for.
    hidden: AtomicU64,
    /// Whether the spool could not be written last time.
    is_losing: AtomicBool,
}

/// Which of a process's streams is read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) component: String,
    pub(super) copy: u32,
    pub(super) stream: Stream,
}

impl Source {
    fn shown(&self, text: String) -> Shown {
        Shown { component: self.component.clone(), copy: self.copy, stream: self.stream, text }
    }
}

impl Output {
    pub(super) fn new(spool: Spool, view: Option<mpsc::Sender<Shown>>) -> Self {
        Self {
            spool: Mutex::new(spool),
            more: Notify::new(),
            view,
            hidden: AtomicU64::new(0),
            is_losing: AtomicBool::new(false),
        }
    }

    pub(super) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps lines of a process.
    pub(super) async fn put(&self, source: &Source, texts: Vec<String>) {
        if texts.is_empty() {
            return;
        }
        let shown = self.view.as_ref().map(|view| (view, texts.clone()));
        self.keep(source, texts);
        let Some((view, texts)) = shown else { return };
        for text in texts {
            self.show(view, source, text).await;
        }
    }

    /// As [`Self::put`], for what cannot wait until whoever looks on has seen it.
    pub(super) fn put_now(&self, source: &Source, text: String) {
        if let Some(view) = &self.view {
            let _ = view.try_send(source.shown(text.clone()));
        }
        self.keep(source, vec![text]);
    }

    /// Shows a line; a terminal that stands still holds a process up for a moment, but no longer.
    async fn show(&self, view: &mpsc::Sender<Shown>, source: &Source, text: String) {
        let hidden = self.hidden.load(Ordering::Relaxed);
        if hidden > 0 {
            let note = format!("{hidden} lines are not shown here");
            let note = Shown { stream: Stream::Runner, ..source.shown(note) };
            if view.try_send(note).is_err() {
                self.hidden.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.hidden.fetch_sub(hidden, Ordering::Relaxed);
        }
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = view.send_timeout(source.shown(text), PATIENCE).await {
            self.hidden.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn keep(&self, source: &Source, texts: Vec<String>) {
        let at = now();
        let Source { component, copy, stream } = source;
        let printed = |text| Printed { component: component.clone(), copy: *copy, stream: *stream, at, text };
        match self.spool().append(texts.into_iter().map(printed)) {
            Ok(()) if self.is_losing.swap(false, Ordering::Relaxed) => tracing::info!("the spool can be written again"),
            Ok(()) => {}
            // The component goes on: its work is worth more than its words. The spool says how many are lost, once it can.
            Err(error) if !self.is_losing.swap(true, Ordering::Relaxed) => {
                tracing::error!("lines are lost, as the spool cannot be written: {error}");
            }
            Err(_) => {}
        }
        self.more.notify_one();
    }

    /// Reads a stream to its end; `seen` is called with each line.
    pub(super) async fn read(&self, mut stream: impl AsyncRead + Unpin, source: Source, mut seen: impl FnMut(&str)) {
        let (mut splitter, mut chunk) = (Splitter::default(), vec![0; CHUNK]);
        loop {
            // An error means that there is no more.
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            let mut lines = Vec::new();
            match chunk.get(..read) {
                None | Some([]) => splitter.finish(|line| lines.push(line)),
                Some(bytes) => splitter.push(bytes, |line| lines.push(line)),
            }
            lines.iter().for_each(|line| seen(line));
            self.put(&source, lines).await;
            if read == 0 {
                return;
            }
        }
    }
}
