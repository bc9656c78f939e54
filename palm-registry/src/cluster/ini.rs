//! The cluster file as INI.
//!
//! A section is a component. Keys that begin with a dash are flags; `Script`, `Connected`, `Role` and `Replicas` are written in whatever
//! case. As Python's `configparser` has it: `=` or `:` between key and value, comments on lines of their own after `#` or `;`,
//! indented lines that go on, and a section `DEFAULT` whose keys all others have too.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::check::{Disorder, check, sockets, wrong_name, wrong_value};
use super::limits::{self, TooMuch};
use super::{Cluster, Component, FileError, Flag};

/// Copies that a component may have, at most.
pub(super) const REPLICAS_MAX: u32 = 9_999;

const DEFAULT: &str = "DEFAULT";
/// Keys that all sections have together, with those of `DEFAULT`.
const ENTRIES_MAX: usize = 200_000;
/// Bytes that `DEFAULT` may add to all sections together.
const DEFAULT_MAX: usize = 16 << 20;
/// Names that an error lists.
const NAMED: usize = 20;

/// A section with its lines.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// The sections of an INI file, with what `DEFAULT` has and they have not at their ends.
pub(crate) fn sections(text: &str) -> Result<Vec<Section>, FileError> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut names, mut keys) = (HashSet::new(), HashSet::new());
    for (number, line) in text.lines().enumerate() {
        let (number, trimmed) = (number + 1, line.trim());
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let indented = line.starts_with([' ', '\t']);
        if indented && let Some(entry) = sections.last_mut().and_then(|section| section.entries.last_mut()) {
            entry.value.push('\n');
            entry.value.push_str(trimmed);
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']').map(str::trim).filter(|name| !name.is_empty()) else {
                return Err(FileError::at(number, format!("expected `[name]`, found `{trimmed}`")));
            };
            if !names.insert(name) {
                return Err(
                    FileError::at(number, "this name was used before: each section has one of its own").of(name)
                );
            }
            sections.push(Section { name: name.to_owned(), line: number, entries: Vec::new() });
            keys.clear();
            continue;
        }
        let Some((key, value)) = trimmed.split_once(['=', ':']) else {
            return Err(FileError::at(number, format!("expected `key = value` or `[name]`, found `{trimmed}`")));
        };
        let (key, value) = (key.trim(), value.trim());
        let Some(section) = sections.last_mut() else {
            return Err(FileError::at(number, "expected `[name]` before the first key").key(key));
        };
        if !keys.insert(key.to_ascii_lowercase()) {
            return Err(FileError::at(number, "this key was given before").of(&section.name).key(key));
        }
        section.entries.push(Entry { key: key.to_owned(), value: value.to_owned(), line: number });
    }
    let Some(at) = sections.iter().position(|section| section.name == DEFAULT) else { return Ok(sections) };
    if sections.len() == 1 {
        return Ok(sections);
    }
    let default = sections.remove(at);
    let own: usize = sections.iter().map(|section| section.entries.len()).sum();
    // They are written once and had by each.
    let bytes: usize = default.entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
    let is_much = default.entries.len().saturating_mul(sections.len()).saturating_add(own) > ENTRIES_MAX;
    if is_much || bytes.saturating_mul(sections.len()) > DEFAULT_MAX {
        let reason = format!(
            "expected {ENTRIES_MAX} keys at most in all sections, and {DEFAULT_MAX} bytes of those of `DEFAULT`"
        );
        return Err(FileError::at(default.line, reason).of(DEFAULT));
    }
    for section in &mut sections {
        let own: HashSet<_> = section.entries.iter().map(|entry| entry.key.to_ascii_lowercase()).collect();
        let others = default.entries.iter().filter(|entry| !own.contains(&entry.key.to_ascii_lowercase()));
        section.entries.extend(others.cloned());
    }
    Ok(sections)
}

impl Cluster {
    /// Reads an INI file.
    ///
    /// # Errors
    /// If it is none, lacks something, or has components that wait for each other: where, and what was expected.
    pub fn from_ini(text: &str) -> Result<Self, FileError> {
        let (cluster, sections) = Self::read_ini(text)?;
        if let Err(TooMuch { component, key, reason }) = limits::check(&cluster) {
            let section = component.and_then(|index| sections.get(index));
            let error = FileError::at(section.map_or(1, |section| section.line), reason);
            let error = section.iter().fold(error, |error, section| error.of(&section.name));
            return Err(key.iter().fold(error, |error, key| error.key(key)));
        }
        let known = sockets(&cluster);
        for (section, component) in sections.iter().zip(&cluster.components) {
            if let Some(reason) = wrong_name(&section.name) {
                return Err(FileError::at(section.line, reason).key("name"));
            }
            if let Some((key, reason)) = wrong_value(&known, component) {
                return Err(FileError::at(section.line, reason).of(&component.name).key(key));
            }
        }
        Ok(cluster)
    }

    /// As [`Self::from_ini`], whatever the components are called.
    pub(super) fn read_ini(text: &str) -> Result<(Self, Vec<Section>), FileError> {
        let sections = sections(text)?;
        let components = sections.iter().map(component).collect::<Result<_, _>>()?;
        let cluster = Self { components };
        if cluster.components.is_empty() {
            return Err(FileError::at(1, "expected a section `[name]` for each component, found none"));
        }
        match check(&cluster) {
            Ok(()) => Ok((cluster, sections)),
            Err(disorder) => Err(told(&sections, &cluster, &disorder)),
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
            let _ = writeln!(out, "[{}]\nScript = {}", component.name, component.script);
            for flag in &component.flags {
                let _ = writeln!(out, "{} = {}", flag.name, flag.value);
            }
            if !component.connected.is_empty() {
                let _ = writeln!(out, "Connected = {}", component.connected.join(", "));
            }
            if let Some(role) = &component.role {
                let _ = writeln!(out, "Role = {role}");
            }
            if component.replicas > 0 {
                let _ = writeln!(out, "Replicas = {}", component.replicas);
            }
        }
        Some(out)
    }

    /// What INI cannot say: components, and keys that they have as TOML.
    pub fn not_in_ini(&self) -> Vec<(&str, &'static str)> {
        let is_alone = self.components.len() == 1;
        let of = |component| not_in_ini(component, is_alone).into_iter().map(|key| (component.name.as_str(), key));
        self.components.iter().flat_map(of).collect()
    }
}

fn not_in_ini(component: &Component, is_alone: bool) -> Vec<&'static str> {
    let Component { name, script, flags, connected, role, replicas: _, extras } = component;
    let usual = super::Extras::default();
    let is_plain = |text: &str| !text.contains('\n') && text.trim() == text;
    let mut names = HashSet::new();
    let mut is_flag = |flag: &Flag| {
        let is_new = names.insert(flag.name.to_ascii_lowercase());
        is_new && is_plain(&flag.name) && !flag.name.contains(['=', ':']) && is_plain(&flag.value)
    };
    let keys = [
        ("name", is_plain(name) && (is_alone || name != DEFAULT)),
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

fn component(section: &Section) -> Result<Component, FileError> {
    let mut component = Component::new(&section.name, "");
    for entry in &section.entries {
        let wrong = |reason: String| Err(FileError::at(entry.line, reason).of(&section.name).key(&entry.key));
        let value = &entry.value;
        match entry.key.to_ascii_lowercase().as_str() {
            key if key.starts_with('-') => {
                if value == "_" {
                    return wrong("expected a name after `_`, as in `_1`".to_owned());
                }
                component.flags.push(Flag { name: entry.key.clone(), value: value.clone() });
            }
            "script" => component.script.clone_from(value),
            "connected" => {
                component.connected = value.split([',', '\n']).map(|name| name.trim().to_owned()).collect();
                component.connected.retain(|name| !name.is_empty());
            }
            "role" => component.role = Some(value.clone()),
            "replicas" => match value.parse().ok().filter(|&replicas| replicas <= REPLICAS_MAX) {
                Some(replicas) => component.replicas = replicas,
                None => return wrong(format!("expected a number from 0 to {REPLICAS_MAX}, found `{value}`")),
            },
            _ => return wrong("expected Script, Connected, Role, Replicas, or a flag that begins with `-`".to_owned()),
        }
    }
    if component.script.is_empty() {
        let reason = "expected `Script = PROGRAM`: what is to be started";
        return Err(FileError::at(section.line, reason).of(&section.name).key("Script"));
    }
    Ok(component)
}

fn told(sections: &[Section], cluster: &Cluster, disorder: &Disorder) -> FileError {
    let index = match disorder {
        Disorder::Unknown { component, .. } => *component,
        Disorder::Cycle(cycle) => cycle.first().copied().unwrap_or(0),
    };
    let section = &sections[index];
    let line = section.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case("connected"));
    let line = line.map_or(section.line, |entry| entry.line);
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
