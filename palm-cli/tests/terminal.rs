//! What others have written does nothing to a terminal, and forges no line of a log.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::io::Read as _;
use std::process::Command;

use support::cable::terminal;
use support::cluster::Master;
use support::{Ended, palm, run, run_with};

/// Fills the clipboard, sets the title, clears the screen, turns the direction, begins a line; and a colour.
const RUDE: &str = "\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b[2J\u{202e}\u{9b}1A\x1b[31mred";
/// The same in the words of `printf`.
const PRINTF: &str = r"\033]52;c;ZXZpbA==\007\033]0;title\007\033[2J\342\200\256\302\2331A\033[31mred";
/// What is shown of it.
const SHOWN: &str = "^[]52;c;ZXZpbA==^G^[]0;title^G^[[2J\\u{202e}\\u{9b}1A";

/// What a person sees of a program that has a terminal to itself.
fn seen(mut command: Command) -> String {
    let (mut person, program) = terminal();
    command.stdin(program.try_clone().unwrap()).stdout(program.try_clone().unwrap()).stderr(program);
    let mut child = command.spawn().unwrap();
    // The program's end is open in the program alone, so that a read fails when it is gone.
    drop(command);
    let mut text = Vec::new();
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = person.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
    }
    child.wait().unwrap();
    String::from_utf8(text).unwrap()
}

fn is_harmless(text: &str) -> bool {
    let plain = text.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\r\n", "\n");
    !plain.contains(|c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn results_and_failures_do_nothing_to_a_terminal() {
    let master = Master::start("test", &["--tcp", "127.0.0.1:0"]);
    let (result, failure) = (format!("rude=printf '{PRINTF}'"), format!("fail=printf '{PRINTF}' >&2; exit 3"));
    let flags = ["--transport", "zmq", "--shell", "--exec", &result, "--exec", &failure];
    let _worker = master.worker("w", &flags);
    for transport in ["zmq", "tcp"] {
        let launch = |function: &str, flags: &[&str]| {
            let mut command = palm();
            command.args(["launch", "--server", "test", "--db", &master.db, "--function", function, "--quiet"]);
            command.args(["--transport", transport, "--message", "m"]).args(flags);
            command
        };
        let text = seen(launch("rude", &[]));
        assert_eq!(text, format!("{SHOWN}\x1b[31mred\x1b[0m\r\n"));
        let text = seen(launch("fail", &[]));
        assert!(is_harmless(&text) && !text.contains('\x1b') && text.contains(SHOWN), "{text:?}");
        assert!(text.starts_with("failed: message 1: "), "{text:?}");
        let text = seen(launch("rude", &["--output", "json"]));
        assert!(is_harmless(&text) && text.contains(r"\u001b]52;c;ZXZpbA==\u0007"), "{text:?}");
        // A file or a pipe gets the result as it is, and so does who asks for it.
        assert_eq!(String::from_utf8(run_with(launch("rude", &[]), b"").out).unwrap(), format!("{RUDE}\n"));
        assert_eq!(seen(launch("rude", &["--output", "raw"])), RUDE);
        // What is said to a person is harmless in a file, too.
        let Ended { code, err, .. } = run_with(launch("fail", &[]), b"");
        assert!(code == 1 && err.contains(SHOWN) && is_harmless(&err), "{err:?}");
    }
}

#[test]
fn a_servers_name_and_its_cache_do_nothing_to_a_terminal() {
    // No control character may be in a name; this may.
    let master = Master::start("te\u{202e}st", &["--tcp", "127.0.0.1:0"]);
    for transport in ["zmq", "tcp"] {
        let flags = ["--server", "other", "--function", "f", "--db", &master.db, "--transport", transport];
        let Ended { code, err, .. } = run(&[&["launch"][..], &flags].concat());
        assert!(code == 2 && err.contains("is named te\\u{202e}st, not other") && is_harmless(&err), "{err:?}");
        let cache = |arguments: &[&str], input: &[u8]| {
            let mut command = palm();
            command.args(["cache", "--db", &master.db, "--transport", transport]).args(arguments);
            if input.is_empty() { seen(command) } else { format!("{:?}", run_with(command, input)) }
        };
        cache(&["set", "k", "-"], RUDE.as_bytes());
        assert_eq!(cache(&["get", "k"], b""), format!("{SHOWN}\x1b[31mred\x1b[0m\r\n"));
        let text = cache(&["get", "no\x1b[2J\u{202e}key"], b"");
        assert!(is_harmless(&text) && text.contains("has no value under the key"), "{text:?}");
    }
}

#[test]
fn nobody_forges_a_line_of_a_log() {
    let master = Master::start("test", &[]);
    let text = format!("first=printf '{PRINTF}\\n2026-01-01 00:00:00,000 - root - INFO - forged' >&2");
    for format in ["text", "json"] {
        let worker = master.worker("w", &["--log-format", format, "--shell", "--exec", &text]);
        assert_eq!(master.launch("first", &["--message", "m"], b"").code, 0);
        worker.signal("TERM");
        let log = String::from_utf8(worker.end().out).unwrap();
        assert!(is_harmless(&log) && log.contains("ZXZpbA=="), "{log:?}");
        assert!(!log.lines().any(|line| line.starts_with("2026-01-01 ")), "{log}");
    }
}
