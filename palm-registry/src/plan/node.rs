//! What a node offers.

use serde::{Deserialize, Serialize};

use crate::cluster::{FileError, Ini, Reading, Values, integer};

/// What the place of a node can be.
pub const HOST: &str = "an address, such as 10.0.0.7, or a host's name";

/// Longest name of a host, in bytes.
const HOST_MAX: usize = 253;

/// Whether something can be where others reach a node: it becomes a part of command lines, where a blank would end a word.
pub fn is_host(ip: &str) -> bool {
    !ip.is_empty() && ip.len() <= HOST_MAX && ip.chars().all(|c| c.is_alphanumeric() || ".-_:%[]".contains(c))
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
    /// What a node is called that is one of several of its name, each at another Ip.
    pub(super) fn with_ip(name: &str, ip: &str) -> String {
        format!("{name} ({ip})")
    }

    /// The name that it gave, without the Ip by which it is told from others.
    pub(super) fn given_name(&self) -> &str {
        let ending = self.name.strip_suffix(')').and_then(|name| name.strip_suffix(self.ip.as_str()));
        ending.and_then(|name| name.strip_suffix(" (")).unwrap_or(&self.name)
    }

    /// Whether a file means it by this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.given_name() == name
    }

    /// Reads a node's own configuration: an INI file of which `DEFAULT` counts. Without a `Name` it is known by its `Ip`.
    ///
    /// # Errors
    /// If it is none, or lacks something: where, and what was expected.
    pub fn from_ini(text: &str) -> Result<Self, FileError> {
        let ini = Ini::read(text, Reading::New)?;
        let Some(section) = ini.node() else {
            return Err(FileError::at(1, "expected the section `[DEFAULT]` with Ip, Processors and Ports_from"));
        };
        let mut values = Values::of(&ini, Reading::New);
        let mut value = |key: &str| section.entry(key).map(|entry| values.value(section, entry)).transpose();
        let at = |key: &str, reason: String| {
            let entry = section.entry(&key.to_lowercase());
            let line = entry.map_or(section.line, |entry| entry.line);
            FileError::at(line, reason).of(&section.name).key(key)
        };
        let number = |key: &str, found: Option<String>, expected: &str, range: std::ops::RangeInclusive<u32>| {
            let Some(found) = found else { return Err(at(key, format!("expected {expected}, found none"))) };
            let number = integer(&found).filter(|number| range.contains(number));
            number.ok_or_else(|| at(key, format!("expected {expected}, found `{found}`")))
        };
        let ip = value("ip")?.filter(|ip| !ip.is_empty());
        let ip =
            ip.ok_or_else(|| at("Ip", "expected `Ip = ADDRESS`, where others reach the node, found none".to_owned()))?;
        if !is_host(&ip) {
            return Err(at("Ip", format!("expected {HOST}, found `{ip}`")));
        }
        // Python's registry does not look at it, so a `%` in it is none that has to be right.
        let name = value("name").unwrap_or_else(|_| section.entry("name").map(|entry| entry.value.clone()));
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| ip.clone());
        if let Some(reason) = crate::cluster::wrong_name(&name) {
            return Err(at("Name", reason));
        }
        Ok(Self {
            name,
            ip,
            processors: number("Processors", value("processors")?, "a number of slots from 0 to 65535", 0..=65_535)?,
            ports_from: number("Ports_from", value("ports_from")?, "a port from 1 to 65535", 1..=65_535)? as u16,
        })
    }
}
