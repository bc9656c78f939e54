//! Which cluster files are up: a file for each, which whoever runs it holds locked.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use palm_registry::private;
use palm_registry::process::{self, started};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::digest;

/// How often, and with which rest, a claim is tried that somebody has.
const TRIES: u32 = 20;
const REST: Duration = Duration::from_millis(20);

/// What is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The process that runs it.
    pub(crate) pid: u32,
    /// When that was started, which tells it from a later one of the same number.
    #[serde(default)]
    pub(crate) started: Option<u64>,
    /// Its registry.
    pub(crate) registry: String,
    /// The cluster's key there.
    pub(crate) cluster: String,
    /// The file with a token that reads what components print, if it is in the background.
    #[serde(default)]
    pub(crate) token_file: Option<PathBuf>,
}

impl Running {
    /// That of this process.
    pub(crate) fn here(registry: String, cluster: String) -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid), registry, cluster, token_file: None }
    }

    /// Asks it to stop; `false`: the process is not here, or has ended.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub(crate) fn stop(&self) -> std::io::Result<bool> {
        process::signal(self.pid, self.started, Signal::TERM)
    }
}

/// The right to run a cluster file, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    file: File,
}

impl Claim {
    /// Claims a cluster file; `None`: somebody else has it.
    ///
    /// # Errors
    /// If there is no place to write that down.
    pub(crate) fn take(cluster_file: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(cluster_file)?;
        for _ in 0..TRIES {
            let file =
                private::open(&path).with_context(|| format!("cannot write down what is up, in {}", path.display()))?;
            match file.try_lock() {
                // Whoever had it may have removed the file meanwhile.
                Ok(()) if is_at(&file, &path) => {
                    file.set_len(0)?;
                    return Ok(Some(Self { path, file }));
                }
                Ok(()) => {}
                // It may be somebody who only looks.
                Err(TryLockError::WouldBlock) => std::thread::sleep(REST),
                Err(TryLockError::Error(error)) => {
                    return Err(error).context(format!("cannot lock {}", path.display()));
                }
            }
        }
        Ok(None)
    }

    /// Who runs a cluster file, and has come so far as to write that down.
    ///
    /// # Errors
    /// If that cannot be known.
    pub(crate) fn find(cluster_file: &Path) -> anyhow::Result<Option<Running>> {
        let Some(mut file) = taken(cluster_file)? else { return Ok(None) };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text).ok())
    }

    /// Whether somebody runs a cluster file.
    ///
    /// # Errors
    /// If that cannot be known.
    pub(crate) fn is_taken(cluster_file: &Path) -> anyhow::Result<bool> {
        taken(cluster_file).map(|file| file.is_some())
    }

    /// Writes down who runs it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&mut self, running: &Running) -> anyhow::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&serde_json::to_vec(running)?)?;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While it is locked, so that nobody's new one is removed.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where it is written down: with what goes when the user logs out, or beside the cluster file.
fn path(cluster_file: &Path) -> anyhow::Result<PathBuf> {
    // One of another user's, as a new user has it after `su`, counts as none.
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    if let Some(runtime) = runtime.filter(|folder| private::is_own(folder)) {
        let folder = runtime.join("palm");
        let made = private::Folder::make(&folder);
        let made = made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
        return Ok(made.path().join(format!("{}.up", digest(&[&cluster_file.to_string_lossy()]))));
    }
    let name = cluster_file.file_name().unwrap_or_default().to_string_lossy();
    Ok(cluster_file.with_file_name(format!(".{name}.up")))
}

/// What somebody has locked, if somebody has.
fn taken(cluster_file: &Path) -> anyhow::Result<Option<File>> {
    let path = path(cluster_file)?;
    let file = match private::read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(error).context(format!("cannot lock {}", path.display())),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let name = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), path.symlink_metadata()), (Ok(file), Ok(path)) if name(&file) == name(&path))
}
