//! What goes out over a connection, in its framing.

use bytes::{Bytes, BytesMut};
use palm_proto::buffer::{Outgoing, Spare};
use palm_proto::native::{Frame, Framing, ToMaster, line_len_max};

/// Bytes that may wait to be written before nothing more is added that can wait elsewhere.
const WAITING_MAX: usize = 256 << 10;

/// What waits to be written, and how frames become bytes.
#[derive(Debug)]
pub(crate) struct Out {
    pub(super) framing: Framing,
    pub(super) outgoing: Outgoing,
    pub(super) spare: Spare,
}

impl Out {
    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }

    pub(super) const fn new(framing: Framing) -> Self {
        Self { framing, outgoing: Outgoing::new(), spare: Spare::new() }
    }

    /// Whether more may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.len() < WAITING_MAX
    }

    /// Adds a frame.
    pub(crate) fn frame(&mut self, frame: &Frame<'_, ToMaster>) {
        self.put(frame, None);
    }

    /// Adds a frame whose body is `body`, which is sent from where it is if it is large.
    pub(crate) fn frame_with(&mut self, frame: &Frame<'_, ToMaster>, body: &Bytes) {
        let same = frame.body.len() == body.len();
        self.put(frame, Some(body).filter(|_| same));
    }

    fn put(&mut self, frame: &Frame<'_, ToMaster>, body: Option<&Bytes>) {
        if let Framing::Stream = self.framing {
            // The machines give no frame that is longer than the master takes.
            let Ok(head) = frame.stream_head() else { return };
            match body.filter(|body| body.len() >= Outgoing::SHARE_FROM) {
                Some(body) => {
                    self.outgoing.copy(&[&head, frame.front], &mut self.spare);
                    self.outgoing.push(body.clone(), &mut self.spare);
                }
                None => self.outgoing.copy(&[&head, frame.front, frame.body], &mut self.spare),
            }
            return;
        }
        let len = line_len_max(palm_proto::native::HEADER_MAX + frame.front.len() + frame.body.len());
        let mut bytes = BytesMut::with_capacity(len);
        if self.framing.encode(frame, &mut bytes).is_ok() {
            self.outgoing.copy(&[&bytes], &mut self.spare);
        }
    }
}
