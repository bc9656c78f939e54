//! A message that parses is the same message, but for what was appended, when fields are appended to it.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use palm_proto::{MessageRef, MessageWriter, TaskId};

const TASK: TaskId = TaskId(0x0123_4567_89ab_cdef);

fuzz_target!(|input: &[u8]| {
    let Ok(message) = MessageRef::parse(input) else {
        return;
    };
    assert_eq!(message.as_bytes(), input);
    assert!(message.untagged_len() <= input.len());
    let _ = message.address();

    let mut tagged = BytesMut::from(input);
    MessageWriter::appending(&mut tagged)
        .stage(message.stage.wrapping_add(1))
        .cache("appended")
        .task(TASK)
        .attempt(7)
        .finish()
        .expect("a buffer that grows has room");
    let read = MessageRef::parse(&tagged).expect("a message with fields appended is a message");
    assert_eq!(
        (read.pipeline, read.client, read.function, read.payload),
        (message.pipeline, message.client, message.function, message.payload)
    );
    assert_eq!((read.stage, read.cache), (message.stage.wrapping_add(1), "appended"));
    assert_eq!((read.extension.task, read.extension.attempt), (Some(TASK), 7));

    // Without the tags it is what it was, but for stage and cache.
    let untagged = MessageRef::parse(&tagged[..read.untagged_len()]).expect("so is one that is cut down to its fields");
    assert_eq!((untagged.stage, untagged.cache), (read.stage, read.cache));
    assert_eq!(
        (untagged.extension.task, untagged.extension.sequence, untagged.extension.status),
        (message.extension.task, message.extension.sequence, message.extension.status)
    );
});
