//! Other people's programs behind a worker's functions: what they are fed, what they may say, and how they end.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::cluster::Master;
use support::{run, until};

/// A line for each input line in capitals; `die` is the last thing it hears.
const SHOUT: &str = "sh -c 'while read -r line; do \
                     case $line in die) echo aargh >&2; exit 4;; *) echo \"<$line>\";; esac; done'";

#[test]
fn a_program_that_fails_is_a_failure_with_its_last_words() {
    let master = Master::start("test", &[]);
    let mut worker = master.worker("w", &["--shell", "--exec", "bad=echo some >&2; echo oh no >&2; exit 3"]);
    let ended = master.launch("bad", &["--repeat", "2", "--output", "json", "--ordered"], b"");
    assert_eq!(ended.code, 1);
    for (sequence, line) in ended.lines().iter().enumerate() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&object["sequence"], &object["status"]), (&Value::from(sequence), &"failed".into()));
        assert_eq!(object["error"], "exit status: 3: oh no");
    }
    assert!(ended.err.contains("failed: message 2: exit status: 3: oh no\n"), "{}", ended.err);
    assert!(ended.err.contains("2 messages sent, 0 results, 2 failed, 0 missing"), "{}", ended.err);
    worker.wait_for_line(" - w - INFO - bad: oh no");
    worker.wait_for_line(" - w - WARNING - \"bad\" failed: exit status: 3: oh no");

    let ended = master.launch("nothing", &["--repeat", "1"], b"");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("failed: message 1: no such function"), "{}", ended.err);
}

#[test]
fn a_command_for_a_shell_is_told_unless_one_reads_it() {
    for (command, told) in [
        (
            "FOO=bar program",
            "--exec f: `FOO=bar` sets no variable, as no shell reads this line: to have one, say --shell",
        ),
        ("export A=1", "--exec f: `export` is a shell's own command"),
    ] {
        let ended = run(&["worker", "--exec", &format!("f={command}")]);
        assert!(ended.code == 2 && ended.err.contains(told), "{}", ended.err);
    }
    let master = Master::start("test", &[]);
    let mut worker = master.worker("w", &["--exec", "f=echo $HOME | cat", "--serve", "g=cat >log"]);
    let ended = master.launch("f", &["--repeat", "1", "--output", "raw"], b"");
    assert_eq!(ended.out, b"$HOME | cat\n", "it is not expanded");
    worker.signal("TERM");
    worker.wait_for_line("Stopped");
    let said = worker.end().err;
    for told in
        ["--exec f: `$HOME` is handed to the program as it stands", "--serve g: `>log` is handed to the program"]
    {
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_program_is_told_the_method_and_the_cache_field() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--shell", "--exec", "who=echo $PALM_METHOD $PALM_CACHE"]);
    let ended = master.launch("who", &["--repeat", "1", "--cache", "some data", "--output", "raw"], b"");
    assert_eq!(ended.out, b"who some data\n");
}

#[test]
fn a_program_that_lives_on_is_fed_by_lines_and_started_again() {
    let master = Master::start("test", &[]);
    let mut worker = master.worker("w", &["--serve", &format!("shout={SHOUT}")]);
    let ended = master.launch("shout", &["--lines", "-", "--ordered"], b"a\nb c\ndie\nd\n");
    assert_eq!((ended.code, ended.lines()), (1, vec!["<a>".to_owned(), "<b c>".into(), "<d>".into()]));
    let said = "failed: line 3: the program ended with the message in hand: exit status: 4: aargh";
    assert!(ended.err.contains(said), "{}", ended.err);
    worker.wait_for_line("starting the process again");
    let ended = master.launch("shout", &["--message", "two\nlines", "--repeat", "1"], b"");
    assert!(ended.err.contains("the payload contains a line break; use --framing length"), "{}", ended.err);
    assert_eq!(master.launch("shout", &["--message", "x", "--repeat", "3"], b"").lines(), ["<x>"; 3]);
}

#[test]
fn a_program_that_lives_on_is_fed_by_lengths() {
    let master = Master::start("test", &[]);
    // What comes back from `cat` is framed as what went in.
    let _worker = master.worker("w", &["--jobs", "2", "--framing", "length", "--serve", "echo=cat"]);
    let folder = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 256) as u8).collect();
    let path = folder.path().join("big");
    std::fs::write(&path, &big).unwrap();
    let files = ["--output", "raw", "--files", path.to_str().unwrap()];
    assert!(master.launch("echo", &files, b"").out == big);
    let ended = master.launch("echo", &["--message", "two\nlines", "--repeat", "50", "--output", "json"], b"");
    assert_eq!((ended.code, ended.lines().len()), (0, 50), "{}", ended.err);
}

#[test]
fn what_a_program_prints_unasked_is_no_answer() {
    let master = Master::start("test", &[]);
    let folder = tempfile::tempdir().unwrap();
    let greeted = folder.path().join("greeted");
    let greet = format!("printf 'hello\\n'; : >{}; exec cat", greeted.display());
    let twice = "while read -r line; do printf '%s\\n%s\\n' \"$line\" \"$line\"; done";
    // A length of one, and what has it, two times over.
    let more = "head -c 5 >&2; printf '\\0\\0\\0\\1a\\0\\0\\0\\1a'; exec cat >&2";
    for (framing, function, program) in [
        ("lines", "greet", greet.as_str()),
        ("length", "greet", &greet),
        ("lines", "twice", twice),
        ("length", "more", more),
    ] {
        let _ = std::fs::remove_file(&greeted);
        let flags = ["--shell", "--framing", framing, "--serve", &format!("{function}={program}")];
        let mut worker = master.worker("w", &flags);
        if function == "greet" {
            until("the greeting", || greeted.exists());
        }
        let ended = master.launch(function, &["--message", "x", "--repeat", "1"], b"");
        assert_eq!((ended.code, ended.out.as_slice()), (1, &b""[..]), "{framing} {function}");
        assert!(ended.err.contains("the program printed more than it was asked for"), "{}", ended.err);
        worker.wait_for_line("printed more than it was asked for");
        worker.signal("TERM");
        assert_eq!(worker.end().code, 0);
    }
}

#[test]
fn what_a_program_prints_between_two_messages_is_no_answer() {
    let master = Master::start("test", &[]);
    let folder = tempfile::tempdir().unwrap();
    let (go, gone) = (folder.path().join("go"), folder.path().join("gone"));
    // Once told to, it says something by itself.
    let program = format!(
        "(while [ ! -e {go} ]; do sleep 0.02; done; rm {go}; echo stray; : >{gone}) & exec cat",
        go = go.display(),
        gone = gone.display()
    );
    let mut worker = master.worker("w", &["--shell", "--serve", &format!("echo={program}")]);
    let echoed = |text: &str| master.launch("echo", &["--message", text, "--repeat", "1"], b"").lines();
    assert_eq!(echoed("a"), ["a"]);
    std::fs::write(&go, "").unwrap();
    until("the stray line", || gone.exists());
    assert_eq!(echoed("b"), ["b"]);
    worker.wait_for_line("printed more than it was asked for");
}

#[test]
fn a_program_that_takes_too_long_is_ended_with_all_it_started() {
    let master = Master::start("test", &[]);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let command = format!("hang=sleep 1000 & echo $! >>{0}; echo $$ >>{0}; wait", pids.display());
    let _worker = master.worker("w", &["--shell", "--exec", &command, "--exec-timeout", "300ms"]);
    let ended = master.launch("hang", &["--repeat", "1"], b"");
    assert!(ended.err.contains("killed after 300ms, the time it may take (--exec-timeout)"), "{}", ended.err);
    all_end(&pids);
}

#[test]
fn a_killed_worker_leaves_nothing_behind() {
    let master = Master::start("test", &[]);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let command = format!("hang=sleep 1000 & echo $! >>{0}; echo $$ >>{0}; wait", pids.display());
    let mut worker = master.worker("w", &["--shell", "--exec", &command]);
    let mut launcher = master.launcher("hang", &["--repeat", "1"]);
    until("the program's start", || std::fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() == 2));
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    all_end(&pids);
    launcher.child.kill().unwrap();
}

/// Waits until none of the processes is left whose numbers are in this file.
fn all_end(pids: &Path) {
    let pids = std::fs::read_to_string(pids).unwrap();
    for pid in pids.lines() {
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // A zombie that nobody has waited for yet has ended, too.
        until("a process's end", || state().map_or(true, |stat| stat.contains(") Z ")));
    }
    assert!(pids.lines().count() >= 2);
}
