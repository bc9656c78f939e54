//! `%(name)s` and `%%` in the values of an INI file, as Python's `configparser` reads them.

use std::collections::HashSet;

use super::FileError;
use super::sections::{Entry, Ini, Reading, Section, known_as};

/// Steps from one key to the next that a value may take.
const DEPTH: usize = 10;
/// Bytes that all values of a file may have together, once each name has its value in its place.
const SIZE: usize = 8 << 20;
/// What a name counts for, whatever its value.
const NAME: usize = 16;

/// Puts values in the place of their names, within a bound for the whole file.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    ini: &'a Ini,
    reading: Reading,
    room: usize,
    /// Keys whose values were put in somewhere.
    used: HashSet<String>,
}

impl<'a> Values<'a> {
    pub(crate) fn of(ini: &'a Ini, reading: Reading) -> Self {
        Self { ini, reading, room: SIZE, used: HashSet::new() }
    }

    /// Whether a key's value was put in somewhere.
    pub(super) fn is_used(&self, key: &str) -> bool {
        self.used.contains(key)
    }

    /// The value of an entry of a section, or of `[DEFAULT]`, as that section has it.
    pub(crate) fn value(&mut self, section: &Section, entry: &Entry) -> Result<String, FileError> {
        let mut out = String::new();
        match self.expand(section, &entry.value, 1, &mut out) {
            Ok(()) => Ok(out),
            // Before, it was as it is written.
            Err(_) if self.reading == Reading::Kept => Ok(entry.value.clone()),
            Err(reason) => Err(FileError::at(entry.line, reason).of(&section.name).key(&entry.written)),
        }
    }

    fn expand(&mut self, section: &Section, text: &str, depth: usize, out: &mut String) -> Result<(), String> {
        self.take(text.len() + NAME)?;
        if depth > DEPTH && text.contains('%') {
            return Err(format!("`%(NAME)s` leads from one key to the next more than {DEPTH} times"));
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
                continue;
            }
            let named = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            let named = named.filter(|(name, _)| !name.is_empty());
            let Some((name, after)) = named.and_then(|(name, after)| Some((name, after.strip_prefix('s')?))) else {
                let found: String = after.chars().take(1).collect();
                return Err(format!("expected `%%`, which is a `%`, or `%(NAME)s`, found `%{found}`"));
            };
            let (ini, key) = (self.ini, known_as(name));
            let Some(entry) = section.entry(&key).or_else(|| ini.defaults.entry(&key)) else {
                return Err(format!("expected a key of this section or of [DEFAULT], found `%({name})s`"));
            };
            self.expand(section, &entry.value, depth + 1, out)?;
            self.used.insert(key);
            rest = after;
        }
        out.push_str(rest);
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.room.checked_sub(bytes);
        self.room = left.ok_or_else(|| {
            format!(
                "expected values of {SIZE} bytes at most in all sections, with what [DEFAULT] and `%(NAME)s` put in"
            )
        })?;
        Ok(())
    }
}
