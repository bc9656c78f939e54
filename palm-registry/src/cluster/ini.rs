//! The cluster file as INI.
//!
//! A section is a component. Keys that begin with a dash are flags; `Script`, `Connected`, `Role` and `Replicas` are the others that
//! mean something. How a file is taken apart: [`sections`](super::sections), [`interpolation`](super::interpolation).

use std::collections::HashSet;
use std::fmt::Write as _;

use super::check::{Disorder, check, sockets, wrong_name, wrong_value};
use super::limits::{self, TooMuch};
use super::remarks::FileKind;
use super::sections::{DEFAULT, Entry, Section, known_as};
use super::{Cluster, Component, FileError, Flag, FlagValue, Ini, Reading, Values, remarks};
use crate::words;

/// Copies that a component may have, at most.
pub(super) const REPLICAS_MAX: u32 = 9_999;

/// Names that an error lists.
const NAMED: usize = 20;

/// A file that was read.
#[derive(Debug)]
pub(super) struct IniFile {
    pub(super) cluster: Cluster,
    /// What is read otherwise than it looks.
    pub(super) remarks: Vec<FileError>,
    /// Its sections, each of a component.
    ini: Ini,
}

impl Cluster {
    /// Reads an INI file.
    ///
    /// # Errors
    /// If it is none, lacks something, or has components that wait for each other: where, and what was expected.
    pub fn from_ini(text: &str) -> Result<Self, FileError> {
        let IniFile { cluster, ini, .. } = Self::read_ini(text, Reading::New)?;
        if let Err(TooMuch { component, key, reason }) = limits::check(&cluster) {
            let section = component.and_then(|index| ini.sections.get(index));
            let line = section.map_or(1, |section| ini.line(section, key.unwrap_or_default()));
            let error = FileError::at(line, reason);
            let error = section.iter().fold(error, |error, section| error.of(&section.name));
            return Err(key.iter().fold(error, |error, key| error.key(key)));
        }
        let known = sockets(&cluster);
        for (section, component) in ini.sections.iter().zip(&cluster.components) {
            if let Some(reason) = wrong_name(&section.name) {
                return Err(FileError::at(section.line, reason).key("name"));
            }
            if let Some((key, reason)) = wrong_value(&known, component) {
                return Err(FileError::at(ini.line(section, key), reason).of(&component.name).key(key));
            }
        }
        Ok(cluster)
    }

    /// As [`Self::from_ini`], whatever the components are called.
    pub(super) fn read_ini(text: &str, reading: Reading) -> Result<IniFile, FileError> {
        let mut ini = Ini::read(text, reading)?;
        if reading == Reading::Kept && ini.sections.is_empty() && ini.defaults.line > 0 {
            // Before, it was a component.
            let section = std::mem::replace(&mut ini.defaults, Section::none());
            ini.sections.push(section);
        }
        let mut values = Values::of(&ini, reading);
        let shared: Vec<&Entry> = ini.defaults.entries.iter().filter(|entry| is_known(&entry.key)).collect();
        let mut components = Vec::new();
        for section in &ini.sections {
            components.push(component(section, &shared, &mut values)?);
        }
        let cluster = Self { components };
        if cluster.components.is_empty() {
            return Err(FileError::at(1, "expected a section `[name]` for each component, found none"));
        }
        let mut remarks = remarks::of_ini(&ini, &values);
        let line = |index: usize, key: &str| ini.sections.get(index).map_or(1, |section| ini.line(section, key));
        remarks.extend(remarks::of(&cluster, FileKind::Ini, line));
        match check(&cluster) {
            Ok(()) => Ok(IniFile { cluster, remarks, ini }),
            Err(disorder) => Err(told(&ini.sections, &cluster, &disorder)),
        }
    }

    /// As INI; `None` if INI cannot say it: [`not_in_ini`](Self::not_in_ini) says what.
    pub fn to_ini(&self) -> Option<String> {
        if !self.not_in_ini().is_empty() {
            return None;
        }
        let mut out = String::new();
        for component in &self.components {
            if !out.is_empty() {
                out.push('\n');
            }
            let _ = writeln!(out, "[{}]\nScript = {}", component.name, escaped(&component.script));
            for flag in &component.flags {
                let _ = writeln!(out, "{} = {}", flag.name, escaped(&written(&flag.value)));
            }
            if !component.connected.is_empty() {
                let _ = writeln!(out, "Connected = {}", escaped(&component.connected.join(", ")));
            }
            if let Some(role) = &component.role {
                let _ = writeln!(out, "Role = {}", escaped(role));
            }
            if component.replicas > 0 {
                let _ = writeln!(out, "Replicas = {}", component.replicas);
            }
        }
        Some(out)
    }

    /// What INI cannot say: components, and keys that they have as TOML.
    pub fn not_in_ini(&self) -> Vec<(&str, &'static str)> {
        let of = |component| not_in_ini(component).into_iter().map(|key| (component.name.as_str(), key));
        self.components.iter().flat_map(of).collect()
    }
}

/// A value with its `%` as INI has them.
fn escaped(value: &str) -> String {
    value.replace('%', "%%")
}

/// What a flag has in a file.
fn written(value: &FlagValue) -> String {
    match value {
        FlagValue::Socket(name) => format!("_{name}"),
        FlagValue::Words(words) => {
            let line = words::join(words.iter().map(String::as_str));
            // It is no socket.
            if line.starts_with('_') { format!("\\{line}") } else { line }
        }
    }
}

fn not_in_ini(component: &Component) -> Vec<&'static str> {
    let Component { name, script, flags, connected, role, replicas: _, extras } = component;
    let usual = super::Extras::default();
    let is_plain = |text: &str| !text.contains('\n') && text.trim() == text;
    let mut names = HashSet::new();
    let mut is_flag = |flag: &Flag| {
        let is_new = names.insert(flag.name.clone());
        let is_key = is_plain(&flag.name) && !flag.name.contains(['=', ':']) && known_as(&flag.name) == flag.name;
        is_new && is_key && is_plain(&written(&flag.value))
    };
    let keys = [
        ("name", is_plain(name) && name != DEFAULT),
        ("script", is_plain(script)),
        ("flags", flags.iter().all(&mut is_flag)),
        ("connected", connected.iter().all(|name| is_plain(name) && !name.contains(','))),
        ("role", role.as_deref().is_none_or(is_plain)),
        ("restart", extras.restart == usual.restart),
        ("ready", extras.ready == usual.ready),
        ("grace-seconds", extras.grace == usual.grace),
        ("processors", extras.processors == usual.processors),
        ("nodes", extras.nodes == usual.nodes),
        ("directory", extras.directory == usual.directory),
        ("environment", extras.environment == usual.environment),
    ];
    keys.into_iter().filter(|(_, can_be_said)| !can_be_said).map(|(key, _)| key).collect()
}

/// Whether a key means something.
pub(super) fn is_known(key: &str) -> bool {
    key.starts_with('-') || ["script", "connected", "role", "replicas"].contains(&key)
}

/// A component, of its own keys and those that all have.
fn component(section: &Section, shared: &[&Entry], values: &mut Values<'_>) -> Result<Component, FileError> {
    let mut component = Component::new(&section.name, "");
    let own = section.entries.iter().filter(|entry| is_known(&entry.key));
    let shared = shared.iter().copied().filter(|entry| section.entry(&entry.key).is_none());
    for entry in own.chain(shared) {
        let wrong = |reason: String| Err(FileError::at(entry.line, reason).of(&section.name).key(&entry.written));
        let value = values.value(section, entry)?;
        match entry.key.as_str() {
            "script" => component.script = value,
            "connected" => {
                component.connected = value.split([',', '\n']).map(|name| name.trim().to_owned()).collect();
                component.connected.retain(|name| !name.is_empty());
            }
            "role" => component.role = Some(value),
            "replicas" => match integer(&value).filter(|&replicas| replicas <= REPLICAS_MAX) {
                Some(replicas) => component.replicas = replicas,
                None => return wrong(format!("expected a number from 0 to {REPLICAS_MAX}, found `{value}`")),
            },
            name => match value.trim().strip_prefix('_') {
                Some("") => return wrong("expected a name after `_`, as in `_1`".to_owned()),
                Some(socket) => {
                    component.flags.push(Flag { name: name.to_owned(), value: FlagValue::Socket(socket.to_owned()) });
                }
                None => {
                    let value = FlagValue::Words(words::split_all(&value));
                    component.flags.push(Flag { name: name.to_owned(), value });
                }
            },
        }
    }
    if component.script.is_empty() {
        let reason = "expected `Script = PROGRAM`: what is to be started";
        return Err(FileError::at(section.line, reason).of(&section.name).key("Script"));
    }
    Ok(component)
}

/// A number as Python reads it: `+3` and `1_000` are numbers.
pub(crate) fn integer(text: &str) -> Option<u32> {
    let digits = text.trim();
    let is_grouped = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    digits.replace('_', "").parse().ok().filter(|_| is_grouped)
}

fn told(sections: &[Section], cluster: &Cluster, disorder: &Disorder) -> FileError {
    let index = match disorder {
        Disorder::Unknown { component, .. } => *component,
        Disorder::Cycle(cycle) => cycle.first().copied().unwrap_or(0),
    };
    let section = &sections[index];
    let line = section.entry("connected").map_or(section.line, |entry| entry.line);
    FileError::at(line, disorder.reason(cluster)).of(&section.name).key("Connected")
}

impl Disorder {
    /// The same in words.
    pub(super) fn reason(&self, cluster: &Cluster) -> String {
        let name = |index: &usize| cluster.components[*index].name.as_str();
        match self {
            Self::Unknown { connected, .. } => {
                let names: Vec<_> = (0..cluster.components.len().min(NAMED)).map(|index| name(&index)).collect();
                let more = cluster.components.len() - names.len();
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                format!("expected the name of a component ({}{more}), found `{connected}`", names.join(", "))
            }
            Self::Cycle(cycle) if cycle.len() > NAMED => {
                let names: Vec<_> = cycle.iter().take(NAMED).map(name).collect();
                let more = cycle.len() - NAMED;
                format!("these wait for each other: {} -> and {more} more, back to the first", names.join(" -> "))
            }
            Self::Cycle(cycle) => {
                let names: Vec<_> = cycle.iter().map(name).collect();
                format!("these wait for each other: {}", names.join(" -> "))
            }
        }
    }
}
