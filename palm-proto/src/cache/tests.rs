use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::message::{MessageWriter, SliceSink};
use crate::uuid::Uuid;

type Small = FixedCache<heapless::Vec<u8, 64>, 8>;

const ROOMY: CacheLimits = CacheLimits { entries: 8, bytes: 512, key: 64, value: 64 };

fn small(limits: CacheLimits) -> Small {
    Small::new(limits, Seed::from_u64(1))
}

fn request(function: &str, cache: &str, payload: &[u8]) -> heapless::Vec<u8, 256> {
    let mut out = [0; 256];
    let mut sink = SliceSink::new(&mut out);
    MessageWriter::new(&mut sink).pipeline("p").client("c").function(function).cache(cache).payload(payload);
    heapless::Vec::from_slice(sink.written()).unwrap()
}

fn ask(cache: &mut Small, function: &str, key: &str, payload: &[u8]) -> (CacheOutcome, Vec<u8>) {
    let message = request(function, key, payload);
    let reply = cache.handle_request(&message);
    (reply.outcome(), reply.as_slice().to_vec())
}

/// Each line was put to the stock Python cache service too, and got the same reply where it lived to give one.
#[test]
fn replies_are_those_of_the_stock_service() {
    use CacheOutcome::*;
    let mut cache = small(ROOMY);
    for (function, key, payload, outcome, reply) in [
        ("x.set", "k", &b"v"[..], Set, &b"k"[..]),
        ("x.get", "", b"k", Got, b"v"),
        ("x.get", "", b"absent", Absent, b""),
        ("x.set", "e", b"", Set, b"e"),
        ("x.get", "", b"e", Got, b""),
        ("y.z.set", "k2", b"v", UnknownCommand, b""),
        ("x.nothing", "k2", b"v", UnknownCommand, b""),
        (".get", "", b"k", Got, b"v"),
        ("x.get.set", "", b"k", Got, b"v"),
        ("x.get y.set", "q", b"k", UnknownCommand, b""),
        ("x.SET", "k", b"v", UnknownCommand, b""),
        ("x. set", "k", b"v", UnknownCommand, b""),
        ("x.", "k", b"v", UnknownCommand, b""),
        ("x.set", "é", b"v", Set, "é".as_bytes()),
        ("x.get", "", "é".as_bytes(), Got, b"v"),
        ("x.get", "k", b"", Absent, b""),
        ("x.delete", "", b"k", Deleted, b"k"),
        ("x.get", "", b"k", Absent, b""),
        // The stock service dies of these.
        ("x.delete", "", b"k", NotThere, b"k"),
        ("nodot", "", b"k", NoDot, b""),
        ("", "", b"", NoDot, b""),
        ("x.get", "", b"\xff", Absent, b""),
        ("x.delete", "", b"\xff", NotThere, b"\xff"),
    ] {
        let got = ask(&mut cache, function, key, payload);
        assert_eq!(got, (outcome, reply.to_vec()), "{function:?} {key:?} {payload:?}");
    }
    let reply = cache.handle_request(b"\xff\xff");
    assert_eq!((reply.outcome(), reply.as_slice()), (NotAMessage, &b""[..]));
}

#[test]
fn a_set_without_a_key_makes_a_uuid() {
    let mut cache = small(ROOMY);
    let (_, first) = ask(&mut cache, "x.set", "", b"one");
    let (_, second) = ask(&mut cache, "x.set", "", b"two");
    assert_eq!((first.len(), second.len()), (Uuid::LEN, Uuid::LEN));
    assert_ne!(first, second);
    assert_eq!(ask(&mut cache, "x.get", "", &first), (CacheOutcome::Got, b"one".to_vec()));
    assert_eq!(ask(&mut cache, "x.get", "", &second), (CacheOutcome::Got, b"two".to_vec()));
}

#[test]
fn peers_cannot_change_a_preset_and_the_owner_can() {
    let mut cache = small(ROOMY);
    cache.set(b"name", b"guess").unwrap();
    cache.preset(b"name", b"server").unwrap();
    assert_eq!(ask(&mut cache, "x.set", "name", b"other"), (CacheOutcome::PresetRefused, b"name".to_vec()));
    assert_eq!(ask(&mut cache, "x.delete", "", b"name"), (CacheOutcome::PresetRefused, b"name".to_vec()));
    assert_eq!(cache.delete(b"name"), Err(CacheRefused::Preset));
    assert_eq!(cache.get(b"name"), Some(&b"server"[..]));
    cache.preset(b"name", b"renamed").unwrap();
    assert_eq!(cache.get(b"name"), Some(&b"renamed"[..]));
}

#[test]
fn refused_sets_are_answered_with_nothing_and_leave_what_was_there() {
    let mut cache = small(CacheLimits { entries: 2, bytes: 10, key: 3, value: 6 });
    assert_eq!(ask(&mut cache, "x.set", "long", b""), (CacheOutcome::TooLarge, b"".to_vec()));
    assert_eq!(ask(&mut cache, "x.set", "a", b"7 bytes"), (CacheOutcome::TooLarge, b"".to_vec()));
    assert_eq!(ask(&mut cache, "x.set", "", b""), (CacheOutcome::TooLarge, b"".to_vec()), "a UUID is too long a key");
    assert!(cache.is_empty());
    assert_eq!(ask(&mut cache, "x.set", "a", b"12345"), (CacheOutcome::Set, b"a".to_vec()));
    assert_eq!(ask(&mut cache, "x.set", "b", b"1234"), (CacheOutcome::Full, b"".to_vec()), "11 bytes");
    assert_eq!(ask(&mut cache, "x.set", "b", b"123"), (CacheOutcome::Set, b"b".to_vec()));
    assert_eq!(ask(&mut cache, "x.set", "a", b"123456"), (CacheOutcome::Full, b"".to_vec()));
    assert_eq!(cache.get(b"a"), Some(&b"12345"[..]));
    assert_eq!(ask(&mut cache, "x.set", "a", b""), (CacheOutcome::Set, b"a".to_vec()), "less is always possible");
    assert_eq!(ask(&mut cache, "x.set", "c", b""), (CacheOutcome::Full, b"".to_vec()), "a third entry");
    assert_eq!((cache.len(), cache.bytes()), (2, 5));
}

#[test]
fn what_a_buffer_cannot_hold_is_too_large_whatever_the_limits() {
    let mut cache = FixedCache::<heapless::Vec<u8, 4>, 2>::new(CacheLimits::default(), Seed::from_u64(1));
    assert_eq!(cache.set(b"12345", b""), Err(CacheRefused::TooLarge));
    assert_eq!(cache.set(b"1", b"12345"), Err(CacheRefused::TooLarge));
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
    cache.set(b"1", b"1234").unwrap();
    assert_eq!(cache.set(b"1", b"12345"), Err(CacheRefused::TooLarge));
    assert_eq!((cache.len(), cache.bytes(), cache.get(b"1")), (1, 5, Some(&b"1234"[..])));
}

#[test]
fn a_cache_without_slots_is_merely_full() {
    let mut cache = FixedCache::<heapless::Vec<u8, 4>, 0>::new(ROOMY, Seed::from_u64(1));
    assert_eq!(cache.get(b"a"), None);
    assert_eq!(cache.delete(b"a"), Ok(false));
    assert_eq!(cache.set(b"a", b"b"), Err(CacheRefused::Full));
}

#[cfg(feature = "alloc")]
#[test]
fn a_heap_cache_keeps_all_the_entries_of_its_limits_and_shares_its_values() {
    let limits = CacheLimits { entries: 1000, ..CacheLimits::default() };
    let mut cache = HeapCache::new(limits, Seed::from_u64(1));
    for number in 0_u32..1000 {
        cache.set(&number.to_le_bytes(), &number.to_be_bytes()).unwrap();
    }
    assert_eq!(cache.set(b"one more", b""), Err(CacheRefused::Full));
    for number in 0_u32..1000 {
        assert_eq!(cache.get(&number.to_le_bytes()), Some(&number.to_be_bytes()[..]));
    }
    let message = request("x.get", "", &7_u32.to_le_bytes());
    let kept = cache.buffer(&7_u32.to_le_bytes()).unwrap().as_ptr();
    let reply = cache.handle_request(&message);
    assert_eq!(reply.buffer().unwrap().as_ptr(), kept);
}

#[derive(Clone, Debug)]
enum Command {
    Preset(String, Vec<u8>),
    Set(String, Vec<u8>),
    Get(String),
    Delete(String),
    Garbage(Vec<u8>),
}

fn command() -> impl Strategy<Value = Command> {
    // A dozen keys for eight slots, some too long: searches collide, wrap round the end, and deletions close gaps.
    let key = || "[abc]{1,2}|[d]{5}";
    let value = || prop::collection::vec(any::<u8>(), 0..8);
    prop_oneof![
        1 => (key(), value()).prop_map(|(key, value)| Command::Preset(key, value)),
        8 => (key(), value()).prop_map(|(key, value)| Command::Set(key, value)),
        4 => key().prop_map(Command::Get),
        6 => key().prop_map(Command::Delete),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Command::Garbage),
    ]
}

const LIMITS: CacheLimits = CacheLimits { entries: 7, bytes: 30, key: 4, value: 6 };

/// What a cache is to do, in the plainest terms.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, (bool, Vec<u8>)>);

impl Model {
    fn bytes(&self) -> usize {
        self.0.iter().map(|(key, (_, value))| key.len() + value.len()).sum()
    }

    fn put(&mut self, key: &str, value: &[u8], preset: bool) -> Result<(), CacheRefused> {
        if key.len() > LIMITS.key || value.len() > LIMITS.value {
            return Err(CacheRefused::TooLarge);
        }
        let old = self.0.get(key.as_bytes()).cloned();
        if old.is_none() && self.0.len() == LIMITS.entries {
            return Err(CacheRefused::Full);
        }
        let was_preset = old.as_ref().is_some_and(|(preset, _)| *preset);
        if was_preset && !preset {
            return Err(CacheRefused::Preset);
        }
        let gone = old.map_or(0, |(_, value)| key.len() + value.len());
        if self.bytes() - gone + key.len() + value.len() > LIMITS.bytes {
            return Err(CacheRefused::Full);
        }
        self.0.insert(key.into(), (preset, value.into()));
        Ok(())
    }

    fn carry_out(&mut self, command: &Command) -> (CacheOutcome, Vec<u8>) {
        match command {
            Command::Preset(..) | Command::Garbage(_) => unreachable!("not a request"),
            Command::Set(key, value) => match self.put(key, value, false) {
                Ok(()) => (CacheOutcome::Set, key.clone().into()),
                Err(CacheRefused::Preset) => (CacheOutcome::PresetRefused, key.clone().into()),
                Err(CacheRefused::Full) => (CacheOutcome::Full, Vec::new()),
                Err(CacheRefused::TooLarge) => (CacheOutcome::TooLarge, Vec::new()),
            },
            Command::Get(key) => match self.0.get(key.as_bytes()) {
                Some((_, value)) => (CacheOutcome::Got, value.clone()),
                None => (CacheOutcome::Absent, Vec::new()),
            },
            Command::Delete(key) => match self.0.get(key.as_bytes()) {
                Some((true, _)) => (CacheOutcome::PresetRefused, key.clone().into()),
                Some((false, _)) => {
                    self.0.remove(key.as_bytes());
                    (CacheOutcome::Deleted, key.clone().into())
                }
                None => (CacheOutcome::NotThere, key.clone().into()),
            },
        }
    }
}

proptest! {
    #[test]
    fn does_what_a_map_with_bounds_does(seed: u64, commands in prop::collection::vec(command(), 0..120)) {
        let mut cache = Small::new(LIMITS, Seed::from_u64(seed));
        let mut model = Model::default();
        for command in &commands {
            match command {
                Command::Preset(key, value) => {
                    prop_assert_eq!(cache.preset(key.as_bytes(), value), model.put(key, value, true));
                }
                Command::Garbage(bytes) => {
                    prop_assert!(cache.handle_request(bytes).as_slice().len() <= bytes.len());
                }
                Command::Set(key, value) => {
                    prop_assert_eq!(ask(&mut cache, "x.set", key, value), model.carry_out(command));
                }
                Command::Get(key) => {
                    prop_assert_eq!(ask(&mut cache, "x.get", "", key.as_bytes()), model.carry_out(command));
                }
                Command::Delete(key) => {
                    prop_assert_eq!(ask(&mut cache, "x.delete", "", key.as_bytes()), model.carry_out(command));
                }
            }
            prop_assert_eq!((cache.len(), cache.bytes()), (model.0.len(), model.bytes()));
            for (key, (_, value)) in &model.0 {
                prop_assert_eq!(cache.get(key), Some(value.as_slice()));
            }
        }
    }
}
