//! Honest peers of the attacked master: workers that echo as Python's do, clients that want their results, and the check that both
//! are served.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use palm_proto::message::MessageRef;
use palm_proto::native::Role;

use super::client::{Client, name as unique};
use super::native_peer::{NativePeer, Session};
use super::wire::answer;
use super::{Broken, Outcome, Target};
use crate::zmtp::Peer;

/// Calls after which each worker must have had one, besides as many as it takes them all in turn.
const CALLS: usize = 200;

/// The honest peers, which are there before an attack and after it.
pub struct Scene<'a> {
    /// The master.
    pub target: &'a Target,
    workers: Vec<EchoWorker>,
    client: Client,
    count: usize,
}

impl<'a> Scene<'a> {
    /// Two workers and a client.
    ///
    /// # Errors
    /// If they are not served.
    pub fn new(target: &'a Target) -> Outcome<Self> {
        let client = Client::connect(target, &unique("known"))?;
        let mut scene = Self { target, workers: Vec::new(), client, count: 0 };
        scene.hire()?;
        scene.served()?;
        Ok(scene)
    }

    /// Looks whether all are served: the cache answers, the known client and a new one get results, each worker, and a new one,
    /// gets messages; and a native client gets a result if there is a listener.
    ///
    /// # Errors
    /// If one is not.
    pub fn served(&mut self) -> Outcome {
        self.answered()?;
        let fresh = EchoWorker::start(self.target).map_err(|cause| Broken(format!("a new worker: {cause}")))?;
        self.workers.push(fresh);
        let counts: Vec<_> = self.workers.iter().map(EchoWorker::taken).collect();
        for _ in 0..CALLS {
            self.call()?;
            let mut workers = self.workers.iter().zip(&counts);
            if workers.all(|(worker, &before)| worker.taken() > before) {
                break;
            }
        }
        let places = ["the first worker", "the second worker", "a new worker"].into_iter();
        let idle = places.zip(&self.workers).zip(&counts).find(|((_, worker), before)| worker.taken() == **before);
        let fault = self.workers.iter().find_map(EchoWorker::fault);
        let idle = idle.map(|((who, _), _)| who);
        self.workers.pop();
        match (idle, fault) {
            (_, Some(fault)) => Err(Broken(format!("a worker: {fault}"))),
            (Some(who), None) => Err(Broken(format!("{who} has none of {CALLS} messages"))),
            (None, None) => self.native_answered(),
        }
    }

    /// Looks whether the cache answers, and the known client and a new one get results.
    ///
    /// # Errors
    /// If one does not.
    pub fn answered(&mut self) -> Outcome {
        let name = self.target.cache("get", "name", b"").map_err(|cause| Broken(format!("the cache: {cause}")))?;
        if name != self.target.name.as_bytes() {
            return Err(Broken(format!("the cache says the name is {:?}", String::from_utf8_lossy(&name))));
        }
        self.call()?;
        self.count += 1;
        let mut fresh = Client::connect(self.target, &unique("new")).map_err(|broken| broken.after("a new client"))?;
        fresh.call(self.target, &format!("new {}", self.count)).map_err(|broken| broken.after("a new client"))
    }

    /// Has a message of the known client answered.
    ///
    /// # Errors
    /// If it is not.
    pub fn call(&mut self) -> Outcome {
        self.count += 1;
        let payload = format!("known {}", self.count);
        self.client.call(self.target, &payload).map_err(|broken| broken.after("a client from before"))
    }

    /// A new native client has a task done, if there is a listener.
    fn native_answered(&self) -> Outcome {
        let Some(native) = &self.target.native else { return Ok(()) };
        let what = "a new native client";
        let peer = NativePeer::honest(self.target, native).map_err(|cause| Broken(format!("{what}: {cause}")))?;
        let mut session = Session::open(peer, Role::Client, &native.token).map_err(|broken| broken.after(what))?;
        session.eval(&self.target.call(), b"native").map_err(|broken| broken.after(what))
    }

    /// From now on the honest workers take messages and answer none.
    pub fn hold(&self) {
        self.workers.iter().for_each(EchoWorker::hold);
    }

    /// What they hold now, serialised.
    pub fn held(&self) -> Vec<Vec<u8>> {
        self.workers.iter().flat_map(|worker| lock(&worker.state.gate).held.clone()).collect()
    }

    /// They answer all that they hold, and go on.
    pub fn release(&self) {
        self.workers.iter().for_each(EchoWorker::release);
    }

    /// Messages that the honest workers have taken so far.
    pub fn taken(&self) -> usize {
        self.workers.iter().map(EchoWorker::taken).sum()
    }

    /// The honest workers leave.
    pub fn dismiss(&mut self) {
        self.workers.clear();
    }

    /// Two honest workers come.
    ///
    /// # Errors
    /// If they cannot connect.
    pub fn hire(&mut self) -> Outcome {
        for _ in 0..2 {
            self.workers.push(EchoWorker::start(self.target)?);
        }
        Ok(())
    }
}

/// A worker that sends each message back.
pub(super) struct EchoWorker {
    state: Arc<State>,
    pull: TcpStream,
}

struct State {
    push: Mutex<Peer>,
    taken: AtomicUsize,
    over: AtomicBool,
    gate: Mutex<Gate>,
    fault: Mutex<Option<String>>,
}

#[derive(Default)]
struct Gate {
    holds: bool,
    held: Vec<Vec<u8>>,
}

impl EchoWorker {
    pub(super) fn start(target: &Target) -> io::Result<Self> {
        let push = Mutex::new(target.honest_peer(&target.addresses.worker_pull, "PUSH", 0)?);
        let mut peer = target.honest_peer(&target.addresses.worker_push, "PULL", 1)?;
        let pull = peer.stream()?;
        // It waits for messages as long as it is there.
        pull.set_read_timeout(None)?;

        let (taken, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let state = Arc::new(State { push, taken, over, gate: Mutex::default(), fault: Mutex::default() });
        let of_thread = Arc::clone(&state);
        thread::spawn(move || {
            let ended = of_thread.serve(&mut peer);
            if let (Err(cause), false) = (ended, of_thread.over.load(Ordering::Acquire)) {
                *lock(&of_thread.fault) = Some(cause.to_string());
            }
        });
        Ok(Self { state, pull })
    }

    pub(super) fn taken(&self) -> usize {
        self.state.taken.load(Ordering::Acquire)
    }

    fn fault(&self) -> Option<String> {
        lock(&self.state.fault).clone()
    }

    fn hold(&self) {
        lock(&self.state.gate).holds = true;
    }

    fn release(&self) {
        let held = {
            let mut gate = lock(&self.state.gate);
            gate.holds = false;
            std::mem::take(&mut gate.held)
        };
        for message in held {
            if let Err(cause) = self.state.answer(&message) {
                *lock(&self.state.fault) = Some(cause.to_string());
            }
        }
    }
}

impl State {
    fn serve(&self, pull: &mut Peer) -> io::Result<()> {
        loop {
            let message = pull.recv()?.pop().unwrap_or_default();
            {
                let mut gate = lock(&self.gate);
                self.taken.fetch_add(1, Ordering::AcqRel);
                if gate.holds {
                    gate.held.push(message);
                    continue;
                }
            }
            self.answer(&message)?;
        }
    }

    fn answer(&self, message: &[u8]) -> io::Result<()> {
        let parsed = MessageRef::parse(message).map_err(|cause| io::Error::other(format!("it was sent {cause}")))?;
        let answer = answer(message, parsed.payload).unwrap_or_default();
        lock(&self.push).send(&[&answer])
    }
}

impl Drop for EchoWorker {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
        // The thread's read ends; that the master is gone already is no matter.
        let _closed = self.pull.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
