//! What a program says on standard error goes to the log.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Longest line that is logged, in bytes; a longer one is cut into several.
const LINE: u64 = 4096;

/// The last line a program said.
#[derive(Clone, Default)]
pub(super) struct LastLine(Arc<Mutex<String>>);

impl LastLine {
    /// The line; empty if it said nothing.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, line: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// Logs each line of `stream` until it ends.
pub(super) async fn log(stream: impl AsyncRead + Unpin, method: String, last: LastLine) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        // An error here only means that the program is gone.
        match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            tracing::info!("{method}: {text}");
            last.set(text);
        }
    }
}
