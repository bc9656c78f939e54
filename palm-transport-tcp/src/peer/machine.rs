//! What a connection asks of the machine that it carries frames for.

use bytes::Bytes;
use palm_proto::Instant;
use palm_proto::native::{Fault, Frame, Lost, RefusalCode, Retry, ToMaster};

use super::out::Out;

/// The machine of a worker or a client, and what its driver keeps for it.
pub(crate) trait Machine {
    /// A stream is there.
    fn handle_connected(&mut self, now: Instant);

    /// The connection is over, and perhaps there will not be another.
    fn handle_disconnected(&mut self, why: &str, for_good: bool);

    /// A frame has come; `whole` is the buffer that it lies in if it has one of its own.
    ///
    /// # Errors
    /// If the master breaks the protocol.
    fn handle_frame(&mut self, now: Instant, frame: &[u8], whole: Option<&Bytes>) -> Result<Verdict, Fault>;

    /// All that has come is handed over.
    fn handle_read(&mut self) {}

    /// The machine's own next frame.
    fn poll_transmit(&mut self) -> Option<Frame<'_, ToMaster>>;

    /// Has what waits for the connection sent, as far as there is room.
    fn fill(&mut self, now: Instant, out: &mut Out);

    /// When something is due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant) -> Option<Lost>;

    /// Whether the machine has ended the connection.
    fn is_closed(&self) -> bool;
}

/// What a frame means to the connection.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It goes on.
    Stays,
    /// It goes on, and was of use.
    Useful,
    /// It is established.
    Established,
    /// It is over.
    Over(String, Retry),
    /// The master does not want it, and says why.
    Refused(String, RefusalCode),
}

impl Verdict {
    pub(crate) fn goodbye() -> Self {
        Self::Over("the master stops".into(), Retry::Later)
    }

    pub(crate) fn refused(text: &str, code: RefusalCode) -> Self {
        Self::Refused(text.to_owned(), code)
    }
}

/// What a peer says that a master does not want, which has shown a token or none.
pub(super) fn refusal(text: &str, code: RefusalCode, shows_token: bool) -> String {
    match code {
        // What the master says, a wrong one, is not what somebody sees who gave none.
        RefusalCode::Token if !shows_token => format!("the master refuses: {NO_TOKEN}"),
        code if text.is_empty() => format!("the master refuses: {code}"),
        _ => format!("the master refuses: {text}"),
    }
}

/// What a peer says that has no token, and whose master wants one.
pub const NO_TOKEN: &str = "it wants a token, and none was given";
