//! The one message of PALM: a checked view of its bytes, a writer, and our extension fields.
//!
//! A message on its way is never decoded and encoded again: it is looked at through [`MessageRef`], and what has to change
//! is appended with [`MessageWriter`], since in protobuf the last occurrence of a field wins (`docs/spec.md`, section 1).

mod extension;
mod fields;
mod function;
mod raw;
mod view;
pub(crate) mod wire;
mod writer;

pub use extension::{Extension, FAILURE_PAYLOAD, PRIORITY_MAX, Status, TaskId, field};
pub(crate) use fields::copy_without;
pub use fields::{RawField, RawFields};
pub use function::{FunctionAddress, resolve};
pub(crate) use function::{is_addressed, word};
pub(crate) use raw::Opening;
pub use raw::RawMessage;
pub use view::{MessageRef, ParseError, ParseErrorKind};
pub use writer::{MessageWriter, NoRoom, Sink, SliceSink};
