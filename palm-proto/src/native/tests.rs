//! Headers of both directions go round, and nothing that comes is more than an error.

use std::fmt::Debug;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn alias() -> impl Strategy<Value = Alias> {
    (0..Alias::BOUND).prop_map(|number| Alias::new(number).unwrap())
}

fn task_number() -> impl Strategy<Value = TaskNumber> {
    any::<u32>().prop_map(|more| TaskNumber::FIRST.plus(more))
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![Just(When::Always), Just(When::Absent), any::<u64>().prop_map(When::Version)]
}

fn hello() -> impl Strategy<Value = ToMaster> {
    let role = prop_oneof![Just(Role::Worker), Just(Role::Client)];
    let numbers = any::<(u8, u8, u32, u32, bool, u32, u8)>();
    (role, session(), numbers).prop_map(|(role, session, (min, max, max_frame, window, resume, holding, name_len))| {
        let versions = Versions { min, max };
        ToMaster::Hello { magic: Magic, versions, role, max_frame, window, session, resume, holding, name_len }
    })
}

/// Headers of each kind; the lengths in them are those of what `with_contents` puts behind.
fn to_master() -> impl Strategy<Value = ToMaster> {
    let unit = prop::sample::select(&[ToMaster::Bye, ToMaster::Ping, ToMaster::Pong, ToMaster::Drain][..]);
    let worker = prop_oneof![
        any::<u32>().prop_map(|more| ToMaster::Credit { more }),
        task_number().prop_map(|number| ToMaster::Done { number }),
        task_number().prop_map(|number| ToMaster::Partial { number }),
        (task_number(), any::<u16>()).prop_map(|(number, permille)| ToMaster::Progress { number, permille }),
        (task_number(), any::<u32>()).prop_map(|(number, code)| ToMaster::Failed { number, code }),
        task_number().prop_map(|number| ToMaster::HandBack { number }),
        (session(), any::<(u64, u32)>()).prop_map(|(session, (sequence, attempt))| ToMaster::Holding {
            session,
            sequence,
            attempt
        }),
    ];
    let client = prop_oneof![
        alias().prop_map(|alias| ToMaster::Function { alias }),
        (any::<u64>(), alias()).prop_map(|(sequence, function)| ToMaster::Submit { sequence, function }),
        (alias(), any::<(u64, u8, Option<u32>, u8)>()).prop_map(
            |(function, (sequence, priority, deadline_ms, len))| {
                ToMaster::SubmitWith { sequence, function, priority, deadline_ms, cache_len: len.into() }
            }
        ),
        any::<u64>().prop_map(|sequence| ToMaster::Cancel { sequence }),
        any::<u32>().prop_map(|results| ToMaster::Received { results }),
        Just(ToMaster::Restart),
    ];
    let cache = prop_oneof![
        any::<u32>().prop_map(|id| ToMaster::Get { id }),
        (when(), any::<(u32, Option<u32>, u8)>()).prop_map(|(when, (id, ttl_ms, len))| ToMaster::Set {
            id,
            ttl_ms,
            when,
            key_len: len.into()
        }),
        (when(), any::<u32>()).prop_map(|(when, id)| ToMaster::Delete { id, when }),
    ];
    prop_oneof![1 => hello(), 1 => unit, 3 => worker, 3 => client, 2 => cache]
}

fn to_peer() -> impl Strategy<Value = ToPeer> {
    let unit = prop::sample::select(&[ToPeer::Bye, ToPeer::Ping, ToPeer::Pong][..]);
    let connection = prop_oneof![
        any::<(u8, u64, u32, u32, u32)>().prop_map(|(version, epoch, max_frame, window, heartbeat_ms)| {
            ToPeer::Welcome { magic: Magic, version, epoch, max_frame, window, heartbeat_ms }
        }),
        any::<u32>().prop_map(|code| ToPeer::Refused { code: code.into() }),
        (0..9_u32).prop_map(|code| ToPeer::Refused { code: code.into() }),
    ];
    let worker = prop_oneof![
        alias().prop_map(|alias| ToPeer::Function { alias }),
        (alias(), session()).prop_map(|(alias, id)| ToPeer::Session { alias, id }),
        (alias(), alias(), any::<u64>()).prop_map(|(function, session, sequence)| ToPeer::Task {
            function,
            session,
            sequence
        }),
        (alias(), alias(), any::<(u64, u32, Option<u32>, u8)>()).prop_map(
            |(function, session, (sequence, attempt, deadline_ms, len))| {
                ToPeer::TaskWith { function, session, sequence, attempt, deadline_ms, cache_len: len.into() }
            }
        ),
        task_number().prop_map(|number| ToPeer::CancelTask { number }),
        any::<u32>().prop_map(|numbers| ToPeer::Skip { numbers }),
    ];
    let client = prop_oneof![
        any::<u64>().prop_map(|up_to| ToPeer::Accepted { up_to }),
        any::<u64>().prop_map(|sequence| ToPeer::Result { sequence }),
        any::<u64>().prop_map(|sequence| ToPeer::Partial { sequence }),
        any::<(u64, u16)>().prop_map(|(sequence, permille)| ToPeer::Progress { sequence, permille }),
        any::<(u64, u32)>().prop_map(|(sequence, code)| ToPeer::Failed { sequence, code }),
        any::<u32>().prop_map(|more| ToPeer::Window { more }),
        any::<u64>().prop_map(|from| ToPeer::NoRoom { from }),
    ];
    let cache = prop_oneof![
        any::<(u32, u64)>().prop_map(|(id, version)| ToPeer::Value { id, version }),
        any::<(u32, u64)>().prop_map(|(id, version)| ToPeer::Stored { id, version }),
        any::<u32>().prop_map(|id| ToPeer::Deleted { id }),
        any::<u32>().prop_map(|id| ToPeer::Absent { id }),
        any::<(u32, u64)>().prop_map(|(id, version)| ToPeer::Conflict { id, version }),
        any::<(u32, u32)>().prop_map(|(id, code)| ToPeer::CacheRefused { id, code: code.into() }),
    ];
    prop_oneof![1 => unit, 1 => connection, 3 => worker, 3 => client, 2 => cache]
}

/// Bytes that a part of a frame may be, made of `text` and `bytes`.
fn contents(content: Content, len: Option<usize>, text: &str, bytes: &[u8]) -> Vec<u8> {
    let text = text.as_bytes();
    let mut contents = match content {
        Content::Nothing => Vec::new(),
        Content::Bytes | Content::Short { .. } => bytes.to_vec(),
        Content::Text { min, .. } => if text.len() < min { b"a.b" } else { text }.to_vec(),
    };
    if let Some(len) = len {
        contents.retain(u8::is_ascii);
        contents.resize(len, b'x');
    }
    contents
}

/// Encodes a frame for a stream, reads it back, and reads it cut short.
fn check<H: Header>(header: H, text: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let shape = header.shape();
    let front = contents(shape.front, Some(shape.front_len), text, bytes);
    let body = contents(shape.body, None, text, bytes);
    let frame = Frame { header, front: &front, body: &body };
    let head = frame.stream_head().unwrap();
    prop_assert!(head.ends_with(&header.encode()), "both ways to write a header give the same");
    let wire = [head.as_slice(), &front, &body].concat();
    prop_assert!(header.encode().len() <= HEADER_MAX);
    let Ok(Streamed::Frame { used, range }) = decode_stream(&wire, u32::MAX) else { panic!("not whole") };
    prop_assert_eq!(used, wire.len());
    let read = &wire[range];
    prop_assert_eq!(H::decode(read), Ok(Some(frame)));
    let header_len = header.encode().len();
    for cut in 1..header_len + front.len() {
        let short = matches!(H::decode(&read[..cut]), Err(FrameError::Header { .. } | FrameError::Front { .. }));
        prop_assert!(short, "{}", cut);
    }
    if shape.body == Content::Nothing {
        let long = [read, b"x"].concat();
        prop_assert_eq!(H::decode(&long), Err(FrameError::Body { kind: read[0] }));
    }
    Ok(())
}

/// What can be read can be written, and is then the same.
fn check_noise<H: Header + Debug>(noise: &[u8]) -> Result<(), TestCaseError> {
    if let Some(read) = H::of_numbers(noise) {
        prop_assert_eq!(postcard::take_from_bytes::<H>(noise), Ok(read), "both ways to read one do");
    }
    if let Ok(Some(frame)) = H::decode(noise) {
        let again = [frame.header.encode().as_slice(), frame.front, frame.body].concat();
        prop_assert!(again.len() <= noise.len());
        prop_assert_eq!(H::decode(&again), Ok(Some(frame)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn frames_to_the_master_go_round(
        header in to_master(), text in ".{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(header, &text, &bytes)?;
    }

    #[test]
    fn frames_to_peers_go_round(
        header in to_peer(), text in ".{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(header, &text, &bytes)?;
    }

    #[test]
    fn noise_is_an_error_or_a_frame(kind in 0_u8..25, noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let noise = [&[kind], &noise[..]].concat();
        check_noise::<ToMaster>(&noise)?;
        check_noise::<ToPeer>(&noise)?;
    }
}

#[test]
fn the_longest_headers_fit() {
    let alias = Alias::new(Alias::BOUND - 1).unwrap();
    let hello = ToMaster::Hello {
        magic: Magic,
        versions: Versions { min: 255, max: 255 },
        role: Role::Client,
        max_frame: u32::MAX,
        window: u32::MAX,
        session: SessionId([255; 16]),
        resume: true,
        holding: u32::MAX,
        name_len: 255,
    };
    let with = ToPeer::TaskWith {
        function: alias,
        session: alias,
        sequence: u64::MAX,
        attempt: u32::MAX,
        deadline_ms: Some(u32::MAX),
        cache_len: u32::MAX,
    };
    let set = ToMaster::Set { id: u32::MAX, ttl_ms: Some(u32::MAX), when: When::Version(u64::MAX), key_len: u32::MAX };
    assert_eq!([hello.encode().len(), with.encode().len(), set.encode().len()], [41, 31, 28]);
    assert!(hello.encode().len() + NAME_MAX + TOKEN_MAX <= FIRST_FRAME_MAX as usize);
}

#[test]
fn kinds_that_may_come_later_are_passed_over() {
    assert_eq!(ToMaster::decode(b""), Ok(None));
    for kind in 0..=255 {
        let frame = [kind, 1, 2];
        let error = if (64..128).contains(&kind) { None } else { Some(FrameError::UnknownKind { kind }) };
        if kind >= ToMaster::KINDS {
            assert_eq!(ToMaster::decode(&frame), error.map_or(Ok(None), Err));
        }
        if kind >= ToPeer::KINDS {
            assert_eq!(ToPeer::decode(&frame), error.map_or(Ok(None), Err));
        }
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    let header = |kind| Err(FrameError::Header { kind });
    assert_eq!(ToMaster::decode(b"\x05\x80\x80\x01"), header(5), "a task number of 16,384");
    assert_eq!(ToMaster::decode(b"\x0d\x05\x80\x08"), header(13), "an alias of 1024");
    assert_eq!(ToMaster::decode(&[b"\0palm\x01\x01", &[0; 31][..]].concat()), header(0), "another magic");
    assert_eq!(ToMaster::decode(b"\x0c\x05"), Err(FrameError::Body { kind: 12 }), "a function without a name");
    assert_eq!(ToMaster::decode(b"\x0c\x05\xff"), Err(FrameError::Body { kind: 12 }), "not text");
    let long = [b"\x0c\x05", &[b'a'; FUNCTION_MAX + 1][..]].concat();
    assert_eq!(ToMaster::decode(&long), Err(FrameError::Body { kind: 12 }));
    assert!(ToMaster::decode(&long[..long.len() - 1]).is_ok());
}

#[test]
fn small_tasks_cost_few_bytes() {
    let (alias, sequence) = (Alias::new(127).unwrap(), (1 << 28) - 1);
    let payload = [7; 100];
    let cost = |head: HeaderBytes| head.len();
    let submit = Frame::with_body(ToMaster::Submit { sequence, function: alias }, &payload);
    let task = Frame::with_body(ToPeer::Task { function: alias, session: alias, sequence }, &payload);
    let done = Frame::with_body(ToMaster::Done { number: TaskNumber::FIRST.plus(16_383) }, &payload);
    let result = Frame::with_body(ToPeer::Result { sequence }, &payload);
    let costs = [submit.stream_head(), task.stream_head(), done.stream_head(), result.stream_head()];
    assert_eq!(costs.map(|head| cost(head.unwrap())), [7, 8, 4, 6]);
}

#[test]
fn texts_are_cut_between_characters() {
    let text: String = "aé".repeat(3);
    let fronts: Vec<_> = (0..7).map(|max| front_of(&text, max)).collect();
    assert_eq!(fronts, ["", "a", "a", "aé", "aéa", "aéa", "aéaé"]);
    assert_eq!(front_of(&text, 100), text);
}
