//! What a function needs to know of a message, whichever way that came.

use core::time::Duration;

/// What a function is called with: a function that is generic over it is written once, and works with the workers of all transports;
/// and with any type that implements it, as in a test of the function.
///
/// # Examples
/// ```
/// use palm_proto::Request;
///
/// /// Give it to `function` of a worker over raw TCP, or to `blocking_function` of one over ZeroMQ.
/// fn shout(call: impl Request) -> Result<Vec<u8>, String> {
///     let text = core::str::from_utf8(call.payload().as_ref()).map_err(|error| error.to_string())?;
///     Ok(text.to_uppercase().into_bytes())
/// }
/// ```
pub trait Request: Sized {
    /// Bytes as the transport has them.
    type Payload: AsRef<[u8]>;

    /// The data.
    fn payload(&self) -> &Self::Payload;

    /// The data, without copying it.
    fn into_payload(self) -> Self::Payload;

    /// Name of the function, without the server's.
    fn method(&self) -> &str;

    /// What the client has put beside the payload, or a name that the master gave the message.
    fn user_data(&self) -> &str;

    /// Id of the client, or of its session.
    fn client(&self) -> impl AsRef<str>;

    /// How long the client still waits for the result, if it said.
    fn remaining(&self) -> Option<Duration>;

    /// Whether nobody wants the result any more: the function may end in whatever way. `false` where a transport cannot tell.
    fn is_cancelled(&self) -> bool {
        false
    }
}
