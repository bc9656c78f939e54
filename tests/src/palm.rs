//! The program `palm`, built once by the cargo that runs the tests.
//!
//! A package's tests are told only of that package's own programs, so this asks cargo, which builds nothing if the
//! program is there and fresh.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// A command that runs `palm` with the environment's `PALM_...` variables taken away.
///
/// # Panics
/// If it cannot be built.
pub fn program() -> Command {
    let mut command = Command::new(executable());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PALM_")) {
        command.env_remove(name);
    }
    command
}

/// Where the program is: in the target directory, in the tests' own profile; or what `PALM_TEST_PROGRAM` names.
///
/// # Panics
/// If it cannot be built.
pub fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| match std::env::var_os("PALM_TEST_PROGRAM") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Of the whole workspace, as in `cargo test --workspace`, so that dependencies have the same features.
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--workspace", "--bin", "palm"]);
    command.args(["--quiet", "--message-format", "json-render-diagnostics", "--target-dir"]).arg(target_directory());
    match profile_directory().file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => drop(command.args(["--profile", profile])),
    }
    let built = command.stderr(Stdio::inherit()).output().unwrap_or_else(|cause| panic!("{command:?}: {cause}"));
    assert!(built.status.success(), "palm does not build: {command:?}");
    let messages = String::from_utf8_lossy(&built.stdout);
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = messages.find_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    executable.unwrap_or_else(|| panic!("cargo built no program: {command:?}"))
}

/// The target directory: where the running test program lies in, up to the one that cargo has marked.
///
/// # Panics
/// If the test program was moved out of it.
pub fn target_directory() -> PathBuf {
    let profile = profile_directory();
    let mut candidates = profile.ancestors().filter(|directory| directory.join("CACHEDIR.TAG").exists());
    candidates.next().expect("the test program lies in a target directory").to_owned()
}

/// `target/debug` or its like, from `target/debug/deps/test-0123`.
fn profile_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a program knows where it lies");
    test.ancestors().nth(2).expect("the test program lies in a target directory").to_owned()
}
