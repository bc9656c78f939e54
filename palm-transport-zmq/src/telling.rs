//! Telling the runner that has started this program how many messages it has handled (`docs/components.md`).

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The variable by which a runner says where it listens.
const VARIABLE: &str = "PALM_STATUS";
/// How often it is told.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells the runner that has started this program how many messages it has handled since its start: now, each second, and a last time
/// when what this returns is dropped. `messages` gives that number. Without a runner that listens nothing happens.
///
/// # Examples
/// ```
/// use palm_transport_zmq::{Call, Worker, tell_runner};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let worker = Worker::builder()
///     .cache_address("tcp://127.0.0.1:5559")
///     .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
///     .build()?;
/// let handle = worker.handle();
/// let telling = tell_runner(move || handle.answered());
/// worker.run().await;
/// drop(telling);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, it tells nothing any more"]
pub fn tell_runner(messages: impl Fn() -> u64 + Send + 'static) -> Telling {
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    Telling { thread: path.and_then(|path| start(path, messages)) }
}

/// Tells the runner how many messages were handled, until it is dropped.
#[derive(Debug)]
pub struct Telling {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.thread.take() {
            drop(over);
            let _ = thread.join();
        }
    }
}

/// A thread, as a runtime that is busy with messages may not come to it.
fn start(path: OsString, messages: impl Fn() -> u64 + Send + 'static) -> Option<(Sender<()>, JoinHandle<()>)> {
    let socket = UnixDatagram::unbound().ok()?;
    // A runner that stands still holds nobody up.
    socket.set_nonblocking(true).ok()?;
    let (over, is_over): (_, Receiver<()>) = channel();
    let tell = move || {
        loop {
            // What does not arrive is of no use a second later.
            let _ = socket.send_to(format!("messages={}", messages()).as_bytes(), &path);
            if is_over.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                let _ = socket.send_to(format!("messages={}", messages()).as_bytes(), &path);
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("palm-telling".to_owned()).spawn(tell).ok()?;
    Some((over, thread))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_first_and_the_last_number_are_told() {
        let path = std::env::temp_dir().join(format!("palm-telling-{}", uuid::Uuid::new_v4().simple()));
        let runner = UnixDatagram::bind(&path).unwrap();
        let messages = Arc::new(AtomicU64::new(3));
        let counted = messages.clone();
        let telling = Telling { thread: start(path.clone().into(), move || counted.load(Ordering::Relaxed)) };
        let mut told = [0; 64];
        let length = runner.recv(&mut told).unwrap();
        assert_eq!(&told[..length], b"messages=3");
        messages.store(70, Ordering::Relaxed);
        drop(telling);
        runner.set_nonblocking(true).unwrap();
        let mut last = Vec::new();
        while let Ok(length) = runner.recv(&mut told) {
            last = told[..length].to_vec();
        }
        assert_eq!(last, b"messages=70");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn without_a_runner_nothing_happens() {
        drop(Telling { thread: start("/no/such/socket".into(), || 1) });
    }
}
