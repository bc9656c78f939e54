//! A folder with one file for each result, in which no input is ever overwritten.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::launch::Label;
use crate::launch::ledger::Arrived;
use crate::wrong_use;

/// A file, whatever names it has: its device, and its number there.
type Identity = (u64, u64);

/// A folder for results.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Names of several inputs are the same, so all have their number before them.
    numbered: bool,
    /// Whether a message has several results.
    several: bool,
    /// Results of each message.
    results: u32,
    /// What is read, and must not be written.
    inputs: BTreeSet<Identity>,
}

impl Folder {
    /// Makes the folder, if it is not there. Results are named after the messages' `files`, or by their number; each message has up
    /// to `results`, and there are `total` messages, if that is known. All that is `read` is an input, be it a file of lines or of
    /// a token.
    ///
    /// # Errors
    /// If it cannot be made, or a result would take the place of an input.
    pub(crate) fn create(
        path: &Path,
        files: &[PathBuf],
        read: &[PathBuf],
        results: u32,
        total: Option<u64>,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let mut seen = BTreeSet::new();
        let numbered = !files.iter().filter_map(|file| file.file_name()).all(|name| seen.insert(name));
        let inputs = files.iter().chain(read).flat_map(|input| identities(input)).collect();
        let folder = Self { path: path.to_owned(), numbered, several: results > 1, results, inputs };
        folder.check_all(files, total)?;
        Ok(folder)
    }

    /// Whether a result may take the place of an input that is there now. Of a file of lines nobody knows how many results it will
    /// have.
    fn check_all(&self, files: &[PathBuf], total: Option<u64>) -> anyhow::Result<()> {
        let stems: BTreeSet<_> =
            (0..).zip(files).map(|(number, file)| self.stem(number, &Label::File(file.clone()))).collect();
        let numbers = 0..total.unwrap_or(u64::MAX);
        let numbers_of: BTreeSet<_> = self.inputs.iter().map(|(_, number)| *number).collect();
        let entries = fs::read_dir(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", self.path.display()))?;
            let name = entry.file_name();
            let is_result = self.stem_of(&name).is_some_and(|stem| {
                if files.is_empty() {
                    number(stem).is_some_and(|number| numbers.contains(&number))
                } else {
                    stems.contains(stem)
                }
            });
            // Most of what an earlier run has left is told from the inputs without a look at it.
            if is_result && numbers_of.contains(&entry.ino()) {
                self.check(&self.path.join(&name)).map_err(|error| wrong_use(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// The name of a file of results without which of its message's results it is; `None` if no result is named so.
    fn stem_of<'a>(&self, name: &'a OsStr) -> Option<&'a OsStr> {
        if !self.several {
            return Some(name);
        }
        let bytes = name.as_bytes();
        let dot = bytes.iter().rposition(|&byte| byte == b'.')?;
        let index: u32 = std::str::from_utf8(bytes.get(dot + 1..)?).ok()?.parse().ok()?;
        let stem = OsStr::from_bytes(bytes.get(..dot)?);
        let is_written_so = bytes.get(dot + 1..)? == index.to_string().as_bytes();
        ((1..=self.results).contains(&index) && is_written_so).then_some(stem)
    }

    /// Where the result of `arrived` goes.
    pub(crate) fn place(&self, arrived: &Arrived) -> PathBuf {
        self.file(arrived.number, &arrived.label, arrived.index)
    }

    fn file(&self, number: u64, label: &Label, index: u32) -> PathBuf {
        let mut name = self.stem(number, label);
        if self.several {
            name.push(format!(".{}", index + 1));
        }
        self.path.join(name)
    }

    fn stem(&self, number: u64, label: &Label) -> OsString {
        let number = numbered(number);
        match label {
            Label::File(input) => match input.file_name() {
                Some(name) if self.numbered => [OsStr::new(&number), OsStr::new("-"), name].into_iter().collect(),
                Some(name) => name.to_owned(),
                None => number.into(),
            },
            Label::Line(_) | Label::Message(_) => number.into(),
        }
    }

    /// Writes a file that a reader of the folder sees whole or not at all. Takes the place of what an earlier run has left there,
    /// but not of an input; a link there is replaced, and what it leads to is left alone.
    ///
    /// # Errors
    /// If it is an input, or cannot be written.
    pub(crate) fn write(&self, path: &Path, payload: &[u8]) -> anyhow::Result<()> {
        self.check(path)?;
        // Of a name that nobody can have made ready for it.
        let partial = self.path.join(format!(".palm-{}.part", uuid::Uuid::new_v4().simple()));
        let written = File::create_new(&partial)
            .and_then(|mut file| file.write_all(payload))
            .and_then(|()| fs::rename(&partial, path));
        if written.is_err() {
            // It may not have been made at all.
            let _ = fs::remove_file(&partial);
        }
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn check(&self, path: &Path) -> anyhow::Result<()> {
        let there = fs::symlink_metadata(path).ok();
        if there.is_some_and(|there| self.inputs.contains(&identity(&there))) {
            anyhow::bail!(
                "{} is one of the inputs, and a result would overwrite it: use another --output-dir",
                path.display()
            );
        }
        Ok(())
    }
}

/// The number of a message, if its results are named like this.
fn number(stem: &OsStr) -> Option<u64> {
    let number = stem.to_str()?.parse().ok()?;
    (*numbered(number) == *stem).then_some(number)
}

fn numbered(number: u64) -> String {
    format!("{number:06}")
}

/// The file that a path leads to, and the link that it is, if it is one.
fn identities(path: &Path) -> impl Iterator<Item = Identity> + use<> {
    [fs::metadata(path), fs::symlink_metadata(path)].into_iter().flatten().map(|file| identity(&file))
}

fn identity(file: &fs::Metadata) -> Identity {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn arrived(number: u64, label: Label, index: u32) -> Arrived {
        Arrived { number, label, latency: Duration::from_micros(1500), index }
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_named_after_their_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/out");
        let written = |inputs: &[&str]| {
            let inputs: Vec<_> = inputs.iter().map(PathBuf::from).collect();
            let results = Folder::create(&path, &inputs, &[], 1, Some(inputs.len() as u64)).unwrap();
            for (number, input) in (0..).zip(&inputs) {
                let place = results.place(&arrived(number, Label::File(input.clone()), 0));
                results.write(&place, number.to_string().as_bytes()).unwrap();
            }
            let names = names(&path);
            fs::remove_dir_all(&path).unwrap();
            names
        };
        assert_eq!(written(&["a/x", "c/y"]), ["x", "y"]);
        assert_eq!(written(&["a/x", "b/x", "c/000000-x"]), ["000000-x", "000001-x", "000002-000000-x"]);
        let several = Folder::create(&path, &[], &[], 2, None).unwrap();
        several.write(&several.place(&arrived(3, Label::Line(4), 1)), b"r").unwrap();
        assert_eq!(names(&path), ["000003.2"]);
    }

    #[test]
    fn an_input_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b.1", "000007", "0000007", "000008.2", "elsewhere"] {
            fs::write(path(name), name).unwrap();
        }
        std::os::unix::fs::symlink(path("elsewhere"), path("link")).unwrap();
        fs::hard_link(path("a"), path("other-a")).unwrap();
        let create = |files: &[&str], read: &[&str], results, total| {
            let paths = |names: &[&str]| names.iter().map(|name| path(name)).collect::<Vec<_>>();
            Folder::create(folder.path(), &paths(files), &paths(read), results, total)
        };
        for (files, read, results, total) in [
            (&["a"][..], &[][..], 1, Some(1)),
            (&["link"], &[], 1, Some(1)),
            // As what another input's result is called.
            (&["b", "b.1"], &[], 2, Some(2)),
            // Of a file of lines, nobody knows how many there are.
            (&[], &["000007"], 1, None),
            (&[], &["000007"], 1, Some(8)),
            (&[], &["000008.2"], 2, None),
        ] {
            let error = create(files, read, results, total).unwrap_err();
            assert!(error.is::<crate::WrongUse>() && error.to_string().contains("is one of the inputs"), "{error}");
        }
        for (files, read, results, total) in [
            (&["a"][..], &[][..], 2, Some(1)),
            (&[], &["000007"], 1, Some(7)),
            (&[], &["000007"], 2, None),
            (&[], &["0000007"], 1, None),
            (&[], &["000008.2"], 1, None),
            (&["c"], &["000007"], 1, Some(1)),
        ] {
            create(files, read, results, total).unwrap();
        }
        // Under another name, or put there later.
        let results = create(&["a"], &["late"], 2, None).unwrap();
        assert!(results.write(&path("other-a"), b"r").is_err());
        let results = create(&[], &["a"], 1, None).unwrap();
        fs::hard_link(path("a"), path("000009")).unwrap();
        assert!(results.write(&results.place(&arrived(9, Label::Line(10), 0)), b"r").is_err());
        results.write(&results.place(&arrived(8, Label::Line(9), 0)), b"r").unwrap();
        for name in ["a", "b.1", "000007", "elsewhere"] {
            assert_eq!(fs::read(path(name)).unwrap(), name.as_bytes());
        }
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (out, secret) = (folder.path().join("out"), folder.path().join("secret"));
        fs::write(&secret, "s").unwrap();
        let results = Folder::create(&out, &[], &[], 1, None).unwrap();
        std::os::unix::fs::symlink(&secret, out.join("000000")).unwrap();
        // Where an earlier version wrote first.
        std::os::unix::fs::symlink(&secret, out.join(".000000.part")).unwrap();
        let place = results.place(&arrived(0, Label::Line(1), 0));
        results.write(&place, b"first").unwrap();
        results.write(&place, b"again").unwrap();
        assert_eq!((fs::read(&secret).unwrap(), fs::read(&place).unwrap()), (b"s".to_vec(), b"again".to_vec()));
        assert!(!place.is_symlink());
        assert_eq!(names(&out), [".000000.part", "000000"], "nothing else is left");
    }
}
