//! What a node offers.

use serde::{Deserialize, Serialize};

use crate::cluster::FileError;

/// What the place of a node can be.
pub const HOST: &str = "an address, such as 10.0.0.7, or a host's name";

/// Whether something can be where others reach a node: it becomes a part of command lines, where a blank would end a word.
pub fn is_host(ip: &str) -> bool {
    !ip.is_empty() && ip.chars().all(|c| c.is_alphanumeric() || ".-_:%[]".contains(c))
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeOffer {
    /// Its name, by which it is known again.
    pub name: String,
    /// Where others reach it: an address or a host's name.
    pub ip: String,
    /// Slots.
    pub processors: u32,
    /// The first port that it has for sockets.
    pub ports_from: u16,
}

impl NodeOffer {
    /// Reads a node's own configuration: an INI file whose only section is `DEFAULT`.
    ///
    /// # Errors
    /// If it is none, or lacks something: where, and what was expected.
    pub fn from_ini(text: &str) -> Result<Self, FileError> {
        let sections = crate::cluster::sections(text)?;
        let Some(section) = sections.first() else {
            return Err(FileError::at(1, "expected the section `[DEFAULT]` with Name, Ip, Processors and Ports_from"));
        };
        let entry = |key: &str| section.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key));
        let missing = |key: &str, expected: &str| {
            FileError::at(section.line, format!("{expected}, found none")).of(&section.name).key(key)
        };
        let text = |key: &str, expected: &str| match entry(key) {
            Some(entry) if !entry.value.is_empty() => Ok(entry.value.clone()),
            _ => Err(missing(key, expected)),
        };
        let number = |key: &str, expected: &str, range: std::ops::RangeInclusive<u32>| {
            let Some(entry) = entry(key) else { return Err(missing(key, &format!("expected {expected}"))) };
            entry.value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
                let reason = format!("expected {expected}, found `{}`", entry.value);
                FileError::at(entry.line, reason).of(&section.name).key(key)
            })
        };
        let ip = text("Ip", "expected `Ip = ADDRESS`, where others reach the node")?;
        if !is_host(&ip) {
            let line = entry("Ip").map_or(section.line, |entry| entry.line);
            return Err(FileError::at(line, format!("expected {HOST}, found `{ip}`")).of(&section.name).key("Ip"));
        }
        Ok(Self {
            name: text("Name", "expected `Name = NAME`, by which the node is known again")?,
            ip,
            processors: number("Processors", "a number of slots from 0 to 65535", 0..=65_535)?,
            ports_from: number("Ports_from", "a port from 1 to 65535", 1..=65_535)? as u16,
        })
    }
}
