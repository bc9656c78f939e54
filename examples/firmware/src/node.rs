//! The driver: what comes over the line goes into the worker's machine, and what that says goes out.

use core::time::Duration;

use palm_proto::Instant;
use palm_proto::Status;
use palm_proto::collections::Slot;
use palm_proto::native::{
    Deframed, Frame, HEADER_MAX, HeldId, HeldTask, LINE_OVERHEAD, LineFraming, PeerConfig, Retry, SessionId, ToMaster,
    Worker, WorkerEvent, WorkerStorage,
};

use crate::board::{Clock, Port};
use crate::functions::Function;

/// Longest payload of a task, in bytes.
const PAYLOAD: usize = 256;

/// Longest frame that the worker takes, in bytes.
pub(crate) const MAX_FRAME: usize = HEADER_MAX + PAYLOAD;

/// Tasks at once: one is done while the next one comes.
const WINDOW: usize = 2;

/// Functions that a master may name; the worker's own are among them as soon as they are called.
const FUNCTIONS: usize = 32;

/// How long the answer to Hello may take. On a line it is lost more often than late.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// How long to leave a master alone that has no use for the worker, or an echo of the line that it takes for one.
const RETRY: Duration = Duration::from_secs(5);

/// The worker's tables. It has no task when a connection begins, so that it need not know whose its tasks are.
#[derive(Debug)]
struct Tables;

impl WorkerStorage for Tables {
    type Text = &'static str;
    type Function = Function;
    type Held = heapless::Vec<Slot<HeldTask>, WINDOW>;
    type Functions = heapless::Vec<Option<Option<Function>>, FUNCTIONS>;
    type Sessions = heapless::Vec<Option<SessionId>, 0>;
}

/// A worker, and what connects it with its master.
pub(crate) struct Node {
    worker: Worker<Tables>,
    framing: LineFraming,
    clock: Clock,
    port: Port,
    /// When to begin the next connection, if there is none.
    connect_at: Instant,
}

/// A task that has come, and where its payload is.
struct Task {
    id: HeldId,
    function: Option<Function>,
    start: usize,
    len: usize,
}

impl Node {
    pub(crate) fn new(number: u32, name: &'static str, clock: Clock, port: Port) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        let session = SessionId([b'a', b' ', b'P', b'A', b'L', b'M', b' ', b'b', b'o', b'a', b'r', b'd', a, b, c, d]);
        let config =
            PeerConfig { max_frame: MAX_FRAME as u32, handshake: HANDSHAKE, ..PeerConfig::new(name, "", session) };
        let worker = Worker::new(config, heapless::Vec::new(), heapless::Vec::new(), heapless::Vec::new());
        Self { worker, framing: LineFraming::new(), clock, port, connect_at: Instant::ZERO }
    }

    /// Works for ever. `buffer` is for frames that come.
    pub(crate) fn run(&mut self, buffer: &mut [u8; MAX_FRAME + LINE_OVERHEAD]) -> ! {
        loop {
            let now = self.clock.now();
            self.worker.handle_timeout(now);
            if self.worker.is_closed() && now >= self.connect_at {
                self.framing.begin();
                self.worker.handle_connected(now);
            }
            self.transmit();
            match self.port.receive() {
                Some(byte) => {
                    if let Some(task) = self.handle_byte(now, byte, buffer) {
                        self.perform(&task, buffer);
                    }
                }
                None => self.port.wait(),
            }
        }
    }

    /// Takes a byte that has come; gives the task whose last one it is.
    ///
    /// Not inlined, so that what it needs of the stack is free again when the task is done.
    #[inline(never)]
    fn handle_byte(&mut self, now: Instant, byte: u8, buffer: &mut [u8]) -> Option<Task> {
        let base = buffer.as_ptr().addr();
        let frame = match self.framing.handle_input(core::slice::from_ref(&byte), buffer) {
            Deframed::Incomplete { .. } => return None,
            Deframed::Fault { .. } => {
                self.worker.handle_disconnected();
                return None;
            }
            Deframed::Frame { frame, .. } => frame,
        };
        match self.worker.handle_frame(now, frame) {
            Ok(Some(WorkerEvent::Task(task))) => Some(Task {
                id: task.id,
                function: task.function.copied(),
                start: task.payload.as_ptr().addr() - base,
                len: task.payload.len(),
            }),
            // After an error it is no master, or one that this worker does not understand.
            Ok(Some(WorkerEvent::Refused { retry: Retry::Later | Retry::Never, .. } | WorkerEvent::Goodbye))
            | Err(_) => {
                self.connect_at = now + RETRY;
                None
            }
            // A connection that is over for other reasons is begun again at once.
            Ok(_) => None,
        }
    }

    /// Does a task, where its payload lies, and answers.
    #[inline(never)]
    fn perform(&mut self, task: &Task, buffer: &mut [u8]) {
        let memory = buffer.get_mut(task.start..).unwrap_or_default();
        let result = match task.function {
            Some(function) => function.call(memory, task.len),
            None => Err((Status::NoSuchFunction, "")),
        };
        let mut answer = match result {
            Ok(len) => self.worker.done(task.id, memory.get(..len).unwrap_or_default()),
            Err((status, text)) => self.worker.failed(task.id, status, text),
        };
        if answer.is_err() {
            answer = self.worker.failed(task.id, Status::TooLong, "");
        }
        if let Ok(answer) = answer {
            send(&answer, &mut self.framing, &mut self.port);
        }
    }

    #[inline(never)]
    fn transmit(&mut self) {
        while let Some(frame) = self.worker.poll_transmit() {
            send(&frame, &mut self.framing, &mut self.port);
        }
    }
}

/// The port takes all there is.
fn send(frame: &Frame<'_, ToMaster>, framing: &mut LineFraming, port: &mut Port) {
    let _ = framing.encode(frame, port);
}
