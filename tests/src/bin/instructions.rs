//! What `scripts/callgrind.sh` counts the instructions of: each function of [`counted`] runs once a message.
//!
//! The messages are as a stock client's: two UUIDs, a function, 10 bytes of payload, no `cache`. Two hundred of them are out
//! with four workers at any time. Run on its own, the program does the same work and prints nothing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use palm_proto::master::{HeapStorage, SubscriberId, TableSizes, Tables, WorkerId};
use palm_proto::{
    CacheLimits, HeapCache, Instant, KeyedHash, Master, MasterConfig, MessageWriter, PooledBuffer, Random, Seed, Span,
    Uuid,
};

const OUTSTANDING: usize = 200;
const WORKERS: u32 = 4;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let messages = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => 1000,
    };
    work_through_a_master(messages)?;
    use_the_smaller_parts(messages);
    Ok(())
}

/// Sends messages through a master, its workers answering in the order in which they are sent.
fn work_through_a_master(messages: u32) -> Result<(), Error> {
    let sizes = TableSizes { tasks: 10_000, peers: 64, subscriptions: 64 };
    let mut master: Master<HeapStorage<PooledBuffer>> =
        Master::new("server", MasterConfig::default(), Tables::sized(&sizes), Seed::from_u64(1))?;
    let mut now = Instant::ZERO;
    let client = master.add_sender().ok_or("no room for a sender")?;
    let mut workers = Vec::new();
    for token in 0..WORKERS {
        workers.push(master.add_worker(now, token, 1).ok_or("no room for a worker")?);
    }
    let home = master.add_subscriber(now, WORKERS).ok_or("no room for a subscriber")?;
    let mut random = Random::new(Seed::from_u64(2));
    let topic = Uuid::generate(&mut random).to_string();
    master.handle_subscribe(now, home, topic.as_bytes())?;

    let message = message(&topic, "", b"10 bytes..");
    let mut with_workers: VecDeque<Bytes> = VecDeque::new();
    let (mut submitted, mut published) = (0, 0);
    let mut out = BytesMut::new();
    while published < messages {
        now = now + core::time::Duration::from_micros(3);
        if submitted < messages && submitted - published < OUTSTANDING as u32 {
            counted::submit(&mut master, now, client, &message);
            submitted += 1;
        }
        for &worker in &workers {
            while master.has_task(worker) {
                out.clear();
                out.reserve(512);
                counted::dispatch(&mut master, now, worker, &mut out);
                with_workers.push_back(out.split().freeze());
            }
        }
        if submitted < messages && submitted - published < OUTSTANDING as u32 {
            continue;
        }
        // The worker puts its result in place of the payload, which comes out as the same bytes here.
        let answer = with_workers.pop_front().ok_or("no worker has anything")?;
        counted::complete(&mut master, now, &answer);
        while master.has_result(home) {
            out.clear();
            out.reserve(512);
            counted::publish(&mut master, now, home, &mut out);
            published += 1;
        }
    }
    let counters = master.counters();
    if counters.delivered != u64::from(messages) {
        return Err(format!("{} of {messages} messages were delivered", counters.delivered).into());
    }
    Ok(())
}

fn use_the_smaller_parts(messages: u32) {
    let mut random = Random::new(Seed::from_u64(3));
    let hash = KeyedHash::new(Seed::from_u64(4));
    let mut cache = HeapCache::new(CacheLimits { entries: 1000, ..CacheLimits::default() }, Seed::from_u64(5));
    let topic = Uuid::generate(&mut random).to_string();
    let mut out = BytesMut::new();
    let request = |function, key, payload| {
        let mut out = BytesMut::new();
        MessageWriter::new(&mut out).function(function).cache(key).payload(payload);
        out.freeze()
    };
    let set = request("x.set", "some key", b"some value");
    let get = request("x.get", "", b"some key");
    for _ in 0..messages {
        let uuid = counted::make_uuid(&mut random);
        out.clear();
        out.reserve(512);
        counted::write_message(&mut out, &topic, std::str::from_utf8(&uuid).unwrap_or_default());
        std::hint::black_box(counted::parse_message(&out));
        std::hint::black_box(counted::hash_topic(&hash, topic.as_bytes()));
        std::hint::black_box(counted::cache_set(&mut cache, &set));
        std::hint::black_box(counted::cache_get(&mut cache, &get));
    }
}

fn message(topic: &str, cache: &str, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    MessageWriter::new(&mut out).pipeline(topic).client(topic).function("server.foo").cache(cache).payload(payload);
    out.freeze()
}

/// The work that is counted, a function a line of the table: with the copies from where a message was received, and to where
/// it is sent from.
mod counted {
    use palm_proto::master::SenderId;
    use palm_proto::{CacheOutcome, RawMessage};

    use super::*;

    /// A message comes in, and is assigned to a worker.
    #[inline(never)]
    pub(crate) fn submit(
        master: &mut Master<HeapStorage<PooledBuffer>>,
        now: Instant,
        client: SenderId,
        message: &[u8],
    ) {
        if master.may_submit(client, message.len())
            && let Some(message) = Span::copy_passing(message)
        {
            std::hint::black_box(master.handle_submit(now, client, message).is_ok());
        }
    }

    /// A message goes out to a worker, with its tags.
    #[inline(never)]
    pub(crate) fn dispatch(
        master: &mut Master<HeapStorage<PooledBuffer>>,
        now: Instant,
        worker: WorkerId,
        out: &mut BytesMut,
    ) {
        std::hint::black_box(master.poll_wake());
        if let Some(assignment) = master.poll_task(worker) {
            out.extend_from_slice(assignment.message.as_slice());
            out.extend_from_slice(&assignment.tags(now));
        }
    }

    /// A worker's answer comes in, and becomes a result; the next message is assigned.
    #[inline(never)]
    pub(crate) fn complete(master: &mut Master<HeapStorage<PooledBuffer>>, now: Instant, answer: &[u8]) {
        if master.may_answer(answer.len())
            && let Some(answer) = Span::copy_passing(answer)
        {
            std::hint::black_box(master.handle_result(now, answer).is_ok());
        }
    }

    /// A result goes out to its client, topic first.
    #[inline(never)]
    pub(crate) fn publish(
        master: &mut Master<HeapStorage<PooledBuffer>>,
        now: Instant,
        home: SubscriberId,
        out: &mut BytesMut,
    ) {
        std::hint::black_box(master.poll_wake());
        if let Some(outcome) = master.poll_result(now, home) {
            let message = outcome.message.as_slice();
            let topic = outcome.topic.clone().and_then(|topic| message.get(topic));
            out.extend_from_slice(topic.unwrap_or_default());
            out.extend_from_slice(message);
            out.extend_from_slice(&outcome.tags());
        }
    }

    #[inline(never)]
    pub(crate) fn make_uuid(random: &mut Random) -> [u8; Uuid::LEN] {
        let mut out = [0; Uuid::LEN];
        Uuid::generate(random).write(&mut out);
        out
    }

    #[inline(never)]
    pub(crate) fn write_message(out: &mut BytesMut, topic: &str, cache: &str) {
        let mut writer = MessageWriter::new(out);
        writer.pipeline(topic).client(topic).function("server.foo").cache(cache).payload(b"10 bytes..");
    }

    #[inline(never)]
    pub(crate) fn parse_message(bytes: &[u8]) -> usize {
        RawMessage::parse(bytes).map_or(0, |message| message.payload().len() + message.client().len())
    }

    #[inline(never)]
    pub(crate) fn hash_topic(hash: &KeyedHash, topic: &[u8]) -> u64 {
        hash.hash(topic)
    }

    #[inline(never)]
    pub(crate) fn cache_set(cache: &mut HeapCache, request: &[u8]) -> bool {
        cache.handle_request(Instant::ZERO, request).outcome() == CacheOutcome::Set
    }

    #[inline(never)]
    pub(crate) fn cache_get(cache: &mut HeapCache, request: &[u8]) -> usize {
        cache.handle_request(Instant::ZERO, request).as_slice().len()
    }
}
