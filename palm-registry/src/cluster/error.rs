//! What is wrong with a file.

use std::fmt;

/// A file that does not say what it has to, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// The component, if it is about one.
    pub component: Option<String>,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl FileError {
    pub(crate) fn at(line: usize, reason: impl Into<String>) -> Self {
        Self { line, component: None, key: None, reason: reason.into() }
    }

    pub(crate) fn of(self, component: &str) -> Self {
        Self { component: Some(component.to_owned()), ..self }
    }

    pub(crate) fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(component) = &self.component {
            write!(f, ", [{component}]")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for FileError {}
