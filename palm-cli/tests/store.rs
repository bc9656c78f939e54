//! What `palm registry` says of a store that is none: at once, and with a status that fits.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{palm, run};

/// How the registry ends with such a store, and what it says.
fn ended(store: &str) -> (i32, String) {
    let ended = run(&["registry", "--listen", "127.0.0.1:0", "--store", store]);
    assert!(ended.out.is_empty(), "{store}: {ended:?}");
    (ended.code, ended.err)
}

#[track_caller]
fn is_told(store: &str, code: i32, told: &str) {
    let (found, error) = ended(store);
    assert_eq!(found, code, "{store}: {error}");
    assert!(error.contains(told), "{store}: {error}");
    assert_eq!(error.matches(told).count(), 1, "it is said once: {error}");
}

#[test]
fn what_is_no_store_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("notes.txt"), "a text, and no database\n").unwrap();
    is_told(&path("."), 2, "is no store: it is a folder");
    is_told(&path("notes.txt"), 2, "is no store: it is a file of something else");
    is_told(&format!("sqlite:{}", path("notes.txt")), 2, "is no store: it is a file of something else");
    assert_eq!(std::fs::read_to_string(path("notes.txt")).unwrap(), "a text, and no database\n");
    is_told(&path("none/here.db"), 2, "is no store: there is no folder");
    is_told("/dev/null", 2, "is no store: it is no file");
    is_told("mysql://db/palm", 2, "expected the path of a file, sqlite:PATH or postgres://USER@HOST/NAME");
}

#[test]
fn a_database_that_does_not_answer_is_told_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let store = format!("postgres://palm:secret@{address}/palm");
    is_told(&store, 1, &format!("postgres://palm@{address}/palm cannot be opened"));
    assert!(!ended(&store).1.contains("secret"));
}

#[test]
fn a_file_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store.db");
    std::fs::write(&store, "").unwrap();
    std::fs::set_permissions(&store, PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::read(&store).is_ok() {
        // For who may read everything it is a file as any other.
        return;
    }
    is_told(&store.display().to_string(), 1, "cannot be opened: Permission denied");
}

/// Has the registry make a store.
fn made(store: &Path) {
    let mut command = palm();
    command.args(["registry", "add-user", "ann", "--store"]).arg(store);
    assert!(command.output().unwrap().status.success());
}

/// Does something to a store, past the registry.
fn sqlite(store: &Path, statements: &str) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()";
    assert!(Command::new("python3").args(["-c", script]).arg(store).arg(statements).status().unwrap().success());
}

#[test]
fn a_store_of_another_version_or_program_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later.db");
    made(&later);
    sqlite(
        &later,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)",
    );
    is_told(&later.display().to_string(), 1, "was made by a later version of PALM");
    // As pylm-registry makes it.
    let other = folder.path().join("other.db");
    sqlite(&other, "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR, key VARCHAR)");
    is_told(&other.display().to_string(), 2, "is no store: it is a database of something else");
}
