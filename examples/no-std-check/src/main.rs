//! The core on a microcontroller: `no_std`, no allocator, 64 KiB of RAM. A message, a cache, a master, and the native protocol.
//!
//! Each check panics if it fails, which ends QEMU with status 1; when all have passed it ends with 0.
#![no_std]
#![no_main]

mod native;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use palm_proto::master::{FixedStorage, Tables};
use palm_proto::message::SliceSink;
use palm_proto::{
    CacheLimits, CacheOutcome, FixedCache, Instant, Master, MasterConfig, MessageRef, MessageWriter, Seed, Span, TaskId,
};
use panic_semihosting as _;

type Bytes = heapless::Vec<u8, 64>;
type Buffer = heapless::Vec<u8, 128>;

#[entry]
fn main() -> ! {
    check_message();
    check_cache();
    check_master();
    native::check();
    hprintln!("no-std-check: all passed");
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

/// A message is written, extended by appending, and read back.
fn check_message() {
    let mut out = [0; 128];
    let mut sink = SliceSink::new(&mut out);
    MessageWriter::new(&mut sink).pipeline("p").client("c").function("server.foo").payload(b"a message");
    MessageWriter::appending(&mut sink).payload(b"a result").task(TaskId(7));
    let message = MessageRef::parse(sink.written()).expect("a message that was written can be read");
    assert_eq!((message.client, message.payload), ("c", &b"a result"[..]));
    assert_eq!(message.address().map(|address| address.method), Some("foo"));
    assert_eq!(message.extension.task, Some(TaskId(7)));
    hprintln!("no-std-check: message of {} bytes", message.as_bytes().len());
}

/// A cache answers the requests of a peer, and refuses what is too much.
fn check_cache() {
    let limits = CacheLimits { entries: 4, bytes: 256, key: 64, value: 64 };
    let mut cache = FixedCache::<Bytes, 8>::new(limits, Seed::from_u64(1));
    cache.preset(b"name", b"server").expect("an empty cache has room");
    assert_eq!(
        ask(&mut cache, "x.get", "", b"name"),
        (CacheOutcome::Got, Bytes::from_slice(b"server").unwrap_or_default())
    );
    assert_eq!(ask(&mut cache, "x.set", "name", b"other").0, CacheOutcome::PresetRefused);
    let (outcome, key) = ask(&mut cache, "x.set", "", b"value");
    assert_eq!((outcome, key.len()), (CacheOutcome::Set, 36));
    assert_eq!(ask(&mut cache, "x.get", "", &key).1.as_slice(), b"value");
    for key in ["a", "b"] {
        assert_eq!(ask(&mut cache, "x.set", key, b"value").0, CacheOutcome::Set);
    }
    assert_eq!(ask(&mut cache, "x.set", "c", b"value").0, CacheOutcome::Full);
    assert_eq!(ask(&mut cache, "x.delete", "", &key).0, CacheOutcome::Deleted);
    assert_eq!(ask(&mut cache, "x.set", "c", b"value").0, CacheOutcome::Set);
    hprintln!("no-std-check: cache of {} entries, {} bytes", cache.len(), cache.bytes());
}

fn ask(cache: &mut FixedCache<Bytes, 8>, function: &str, key: &str, payload: &[u8]) -> (CacheOutcome, Bytes) {
    let mut out = [0; 256];
    let mut sink = SliceSink::new(&mut out);
    MessageWriter::new(&mut sink).function(function).cache(key).payload(payload);
    let reply = cache.handle_request(Instant::ZERO, sink.written());
    (reply.outcome(), Bytes::from_slice(reply.as_slice()).unwrap_or_default())
}

/// A master gives messages to two workers, one of which is lost; each result comes home once.
fn check_master() {
    let (tables, seed) = (Tables::fixed(), Seed::from_u64(2));
    let mut master: Master<FixedStorage<Buffer, 8, 4>> =
        Master::new("server", MasterConfig::default(), tables, seed).expect("the name fits");
    let now = Instant::ZERO;
    let client = master.add_sender().expect("an empty master has room");
    let home = master.add_subscriber(now, 1).expect("an empty master has room");
    master.handle_subscribe(now, home, b"me").expect("an empty master has room");
    let lost = master.add_worker(now, 2, 1).expect("an empty master has room");
    for payload in [b"a", b"b", b"c"] {
        let mut message = Buffer::new();
        MessageWriter::new(&mut message).client("me").function("server.foo").payload(payload);
        assert!(master.handle_submit(now, client, Span::whole(message)).is_ok());
    }
    assert!(master.poll_task(lost).is_some());
    master.remove_worker(now, lost);

    let worker = master.add_worker(now, 3, 1).expect("the other's place is free");
    let mut results = 0;
    while let Some(assignment) = master.poll_task(worker) {
        let mut wire = Buffer::new();
        assert!(wire.extend_from_slice(assignment.message.as_slice()).is_ok());
        assert!(wire.extend_from_slice(&assignment.tags(now)).is_ok());
        assert!(master.handle_result(now, Span::whole(wire)).is_ok());
        while let Some(outcome) = master.poll_result(now, home) {
            let message = MessageRef::parse(outcome.message.as_slice()).expect("a result is a message");
            assert_eq!(message.payload, [b'a' + results]);
            results += 1;
        }
    }
    assert_eq!(results, 3);
    assert_eq!(master.counters().redispatched, 1);
    hprintln!("no-std-check: master of {} bytes, {} results", size_of_val(&master), results);
}
