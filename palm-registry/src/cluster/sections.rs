//! The sections of an INI file, as Python's `configparser` reads them.
//!
//! `=` or `:` stands between key and value. Comments after `#` or `;` have lines of their own. A line that is indented further than the
//! line of its key belongs to its value. The keys of `[DEFAULT]` are those of all sections. Keys are read in small letters,
//! but for those with one dash, which `pylm-registry` does not know: `-v` and `-V` are two flags.

use std::collections::HashMap;

use super::FileError;

/// The section whose keys all others have, too.
pub(super) const DEFAULT: &str = "DEFAULT";

/// How strictly a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is new: what is wrong is an error.
    New,
    /// It was taken before, by a registry that took more: it must be readable.
    Kept,
}

/// An INI file.
#[derive(Debug)]
pub(crate) struct Ini {
    /// `[DEFAULT]`; without a line if the file has none.
    pub(super) defaults: Section,
    /// All others, in order.
    pub(super) sections: Vec<Section>,
    /// What is read otherwise than it looks.
    pub(super) remarks: Vec<FileError>,
}

/// A section with its keys.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// Its first line; 0: it is not in the file.
    pub(crate) line: usize,
    pub(super) entries: Vec<Entry>,
    /// Places of entries by their keys.
    places: HashMap<String, usize>,
}

/// A key with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The key as it is known.
    pub(super) key: String,
    /// The key as it is written.
    pub(super) written: String,
    /// The value as it is written, line by line.
    pub(crate) value: String,
    pub(crate) line: usize,
}

impl Section {
    /// `[DEFAULT]` of a file that has none.
    pub(super) fn none() -> Self {
        Self::new(DEFAULT, 0)
    }

    fn new(name: &str, line: usize) -> Self {
        Self { name: name.to_owned(), line, entries: Vec::new(), places: HashMap::new() }
    }

    /// What it has itself of a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.places.get(key).map(|&place| &self.entries[place])
    }
}

impl Ini {
    /// Reads a file.
    pub(crate) fn read(text: &str, reading: Reading) -> Result<Self, FileError> {
        let ini = Self { defaults: Section::none(), sections: Vec::new(), remarks: Vec::new() };
        let mut reader = Reader { ini, reading, names: HashMap::new(), place: None, is_in_value: false, indent: 0 };
        for (index, line) in super::without_mark(text).split('\n').enumerate() {
            reader.line(index + 1, line)?;
        }
        let mut ini = reader.ini;
        for section in ini.sections.iter_mut().chain([&mut ini.defaults]) {
            for entry in &mut section.entries {
                entry.value.truncate(entry.value.trim_end().len());
            }
        }
        Ok(ini)
    }

    /// The line of a key that a section has, be it its own or that of all; of its name if it has no such key.
    pub(super) fn line(&self, section: &Section, key: &str) -> usize {
        let known = known_as(key);
        section.entry(&known).or_else(|| self.defaults.entry(&known)).map_or(section.line, |entry| entry.line)
    }

    /// The section that says of a node what it offers: `[DEFAULT]`, or the first if there is none.
    pub(crate) fn node(&self) -> Option<&Section> {
        if self.defaults.line > 0 { Some(&self.defaults) } else { self.sections.first() }
    }
}

/// A key as it is known: in small letters, but with one dash as it is written.
pub(super) fn known_as(key: &str) -> String {
    let is_short = key.starts_with('-') && !key.starts_with("--");
    if is_short { key.to_owned() } else { key.to_lowercase() }
}

#[derive(Clone, Copy)]
enum Place {
    Default,
    Section(usize),
}

struct Reader {
    ini: Ini,
    reading: Reading,
    /// Sections by their names.
    names: HashMap<String, usize>,
    /// The section that the next line is in.
    place: Option<Place>,
    /// The line before was one of a value.
    is_in_value: bool,
    /// How far the last line was indented that went on with nothing.
    indent: usize,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), FileError> {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            return Ok(());
        }
        if trimmed.is_empty() {
            self.go_on("");
            return Ok(());
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let delimited = trimmed.split_once(['=', ':']);
        let is_kept = self.reading == Reading::Kept && indent > 0 && delimited.is_none() && !trimmed.starts_with('[');
        if self.is_in_value && (indent > self.indent || is_kept) {
            self.go_on(trimmed);
            return Ok(());
        }
        self.indent = indent;
        if trimmed.starts_with('[') {
            return self.section(number, trimmed);
        }
        let Some((key, value)) = delimited else {
            return Err(FileError::at(number, format!("expected `key = value` or `[name]`, found `{trimmed}`")));
        };
        self.entry(number, key.trim(), value.trim())
    }

    fn section(&mut self, number: usize, line: &str) -> Result<(), FileError> {
        let found = line[1..].rsplit_once(']').map(|(name, rest)| (name.trim(), rest.trim()));
        let Some((name, rest)) = found.filter(|(name, _)| !name.is_empty()) else {
            return Err(FileError::at(number, format!("expected `[name]`, found `{line}`")));
        };
        self.is_in_value = false;
        if !rest.is_empty() {
            let reason = format!("what is behind `[name]` is passed over: `{rest}`");
            self.ini.remarks.push(FileError::at(number, reason).of(name));
        }
        if name == DEFAULT {
            self.place = Some(Place::Default);
            if self.ini.defaults.line == 0 {
                self.ini.defaults.line = number;
            }
            return Ok(());
        }
        let index = self.ini.sections.len();
        if self.names.insert(name.to_owned(), index).is_some() {
            let reason = "this name was used before: each section has one of its own";
            return Err(FileError::at(number, reason).of(name));
        }
        self.ini.sections.push(Section::new(name, number));
        self.place = Some(Place::Section(index));
        Ok(())
    }

    fn entry(&mut self, number: usize, key: &str, value: &str) -> Result<(), FileError> {
        let Some(section) = self.current() else {
            return Err(FileError::at(number, "expected `[name]` before the first key").key(key));
        };
        if key.is_empty() {
            return Err(FileError::at(number, "expected a key in front of the value, found none").of(&section.name));
        }
        let known = known_as(key);
        let place = section.entries.len();
        if section.places.insert(known.clone(), place).is_some() {
            return Err(FileError::at(number, "this key was given before").of(&section.name).key(key));
        }
        let (written, value) = (key.to_owned(), value.to_owned());
        section.entries.push(Entry { key: known, written, value, line: number });
        self.is_in_value = true;
        Ok(())
    }

    /// One more line of the value that the line before was one of.
    fn go_on(&mut self, text: &str) {
        if !self.is_in_value {
            return;
        }
        if let Some(entry) = self.current().and_then(|section| section.entries.last_mut()) {
            entry.value.push('\n');
            entry.value.push_str(text);
        }
    }

    fn current(&mut self) -> Option<&mut Section> {
        match self.place? {
            Place::Default => Some(&mut self.ini.defaults),
            Place::Section(index) => self.ini.sections.get_mut(index),
        }
    }
}
