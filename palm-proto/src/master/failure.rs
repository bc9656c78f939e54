//! The message that tells a client that its message failed.

use crate::buffer::{Buffer, Span};
use crate::message::{FAILURE_PAYLOAD, MessageRef, MessageWriter, NoRoom, Status};

/// Room in which a failure is written.
const SCRATCH: usize = 1_024;

/// A failure for the client of `message`: its own fields without its payload, `0`, the status and a text. Fields that only
/// the function would need, and then the text, are left out where there is no room for them.
pub(super) fn failure<B: Buffer>(message: &MessageRef<'_>, status: Status, text: &str) -> Option<Span<B>> {
    let mut scratch: heapless::Vec<u8, SCRATCH> = heapless::Vec::new();
    // The text goes last: what became of the message is what its client has to know.
    for (whole, text) in [(true, text), (false, text), (false, "")] {
        scratch.clear();
        if write(&mut scratch, message, status, text, whole).is_ok() && scratch.len() <= B::CAPACITY {
            return Span::copy_from(&scratch);
        }
    }
    None
}

fn write(
    out: &mut heapless::Vec<u8, SCRATCH>,
    message: &MessageRef<'_>,
    status: Status,
    text: &str,
    whole: bool,
) -> Result<usize, NoRoom> {
    let mut writer = MessageWriter::new(out);
    if whole {
        writer.pipeline(message.pipeline);
    }
    writer.client(message.client).stage(message.stage);
    if whole {
        writer.function(message.function).cache(message.cache);
    }
    writer.payload(FAILURE_PAYLOAD);
    if let Some(sequence) = message.extension.sequence {
        writer.sequence(sequence);
    }
    writer.status(status).error(text).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_small_buffer_does_not_hold_is_left_out_and_the_status_is_not() {
        let mut message: heapless::Vec<u8, 64> = heapless::Vec::new();
        MessageWriter::new(&mut message)
            .pipeline("pipeline")
            .client("me")
            .function("a.b")
            .sequence(5)
            .finish()
            .unwrap();
        let view = MessageRef::parse(&message).unwrap();
        let text = "a text of thirty bytes or more";
        let read = |message: &[u8]| {
            let view = MessageRef::parse(message).unwrap();
            assert_eq!((view.client, view.extension.sequence, view.extension.status), ("me", Some(5), Status::Failed));
            (view.function.len(), view.extension.error.len())
        };
        assert_eq!(read(failure::<heapless::Vec<u8, 64>>(&view, Status::Failed, text).unwrap().as_slice()), (3, 30));
        assert_eq!(read(failure::<heapless::Vec<u8, 50>>(&view, Status::Failed, text).unwrap().as_slice()), (0, 30));
        assert_eq!(read(failure::<heapless::Vec<u8, 20>>(&view, Status::Failed, text).unwrap().as_slice()), (0, 0));
        assert!(failure::<heapless::Vec<u8, 8>>(&view, Status::Failed, text).is_none());
    }
}
