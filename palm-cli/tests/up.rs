//! What `palm up` says to the person at the terminal.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::cell::RefCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use support::{Ended, Running, palm, run_with, until};

/// A folder with a cluster file of one component.
fn cluster(script: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it's here.toml");
    std::fs::write(&file, format!("[[component]]\nname = 'A'\nscript = '''{script}'''\n")).unwrap();
    (folder, file.canonicalize().unwrap())
}

fn command(name: &str, file: &Path) -> std::process::Command {
    let mut command = palm();
    // What is up is written down beside the file.
    command.arg(name).arg(file).env_remove("XDG_RUNTIME_DIR");
    command
}

/// Takes down what was detached.
struct Down(PathBuf);

impl Drop for Down {
    fn drop(&mut self) {
        let _ = command("down", &self.0).output();
    }
}

/// A program that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn what_is_detached_says_how_its_output_is_seen() {
    let (_folder, file) = cluster("sh -c 'echo the first line; exec sleep 1000'");
    let mut up = command("up", &file);
    up.arg("--detach");
    let _down = Down(file.clone());
    let Ended { code, err, .. } = run_with(up, b"");
    assert_eq!(code, 0, "{err}");
    let told = err.lines().find_map(|line| line.strip_prefix("see what it prints with: palm ")).unwrap();
    assert!(told.contains(" --follow "), "{told}");
    // As a shell reads it, which has to find the very program.
    until("a line of the component", || {
        let mut shell = std::process::Command::new("sh");
        support::without_variables(&mut shell);
        shell.args(["-c", &format!("exec \"$0\" {}", told.replace(" --follow", "")), env!("CARGO_BIN_EXE_palm")]);
        let Ended { code, out, err } = run_with(shell, b"");
        assert_eq!(code, 0, "{told}: {err}");
        String::from_utf8_lossy(&out).contains("the first line")
    });
    // It reads, and does nothing else.
    let words: Vec<_> = told.split(" --registry ").nth(1).unwrap().split(" --token-file ").collect();
    let mut scale = palm();
    scale.args(["cluster", "scale", "--registry", words[0], "--token-file", words[1]]);
    scale.args([file.to_str().unwrap(), "A", "1"]);
    assert_eq!(run_with(scale, b"").code, 1);
    let (file, command) = (Path::new(words[1]), command("down", &file));
    assert!(file.exists());
    assert_eq!(run_with(command, b"").code, 0);
    assert!(!file.exists(), "nothing is left of it");
}

#[test]
fn a_first_signal_says_that_a_second_one_kills() {
    let (_folder, file) = cluster("sh -c 'trap \"echo asked\" TERM; echo ready; while :; do sleep 0.1; done'");
    let mut up = Running::start(command("up", &file));
    up.wait_for_line("ready");
    up.signal("INT");
    up.wait_for_line("asked");
    up.signal("INT");
    let Ended { code, err, .. } = up.end();
    assert_eq!(code, 0, "{err}");
    let told = ["palm: stopping the components; a second Ctrl-C kills them", "palm: killing the components"];
    assert_eq!(err.lines().collect::<Vec<_>>(), told);
}

#[test]
fn a_terminal_that_stands_still_does_not_keep_the_components_running() {
    let (folder, file) = cluster("sh -c 'echo > here; exec sleep 1000'");
    // As one stopped by Ctrl-S: nothing more fits into it, and nobody reads it.
    let (_unread, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b'x'; 1 << 16]).unwrap();
    let up = command("up", &file).stdout(std::process::Stdio::null()).stderr(full).spawn().unwrap();
    let up = RefCell::new(Killed(up));
    until("a component that runs", || folder.path().join("here").exists());
    let signalled =
        std::process::Command::new("kill").args(["-TERM", &up.borrow().0.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    until("the end of all", || up.borrow_mut().0.try_wait().unwrap().is_some());
    assert!(up.borrow_mut().0.wait().unwrap().success());
}
