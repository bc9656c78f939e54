//! What a worker answers, and the result that is made of it.

use crate::message::{FAILURE_PAYLOAD, MessageRef, MessageWriter, NoRoom, Sink, Status, field};

/// What came of a call; `B` holds the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<B> {
    /// The function's result.
    Result(B),
    /// No result, why, and what to tell the client about it in UTF-8 (other bytes are left out).
    Failure(Status, B),
}

/// Writes the result of `message`: the fields that it has, in their order, but for the payload, which is replaced.
///
/// The new payload, and a failure's status and text, go before the first field that PALM itself does not have, so that what a
/// master appended to the message ends the result too. A failure replaces status and text that the message may have had; a
/// result leaves them.
///
/// # Errors
/// If the result does not fit into `sink`.
pub fn write_answer<S: Sink>(message: &MessageRef<'_>, answer: Answer<&[u8]>, sink: &mut S) -> Result<usize, NoRoom> {
    let mut writer = MessageWriter::new(sink);
    let failed = matches!(answer, Answer::Failure(..));
    let mut answered = false;
    for raw in message.raw_fields() {
        if raw.number > field::PAYLOAD && !answered {
            put_answer(&mut writer, answer);
            answered = true;
        }
        match raw.number {
            field::PAYLOAD => {}
            field::STATUS | field::ERROR if failed => {}
            _ => {
                writer.raw(raw.bytes);
            }
        }
    }
    if !answered {
        put_answer(&mut writer, answer);
    }
    writer.finish()
}

fn put_answer<S: Sink>(writer: &mut MessageWriter<'_, S>, answer: Answer<&[u8]>) {
    match answer {
        Answer::Result(payload) => writer.payload(payload),
        Answer::Failure(status, text) => {
            writer.payload(FAILURE_PAYLOAD).status(status).error(core::str::from_utf8(text).unwrap_or_default())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{SliceSink, TaskId};

    fn answered(message: &[u8], answer: Answer<&[u8]>) -> std::vec::Vec<u8> {
        let mut out = [0; 256];
        let mut sink = SliceSink::new(&mut out);
        write_answer(&MessageRef::parse(message).unwrap(), answer, &mut sink).unwrap();
        sink.written().to_vec()
    }

    fn message() -> std::vec::Vec<u8> {
        let mut out = [0; 256];
        let mut sink = SliceSink::new(&mut out);
        let mut writer = MessageWriter::new(&mut sink);
        writer.pipeline("p").client("c").function("s.f").cache("k").payload(b"in").sequence(7).raw(b"\xc0\xbb\x78\x01");
        writer.task(TaskId(9)).attempt(2).finish().unwrap();
        sink.written().to_vec()
    }

    #[test]
    fn everything_but_the_payload_comes_back_with_the_tags_at_the_end() {
        let message = message();
        let result = answered(&message, Answer::Result(b"out"));
        let view = MessageRef::parse(&result).unwrap();
        let asked = MessageRef::parse(&message).unwrap();
        assert_eq!(view.payload, b"out");
        assert_eq!((view.pipeline, view.client, view.function, view.cache), ("p", "c", "s.f", "k"));
        assert_eq!(view.extension, asked.extension);
        assert!(result.windows(4).any(|bytes| bytes == b"\xc0\xbb\x78\x01"), "the unknown field is kept");
        let cut = MessageRef::parse(&result[..view.untagged_len()]).unwrap();
        assert_eq!((cut.extension.task, cut.extension.sequence), (None, Some(7)));
        assert_eq!(answered(&message, Answer::Result(b"in")), message, "the order of the fields is kept");
    }

    #[test]
    fn a_failure_has_the_payload_of_a_python_failure_and_says_why() {
        let failure = answered(&message(), Answer::Failure(Status::Failed, b"why"));
        let view = MessageRef::parse(&failure).unwrap();
        assert_eq!((view.payload, view.extension.status, view.extension.error), (&b"0"[..], Status::Failed, "why"));
        let second = answered(&failure, Answer::Failure(Status::DeadlineExceeded, b"late"));
        let view = MessageRef::parse(&second).unwrap();
        assert_eq!((view.extension.status, view.extension.error), (Status::DeadlineExceeded, "late"));
        let done = answered(&failure, Answer::Result(b"x"));
        assert_eq!(MessageRef::parse(&done).unwrap().extension.status, Status::Failed, "a result hides no failure");
    }

    #[test]
    fn an_empty_message_is_answered_too() {
        assert_eq!(answered(b"", Answer::Result(b"")), b"");
        assert_eq!(answered(b"", Answer::Result(b"x")), b"\x32\x01x");
    }
}
