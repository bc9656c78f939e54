//! The message that carries an answer home, made of the one that it answers.

use core::ops::Range;

use crate::buffer::{Buffer, Span};
use crate::message::{FAILURE_PAYLOAD, MessageWriter, RawMessage, Status, field, wire::FieldHead};

use super::origin::{Note, ResultKind};
use super::results::Publication;
use super::task::Task;

/// What is put in place of a message's payload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    Result(&'a [u8]),
    /// One of several results, not the last.
    Part(&'a [u8]),
    Failure(Status, &'a str),
}

/// How an answer is made of the message that it answers: its own fields without its payload, then the answer's.
pub(super) struct Reply<'a> {
    /// The message's payload, which is cut out.
    cut: Range<usize>,
    head: FieldHead,
    bytes: &'a [u8],
    /// Fields behind the payload.
    mark: heapless::Vec<u8, 24>,
    text: &'a str,
    topic: Range<u32>,
    kind: ResultKind,
    /// Where the answer's payload is.
    payload: Range<u32>,
}

impl<'a> Reply<'a> {
    /// The answer to `task`; `None` if a buffer cannot hold it.
    #[inline]
    pub(super) fn new<B: Buffer>(task: &Task<B>, body: Body<'a>) -> Option<Self> {
        let message = task.message.as_slice();
        let cut = payload_field(message, task.payload).unwrap_or(message.len()..message.len());
        let mut topic = match task.opening.client() {
            Some(client) => client,
            None => RawMessage::parse(message).ok()?.client_place(),
        };
        if topic.start as usize >= cut.end {
            let len = cut.len() as u32;
            topic = topic.start - len..topic.end - len;
        }
        let mut mark: heapless::Vec<u8, 24> = heapless::Vec::new();
        let (kind, bytes, text) = match body {
            Body::Result(bytes) => (ResultKind::Done, bytes, ""),
            Body::Part(bytes) => {
                MessageWriter::new(&mut mark).partial().finish().ok()?;
                (ResultKind::Part, bytes, "")
            }
            Body::Failure(status, text) => {
                MessageWriter::new(&mut mark).status(status).finish().ok()?;
                if !text.is_empty() {
                    mark.extend_from_slice(&FieldHead::of_bytes(field::ERROR, text.len())).ok()?;
                }
                (ResultKind::Unread, FAILURE_PAYLOAD, text)
            }
        };
        let head = FieldHead::of_bytes(field::PAYLOAD, bytes.len());
        let start = message.len() - cut.len() + head.len();
        let len = start + bytes.len() + mark.len() + text.len();
        if len > B::CAPACITY || u32::try_from(len).is_err() {
            return None;
        }
        let payload = start as u32..(start + bytes.len()) as u32;
        Some(Self { cut, head, bytes, mark, text, topic, kind, payload })
    }

    /// The answer, in the buffer of its task's message.
    #[inline]
    pub(super) fn made_of<B: Buffer>(self, task: Task<B>) -> Option<Publication<B>> {
        let parts = [&*self.head, self.bytes, &self.mark, self.text.as_bytes()];
        let message = task.message.spliced(self.cut, parts)?;
        let note = Note { origin: task.origin, kind: self.kind, payload: self.payload };
        Some(Publication { message, topic: self.topic, sender: task.sender, note })
    }

    /// The answer, in a buffer of its own.
    pub(super) fn beside<B: Buffer>(self, task: &Task<B>) -> Option<Publication<B>> {
        let message = task.message.as_slice();
        let (before, after) = (message.get(..self.cut.start)?, message.get(self.cut.end..)?);
        let message = B::joined(&[before, after, &self.head, self.bytes, &self.mark, self.text.as_bytes()])?;
        let note = Note { origin: task.origin, kind: self.kind, payload: self.payload };
        Some(Publication { message: Span::whole(message), topic: self.topic, sender: task.sender, note })
    }
}

/// Where in `message` the field of its payload is, with its key and length, if its length takes no more bytes than that needs.
fn payload_field(message: &[u8], (start, end): (u32, u32)) -> Option<Range<usize>> {
    let head = FieldHead::of_bytes(field::PAYLOAD, (end - start) as usize);
    let from = (start as usize).checked_sub(head.len())?;
    (message.get(from..start as usize) == Some(&*head)).then_some(from..end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageRef;

    type Bytes = heapless::Vec<u8, 256>;

    fn message(write: impl FnOnce(&mut MessageWriter<'_, Bytes>)) -> Bytes {
        let mut out = Bytes::new();
        let mut writer = MessageWriter::new(&mut out);
        write(&mut writer);
        writer.finish().unwrap();
        out
    }

    #[test]
    fn the_fields_stay_and_the_payload_is_another() {
        for message in [
            message(|w| _ = w.pipeline("p").client("me").function("a.b").cache("user").payload(&[7; 150]).sequence(5)),
            message(|w| _ = w.pipeline("p").payload(b"early").sequence(5).function("a.b").cache("user").client("me")),
            message(|w| _ = w.pipeline("p").client("me").function("a.b").cache("user").sequence(5)),
        ] {
            let view = RawMessage::parse(&message).unwrap();
            let (opening, payload) = (view.opening(), view.payload_place());
            let payload = (payload.start as u32, payload.end as u32);
            let task = Task { opening, payload, ..Task::new(Span::<Bytes>::copy_from(&message).unwrap(), 0) };
            for body in [Body::Result(b"yes"), Body::Part(b"yes"), Body::Failure(Status::Failed, "no")] {
                let beside = Reply::new(&task, body).unwrap().beside(&task).unwrap();
                let message = task.message.clone();
                let task = Task { opening, payload, ..Task::new(message, 0) };
                let Publication { message: answer, topic, note, .. } =
                    Reply::new(&task, body).unwrap().made_of(task).unwrap();
                assert_eq!(answer.as_slice(), beside.message.as_slice());
                let view = MessageRef::parse(answer.as_slice()).unwrap();
                assert_eq!((view.pipeline, view.client, view.function, view.cache), ("p", "me", "a.b", "user"));
                assert_eq!(view.extension.sequence, Some(5));
                let (payload, status, error) = match body {
                    Body::Failure(status, text) => (&b"0"[..], status, text),
                    Body::Result(bytes) | Body::Part(bytes) => (bytes, Status::Done, ""),
                };
                assert_eq!((view.payload, view.extension.status, view.extension.error), (payload, status, error));
                assert_eq!(view.extension.partial, matches!(body, Body::Part(_)));
                assert_eq!(&answer.as_slice()[topic.start as usize..topic.end as usize], b"me");
                assert_eq!(&answer.as_slice()[note.payload.start as usize..note.payload.end as usize], payload);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_no_message() {
        let message = message(|w| _ = w.client("me").function("a.b"));
        let small = Span::<heapless::Vec<u8, 12>>::copy_from(&message).unwrap();
        assert!(Reply::new(&Task::new(small, 0), Body::Result(b"yes")).is_none());
    }
}
