//! Waiting, always with a bound.

use std::panic;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{palm, python};

/// Runs `body` in a thread of its own and fails the test if it takes longer than `seconds`.
///
/// What all tests need, the stock peer and the program `palm`, is set up before, in no time of the test's.
///
/// # Panics
/// If the time is over, or as `body` does.
pub fn within(seconds: u64, body: impl FnOnce() + Send + 'static) {
    python::interpreter();
    palm::executable();
    let (done, finished) = mpsc::channel::<()>();
    let test = thread::Builder::new()
        .name(thread::current().name().unwrap_or("test").to_owned())
        .spawn(move || {
            let _done = done;
            body();
        })
        .expect("a thread can be started");
    // Nothing is ever sent: the channel closes when the body has ended, well or not.
    if finished.recv_timeout(Duration::from_secs(seconds)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the test took longer than its {seconds} seconds");
    }
    if let Err(cause) = test.join() {
        panic::resume_unwind(cause);
    }
}

/// Asks `probe` again and again until it has something.
///
/// # Panics
/// If that is not within `bound`; `what` says then what was waited for.
pub fn until<T>(what: &str, bound: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
