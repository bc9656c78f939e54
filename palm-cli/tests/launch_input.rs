//! What a launcher reads, what it makes of it, and how it is stopped.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::cluster::Master;
use support::{Ended, run, until};

/// A folder with a FIFO in it.
fn fifo() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    (folder, path)
}

/// Opens a FIFO to write to it, as soon as somebody reads.
fn writer(path: &Path) -> File {
    let opened = RefCell::new(None);
    until("somebody who reads the FIFO", || {
        let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        *opened.borrow_mut() = OpenOptions::new().write(true).custom_flags(no_wait).open(path).ok();
        opened.borrow().is_some()
    });
    opened.take().unwrap()
}

/// Waits until a launcher has begun to read, and so hangs in the wait for a writer.
fn until_it_reads(process: u32) {
    until("the launcher's reading", || {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let mut names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.any(|name| name.trim() == "palm-input")
    });
}

#[test]
fn a_fifo_is_read_once_and_nothing_of_it_is_lost() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    let (_folder, path) = fifo();
    let launcher = master.launcher("echo", &["--ordered", "--lines", path.to_str().unwrap()]);
    // What looks at the FIFO first and closes it again loses this.
    let mut first = writer(&path);
    let written: Vec<_> = (0..100).map(|number| format!("line {number}")).collect();
    for line in &written {
        writeln!(first, "{line}").unwrap();
    }
    // A second writer, while the first one is still there.
    writeln!(writer(&path), "second").unwrap();
    drop(first);
    let ended = launcher.end();
    let expected: Vec<_> = written.into_iter().chain(["second".to_owned()]).collect();
    assert_eq!((ended.code, ended.lines()), (0, expected), "{}", ended.err);
}

#[test]
fn a_launcher_that_waits_for_a_fifo_can_be_stopped() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    for signal in ["INT", "TERM"] {
        // Nobody has opened it yet.
        let (_folder, path) = fifo();
        let launcher = master.launcher("echo", &["--lines", path.to_str().unwrap()]);
        until_it_reads(launcher.id());
        launcher.signal(signal);
        let Ended { code, err, .. } = launcher.end();
        assert_eq!(code, 1, "{err}");
        assert!(err.starts_with("0 messages sent, 0 results, 0 failed, 0 missing"), "{err}");
        // Somebody has, and writes no more.
        let mut launcher = master.launcher("echo", &["--lines", path.to_str().unwrap()]);
        let mut writer = writer(&path);
        writeln!(writer, "first").unwrap();
        launcher.wait_for_line("first");
        launcher.signal(signal);
        let Ended { code, err, .. } = launcher.end();
        assert_eq!(code, 1, "{err}");
        assert!(err.starts_with("1 message sent, 1 result, 0 failed, 0 missing"), "{err}");
    }
}

#[test]
fn a_second_signal_ends_a_launcher_that_is_stuck() {
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    // Nobody reads what it says, and there is no room for more.
    let (_unread, full) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    fcntl_setpipe_size(&full, 4096).unwrap();
    let mut full = File::from(full);
    full.write_all(&[b'x'; 4096]).unwrap();
    let (_folder, path) = fifo();
    let mut command = support::palm();
    command.args(["launch", "--server", "test", "--function", "echo", "--db", &master.db, "--lines"]).arg(&path);
    let launcher = command.stderr(full).stdin(std::process::Stdio::null()).spawn().unwrap();
    until_it_reads(launcher.id());
    let id = launcher.id().to_string();
    let signal = || assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    signal();
    let launcher = RefCell::new(launcher);
    until("its end", || {
        let ended = launcher.borrow_mut().try_wait().unwrap().is_some();
        if !ended {
            signal();
        }
        ended
    });
    let mut launcher = launcher.into_inner();
    assert_eq!(launcher.wait().unwrap().code(), Some(1));
}

#[test]
fn a_line_that_is_too_long_fails_alone() {
    let master = Master::start("test", &["--max-message", "2KiB", "--tcp", "127.0.0.1:0"]);
    let _worker = master.worker("w", &["--transport", "zmq", "--demo"]);
    let input = format!("first\n{}\nlast\n{}\n\n", "x".repeat(3000), "y".repeat(200_000));
    for transport in ["zmq", "tcp"] {
        let flags = ["--lines", "-", "--ordered", "--transport", transport, "--max-message", "1KiB"];
        let ended = master.launch("echo", &flags, input.as_bytes());
        assert_eq!((ended.code, ended.lines()), (1, ["first", "last", ""].map(str::to_owned).to_vec()), "{transport}");
        let err = &ended.err;
        assert!(err.contains("failed: line 2: not sent: longer than ") && err.contains("failed: line 4: "), "{err}");
        assert!(err.contains("3 messages sent, 3 results, 2 failed, 0 missing"), "{err}");
        // A record of it, too.
        let ended = master.launch("echo", &[&flags[..], &["--output", "json"]].concat(), input.as_bytes());
        let records: Vec<serde_json::Value> =
            ended.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let refused: Vec<_> = records.iter().filter(|record| record["status"] == "not sent").collect();
        assert_eq!((records.len(), refused.len()), (5, 2), "{records:?}");
        assert_eq!((refused[0]["input"].as_str(), refused[0]["sequence"].as_u64()), (Some("line 2"), Some(1)));
        assert!(refused[0]["error"].as_str().unwrap().starts_with("longer than"), "{refused:?}");
    }
    // What only the master says is too long.
    for transport in ["zmq", "tcp"] {
        let ended = master.launch("echo", &["--lines", "-", "--ordered", "--transport", transport], input.as_bytes());
        assert_eq!((ended.code, ended.lines()), (1, ["first", "last", ""].map(str::to_owned).to_vec()), "{transport}");
        assert!(ended.err.contains("failed: line 2: ") && ended.err.contains(" 2 failed, 0 missing"), "{}", ended.err);
    }
}

#[test]
fn many_lines_that_are_too_long_are_counted_to_the_last() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    let input: String = (0..1000).map(|number| format!("{}\n{number}\n", "x".repeat(600))).collect();
    let flags = ["--lines", "-", "--max-message", "512", "--output", "json"];
    let ended = master.launch("echo", &flags, input.as_bytes());
    assert_eq!((ended.code, ended.lines().len()), (1, 2000));
    assert!(ended.err.contains("1000 messages sent, 1000 results, 1000 failed, 0 missing"), "{}", ended.err);
}

#[test]
fn one_message_is_sent_unless_more_are_asked_for() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    let lines = |flags: &[&str]| master.launch("echo", flags, b"").lines();
    assert_eq!(lines(&["--message", "m"]), ["m"]);
    assert_eq!(lines(&["--message", "m", "--repeat", "2"]), ["m"; 2]);
    assert_eq!(lines(&["--repeat", "3"]), [" a message"; 3]);
    assert_eq!(lines(&[]), [" a message"; 10]);
}

#[test]
fn a_result_that_ends_in_a_line_break_gets_no_second_one() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo", "--exec", "count=wc -c"]);
    let counted = master.launch("count", &["--lines", "-", "--ordered"], b"a\nbcd\n\n");
    assert_eq!(String::from_utf8(counted.out).unwrap().replace(' ', ""), "1\n3\n0\n");
    // Lines that go through unchanged come out as they went in, whether the last one had an end or not.
    let echoed = master.launch("echo", &["--lines", "-", "--ordered"], b"a\n\nb\r\n\n");
    assert_eq!(echoed.out, b"a\n\nb\r\n\n");
}

#[test]
fn results_do_not_overwrite_their_inputs() {
    let master = Master::start("test", &["--tcp", "127.0.0.1:0"]);
    let _worker = master.worker("w", &["--transport", "zmq", "--exec", "upper=tr a-z A-Z"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.txt");
    std::fs::write(&file, "text").unwrap();
    let name = file.to_str().unwrap();
    let here = folder.path().to_str().unwrap();
    for transport in ["zmq", "tcp"] {
        let flags = ["--transport", transport, "--output-dir", here, "--files", name];
        let Ended { code, err, .. } = master.launch("upper", &flags, b"");
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("in.txt is one of the inputs"), "{err}");
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
    }
    // A file of lines that is named like one of the results.
    let lines = folder.path().join("000001");
    std::fs::write(&lines, "a\nb\nc\n").unwrap();
    let flags = ["--output-dir", here, "--ordered", "--lines", lines.to_str().unwrap()];
    let Ended { code, err, .. } = master.launch("upper", &flags, b"");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("000001 is one of the inputs"), "{err}");
    assert!(!folder.path().join("000000").exists(), "nothing was sent");
    assert_eq!(std::fs::read(&lines).unwrap(), b"a\nb\nc\n");
    // Something else that is read.
    std::fs::create_dir(folder.path().join("tokens")).unwrap();
    let (token, other) = (folder.path().join("token"), folder.path().join("tokens/token"));
    for path in [&token, &other] {
        std::fs::write(path, "secret").unwrap();
    }
    let files = ["--files", other.to_str().unwrap(), "--token-file", token.to_str().unwrap(), "--output-dir", here];
    let Ended { code, err, .. } = master.launch("upper", &files, b"");
    assert!(code == 2 && err.contains("token is one of the inputs"), "{err}");
    let out = folder.path().join("out");
    for _ in 0..2 {
        let flags = ["--output-dir", out.to_str().unwrap(), "--files", name];
        assert_eq!(master.launch("upper", &flags, b"").code, 0, "what an earlier run has written is replaced");
        assert_eq!(std::fs::read(out.join("in.txt")).unwrap(), b"TEXT");
    }
}

#[test]
fn a_result_that_cannot_be_written_leaves_the_closing_line() {
    let master = Master::start("test", &["--tcp", "127.0.0.1:0"]);
    let _worker = master.worker("w", &["--transport", "zmq", "--demo"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("000002")).unwrap();
    for transport in ["zmq", "tcp"] {
        let flags = ["--transport", transport, "--window", "1", "--output-dir", folder.path().to_str().unwrap()];
        let input: String = (0..500).map(|number| format!("{number}\n")).collect();
        let Ended { code, err, .. } =
            master.launch("echo", &[&flags[..], &["--lines", "-"]].concat(), input.as_bytes());
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("palm: cannot write ") && err.contains("000002: Is a directory"), "{err}");
        let last = err.lines().last().unwrap_or_default();
        assert!(last.contains(" messages sent, ") && last.contains(" was never sent"), "{err}");
    }
}

#[test]
fn a_job_that_is_stopped_says_what_was_never_sent() {
    let master = Master::start("test", &["--tcp", "127.0.0.1:0"]);
    let _worker = master.worker("w", &["--transport", "zmq", "--exec", "wait=sleep 1000"]);
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    std::fs::write(&lines, "line\n".repeat(50)).unwrap();
    let lines = lines.to_str().unwrap();
    let mut taken = 0;
    for (transport, signal, quiet) in [("zmq", "INT", &[][..]), ("tcp", "TERM", &["--quiet"])] {
        for (input, rest) in [
            (&["--message", "m", "--repeat", "40"][..], "and 38 messages were never sent"),
            (&["--files", lines, lines, lines], "and 1 message was never sent"),
            (&["--lines", lines], "and what follows line 2 was never sent"),
        ] {
            let flags = [input, &["--transport", transport, "--window", "2"], quiet].concat();
            let launcher = master.launcher("wait", &flags);
            taken += 2;
            master.wait_until_taken(taken);
            launcher.signal(signal);
            let Ended { code, err, .. } = launcher.end();
            assert_eq!(code, 1, "{err}");
            let last = err.lines().last().unwrap_or_default();
            assert!(last.starts_with("2 messages sent, 0 results, 0 failed, 2 missing in "), "{err}");
            assert!(last.ends_with(&format!("; the input was not read to its end, {rest}")), "{err}");
        }
    }
}

#[test]
fn a_pipeline_that_ends_messages_is_done_with_its_expected_total() {
    let master = Master::start("test", &["--tcp", "127.0.0.1:0", "--window", "200"]);
    // Of what is not kept no result ever comes.
    let filter = "filter=read -r line; case $line in keep*) echo $line;; *) exec sleep 1000;; esac";
    let _worker = master.worker("w", &["--transport", "zmq", "--shell", "--jobs", "200", "--exec", filter]);
    let input: String = (0..30).map(|n| format!("{}{n}\n", if n % 10 == 0 { "keep" } else { "drop" })).collect();
    for transport in ["zmq", "tcp"] {
        let flags = ["--lines", "-", "--transport", transport, "--expect"];
        let ended = master.launch("filter", &[&flags[..], &["3"]].concat(), input.as_bytes());
        let mut lines = ended.lines();
        lines.sort();
        assert_eq!(
            (ended.code, lines),
            (0, ["keep0", "keep10", "keep20"].map(str::to_owned).to_vec()),
            "{}",
            ended.err
        );
        assert!(
            ended.err.starts_with("30 messages sent, 3 results of 3 expected, 0 failed, 0 missing"),
            "{}",
            ended.err
        );
        let ended = master.launch("filter", &[&flags[..], &["5", "--timeout", "2s"]].concat(), input.as_bytes());
        assert_eq!((ended.code, ended.lines().len()), (1, 3), "{}", ended.err);
        assert!(
            ended.err.starts_with("30 messages sent, 3 results of 5 expected, 0 failed, 2 missing"),
            "{}",
            ended.err
        );
    }
    let Ended { code, err, .. } = run(&["launch", "--server", "s", "--function", "f", "--expect", "3", "--ordered"]);
    assert!(code == 2 && err.contains("cannot be used with"), "{err}");
}
