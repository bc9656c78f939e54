use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::message::{MessageWriter, SliceSink};
use crate::native::When;
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
    ask_at(cache, Instant::ZERO, function, key, payload)
}

fn ask_at(cache: &mut Small, now: Instant, function: &str, key: &str, payload: &[u8]) -> (CacheOutcome, Vec<u8>) {
    let message = request(function, key, payload);
    let reply = cache.handle_request(now, &message);
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
    let reply = cache.handle_request(Instant::ZERO, b"\xff\xff");
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
    let reply = cache.handle_request(Instant::ZERO, &message);
    assert_eq!(reply.buffer().unwrap().as_ptr(), kept);
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

const fn millis(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

#[test]
fn each_set_makes_another_version_and_another_start_other_versions() {
    let mut cache = small(ROOMY);
    let first = cache.set_when(at(0), b"k", b"v", None, When::Always).unwrap();
    assert_eq!(cache.get_at(at(0), b"k").map(|(value, version)| (value.as_slice(), version)), Some((&b"v"[..], first)));
    assert_eq!(ask(&mut cache, "x.set", "k", b"v").0, CacheOutcome::Set);
    let (_, second) = cache.get_at(at(0), b"k").unwrap();
    let third = cache.set_when(at(0), b"other", b"v", None, When::Always).unwrap();
    assert!(first != second && second != third && third != first);
    assert_eq!(cache.get_at(at(0), b"k").unwrap().1, second, "reading makes none");
    let mut restarted = Small::new(ROOMY, Seed::from_u64(2));
    let version = restarted.set_when(at(0), b"k", b"v", None, When::Always).unwrap();
    assert!(![first, second, third].contains(&version));
}

#[test]
fn conditions_are_met_or_the_version_is_told() {
    let mut cache = small(ROOMY);
    let mut set = |value, when| cache.set_when(at(0), b"k", value, None, when);
    assert_eq!(set(b"x", When::Version(7)), Err(SetRefused::Absent));
    let first = set(b"1", When::Absent).unwrap();
    assert_eq!(set(b"x", When::Absent), Err(SetRefused::Conflict(first)));
    let second = set(b"2", When::Version(first)).unwrap();
    assert_eq!(set(b"x", When::Version(first)), Err(SetRefused::Conflict(second)));
    assert_eq!(cache.get(b"k"), Some(&b"2"[..]));

    let mut delete = |when| cache.delete_when(at(0), b"k", when);
    assert_eq!(delete(When::Version(first)), Err(DeleteRefused::Conflict(second)));
    assert_eq!(delete(When::Absent), Err(DeleteRefused::Conflict(second)));
    assert_eq!(delete(When::Version(second)), Ok(()));
    for when in [When::Always, When::Absent, When::Version(second)] {
        assert_eq!(delete(when), Err(DeleteRefused::Absent));
    }
}

#[test]
fn a_preset_is_neither_changed_nor_given_a_lifetime() {
    let mut cache = small(ROOMY);
    cache.set_when(at(0), b"name", b"guess", millis(5), When::Always).unwrap();
    cache.preset(b"name", b"server").unwrap();
    let (_, version) = cache.get_at(at(10), b"name").unwrap();
    for when in [When::Always, When::Version(version)] {
        assert_eq!(cache.set_when(at(10), b"name", b"other", millis(5), when), Err(SetRefused::Preset));
        assert_eq!(cache.delete_when(at(10), b"name", when), Err(DeleteRefused::Preset));
    }
    assert_eq!(cache.poll_timeout(), None);
    assert_eq!(cache.get_at(at(1_000), b"name").unwrap().0, &b"server"[..]);
}

#[test]
fn a_value_is_gone_for_every_reader_once_its_lifetime_is_over() {
    let last = at(10);
    let fresh = || {
        let mut cache = small(ROOMY);
        let version = cache.set_when(at(0), b"k", b"v", millis(10), When::Absent).unwrap();
        let before = Instant::from_micros(last.as_micros() - 1);
        assert_eq!(cache.get_at(before, b"k").unwrap().1, version);
        assert_eq!(ask_at(&mut cache, before, "x.get", "", b"k").0, CacheOutcome::Got);
        (cache, version)
    };
    let (mut cache, version) = fresh();
    assert_eq!(cache.set_when(last, b"k", b"x", None, When::Version(version)), Err(SetRefused::Absent));
    assert!(fresh().0.get_at(last, b"k").is_none());
    assert_eq!(ask_at(&mut fresh().0, last, "x.get", "", b"k").0, CacheOutcome::Absent);
    assert_eq!(ask_at(&mut fresh().0, last, "x.delete", "", b"k").0, CacheOutcome::NotThere);
    assert_eq!(fresh().0.delete_when(last, b"k", When::Always), Err(DeleteRefused::Absent));
    assert!(fresh().0.set_when(last, b"k", b"x", None, When::Absent).is_ok());
    // The owner's own look is at the last time that was told.
    let (mut cache, _) = fresh();
    assert!(cache.get(b"k").is_some());
    assert!(cache.get_at(last, b"another").is_none());
    assert!(cache.get(b"k").is_none());
    assert_eq!(cache.delete(b"k"), Ok(false));
}

#[test]
fn a_plain_set_and_one_without_a_lifetime_take_the_lifetime_away() {
    let mut cache = small(ROOMY);
    cache.set_when(at(0), b"a", b"v", millis(10), When::Always).unwrap();
    cache.set_when(at(0), b"b", b"v", millis(10), When::Always).unwrap();
    cache.set_when(at(0), b"c", b"v", millis(10), When::Always).unwrap();
    cache.set_when(at(0), b"c", b"v", millis(20), When::Always).unwrap();
    assert_eq!(ask_at(&mut cache, at(9), "x.set", "a", b"w").0, CacheOutcome::Set);
    cache.set_when(at(9), b"b", b"w", None, When::Always).unwrap();
    // What is refused leaves the lifetime as it was.
    assert!(cache.set_when(at(9), b"c", b"w", None, When::Absent).is_err());
    assert_eq!(cache.set_when(at(9), b"c", &[0; 65], None, When::Always), Err(SetRefused::TooLarge));
    assert!(cache.get_at(at(19), b"c").is_some());
    assert!(cache.get_at(at(20), b"c").is_none());
    assert!(cache.get_at(at(99), b"a").is_some() && cache.get_at(at(99), b"b").is_some());
    assert_eq!(cache.poll_timeout(), None);
}

#[test]
fn memory_comes_back_in_time_and_at_once_when_a_set_needs_it() {
    let mut cache = small(CacheLimits { entries: 2, bytes: 10, ..ROOMY });
    assert_eq!(cache.poll_timeout(), None);
    cache.set_when(at(0), b"a", b"12345678", millis(10), When::Always).unwrap();
    assert_eq!(cache.set_when(at(9), b"b", b"12", None, When::Always), Err(SetRefused::Full));
    cache.set_when(at(10), b"b", b"12", millis(10), When::Always).unwrap();
    let due = cache.poll_timeout().unwrap();
    assert!(due >= at(20) && due <= at(1_000));
    cache.handle_timeout(at(19));
    assert_eq!((cache.len(), cache.poll_timeout()), (1, Some(due)), "early");
    cache.handle_timeout(due);
    assert_eq!((cache.len(), cache.bytes(), cache.poll_timeout()), (0, 0, None));
    assert!(cache.set_when(at(0), b"b", b"", millis(0), When::Always).is_ok());
    assert!(cache.get_at(at(0), b"b").is_none(), "a lifetime of nothing");
    // Time never goes back, and a lifetime longer than all time is none.
    assert!(cache.set_when(at(0), b"a", b"", Some(Duration::MAX), When::Always).is_ok());
    assert_eq!(cache.poll_timeout(), None);
    assert!(cache.get_at(Instant::from_micros(u64::MAX), b"a").is_some());
}

#[cfg(feature = "alloc")]
#[test]
fn many_lifetimes_that_end_at_once_are_cleared_away_in_turns() {
    let limits = CacheLimits { entries: 1_000, ..CacheLimits::default() };
    let mut cache = HeapCache::new(limits, Seed::from_u64(1));
    for number in 0_u32..1_000 {
        cache.set_when(at(0), &number.to_le_bytes(), b"v", millis(10), When::Always).unwrap();
    }
    let now = cache.poll_timeout().unwrap();
    let mut left = cache.len();
    while cache.poll_timeout().is_some_and(|due| due <= now) {
        cache.handle_timeout(now);
        assert!(cache.len() < left && left - cache.len() <= SWEEP);
        left = cache.len();
    }
    assert_eq!((left, cache.bytes()), (0, 0));
}

/// A million of them lie in memory at once.
#[cfg(all(feature = "alloc", target_pointer_width = "64"))]
#[test]
fn an_entry_takes_104_bytes_beside_those_of_its_key_and_value() {
    assert_eq!(size_of::<Slot<Entry<bytes::Bytes>>>(), 104);
}

#[derive(Clone, Debug)]
enum Command {
    Preset(String, Vec<u8>),
    Set(String, Vec<u8>),
    Get(String),
    Delete(String),
    Garbage(Vec<u8>),
    SetWhen(String, Vec<u8>, Option<Duration>, Condition),
    GetAt(String),
    DeleteWhen(String, Condition),
    Wait(Duration),
    Timeout,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Always,
    Absent,
    Current,
    Other,
}

fn command() -> impl Strategy<Value = Command> {
    // A dozen keys for eight slots, some too long: searches collide, wrap round the end, and deletions close gaps.
    let key = || "[abc]{1,2}|[d]{5}";
    let value = || prop::collection::vec(any::<u8>(), 0..8);
    let lifetime = prop::option::of((0_u64..300).prop_map(Duration::from_millis));
    let condition = || {
        use Condition::{Absent, Always, Current, Other};
        prop::sample::select(std::vec![Always, Always, Absent, Current, Other])
    };
    prop_oneof![
        1 => (key(), value()).prop_map(|(key, value)| Command::Preset(key, value)),
        4 => (key(), value()).prop_map(|(key, value)| Command::Set(key, value)),
        4 => key().prop_map(Command::Get),
        4 => key().prop_map(Command::Delete),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Command::Garbage),
        8 => (key(), value(), lifetime, condition()).prop_map(|(key, value, lifetime, condition)| {
            Command::SetWhen(key, value, lifetime, condition)
        }),
        2 => key().prop_map(Command::GetAt),
        4 => (key(), condition()).prop_map(|(key, condition)| Command::DeleteWhen(key, condition)),
        4 => (0_u64..150).prop_map(|millis| Command::Wait(Duration::from_millis(millis))),
        2 => Just(Command::Timeout),
    ]
}

const LIMITS: CacheLimits = CacheLimits { entries: 7, bytes: 30, key: 4, value: 6 };

#[derive(Clone, Debug)]
struct Kept {
    preset: bool,
    value: Vec<u8>,
    version: u64,
    expires: Option<Instant>,
}

/// What a cache is to do, in the plainest terms.
#[derive(Default)]
struct Model {
    kept: BTreeMap<Vec<u8>, Kept>,
    versions: BTreeSet<u64>,
    now: Instant,
}

impl Model {
    fn bytes(&self) -> usize {
        self.kept.iter().map(|(key, kept)| key.len() + kept.value.len()).sum()
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.kept.retain(|_, kept| kept.expires.is_none_or(|expires| expires > self.now));
    }

    fn when(&self, key: &str, condition: Condition) -> When {
        let version = self.kept.get(key.as_bytes()).map_or(0, |kept| kept.version);
        match condition {
            Condition::Always => When::Always,
            Condition::Absent => When::Absent,
            Condition::Current => When::Version(version),
            Condition::Other => When::Version(version.wrapping_add(1)),
        }
    }

    /// What a condition leads to for a key that there is, or is not.
    fn unmet(&self, key: &str, when: When) -> Option<SetRefused> {
        match (when, self.kept.get(key.as_bytes())) {
            (When::Always, _) | (When::Absent, None) => None,
            (When::Version(_), None) => Some(SetRefused::Absent),
            (When::Version(version), Some(kept)) if version == kept.version => None,
            (When::Absent | When::Version(_), Some(kept)) => Some(SetRefused::Conflict(kept.version)),
        }
    }

    fn put(
        &mut self,
        key: &str,
        value: &[u8],
        preset: bool,
        lifetime: Option<Duration>,
        when: When,
    ) -> Result<(), SetRefused> {
        if let Some(refused) = self.unmet(key, when) {
            return Err(refused);
        }
        if key.len() > LIMITS.key || value.len() > LIMITS.value {
            return Err(SetRefused::TooLarge);
        }
        let old = self.kept.get(key.as_bytes()).cloned();
        if old.is_none() && self.kept.len() == LIMITS.entries {
            return Err(SetRefused::Full);
        }
        let was_preset = old.as_ref().is_some_and(|kept| kept.preset);
        if was_preset && !preset {
            return Err(SetRefused::Preset);
        }
        let gone = old.map_or(0, |kept| key.len() + kept.value.len());
        if self.bytes() - gone + key.len() + value.len() > LIMITS.bytes {
            return Err(SetRefused::Full);
        }
        let expires = lifetime.map(|lifetime| self.now + lifetime);
        self.kept.insert(key.into(), Kept { preset, value: value.into(), version: 0, expires });
        Ok(())
    }

    /// Learns the version that a cache has given, which must be new.
    fn learn(&mut self, key: &str, version: u64) {
        assert!(self.versions.insert(version), "a version comes once");
        self.kept.get_mut(key.as_bytes()).unwrap().version = version;
        self.wait(Duration::ZERO);
    }

    fn carry_out(&mut self, command: &Command) -> (CacheOutcome, Vec<u8>) {
        match command {
            Command::Set(key, value) => match self.put(key, value, false, None, When::Always) {
                Ok(()) => (CacheOutcome::Set, key.clone().into()),
                Err(SetRefused::Preset) => (CacheOutcome::PresetRefused, key.clone().into()),
                Err(SetRefused::Full) => (CacheOutcome::Full, Vec::new()),
                Err(SetRefused::TooLarge) => (CacheOutcome::TooLarge, Vec::new()),
                Err(refused) => unreachable!("{refused} without a condition"),
            },
            Command::Get(key) => match self.kept.get(key.as_bytes()) {
                Some(kept) => (CacheOutcome::Got, kept.value.clone()),
                None => (CacheOutcome::Absent, Vec::new()),
            },
            Command::Delete(key) => {
                let outcome = match self.delete(key, When::Always) {
                    Err(DeleteRefused::Absent) => CacheOutcome::NotThere,
                    Err(_) => CacheOutcome::PresetRefused,
                    Ok(()) => CacheOutcome::Deleted,
                };
                (outcome, key.clone().into())
            }
            _ => unreachable!("not a request"),
        }
    }

    fn delete(&mut self, key: &str, when: When) -> Result<(), DeleteRefused> {
        let kept = self.kept.get(key.as_bytes()).ok_or(DeleteRefused::Absent)?;
        if let Some(SetRefused::Conflict(version)) = self.unmet(key, when) {
            return Err(DeleteRefused::Conflict(version));
        }
        if kept.preset {
            return Err(DeleteRefused::Preset);
        }
        self.kept.remove(key.as_bytes());
        Ok(())
    }
}

proptest! {
    #[test]
    fn does_what_a_map_with_bounds_and_a_clock_does(seed: u64, commands in prop::collection::vec(command(), 0..120)) {
        let mut cache = Small::new(LIMITS, Seed::from_u64(seed));
        let mut model = Model::default();
        for command in &commands {
            let now = model.now;
            match command {
                Command::Preset(key, value) => {
                    cache.get_at(now, b"");
                    let put = model.put(key, value, true, None, When::Always);
                    prop_assert_eq!(cache.preset(key.as_bytes(), value).map_err(SetRefused::from), put);
                    if put.is_ok() {
                        model.learn(key, cache.get_at(now, key.as_bytes()).unwrap().1);
                    }
                }
                Command::Garbage(bytes) => {
                    prop_assert!(cache.handle_request(now, bytes).as_slice().len() <= bytes.len());
                }
                Command::Set(key, value) => {
                    let expected = model.carry_out(command);
                    prop_assert_eq!(ask_at(&mut cache, now, "x.set", key, value), expected.clone());
                    if expected.0 == CacheOutcome::Set {
                        model.learn(key, cache.get_at(now, key.as_bytes()).unwrap().1);
                    }
                }
                Command::Get(key) => {
                    prop_assert_eq!(ask_at(&mut cache, now, "x.get", "", key.as_bytes()), model.carry_out(command));
                }
                Command::Delete(key) => {
                    prop_assert_eq!(ask_at(&mut cache, now, "x.delete", "", key.as_bytes()), model.carry_out(command));
                }
                Command::SetWhen(key, value, lifetime, condition) => {
                    let when = model.when(key, *condition);
                    let set = cache.set_when(now, key.as_bytes(), value, *lifetime, when);
                    prop_assert_eq!(set.map(|_| ()), model.put(key, value, false, *lifetime, when));
                    if let Ok(version) = set {
                        model.learn(key, version);
                    }
                }
                Command::GetAt(key) => {
                    let got = cache.get_at(now, key.as_bytes()).map(|(value, version)| (value.to_vec(), version));
                    let expected = model.kept.get(key.as_bytes()).map(|kept| (kept.value.clone(), kept.version));
                    prop_assert_eq!(got, expected);
                }
                Command::DeleteWhen(key, condition) => {
                    let when = model.when(key, *condition);
                    prop_assert_eq!(cache.delete_when(now, key.as_bytes(), when), model.delete(key, when));
                }
                Command::Wait(time) => {
                    model.wait(*time);
                    continue;
                }
                Command::Timeout => {
                    cache.handle_timeout(now);
                    prop_assert_eq!((cache.len(), cache.bytes()), (model.kept.len(), model.bytes()));
                }
            }
            prop_assert!(cache.len() >= model.kept.len() && cache.bytes() >= model.bytes());
            prop_assert!(cache.len() <= LIMITS.entries && cache.bytes() <= LIMITS.bytes);
            let due = cache.poll_timeout();
            for (key, kept) in &model.kept {
                prop_assert_eq!(cache.get(key), Some(kept.value.as_slice()));
                if let Some(expires) = kept.expires {
                    prop_assert!(due.is_some_and(|due| due <= expires + SWEEP_DELAY));
                }
            }
        }
        model.wait(Duration::from_secs(1));
        cache.handle_timeout(model.now);
        prop_assert_eq!((cache.len(), cache.bytes()), (model.kept.len(), model.bytes()));
        prop_assert_eq!(cache.poll_timeout(), None);
    }
}
