//! Whatever is asked of a cache, it does as a map with bounds and a clock would, and no preset changes.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::native::When;
use palm_proto::{
    CacheLimits, CacheOutcome, DeleteRefused, FixedCache, Instant, MessageWriter, RawMessage, Seed, SetRefused,
};

const LIMITS: CacheLimits = CacheLimits { entries: 6, bytes: 120, key: 40, value: 32 };
const PRESET: (&[u8], &[u8]) = (b"name", b"server");
const KEYS: [&str; 6] = ["", "a", "b", "name", "c", "long enough to be some key"];

type Cache = FixedCache<heapless::Vec<u8, 48>, 8>;

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let mut cache = Cache::new(LIMITS, Seed::from_u64(u64::from(input.byte())));
    cache.preset(PRESET.0, PRESET.1).expect("an empty cache has room");
    let mut model = Model::default();
    model.learn(&mut cache, PRESET.0, PRESET.1, None);
    while !input.is_used_up() {
        match input.below(8) {
            0 => request(&mut cache, &mut model, "x.set", &mut input),
            1 => request(&mut cache, &mut model, "x.get", &mut input),
            2 => request(&mut cache, &mut model, "x.delete", &mut input),
            3 => request(&mut cache, &mut model, "", &mut input),
            4 => set_when(&mut cache, &mut model, &mut input),
            5 => delete_when(&mut cache, &mut model, &mut input),
            6 => {
                model.wait(Duration::from_millis(u64::from(input.byte())));
                continue;
            }
            _ => {
                cache.handle_timeout(model.now);
                assert_eq!((cache.len(), cache.bytes()), (model.kept.len(), model.bytes()));
            }
        }
        assert_eq!(cache.get(PRESET.0), Some(PRESET.1));
        assert!(cache.len() >= model.kept.len() && cache.len() <= LIMITS.entries);
        assert!(cache.bytes() >= model.bytes() && cache.bytes() <= LIMITS.bytes);
        for (key, kept) in &model.kept {
            assert_eq!(cache.get(key), Some(kept.value.as_slice()));
        }
        for key in KEYS {
            assert!(cache.get(key.as_bytes()).is_none() || model.kept.contains_key(key.as_bytes()));
        }
        let lifetime = model.kept.values().any(|kept| kept.expires.is_some());
        assert!(!lifetime || cache.poll_timeout().is_some());
    }
    model.wait(Duration::from_secs(1));
    cache.handle_timeout(model.now);
    assert_eq!((cache.len(), cache.bytes()), (model.kept.len(), model.bytes()));
    assert_eq!(cache.poll_timeout(), None);
});

struct Kept {
    value: Vec<u8>,
    version: u64,
    expires: Option<Instant>,
}

#[derive(Default)]
struct Model {
    kept: BTreeMap<Vec<u8>, Kept>,
    versions: BTreeSet<u64>,
    now: Instant,
}

impl Model {
    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.kept.retain(|_, kept| kept.expires.is_none_or(|expires| expires > self.now));
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|(key, kept)| key.len() + kept.value.len()).sum()
    }

    fn version(&self, key: &[u8]) -> Option<u64> {
        self.kept.get(key).map(|kept| kept.version)
    }

    /// A value has been set; its version is another one.
    fn learn(&mut self, cache: &mut Cache, key: &[u8], value: &[u8], expires: Option<Instant>) {
        let (kept, version) = cache.get_at(self.now, key).expect("a value that was set is there");
        assert_eq!(kept, value);
        assert!(self.versions.insert(version));
        self.kept.insert(key.to_vec(), Kept { value: value.to_vec(), version, expires });
    }
}

/// What a peer over ZeroMQ asks.
fn request(cache: &mut Cache, model: &mut Model, function: &str, input: &mut Input<'_>) {
    let message = if function.is_empty() {
        BytesMut::from(input.bytes())
    } else {
        let mut message = BytesMut::new();
        let key = KEYS[input.below(6)];
        let value = if function == "x.set" { input.bytes() } else { key.as_bytes() };
        MessageWriter::new(&mut message).function(function).cache(key).payload(value);
        message
    };
    let reply = cache.handle_request(model.now, &message);
    let (outcome, reply) = (reply.outcome(), reply.as_slice().to_vec());
    let view = RawMessage::parse(&message);
    let payload = view.as_ref().map_or(&b""[..], RawMessage::payload);
    match outcome {
        CacheOutcome::Got => assert!(model.kept.get(payload).is_some_and(|kept| kept.value == reply)),
        CacheOutcome::Absent => assert!(reply.is_empty() && !model.kept.contains_key(payload)),
        CacheOutcome::Set => {
            let key = view.as_ref().map_or(&b""[..], RawMessage::cache);
            assert!(if key.is_empty() { reply.len() == 36 } else { reply == key });
            model.learn(cache, &reply, payload, None);
        }
        CacheOutcome::Deleted => assert!(reply == payload && model.kept.remove(payload).is_some()),
        CacheOutcome::NotThere => assert!(reply == payload && !model.kept.contains_key(payload)),
        CacheOutcome::PresetRefused => assert_eq!(reply, PRESET.0),
        CacheOutcome::Full | CacheOutcome::TooLarge | CacheOutcome::NoDot | CacheOutcome::UnknownCommand => {
            assert!(view.is_ok() && reply.is_empty());
        }
        CacheOutcome::NotAMessage => assert!(view.is_err() && reply.is_empty()),
    }
}

fn when(input: &mut Input<'_>, version: Option<u64>) -> When {
    match input.below(4) {
        0 => When::Always,
        1 => When::Absent,
        2 => When::Version(version.unwrap_or_default()),
        _ => When::Version(u64::from(input.byte())),
    }
}

fn set_when(cache: &mut Cache, model: &mut Model, input: &mut Input<'_>) {
    let key = KEYS[input.below(6)].as_bytes();
    let before = model.version(key);
    let when = when(input, before);
    let lifetime = input.byte();
    // One of no time at all is over before it can be looked at.
    let lifetime = (lifetime > 0).then_some(Duration::from_millis(u64::from(lifetime)));
    let value = input.bytes();
    match cache.set_when(model.now, key, value, lifetime, when) {
        Ok(version) => {
            assert!(match when {
                When::Always => true,
                When::Absent => before.is_none(),
                When::Version(wanted) => before == Some(wanted),
            });
            model.learn(cache, key, value, lifetime.map(|lifetime| model.now + lifetime));
            assert_eq!(model.version(key), Some(version));
        }
        Err(SetRefused::Absent) => assert!(before.is_none() && matches!(when, When::Version(_))),
        Err(SetRefused::Conflict(version)) => assert!(before == Some(version) && when != When::Version(version)),
        Err(SetRefused::Preset) => assert_eq!(key, PRESET.0),
        Err(SetRefused::Full) => {
            let room = model.kept.len() < LIMITS.entries && model.bytes() + key.len() + value.len() <= LIMITS.bytes;
            assert!(!room, "what is over takes up no room");
        }
        Err(SetRefused::TooLarge) => assert!(value.len() > LIMITS.value),
    }
}

fn delete_when(cache: &mut Cache, model: &mut Model, input: &mut Input<'_>) {
    let key = KEYS[input.below(6)].as_bytes();
    let before = model.version(key);
    let when = when(input, before);
    match cache.delete_when(model.now, key, when) {
        Ok(()) => {
            assert!(matches!(when, When::Always) || before.is_some_and(|version| when == When::Version(version)));
            assert!(model.kept.remove(key).is_some() && key != PRESET.0);
        }
        Err(DeleteRefused::Absent) => assert!(before.is_none()),
        Err(DeleteRefused::Conflict(version)) => assert!(before == Some(version) && when != When::Version(version)),
        Err(DeleteRefused::Preset) => assert_eq!(key, PRESET.0),
    }
}
