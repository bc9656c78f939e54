//! Files and folders that are for their user alone, whatever is in their place already.
//!
//! Others may put anything into a folder that they can write in: a link to a file that matters, a pipe that never answers, a file of
//! their own that they read later. So a file is looked at once it is open, and refused unless it is a plain file of this user that has
//! one name. A file that others can read, as an earlier version made it, is closed to them.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// What a folder's user may do with it, and nobody else.
pub const FOLDER_MODE: u32 = 0o700;
/// What a file's user may do with it, and nobody else.
const FILE_MODE: u32 = 0o600;
/// What others may do.
const OTHERS: u32 = 0o077;
/// Others write.
const OTHERS_WRITE: u32 = 0o022;
/// How often a file is tried that somebody makes and removes all the time.
const TRIES: u32 = 10;

/// Why a file or a folder is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Link,
    NoFile,
    Foreign(u32),
    ManyNames,
    Writable,
}

impl Refusal {
    fn of(self, path: &Path) -> io::Error {
        let path = path.display();
        let text = match self {
            Self::Link => format!("{path} is a link, which is not followed here"),
            Self::NoFile => format!("{path} is no plain file"),
            Self::Foreign(user) => format!("{path} belongs to another user (uid {user}), who could read or change it"),
            Self::ManyNames => format!("{path} has other names too (hard links)"),
            Self::Writable => {
                format!("others can write in {path}: name a folder that does not exist yet, or say chmod go-w")
            }
        };
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Read,
    /// To read and to write; it is made if it is not there.
    Write,
    /// To write at its end; it is made if it is not there.
    Append,
}

/// A folder that belongs to this user, and in which nobody else can write.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, or makes it, with those that it is in, so that nobody else can look into it.
    ///
    /// # Errors
    /// If it cannot be made or opened, belongs to somebody else, or others can write in it.
    pub fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
        let path = followed(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = File::from(openat(CWD, &path, flags, Mode::empty())?);
        let found = folder.metadata()?;
        if found.uid() != user() {
            return Err(Refusal::Foreign(found.uid()).of(&path));
        }
        if found.mode() & OTHERS_WRITE != 0 {
            return Err(Refusal::Writable.of(&path));
        }
        Ok(Self { handle: folder.into(), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file to read and to write, and makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be opened, or is not this user's alone.
    pub fn open(&self, name: &str) -> io::Result<File> {
        self.open_as(name, How::Write)
    }

    /// Opens a file to write at its end, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn append(&self, name: &str) -> io::Result<File> {
        self.open_as(name, How::Append)
    }

    /// Opens a file to read.
    ///
    /// # Errors
    /// As [`Self::open`]; also if it is not there.
    pub fn read(&self, name: &str) -> io::Result<File> {
        self.open_as(name, How::Read)
    }

    /// All that a file has; `None`: it is not there.
    ///
    /// # Errors
    /// As [`Self::open`], or if it cannot be read.
    pub fn content(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        match self.read(name) {
            Ok(mut file) => file.read_to_end(&mut content).map(|_| Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a file in the place of another, all at once. One writer at a time: what a killed one has begun is thrown away.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put(name, content, false)
    }

    /// As [`Self::replace`], and what is there is whole even if the machine stops.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn replace_durably(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put(name, content, true)
    }

    fn put(&self, name: &str, content: &[u8], durably: bool) -> io::Result<()> {
        let new = format!("{name}.new");
        let _ = self.remove(&new);
        let mut file = create(self.handle.as_fd(), Path::new(&new), FILE_MODE)?;
        file.write_all(content)?;
        if durably {
            file.sync_data()?;
        }
        renameat(&self.handle, new.as_str(), &self.handle, name)?;
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// The names of all that is in it, those that are UTF-8.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    fn open_as(&self, name: &str, how: How) -> io::Result<File> {
        open_at(self.handle.as_fd(), Path::new(name), &self.path.join(name), how)
    }
}

/// Opens a file to read and to write, and makes it if it is not there.
///
/// # Errors
/// If it cannot be opened, or is not this user's alone.
pub fn open(path: &Path) -> io::Result<File> {
    open_at(CWD, path, path, How::Write)
}

/// Opens a file to read.
///
/// # Errors
/// As [`open`]; also if it is not there.
pub fn read(path: &Path) -> io::Result<File> {
    open_at(CWD, path, path, How::Read)
}

/// Writes a file that others may read, in the place of whatever is there.
///
/// # Errors
/// If it cannot be written.
pub fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    write_new(path, content, 0o644)
}

/// Writes a file that nobody else can read, in the place of whatever is there.
///
/// # Errors
/// If it cannot be written.
pub fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    write_new(path, content, FILE_MODE)
}

/// Makes a file that nobody else can read; one that is there is kept, as by [`close`].
///
/// # Errors
/// If it cannot be made, or is not this user's alone.
pub fn keep_closed(path: &Path) -> io::Result<()> {
    match create(CWD, path, FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close(path),
        made => made.map(drop),
    }
}

/// Closes a file to others, and does not open it: a process that has locked it by `fcntl` would lose the lock.
///
/// # Errors
/// If it is not there, or is not this user's alone.
pub fn close(path: &Path) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    check(&found, path)?;
    if found.mode() & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(FILE_MODE))?;
    }
    Ok(())
}

/// Where a path leads that somebody has chosen: its last part may be a link of this user's, or of the system's.
///
/// # Errors
/// If it is a link of somebody else's, or leads nowhere.
pub fn followed(path: &Path) -> io::Result<PathBuf> {
    // Without what would follow it: a slash at the end.
    let path: PathBuf = path.components().collect();
    match path.symlink_metadata() {
        Ok(found) if !found.is_symlink() => Ok(path),
        Ok(found) if [user(), 0].contains(&found.uid()) => path.canonicalize(),
        Ok(_) => Err(Refusal::Link.of(&path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(error),
    }
}

/// Whether others than its user can read, or change, a plain file of this user's.
pub fn is_open_to_others(file: &File) -> bool {
    let found = file.metadata();
    found.is_ok_and(|found| found.is_file() && found.uid() == user() && found.mode() & (OTHERS_WRITE | 0o044) != 0)
}

/// Whether something belongs to this user.
pub fn is_own(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.uid() == user())
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create(CWD, path, mode)?.write_all(content),
    }
}

/// Makes a file; a link in its place is not followed.
fn create(folder: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::from_raw_mode(mode))?.into())
}

fn open_at(folder: BorrowedFd<'_>, name: &Path, path: &Path, how: How) -> io::Result<File> {
    let access = match how {
        How::Read => OFlags::RDONLY,
        How::Write => OFlags::RDWR,
        How::Append => OFlags::RDWR | OFlags::APPEND,
    };
    // A pipe is not waited for, and a terminal does not become this process's.
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let new = flags | OFlags::CREATE | OFlags::EXCL;
    for _ in 0..TRIES {
        let opened = match openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if how != How::Read => openat(folder, name, new, Mode::from_raw_mode(FILE_MODE)),
            opened => opened,
        };
        match opened {
            Ok(file) => {
                let file = File::from(file);
                let found = file.metadata()?;
                check(&found, path)?;
                if found.mode() & OTHERS != 0 {
                    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
                }
                return Ok(file);
            }
            // Somebody was faster.
            Err(Errno::EXIST) => {}
            Err(Errno::LOOP) => return Err(Refusal::Link.of(path)),
            Err(Errno::ISDIR | Errno::NXIO) => return Err(Refusal::NoFile.of(path)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EXIST.into())
}

fn check(found: &fs::Metadata, path: &Path) -> io::Result<()> {
    let refusal = if found.is_symlink() {
        Refusal::Link
    } else if !found.is_file() {
        Refusal::NoFile
    } else if found.uid() != user() {
        Refusal::Foreign(found.uid())
    } else if found.nlink() > 1 {
        Refusal::ManyNames
    } else {
        return Ok(());
    };
    Err(refusal.of(path))
}

#[cfg(test)]
mod tests;
