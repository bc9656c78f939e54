//! The functions of the worker, each call in a thread of its own.

use std::panic;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use palm_proto::Status;
use palm_proto::native::{HeldId, TaskEvent};

use crate::Input;

/// What a function has to say to a task: the result, or why there is none.
pub(crate) type Answer = (HeldId, Result<Vec<u8>, (Status, String)>);

/// Works on a task. There are no more threads than the worker's window: no master sends more tasks at once.
pub(crate) fn begin(task: &TaskEvent<'_, Box<str>>, to_main: SyncSender<Input>) {
    // The event borrows from the machine and from what was received: what is needed for longer is copied.
    let (id, function, payload) = (task.id, task.function.cloned().unwrap_or_default(), task.payload.to_vec());
    thread::spawn(move || {
        // A task has one answer, also if its function panics.
        let result = panic::catch_unwind(|| call(&function, payload));
        let result = result.unwrap_or_else(|_| Err((Status::Failed, "the function panicked".to_owned())));
        // Nobody listens when the program ends.
        let _ended = to_main.send(Input::Answer((id, result)));
    });
}

fn call(function: &str, payload: Vec<u8>) -> Result<Vec<u8>, (Status, String)> {
    // A function is called `server.method`; whose method it is makes no difference here.
    match function.rsplit('.').next() {
        Some("echo") => Ok(payload),
        Some("upper") => Ok(payload.to_ascii_uppercase()),
        Some("sleep") => {
            thread::sleep(Duration::from_secs(1));
            Ok(payload)
        }
        _ => Err((Status::NoSuchFunction, format!("no function {function:?}"))),
    }
}
