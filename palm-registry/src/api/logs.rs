//! What components have printed.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::wire::Stream;

/// Which lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Of this component only.
    pub component: Option<String>,
    /// Of this node only.
    pub node: Option<String>,
    /// Of this stream only.
    pub stream: Option<Stream>,
    /// At least as severe as this, as the words in the line tell.
    pub level: Option<Level>,
    /// Printed at this instant or later, in microseconds since 1970.
    pub from: Option<i64>,
    /// Printed before this instant.
    pub to: Option<i64>,
    /// With this in them, in the same case.
    pub text: Option<String>,
    /// How many, from 1 to 5000, or of a download any number; left out: 500, or of a download all.
    #[schemars(range(min = 1))]
    pub limit: Option<u32>,
    /// The lines that follow the one with this `id`.
    pub after: Option<i64>,
    /// The lines before the one with this `id`.
    pub before: Option<i64>,
}

/// How severe a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warning,
    /// All is well.
    Info,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its number: greater than those of all that came before.
    pub id: i64,
    /// When it was printed, in microseconds since 1970.
    pub at: i64,
    /// The component; null: it came by a runner of Python's, which does not say.
    pub component: Option<String>,
    /// Which of the component's copies.
    pub copy: Option<u32>,
    /// The node.
    pub node: Option<String>,
    /// out, err or runner.
    pub stream: Option<String>,
    /// What it says of itself: error, warning, info or debug; empty: nothing.
    pub level: Cow<'static, str>,
    /// Itself.
    pub text: String,
}
