use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

/// What each way to open a file says of one that is not to be used.
fn refusals(path: &Path) -> Vec<String> {
    let folder = Folder::make(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let opened = [open(path), read(path), folder.open(name), folder.append(name), folder.read(name)];
    let opened = opened.into_iter().map(|opened| opened.map(drop)).chain([keep_closed(path)]);
    opened.map(|opened| opened.expect_err("it is refused").to_string()).collect()
}

#[test]
fn what_is_made_is_for_its_user_alone() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::make(&place.path().join("a/b")).unwrap();
    folder.open("written").unwrap();
    folder.append("appended").unwrap();
    folder.replace("replaced", b"1").unwrap();
    folder.replace("replaced", b"22").unwrap();
    open(&place.path().join("open")).unwrap();
    write_secret(&place.path().join("secret"), b"s").unwrap();
    write_public(&place.path().join("public"), b"p").unwrap();
    keep_closed(&place.path().join("closed")).unwrap();
    for name in ["a", "a/b"] {
        assert_eq!(mode(&place.path().join(name)), 0o700, "{name}");
    }
    for name in ["a/b/written", "a/b/appended", "a/b/replaced", "open", "secret", "closed"] {
        assert_eq!(mode(&place.path().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&place.path().join("public")), 0o644);
    assert_eq!(folder.content("replaced").unwrap().unwrap(), b"22");
    assert_eq!(folder.content("absent").unwrap(), None);
    assert!(folder.names().unwrap().contains(&"replaced".to_owned()));
}

#[test]
fn what_others_could_read_is_closed_to_them() {
    let place = tempfile::tempdir().unwrap();
    for (name, close) in [("opened", (|path| open(path).map(drop)) as fn(&Path) -> _), ("kept", keep_closed)] {
        let path = place.path().join(name);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        close(&path).unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().as_str()), (0o600, "old"));
    }
}

#[test]
fn what_was_planted_is_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("precious"), "kept").unwrap();
    symlink(at("precious"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::write(at("linked"), "").unwrap();
    fs::hard_link(at("precious"), at("hard")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    rustix::fs::mknodat(CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for (name, said) in [
        ("link", "is a link"),
        ("dangling", "is a link"),
        ("hard", "has other names"),
        ("folder", "is no plain file"),
        ("socket", "is no plain file"),
        ("pipe", "is no plain file"),
    ] {
        for told in refusals(&at(name)) {
            assert!(told.contains(said) && told.contains(name), "{name}: {told}");
        }
    }
    assert!(!at("nowhere").exists());
    // In the place of a link comes a file.
    write_secret(&at("link"), b"secret").unwrap();
    assert!(!at("link").is_symlink());
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "kept");
}

#[test]
fn what_belongs_to_others_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir(at("wide")).unwrap();
    fs::set_permissions(at("wide"), Permissions::from_mode(0o1777)).unwrap();
    assert!(Folder::make(&at("wide")).unwrap_err().to_string().contains("others can write in"));
    // Only root can give something away.
    if user() != 0 {
        return;
    }
    let foreign = Some(65_534);
    fs::write(at("file"), "bait").unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink(place.path(), at("link")).unwrap();
    chown(at("file"), foreign, None).unwrap();
    chown(at("folder"), foreign, None).unwrap();
    std::os::unix::fs::lchown(at("link"), foreign, None).unwrap();
    for told in refusals(&at("file")) {
        assert!(told.contains("belongs to another user (uid 65534)"), "{told}");
    }
    assert!(Folder::make(&at("folder")).unwrap_err().to_string().contains("belongs to another user"));
    assert!(Folder::make(&at("link")).unwrap_err().to_string().contains("is a link"));
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "bait");
}
