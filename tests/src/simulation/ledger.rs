//! What was sent, and what became of it: where the promises of a master are checked.

use palm_proto::native::SessionId;
use palm_proto::{MessageRef, Status};

/// Names one message: its client's number, and its own among those of that client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The client, an index into the cast.
    pub(super) client: u32,
    /// The message.
    pub(super) number: u32,
}

/// What a peer writes into a connection, as far as anybody keeps count.
pub(super) type Submission = Key;

/// What became of one message.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    /// How often the master has it received whole: more than once if its client sends it again.
    taken: u8,
    /// The execution that its results are of; 0: none has come.
    run: u64,
    /// Which of the results have come, a bit each.
    parts: u32,
    /// A failure came in place of results.
    failed: bool,
    /// It was written into a connection that broke before the master had it.
    lost_on_the_way: bool,
    /// A result or failure of it was given to a connection that broke before its client had it.
    excused: bool,
    settled: bool,
}

/// One client's messages.
#[derive(Debug, Default)]
struct Account {
    messages: Vec<Message>,
    settled: u32,
    taken: u32,
    /// It sends again what is not answered, and so has its own count of what it received.
    repeats: bool,
    /// It is gone and does not come back.
    gone: bool,
    last: Option<u32>,
    /// It speaks the native protocol: each message has exactly one end.
    session: Option<SessionId>,
}

/// Bytes of a payload before its filling: client, number, run, part, of how many.
pub(super) const HEAD: usize = 18;

/// What all clients sent and received.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    runs: u64,
    /// Results and failures that clients have.
    pub(super) received: u64,
    /// Failures among them.
    pub(super) failures: u64,
    /// Messages of which something was lost in a connection that broke on its way to the client.
    pub(super) excused: u64,
    /// Results come in the order of the messages.
    orderly: bool,
    /// Others than clients may have sent messages.
    pub(super) strangers: bool,
    /// Nothing goes wrong in this run.
    pub(super) quiet: bool,
    /// No worker dies, and none is away for long: no message is to blame for anything.
    pub(super) living: bool,
    /// Clients may be away for so long that the master forgets them.
    pub(super) forgetful: bool,
    violation: Option<String>,
}

impl Ledger {
    /// An empty ledger; if `orderly`, results must come in the order of the messages. There may be `strangers`.
    pub(super) fn new(orderly: bool, strangers: bool) -> Self {
        Self { orderly, strangers, ..Self::default() }
    }

    /// Adds a client; its number is the next.
    pub(super) fn add_client(&mut self, repeats: bool) -> u32 {
        self.accounts.push(Account { repeats, ..Account::default() });
        self.accounts.len() as u32 - 1
    }

    /// Adds a client that speaks the native protocol.
    pub(super) fn add_native_client(&mut self, session: SessionId) -> u32 {
        self.accounts.push(Account { repeats: true, session: Some(session), ..Account::default() });
        self.accounts.len() as u32 - 1
    }

    /// A promise was broken. The first one is kept.
    pub(super) fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// The first promise that was broken.
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// A client writes its next message: the payload, of at least [`HEAD`] bytes.
    pub(super) fn submit(&mut self, client: u32, len: usize) -> (Key, Vec<u8>) {
        let account = &mut self.accounts[client as usize];
        let number = account.messages.len() as u32;
        account.messages.push(Message::default());
        let key = Key { client, number };
        (key, payload(key, 0, 0, 0, len))
    }

    /// A message is with the master, whole.
    pub(super) fn take(&mut self, key: Key) {
        let account = &mut self.accounts[key.client as usize];
        let message = &mut account.messages[key.number as usize];
        account.taken += u32::from(message.taken == 0);
        message.taken = message.taken.saturating_add(1);
    }

    /// A message was in a connection that broke.
    pub(super) fn lose(&mut self, key: Key) {
        self.message(key).lost_on_the_way = true;
        if !self.accounts[key.client as usize].repeats {
            self.settle(key);
        }
    }

    /// A result was given to a connection that broke before its client had it.
    pub(super) fn excuse(&mut self, key: Key) {
        let repeats = self.accounts[key.client as usize].repeats;
        let message = self.message(key);
        if !message.excused {
            message.excused = true;
            self.excused += 1;
        }
        if !repeats {
            self.settle(key);
        }
    }

    /// The next execution of a function.
    pub(super) fn next_run(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    /// A client received a message whose frames are `topic` and `body`. `own` is the client's number and id.
    pub(super) fn receive(&mut self, own: u32, id: &str, topic: &[u8], body: &[u8]) -> Option<Key> {
        let Ok(view) = MessageRef::parse(body) else {
            self.fail(format!("client {own} received what is no message"));
            return None;
        };
        if topic != id.as_bytes() || view.client != id {
            self.fail(format!("client {own} received a result of {}", view.client));
            return None;
        }
        if view.extension.task.is_some() {
            self.fail(format!("client {own} received a result with the master's tags"));
        }
        self.received += 1;
        if view.extension.partial {
            // Each attempt may send its own, of which only the last result tells what was accepted.
            return match read(view.payload) {
                Some((key, run, ..)) if key.client == own && run != 0 => Some(key),
                read => {
                    self.fail(format!("client {own} received a part: {read:?}"));
                    None
                }
            };
        }
        let status = view.extension.status;
        if status != Status::Done {
            // A failure tells its message only by what the client put beside the payload.
            let number = view.extension.sequence.or_else(|| view.cache.parse().ok());
            let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
                self.fail(format!("client {own} received a failure of no message"));
                return None;
            };
            let key = Key { client: own, number };
            self.fail_message(key, status);
            return Some(key);
        }
        self.receive_result(own, view.payload)
    }

    fn fail_message(&mut self, key: Key, status: Status) {
        self.failures += 1;
        let repeats = self.accounts[key.client as usize].repeats;
        let message = *self.message(key);
        if !matches!(status, Status::DeadLetter | Status::DeadlineExceeded | Status::Unavailable | Status::Failed) {
            self.fail(format!("{key:?} failed with {status}"));
        }
        if self.living && status == Status::DeadLetter {
            self.fail(format!("{key:?} is a dead letter, and no worker died"));
        }
        if !repeats && (message.failed || message.run != 0) {
            self.fail(format!("{key:?} failed with {status} after it had ended"));
        }
        self.message(key).failed = true;
        if !repeats {
            self.settle(key);
        }
    }

    fn receive_result(&mut self, own: u32, payload: &[u8]) -> Option<Key> {
        let Some((key, run, part, parts)) = read(payload) else {
            self.fail(format!("client {own} received a payload that nobody sent: {payload:02x?}"));
            return None;
        };
        let repeats = self.accounts[own as usize].repeats;
        if key.client != own || run == 0 || part >= parts {
            self.fail(format!("client {own} received {key:?}, run {run}, part {part} of {parts}"));
            return None;
        }
        let orderly = self.orderly;
        let last = self.accounts[own as usize].last.replace(key.number);
        if orderly && !repeats && last.is_some_and(|last| last > key.number) {
            self.fail(format!("client {own} received message {} after {last:?}", key.number));
        }
        let message = self.message(key);
        let before = *message;
        message.run = run;
        message.parts |= 1 << part;
        if !repeats {
            if before.taken == 0 {
                self.fail(format!("{key:?} is answered, and never reached the master"));
            } else if before.failed {
                self.fail(format!("{key:?} has a result after a failure"));
            } else if before.run != 0 && before.run != run {
                self.fail(format!("{key:?} has results of two attempts, runs {} and {run}", before.run));
            } else if before.parts & 1 << part != 0 {
                self.fail(format!("{key:?} has part {part} of run {run} twice"));
            }
            self.settle(key);
        }
        Some(key)
    }

    /// A client that counts for itself has an outcome of a message.
    pub(super) fn finish(&mut self, key: Key, last: bool, done: bool) {
        let message = *self.message(key);
        if message.settled {
            self.fail(format!("{key:?} has an outcome after its last"));
        }
        if done && last && message.run == 0 {
            self.fail(format!("{key:?} is done without a result"));
        }
        if last {
            self.settle(key);
        }
    }

    /// A native client has a result of what it calls `number`.
    pub(super) fn receive_native(&mut self, own: u32, number: u64, sequence: u64, payload: &[u8], last: bool) {
        let Some((key, run, part, parts)) = read(payload) else {
            return self.fail(format!("client {own} received a payload that nobody sent: {payload:02x?}"));
        };
        self.received += 1;
        if key.client != own || u64::from(key.number) != number || number != sequence || run == 0 || part >= parts {
            return self.fail(format!("client {own} received as {number}: {key:?}, run {run}, part {part} of {parts}"));
        }
        let message = self.message(key);
        if message.run != run {
            (message.run, message.parts) = (run, 0);
        }
        message.parts |= 1 << part;
        let (settled, whole) = (message.settled, u32::from(parts) == message.parts.count_ones());
        if settled {
            self.fail(format!("{key:?} has a result after its end"));
        }
        if self.quiet && last && part + 1 == parts && !whole {
            self.fail(format!("{key:?} ends before all its parts are there"));
        }
        if last {
            self.settle(key);
        }
    }

    /// A native client is told that a message has failed.
    pub(super) fn fail_native(&mut self, own: u32, number: u64, sequence: u64, status: Status) {
        let key = Key { client: own, number: number as u32 };
        self.failures += 1;
        self.received += 1;
        let allowed = match status {
            Status::Failed | Status::DeadlineExceeded => true,
            Status::DeadLetter => !self.quiet,
            _ => false,
        };
        if !allowed || number != sequence || self.message(key).settled {
            self.fail(format!("{key:?}, {sequence}: failed with {status}"));
        }
        self.message(key).failed = true;
        self.settle(key);
    }

    /// A native client does not want a message's result any more.
    pub(super) fn cancel(&mut self, key: Key) {
        self.settle(key);
    }

    /// A native worker is given a message: under its client's session and number, if it has such.
    pub(super) fn check_task(&mut self, key: Key, session: Option<SessionId>, sequence: u64) {
        let Some(account) = self.accounts.get(key.client as usize) else {
            return self.fail(format!("a worker is given {key:?}, of nobody"));
        };
        let handle = account.session.map(SessionId::handle);
        if handle.is_some() && (session, sequence) != (handle, key.number.into()) && !self.forgetful {
            self.fail(format!("a worker is given {key:?} as {sequence} of {session:?}"));
        }
    }

    /// A client goes, and its messages with it.
    pub(super) fn leave(&mut self, client: u32) {
        self.accounts[client as usize].gone = true;
    }

    /// Messages of a client that wait for their end.
    pub(super) fn outstanding(&self, client: u32) -> u32 {
        let account = &self.accounts[client as usize];
        account.messages.len() as u32 - account.settled
    }

    /// Messages that reached the master.
    pub(super) fn taken(&self) -> u64 {
        self.accounts.iter().map(|account| u64::from(account.taken)).sum()
    }

    /// Whether every message of every client that is still there has come to an end.
    pub(super) fn is_settled(&self) -> bool {
        self.accounts.iter().all(|account| account.gone || account.settled as usize == account.messages.len())
    }

    /// The first messages that have not come to an end.
    pub(super) fn unsettled(&self) -> Vec<(Key, bool)> {
        let there = self.accounts.iter().enumerate().filter(|(_, account)| !account.gone);
        let all = there.flat_map(|(client, account)| {
            let client = client as u32;
            let open = account.messages.iter().enumerate().filter(|(_, message)| !message.settled);
            open.map(move |(number, message)| (Key { client, number: number as u32 }, message.taken > 0))
        });
        all.take(10).collect()
    }

    fn settle(&mut self, key: Key) {
        let message = self.message(key);
        if !std::mem::replace(&mut message.settled, true) {
            self.accounts[key.client as usize].settled += 1;
        }
    }

    /// Whether a client has had something of a message.
    pub(super) fn has(&mut self, key: Key) -> bool {
        let message = self.message(key);
        message.failed || message.run != 0
    }

    fn message(&mut self, key: Key) -> &mut Message {
        &mut self.accounts[key.client as usize].messages[key.number as usize]
    }
}

/// The payload of a message (`run` 0), or of one of its results.
pub(super) fn payload(key: Key, run: u64, part: u8, parts: u8, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len.max(HEAD));
    out.extend(key.client.to_le_bytes());
    out.extend(key.number.to_le_bytes());
    out.extend(run.to_le_bytes());
    out.extend([part, parts]);
    out.resize(len.max(HEAD), key.number as u8);
    out
}

/// What a payload says: key, run, part, of how many. `None` if a byte of it is wrong.
pub(super) fn read(payload: &[u8]) -> Option<(Key, u64, u8, u8)> {
    let (head, filling) = payload.split_first_chunk::<HEAD>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let key = Key { client: word(0), number: word(4) };
    let run = u64::from(word(8)) | u64::from(word(12)) << 32;
    filling.iter().all(|&byte| byte == key.number as u8).then_some((key, run, head[16], head[17]))
}
