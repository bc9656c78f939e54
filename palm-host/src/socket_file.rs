//! The file of a Unix socket: whose place it may take, and when it is removed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;

/// The file of a socket that was bound, removed when this is dropped if it is still that socket's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// A file, whatever names it has: its device, and its number there.
type Identity = (u64, u64);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| identity(&there) == self.identity) {
            // It may be gone already, and nobody needs it any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a Unix socket, by `bind`, at `path`. Takes the place of a socket that a process of the same user left behind which is no
/// more, and of nothing else. Who may connect is up to the folder and the process's umask.
///
/// # Errors
/// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there, [`AlreadyExists`](io::ErrorKind::AlreadyExists) with what is in
/// the way if something else is there, or what `bind` says.
pub fn bind_unix<L>(path: &Path, bind: impl Fn(&Path) -> io::Result<L>) -> io::Result<(L, SocketFile)> {
    let listener = match bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_what_was_left(path, error)?;
            bind(path)?
        }
        bound => bound?,
    };
    let identity = identity(&fs::symlink_metadata(path)?);
    Ok((listener, SocketFile { path: path.to_owned(), identity }))
}

/// Removes what is at `path` if it is a socket that nobody needs. `in_use` is what the operating system said.
fn remove_what_was_left(path: &Path, in_use: io::Error) -> io::Result<()> {
    let stays = |what: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{what}, which is left alone")));
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        // It has gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let kind = there.file_type();
    if kind.is_symlink() {
        return stays("there is a symbolic link");
    }
    if !kind.is_socket() {
        return stays(if kind.is_dir() { "there is a folder" } else { "there is a file that is no socket" });
    }
    match try_to_connect(path) {
        Ok(()) => return Err(in_use),
        // Nobody listens.
        Err(Errno::CONNREFUSED) => {}
        // Somebody does, and has no time, or is no stream, or lets us not ask.
        Err(Errno::AGAIN | Errno::INPROGRESS) => return Err(in_use),
        Err(error) => {
            return stays(&format!("there is a socket of which nobody can tell whether it is used ({error})"));
        }
    }
    if there.uid() != geteuid().as_raw() {
        return stays("there is another user's socket");
    }
    match fs::symlink_metadata(path) {
        Ok(now) if identity(&now) == identity(&there) => fs::remove_file(path),
        // Somebody was faster.
        _ => Err(in_use),
    }
}

/// Connects, and does not wait for one who accepts nothing.
fn try_to_connect(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
        bind_unix(path, |path| UnixListener::bind(path))
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "precious").unwrap();
        fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
        drop(UnixListener::bind(path("left")).unwrap());
        std::os::unix::fs::symlink(path("left"), path("link to left")).unwrap();
        let _other = UnixDatagram::bind(path("datagram")).unwrap();
        for (name, what) in [
            ("file", "there is a file that is no socket, which is left alone"),
            ("folder", "there is a folder, which is left alone"),
            ("link", "there is a symbolic link, which is left alone"),
            ("dangling", "there is a symbolic link, which is left alone"),
            ("link to left", "there is a symbolic link, which is left alone"),
            ("datagram", "there is a socket of which nobody can tell whether it is used"),
        ] {
            let error = bind(&path(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}: {error}");
            assert!(error.to_string().starts_with(what), "{name}: {error}");
            assert!(fs::symlink_metadata(path(name)).is_ok(), "{name}");
        }
        assert_eq!(fs::read(path("file")).unwrap(), b"precious");
        assert!(fs::symlink_metadata(path("left")).is_ok());
    }

    #[test]
    fn a_socket_that_is_used_stays_and_one_that_was_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // Also one that accepts nothing, and has as many who wait as it may have.
        let mut waiting = Vec::new();
        while let Ok(()) = try_to_connect(&path) {
            waiting.push(std::os::unix::net::UnixStream::pair().unwrap());
            assert!(waiting.len() < 10_000, "it takes any number");
        }
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop((listener, file));
        assert!(!path.exists(), "it goes with its socket");
    }

    #[test]
    fn a_file_that_has_taken_the_sockets_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let bound = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(bound);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
