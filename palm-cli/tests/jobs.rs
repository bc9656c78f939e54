//! Whole jobs: a master, workers and launchers as a person would start them.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use serde_json::Value;
use support::cluster::Master;
use support::{Ended, Running, palm, run, run_with};

#[test]
fn the_example_application() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    let Ended { code, err, .. } = &master.launch("foo", &[], b"");
    assert_eq!(*code, 0, "{err}");
    let ended = master.launch("foo", &[], b"");
    assert_eq!(ended.lines(), ["w processed a message"; 10]);
    assert!(ended.err.starts_with("10 messages sent, 10 results, 0 failed, 0 missing in "), "{}", ended.err);
    assert!(ended.err.contains("latency p50"), "{}", ended.err);
    assert_eq!(master.launch("foo", &["--quiet"], b"").err, "");
}

#[test]
fn lines_go_through_a_program_and_keep_their_order() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--jobs", "4", "--exec", "upper=tr a-z A-Z"]);
    let input: String = (0..200).map(|number| format!("line {number}\n")).collect();
    let ended = master.launch("upper", &["--lines", "-", "--ordered"], input.as_bytes());
    assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, input.to_uppercase()));
    let ended = master.launch("upper", &["--lines", "-", "--ordered", "--output", "raw"], b"a\nb\n\nc");
    assert_eq!((ended.code, ended.out.as_slice()), (0, &b"ABC"[..]));
    let ended = master.launch("upper", &["--lines", "-"], b"");
    assert_eq!((ended.code, ended.out.as_slice()), (0, &b""[..]), "no lines, no results");
}

#[test]
fn files_become_files_of_the_same_name() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--exec", "rev=rev", "--exec", "copy=cat"]);
    let folder = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    std::fs::write(folder.path().join("big"), &big).unwrap();
    std::fs::write(folder.path().join("empty"), b"").unwrap();
    let [input, results] = ["", "results"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let files = [format!("{input}/big"), format!("{input}/empty")];
    let flags = ["--output-dir", &results, "--files", &files[0], &files[1]];
    let ended = master.launch("copy", &flags, b"");
    assert_eq!((ended.code, ended.out.as_slice()), (0, &b""[..]), "{}", ended.err);
    assert!(std::fs::read(format!("{results}/big")).unwrap() == big, "every byte of it");
    assert_eq!(std::fs::read(format!("{results}/empty")).unwrap(), b"");

    let flags = ["--output-dir", &results, "--files", "/no/such/file", &files[1]];
    let ended = master.launch("copy", &flags, b"");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("failed: /no/such/file: not sent: No such file"), "{}", ended.err);
    assert!(ended.err.contains("1 message sent, 1 result, 1 failed, 0 missing"), "{}", ended.err);
}

#[test]
fn a_message_that_the_master_would_not_take_fails_alone() {
    let master = Master::start("test", &["--max-message", "2KiB"]);
    let _worker = master.worker("w", &["--demo"]);
    let folder = tempfile::tempdir().unwrap();
    let files = ["short", "long", "as short"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&files[0], "first").unwrap();
    std::fs::write(&files[1], [b'x'; 3000]).unwrap();
    std::fs::write(&files[2], "last").unwrap();
    let ended = master.launch("echo", &["--ordered", "--files", &files[0], &files[1], &files[2]], b"");
    assert_eq!((ended.code, ended.lines()), (1, vec!["first".to_owned(), "last".to_owned()]));
    assert!(ended.err.contains("the most that the master, --max-message and --in-flight allow"), "{}", ended.err);
    let ended = master.launch("echo", &["--repeat", "1", "--message", &"x".repeat(1600)], b"");
    assert_eq!((ended.code, ended.out.len()), (0, 1601), "{}", ended.err);
}

#[test]
fn a_result_that_the_master_would_not_take_fails_alone() {
    let master = Master::start("test", &["--max-message", "2KiB"]);
    let _worker = master.worker(
        "w",
        &["--transport", "zmq", "--jobs", "2", "--exec", "big=head -c 3000 /dev/zero", "--exec", "copy=cat"],
    );
    let ended = master.launch("big", &["--message", "x"], b"");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("the result is too long to be sent"), "{}", ended.err);
    let ended = master.launch("copy", &["--message", "x"], b"");
    assert_eq!((ended.code, ended.lines()), (0, vec!["x".to_owned()]), "the worker goes on");
}

#[test]
fn both_addresses_do_without_a_cache() {
    let master = Master::start("test", &[]);
    let mut command = palm();
    command.args(["worker", "--name", "w", "--demo", "--pull", &master.worker_push, "--push", &master.worker_pull]);
    let mut worker = Running::start(command);
    worker.wait_for_line("Got worker pull address");
    let addresses = ["--push", &master.pull, "--sub", &master.publish];
    let flags = ["launch", "--server", "test", "--function", "foo", "--connect-timeout", "20s"];
    let ended = run(&[&flags[..], &addresses].concat());
    assert_eq!((ended.code, ended.lines()), (0, vec!["w processed a message".to_owned(); 10]), "{}", ended.err);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo"]);
    let mut launcher = master.launcher("foo", &["--repeat", "1000000"]);
    launcher.wait_for_line("w processed a message");
    launcher.hang_up();
    let Ended { code, err, .. } = launcher.end();
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn an_interrupted_job_says_what_is_missing() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo", "--exec", "slow=sleep 1000"]);
    let launcher = master.launcher("slow", &["--repeat", "30", "--window", "25"]);
    master.wait_until_taken(25);
    launcher.signal("INT");
    let Ended { code, err, .. } = launcher.end();
    assert_eq!(code, 1);
    assert!(err.starts_with("missing: message 1\nmissing: message 2\n"), "{err}");
    assert!(err.contains("missing: and 5 more\n25 messages sent, 0 results, 0 failed, 25 missing"), "{err}");
}

#[test]
fn a_message_without_a_result_in_time_is_missing() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--exec", "slow=sleep 1000"]);
    let ended = master.launch("slow", &["--repeat", "1", "--timeout", "200ms"], b"");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("missing: message 1: deadline exceeded"), "{}", ended.err);
    assert!(ended.err.contains("1 message sent, 0 results, 0 failed, 1 missing"), "{}", ended.err);
}

#[test]
fn an_address_at_which_nobody_listens_is_named() {
    let master = Master::start("test", &[]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    let Ended { code, err, .. } = master.launch("f", &["--sub", &nobody, "--connect-timeout", "300ms"], b"");
    assert_eq!(code, 1);
    assert!(err.contains(&format!("nobody listens at {nobody}, which --sub names")), "{err}");
}

#[test]
fn a_message_is_tried_as_often_as_was_said_though_the_master_gives_it_up_as_well() {
    let master = Master::start("test", &[]);
    let begun = std::time::Instant::now();
    let flags = ["--repeat", "20", "--timeout", "100ms", "--retries", "4"];
    let ended = master.launch("slow", &flags, b"");
    assert_eq!(ended.code, 1);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(500), "five tries of 100 ms: {:?}", begun.elapsed());
    master.wait_until_taken(20 * 5);
}

#[test]
fn a_server_of_another_name_is_wrong_use() {
    let master = Master::start("test", &[]);
    let Ended { code, err, .. } = run(&["launch", "--server", "other", "--function", "f", "--db", &master.db]);
    assert_eq!(code, 2);
    assert!(err.contains("is named test, not other: use --server test"), "{err}");
}

#[test]
fn a_stopped_worker_hands_back_and_nothing_is_lost() {
    let master = Master::start("test", &[]);
    let flags = ["--shell", "--jobs", "2", "--exec", "slow=sleep 0.02; cat"];
    let first = master.worker("first", &flags);
    let launcher = master.launcher("slow", &["--repeat", "100", "--message", "x", "--timeout", "60s"]);
    master.wait_until_taken(100);
    let second = master.worker("second", &flags);
    first.signal("TERM");
    assert_eq!(first.end().code, 0);
    let ended = launcher.end();
    assert_eq!((ended.code, ended.lines()), (0, vec!["x".to_owned(); 100]), "{}", ended.err);
    second.signal("TERM");
    assert_eq!(second.end().code, 0);
}

#[test]
fn the_cache_keeps_bytes_as_they_are() {
    let master = Master::start("test", &[]);
    let cache = |arguments: &[&str], input: &[u8]| {
        let mut command = palm();
        command.args(["cache", "--db", &master.db]).args(arguments);
        run_with(command, input)
    };
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(cache(&["set", "bytes", "-"], &bytes).code, 0);
    assert_eq!(cache(&["get", "bytes"], b"").out, bytes);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"from a file").unwrap();
    assert_eq!(cache(&["set", "bytes", "--file", file.path().to_str().unwrap()], b"").out, b"");
    assert_eq!(cache(&["get", "bytes"], b"").out, b"from a file");
    assert_eq!(cache(&["delete", "bytes"], b"").code, 0);
    let absent = cache(&["get", "bytes"], b"");
    assert_eq!((absent.code, absent.out.as_slice()), (1, &b""[..]));
    assert!(absent.err.contains("has no value under the key \"bytes\""), "{}", absent.err);
    assert_eq!(cache(&["delete", "bytes"], b"").code, 0, "nothing to delete is no error");
    let made = cache(&["set", "", "value"], b"").lines().join("");
    assert_eq!(cache(&["get", &made], b"").out, b"value");
    assert_eq!(cache(&["get", "name"], b"").out, b"test");
}

#[test]
fn a_value_that_the_server_would_not_read_is_not_sent() {
    let master = Master::start("test", &["--max-message", "2KiB"]);
    let set = |length: usize| {
        let mut command = palm();
        command.args(["cache", "set", "k", "-", "--db", &master.db]);
        run_with(command, &vec![b'x'; length])
    };
    let Ended { code, err, .. } = set(3000);
    assert_eq!(code, 1);
    assert!(err.contains("3001 bytes") && err.contains("2048 at most"), "{err}");
    // The longest that is sent, and one byte more.
    let longest = 2048 - 64 - 1;
    assert_eq!((set(longest).code, set(longest + 1).code), (0, 1));
}

#[test]
fn a_master_says_what_a_python_master_says_and_stops_well() {
    let mut master = Master::start("test", &["--stats", "10s"]);
    master.process.signal("USR1");
    master.process.wait_for_line("Counters: ");
    let Ended { code, out, .. } = master.stop();
    let log = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{log}");
    let texts: Vec<_> =
        log.lines().filter_map(|line| line.split_once(" - root - INFO - ")).map(|(_, text)| text).collect();
    let expected = [
        "Starting the router",
        "Starting inbound part Pull",
        "Starting inbound part WorkerPull",
        "Starting outbound part WorkerPush",
        "Starting outbound part Pub",
        "Starting bypass part Cache",
        "Launch router",
        "Inbound Pull connects to WorkerPush",
        "b'Pull' successfully started",
        "Inbound WorkerPull connects to Pub",
        "b'WorkerPull' successfully started",
        "b'WorkerPush' successfully started",
        "Outbound WorkerPush connects to exterior",
        "b'Pub' successfully started",
        "Outbound Pub connects to exterior",
    ];
    assert_eq!(texts[..expected.len()], expected);
    assert_eq!(texts.last(), Some(&"Stopped: nothing was left"));
}

#[test]
fn what_a_master_counts_adds_up() {
    let master = Master::start("test", &[]);
    let _worker = master.worker("w", &["--demo", "--exec", "slow=sleep 1000"]);
    assert_eq!(master.launch("foo", &[], b"").code, 0);
    assert_eq!(master.launch("slow", &["--repeat", "3", "--deadline", "200ms"], b"").code, 1);
    let log = String::from_utf8(master.stop().out).unwrap();
    let line = log.lines().rfind(|line| line.contains("Counters: 0 queued, 0 with 1 worker, 0 results for ")).unwrap();
    let count = |name: &str| {
        let found = line.split(' ').filter_map(|word| word.split_once('=')).find(|(key, _)| *key == name);
        found.unwrap_or_else(|| panic!("no {name} in {line}")).1.parse::<u64>().unwrap()
    };
    let ends =
        ["answered", "silent", "deadlines", "cancelled", "dead_letters", "unaddressed", "unsendable", "unavailable"];
    assert_eq!((count("taken"), count("deadlines")), (13, 3), "{line}");
    assert_eq!(ends.map(count).iter().sum::<u64>(), count("taken"), "{line}");
}

#[test]
fn a_master_says_at_its_end_how_many_lines_it_left_out() {
    let master = Master::start("test", &[]);
    for _ in 0..15 {
        let mut peer = std::net::TcpStream::connect(master.pull.trim_start_matches("tcp://")).unwrap();
        peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        // Until the master has had enough of it.
        let _ = peer.read_to_end(&mut Vec::new());
    }
    let log = String::from_utf8(master.stop().out).unwrap();
    assert!(log.contains("further lines of this kind left out: "), "{log}");
}

#[test]
fn an_address_in_use_and_bounds_that_cannot_work_are_said() {
    let master = Master::start("test", &[]);
    let Ended { code, out, err } = run(&["master", "--name", "other", "--pull", &master.pull]);
    assert_eq!(code, 1);
    let text = format!("{} is in use: is another master running?", master.pull);
    assert!(err.contains(&text), "{err}");
    assert!(String::from_utf8_lossy(&out).contains(&text), "a runner reads standard output only");
}

#[test]
fn settings_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let master = Master::start("test", &[]);
    let settings = format!(
        "[worker]\nname = 'filed'\ndb = '{0}'\nshell = true\n[worker.exec]\nupper = 'tr a-z A-Z | cat'\n\
         [launch]\ndb = '{0}'\nserver = 'test'\nfunction = 'upper'\nmessage = 'abc'\nrepeat = 2\n",
        master.db
    );
    std::fs::write(file.path(), settings).unwrap();
    let palm = |arguments: &[&str]| {
        let mut command = palm();
        command.args(arguments).env("PALM_CONFIG", file.path());
        command
    };
    let mut worker = Running::start(palm(&["worker"]));
    worker.wait_for_line(" - filed - INFO - Got worker pull address");
    assert_eq!(run_with(palm(&["launch"]), b"").lines(), ["ABC", "ABC"]);
    assert_eq!(run_with(palm(&["launch", "--lines", "-"]), b"x\n").lines(), ["X"], "a flag beats a key it excludes");
    for (variable, value, flags) in
        [("PALM_LAUNCH_MESSAGE", "z", ["--lines", "-"]), ("PALM_LAUNCH_LINES", "/no/such/file", ["--message", "x"])]
    {
        let mut command = palm(&[&["launch", "--db", &master.db, "--server", "test"][..], &flags].concat());
        command.env(variable, value);
        let ended = run_with(command, b"x\nx\n");
        assert_eq!(ended.lines(), ["X", "X"], "a flag beats a variable it excludes: {}", ended.err);
    }
}

#[test]
fn variables_have_a_value_in_each_line() {
    let master = Master::start("test", &[]);
    let mut command = palm();
    command.args(["worker", "--name", "w"]).env("PALM_DB", &master.db).env("PALM_WORKER_SHELL", "yes");
    command.env("PALM_WORKER_EXEC", "upper=tr a-z A-Z | cat\ncount=wc -c");
    let mut worker = Running::start(command);
    worker.wait_for_line("Got worker pull address");
    let folder = tempfile::tempdir().unwrap();
    let files = ["one", "two words"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    files.iter().for_each(|file| std::fs::write(file, "abc").unwrap());
    for (function, result) in [("upper", "ABC"), ("count", "3")] {
        let mut command = palm();
        command.args(["launch", "--server", "test", "--function", function]).env("PALM_DB", &master.db);
        command.env("PALM_LAUNCH_FILES", files.join("\n")).env("PALM_LAUNCH_QUIET", "1");
        let ended = run_with(command, b"");
        let lines: Vec<_> = ended.lines().into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!((ended.code, lines, ended.err.as_str()), (0, vec![result.to_owned(); 2], ""));
    }
}

#[test]
fn the_demo_ends_by_itself() {
    let Ended { code, out, err } = run(&["demo", "--messages", "500"]);
    let out = String::from_utf8(out).unwrap();
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("500 right results of 500"), "{out}");
    assert!(out.ends_with("Stopped: 0 messages left undone.\n"), "{out}");
}

#[test]
fn a_benchmark_loses_nothing() {
    let Ended { code, out, err } = run(&["bench", "local", "--messages", "2000", "--size", "1KiB", "--json"]);
    assert_eq!(code, 0, "{err}");
    let figures: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&figures["lost"], &figures["messages"]), (&0.into(), &2000.into()));
    let names: BTreeSet<_> = figures.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(names.is_superset(&["rate", "p50_us", "p99_us", "max_us"].into()), "{names:?}");

    let master = Master::start("test", &[]);
    let mut command = palm();
    command.args(["bench", "worker", "--db", &master.db]);
    let worker = Running::start(command);
    let Ended { code, out, err } = run(&["bench", "client", "--db", &master.db, "--messages", "300"]);
    assert_eq!(code, 0, "{err}");
    assert!(String::from_utf8_lossy(&out).contains("lost     0\n"));
    worker.signal("INT");
    assert_eq!(worker.end().code, 0);
}
