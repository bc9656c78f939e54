//! What is passed over in a file, or read otherwise than it looks. Nothing of it is wrong.

use std::collections::HashSet;

use super::ini::is_known;
use super::sections::Section;
use super::{Cluster, FileError, Ini, Values};
use crate::words;

/// What the keys and values of an INI file have of it.
pub(super) fn of_ini(ini: &Ini, values: &Values<'_>) -> Vec<FileError> {
    let mut remarks = ini.remarks.clone();
    for section in [&ini.defaults].into_iter().chain(&ini.sections) {
        remarks.extend(of_section(section, values));
    }
    remarks
}

fn of_section(section: &Section, values: &Values<'_>) -> Vec<FileError> {
    let mut remarks = Vec::new();
    for entry in &section.entries {
        let at = |reason: String| FileError::at(entry.line, reason).of(&section.name).key(&entry.written);
        if !is_known(&entry.key) {
            if !values.is_used(&entry.key) {
                let reason = "it is passed over: it is not Script, Connected, Role or Replicas, and no flag begins so";
                remarks.push(at(reason.to_owned()));
            }
            continue;
        }
        if entry.key.starts_with('-') && entry.key != entry.written {
            remarks.push(at(format!("it is read as `{}`: INI has no large letters in keys, TOML has", entry.key)));
        }
        let has_comment = |mark: &str| entry.value.split_once(mark).is_some_and(|(before, _)| !before.is_empty());
        if [" #", " ;", "\t#", "\t;"].into_iter().any(has_comment) {
            remarks.push(at("what is behind `#` or `;` belongs to the value: a comment has its own line".to_owned()));
        }
        if entry.key.starts_with('-') && !entry.value.starts_with('_') && words::split(&entry.value).is_none() {
            remarks.push(at(OPEN_QUOTE.to_owned()));
        }
    }
    remarks
}

const OPEN_QUOTE: &str = "a quote is left open, or a backslash ends it: it is split at blanks, and has its quotes";

/// What the components of a file have of it, whatever the file is; with their lines.
pub(super) fn of(cluster: &Cluster, lines: &[usize]) -> Vec<FileError> {
    let is_open = |script: &str| words::split(script).is_none();
    let mut told = HashSet::new();
    let remarks = cluster.components.iter().zip(lines).filter(|(component, _)| is_open(&component.script));
    let remarks = remarks.filter(|(component, _)| told.insert(component.script.as_str()));
    remarks.map(|(component, line)| FileError::at(*line, OPEN_QUOTE).of(&component.name).key("Script")).collect()
}
