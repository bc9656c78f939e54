//! The cluster file as TOML: a table `[[component]]` for each component, with all that INI can say and more.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::check::{Disorder, check, sockets, wrong_name, wrong_value};
use super::ini::REPLICAS_MAX;
use super::key_lines::KeyLines;
use super::limits::{self, TooMuch};
use super::{Cluster, Component, Extras, FileError, Flag, FlagValue, Readiness, Restart};

/// The file; `S` is a string, and where it is when the file is read.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File<S> {
    #[serde(default = "Vec::new")]
    component: Vec<Table<S>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table<S> {
    name: S,
    script: S,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    connected: Vec<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    replicas: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    restart: Restart,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_seconds: Option<u64>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    processors: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<Readiness>,
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    flags: toml::Table,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Cluster {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it is none, lacks something, or has components that wait for each other: where, and what was expected.
    pub fn from_toml(text: &str) -> Result<Self, FileError> {
        let (cluster, lines) = Self::read_toml(text)?;
        if let Err(TooMuch { component, key, reason }) = limits::check(&cluster) {
            let key_line = component.zip(key).and_then(|(index, key)| KeyLines::of(text).line(index, key));
            let line = key_line.or_else(|| component.and_then(|index| lines.get(index).copied()));
            let name = component.and_then(|index| cluster.components.get(index)).map(|component| &component.name);
            let error = FileError::at(line.unwrap_or(1), reason);
            let error = name.iter().fold(error, |error, name| error.of(name));
            return Err(key.iter().fold(error, |error, key| error.key(key)));
        }
        let known = sockets(&cluster);
        for (index, (component, line)) in cluster.components.iter().zip(lines).enumerate() {
            if let Some(reason) = wrong_name(&component.name) {
                return Err(FileError::at(line, reason).key("name"));
            }
            if let Some((key, reason)) = wrong_value(&known, component) {
                let line = KeyLines::of(text).line(index, key).unwrap_or(line);
                return Err(FileError::at(line, reason).of(&component.name).key(key));
            }
        }
        Ok(cluster)
    }

    /// As [`Self::from_toml`], whatever the components are called; and the lines of their names.
    pub(super) fn read_toml(text: &str) -> Result<(Self, Vec<usize>), FileError> {
        let text = super::without_mark(text);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |at: usize| ends.partition_point(|end| *end < at) + 1;
        let file: File<Spanned<String>> = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(1, |span| line(span.start));
            told(text, at, error.message().trim())
        })?;
        let (mut cluster, mut names) = (Self::default(), HashSet::new());
        for table in &file.component {
            let at = line(table.name.span().start);
            if !names.insert(table.name.as_ref()) {
                let reason = "this name was used before: each component has one of its own";
                return Err(FileError::at(at, reason).of(table.name.as_ref()).key("name"));
            }
            cluster.components.push(component(table, &line)?);
        }
        if cluster.components.is_empty() {
            return Err(FileError::at(1, "expected a table `[[component]]` for each component, found none"));
        }
        match check(&cluster) {
            Ok(()) => {
                let lines = file.component.iter().map(|table| line(table.name.span().start)).collect();
                Ok((cluster, lines))
            }
            Err(disorder) => {
                let index = match &disorder {
                    Disorder::Unknown { component, .. } => *component,
                    Disorder::Cycle(cycle) => cycle.first().copied().unwrap_or(0),
                };
                let table = &file.component[index];
                let named = |name: &&Spanned<String>| match &disorder {
                    Disorder::Unknown { connected, .. } => name.as_ref() == connected,
                    Disorder::Cycle(_) => true,
                };
                let place = table.connected.iter().find(named).unwrap_or(&table.name).span().start;
                let error = FileError::at(line(place), disorder.reason(&cluster));
                Err(error.of(table.name.as_ref()).key("connected"))
            }
        }
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        let component = self.components.iter().map(table).collect();
        toml::to_string(&File::<String> { component }).unwrap_or_default()
    }
}

/// What the parser says of a line, with the component and the key that it is about.
fn told(text: &str, at: usize, message: &str) -> FileError {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_begin = |line: &&str| line.starts_with("[[component]]");
    let value = |line: &str, key: &str| {
        let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
        toml::from_str::<toml::Table>(&format!("name = {rest}")).ok()?.get("name")?.as_str().map(str::to_owned)
    };
    let begin = lines.iter().take(at).rposition(is_begin);
    let name = begin.and_then(|begin| {
        let table = lines.iter().skip(begin + 1).take_while(|line| !is_begin(line));
        table.take_while(|line| !line.starts_with('[')).find_map(|line| value(line, "name"))
    });
    let line = lines.get(at - 1).copied().unwrap_or_default();
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_.\"".contains(c));
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_key(key));
    let reason = match message.strip_prefix("missing field ") {
        Some(key) => format!("expected a key {key}, found none"),
        // The types of numbers are no words for people.
        None => ["u32", "u64"].iter().fold(message.to_owned(), |text, number| {
            text.strip_suffix(&format!("expected {number}"))
                .map_or(text.clone(), |text| format!("{text}expected a number, 0 or more"))
        }),
    };
    let error = FileError::at(at, reason);
    let error = key.iter().fold(error, |error, key| error.key(key));
    name.iter().fold(error, |error, name| error.of(name))
}

fn component(table: &Table<Spanned<String>>, line: &impl Fn(usize) -> usize) -> Result<Component, FileError> {
    let at = line(table.name.span().start);
    let wrong = |key: &str, reason: String| FileError::at(at, reason).of(table.name.as_ref()).key(key);
    if table.name.as_ref().trim().is_empty() {
        return Err(wrong("name", "expected a name, found nothing".to_owned()));
    }
    if table.script.as_ref().trim().is_empty() {
        return Err(wrong("script", "expected the program that is to be started, found nothing".to_owned()));
    }
    if table.replicas > REPLICAS_MAX {
        return Err(wrong("replicas", format!("expected a number from 0 to {REPLICAS_MAX}, found {}", table.replicas)));
    }
    if table.processors == 0 {
        return Err(wrong("processors", "expected 1 or more, found 0".to_owned()));
    }
    let mut flags = Vec::new();
    for (name, value) in &table.flags {
        let value = flag_value(value).map_err(|reason| wrong("flags", format!("{name}: {reason}")))?;
        if !name.starts_with('-') {
            return Err(wrong("flags", format!("expected a flag that begins with `-`, found `{name}`")));
        }
        flags.push(Flag { name: name.clone(), value });
    }
    Ok(Component {
        name: table.name.as_ref().clone(),
        script: table.script.as_ref().clone(),
        flags,
        connected: table.connected.iter().map(|name| name.as_ref().clone()).collect(),
        role: table.role.clone(),
        replicas: table.replicas,
        extras: Extras {
            restart: table.restart,
            environment: table.environment.clone(),
            directory: table.directory.clone(),
            ready: table.ready.clone(),
            grace: table.grace_seconds.map(Duration::from_secs),
            processors: table.processors,
            nodes: table.nodes.clone(),
        },
    })
}

/// What a flag has in a file: text is a socket or one word, a list is several words.
fn flag_value(value: &toml::Value) -> Result<FlagValue, String> {
    let word = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => Ok(value.to_string()),
        other => Err(format!("expected text, a number or a list of them, found {}", other.type_str())),
    };
    if let toml::Value::Array(words) = value {
        return words.iter().map(word).collect::<Result<_, _>>().map(FlagValue::Words);
    }
    let text = word(value)?;
    match text.strip_prefix('_') {
        Some("") => Err("expected a name after `_`, as in `_1`".to_owned()),
        Some(socket) => Ok(FlagValue::Socket(socket.to_owned())),
        None if text.is_empty() => Ok(FlagValue::Words(Vec::new())),
        None => Ok(FlagValue::Words(vec![text])),
    }
}

/// The same for the file.
fn written(value: FlagValue) -> toml::Value {
    match value {
        FlagValue::Socket(name) => toml::Value::String(format!("_{name}")),
        FlagValue::Words(words) => match &words[..] {
            [] => toml::Value::String(String::new()),
            [word] if !word.is_empty() && !word.starts_with('_') => toml::Value::String(word.clone()),
            _ => toml::Value::Array(words.into_iter().map(toml::Value::String).collect()),
        },
    }
}

fn table(component: &Component) -> Table<String> {
    let Component { name, script, flags, connected, role, replicas, extras } = component.clone();
    Table {
        name,
        script,
        connected,
        role,
        replicas,
        restart: extras.restart,
        directory: extras.directory,
        grace_seconds: extras.grace.map(|grace| grace.as_secs()),
        processors: extras.processors,
        nodes: extras.nodes,
        ready: extras.ready,
        flags: flags.into_iter().map(|flag| (flag.name, written(flag.value))).collect(),
        environment: extras.environment,
    }
}
