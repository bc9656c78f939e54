//! The connection of a job, with a thread of its own.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Token, Waker};
use palm_transport_tcp::{BuildError, ClientConnection, ClientEvent, PeerOptions, Submission};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const CONNECTION: Token = Token(0);
const WAKE: Token = Token(1);
/// Events taken at a time: there are two sources.
const EVENTS: usize = 8;
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is asked of the thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Messages, with their numbers.
    Submit(Vec<(u64, Submission)>),
    /// Nobody wants more of this message.
    Cancel(u64),
}

/// What those may see and ask of a connection who do not have it.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    waker: Waker,
    connected: AtomicBool,
    /// Where the master is to be looked for.
    address: Mutex<Option<String>>,
}

impl Whereabouts {
    /// Whether it is established.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Has the master looked for at another address.
    pub(crate) fn relocate(&self, address: &str) {
        *self.address() = Some(address.to_owned());
        self.wake();
    }

    fn address(&self) -> MutexGuard<'_, Option<String>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!("cannot wake the connection: {error}");
        }
    }

    /// Takes note of what has happened.
    fn note(&self, event: &ClientEvent<u64>) {
        match event {
            ClientEvent::Connected { .. } => self.connected.store(true, Ordering::Relaxed),
            ClientEvent::Disconnected { .. } | ClientEvent::Ended { .. } => {
                self.connected.store(false, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// A connection. Dropped, it says goodbye and cancels what is under way.
pub(crate) struct Connection {
    commands: Option<mpsc::Sender<Command>>,
    whereabouts: Arc<Whereabouts>,
    events: UnboundedReceiver<ClientEvent<u64>>,
    thread: Option<JoinHandle<()>>,
    master: String,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It cannot be made of what was given.
    Build(BuildError),
    /// The master does not want it.
    Refused(String),
    /// There is none for as long as it was tried.
    TimedOut,
}

impl Connection {
    /// Connects, trying for as long as `patience` lasts.
    ///
    /// # Errors
    /// If the options cannot work, the master does not want this client, or patience runs out.
    pub(crate) async fn open(options: &PeerOptions, patience: Duration) -> Result<Self, OpenError> {
        let io = |error| OpenError::Build(BuildError::Io(error));
        let mut connection = ClientConnection::new(options).map_err(OpenError::Build)?;
        let poll = mio::Poll::new().map_err(io)?;
        let waker = Waker::new(poll.registry(), WAKE).map_err(io)?;
        let whereabouts = Arc::new(Whereabouts { waker, connected: AtomicBool::new(false), address: Mutex::default() });
        let noted = Arc::clone(&whereabouts);
        connection.register(poll.registry(), CONNECTION).map_err(io)?;
        let (commands, orders) = mpsc::channel();
        let (tell, events) = unbounded_channel();
        let thread = std::thread::Builder::new().name("palm-client".to_owned());
        let thread = thread.spawn(move || drive(connection, poll, &orders, &tell, &noted)).map_err(io)?;
        let mut opened =
            Self { commands: Some(commands), whereabouts, events, thread: Some(thread), master: String::new() };
        let event = tokio::time::timeout(patience, opened.events.recv());
        match event.await {
            Ok(Some(ClientEvent::Connected { master, .. })) => {
                opened.master = master;
                Ok(opened)
            }
            Ok(Some(ClientEvent::Ended { why })) => Err(OpenError::Refused(why)),
            Ok(_) | Err(_) => Err(OpenError::TimedOut),
        }
    }

    /// The master's name.
    pub(crate) fn master(&self) -> &str {
        &self.master
    }

    /// Has something done.
    pub(super) fn tell(&self, command: Command) {
        // If the thread is gone, so is the channel of events, which says so.
        if let Some(commands) = &self.commands
            && commands.send(command).is_ok()
        {
            self.whereabouts.wake();
        }
    }

    /// What others may see and ask of it.
    pub(crate) fn whereabouts(&self) -> Arc<Whereabouts> {
        Arc::clone(&self.whereabouts)
    }

    /// What has come; `None` when nothing will any more.
    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<ClientEvent<u64>>> {
        self.events.poll_recv(context)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.commands = None;
        self.whereabouts.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the connection's thread has panicked");
        }
    }
}

/// What the thread does.
fn drive(
    mut connection: ClientConnection<u64>,
    mut poll: mio::Poll,
    commands: &mpsc::Receiver<Command>,
    tell: &UnboundedSender<ClientEvent<u64>>,
    whereabouts: &Whereabouts,
) {
    let mut events = Events::with_capacity(EVENTS);
    let mut until: Option<Instant> = None;
    loop {
        connection.turn();
        while let Some(event) = connection.poll_event() {
            whereabouts.note(&event);
            // At the end nobody listens any more.
            let _ = tell.send(event);
        }
        if connection.is_over() {
            return;
        }
        if let Some(address) = whereabouts.address().take()
            && let Err(error) = connection.relocate(&address)
        {
            tracing::warn!("{address}: {error}");
        }
        let busy = obey(&mut connection, commands, &mut until);
        let mut timeout = connection.next_timeout();
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        if busy {
            timeout = Some(Duration::ZERO);
        }
        match poll.poll(&mut events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!("cannot wait for events: {error}");
                return;
            }
        }
        for event in events.iter().filter(|event| event.token() == CONNECTION) {
            connection.on_ready(event);
        }
    }
}

/// Does what is asked. Whether there was anything.
fn obey(
    connection: &mut ClientConnection<u64>,
    commands: &mpsc::Receiver<Command>,
    until: &mut Option<Instant>,
) -> bool {
    let mut busy = false;
    loop {
        match commands.try_recv() {
            Ok(Command::Submit(submissions)) => {
                for (number, submission) in submissions {
                    connection.submit(submission, number);
                }
            }
            Ok(Command::Cancel(number)) => connection.cancel_all(|tag| *tag == number),
            Err(TryRecvError::Empty) => return busy,
            Err(TryRecvError::Disconnected) if until.is_some() => return busy,
            Err(TryRecvError::Disconnected) => {
                connection.cancel_all(|_| true);
                connection.bye();
                *until = Instant::now().checked_add(FAREWELL);
            }
        }
        busy = true;
    }
}
