//! The message that tells a client that its message failed.

use crate::buffer::{Buffer, Span};
use crate::message::{FAILURE_PAYLOAD, MessageRef, MessageWriter, NoRoom, Status};

/// Room in which a failure is written.
const SCRATCH: usize = 1_024;

/// A failure for the client of `message`: its own fields without its payload, `0`, the status and a text. Fields that only
/// the function would need are left out where there is no room for them.
pub(super) fn failure<B: Buffer>(message: &MessageRef<'_>, status: Status, text: &str) -> Option<Span<B>> {
    let mut scratch: heapless::Vec<u8, SCRATCH> = heapless::Vec::new();
    if write(&mut scratch, message, status, text, true).is_err() {
        scratch.clear();
        write(&mut scratch, message, status, text, false).ok()?;
    }
    Span::copy_from(&scratch)
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
