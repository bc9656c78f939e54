//! Whatever is asked of a cache, it does as a map with bounds would, and no preset changes.
#![no_main]

use std::collections::BTreeMap;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::{CacheLimits, CacheOutcome, FixedCache, MessageWriter, RawMessage, Seed};

const LIMITS: CacheLimits = CacheLimits { entries: 6, bytes: 120, key: 40, value: 32 };
const PRESET: (&[u8], &[u8]) = (b"name", b"server");

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let mut cache = FixedCache::<heapless::Vec<u8, 48>, 8>::new(LIMITS, Seed::from_u64(u64::from(input.byte())));
    cache.preset(PRESET.0, PRESET.1).expect("an empty cache has room");
    let mut model = BTreeMap::from([(PRESET.0.to_vec(), PRESET.1.to_vec())]);
    while !input.is_used_up() {
        let function = ["x.set", "x.get", "x.delete", ""][input.below(4)];
        let message = if function.is_empty() {
            BytesMut::from(input.bytes())
        } else {
            let mut message = BytesMut::new();
            let key = ["", "a", "b", "name", "c", "long enough to be some key"][input.below(6)];
            let value = if function == "x.set" { input.bytes() } else { key.as_bytes() };
            MessageWriter::new(&mut message).function(function).cache(key).payload(value);
            message
        };
        let reply = cache.handle_request(&message);
        let (outcome, reply) = (reply.outcome(), reply.as_slice().to_vec());
        let view = RawMessage::parse(&message);
        let payload = view.as_ref().map_or(&b""[..], RawMessage::payload);
        match outcome {
            CacheOutcome::Got => assert_eq!(model.get(payload), Some(&reply)),
            CacheOutcome::Absent => assert!(reply.is_empty() && !model.contains_key(payload)),
            CacheOutcome::Set => {
                let key = view.as_ref().map_or(&b""[..], RawMessage::cache);
                assert!(if key.is_empty() { reply.len() == 36 } else { reply == key });
                model.insert(reply, payload.to_vec());
            }
            CacheOutcome::Deleted => assert!(reply == payload && model.remove(payload).is_some()),
            CacheOutcome::NotThere => assert!(reply == payload && !model.contains_key(payload)),
            CacheOutcome::PresetRefused => assert_eq!(reply, PRESET.0),
            CacheOutcome::Full | CacheOutcome::TooLarge | CacheOutcome::NoDot | CacheOutcome::UnknownCommand => {
                assert!(view.is_ok() && reply.is_empty());
            }
            CacheOutcome::NotAMessage => assert!(view.is_err() && reply.is_empty()),
        }
        assert_eq!(cache.get(PRESET.0), Some(PRESET.1));
        assert!(cache.len() == model.len() && cache.len() <= LIMITS.entries);
        let bytes: usize = model.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(cache.bytes() == bytes && bytes <= LIMITS.bytes);
        for (key, value) in &model {
            assert_eq!(cache.get(key), Some(value.as_slice()));
        }
    }
});
