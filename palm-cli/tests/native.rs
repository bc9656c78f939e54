//! The native protocol through the program, alone and beside ZeroMQ.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::cluster::Master;
use support::{Ended, Running, palm, run, run_with, until};

/// A master with a native listener, and where that is.
fn native_master(flags: &[&str]) -> (Master, String) {
    let mut master = Master::start("test", &[&["--tcp", "127.0.0.1:0"], flags].concat());
    let address = address(&mut master);
    (master, address)
}

fn address(master: &mut Master) -> String {
    let line = master.process.wait_for_line("Native clients and workers connect to tcp://");
    line.rsplit_once(' ').unwrap().1.to_owned()
}

/// A native worker that has found its master.
fn worker(address: &str, flags: &[&str]) -> Running {
    let mut command = palm();
    command.args(["worker", "--name", "w", "--connect", address]).args(flags);
    let mut worker = Running::start(command);
    worker.wait_for_line("connected to master test");
    worker
}

fn launch_command(address: &str, function: &str, flags: &[&str]) -> Command {
    let mut command = palm();
    command.args(["launch", "--connect", address, "--function", function]).args(flags);
    command
}

fn launch(address: &str, function: &str, flags: &[&str], input: &[u8]) -> Ended {
    run_with(launch_command(address, function, flags), input)
}

fn numbers(count: u32) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

#[test]
fn the_example_application() {
    let (master, address) = native_master(&[]);
    let worker = worker(&address, &["--demo"]);
    let ended = launch(&address, "foo", &[], b"");
    assert_eq!((ended.code, ended.lines()), (0, vec!["w processed a message".to_owned(); 10]), "{}", ended.err);
    assert!(ended.err.starts_with("10 messages sent, 10 results, 0 failed, 0 missing in "), "{}", ended.err);
    assert_eq!(launch(&address, "test.foo", &["--quiet", "--server", "test"], b"").err, "");
    worker.signal("TERM");
    let ended = worker.end();
    let log = String::from_utf8_lossy(&ended.out);
    assert_eq!(ended.code, 0, "{log}");
    assert!(
        log.contains("SIGTERM: finishing what is in hand") && log.contains("Stopped: 20 results, 0 failed"),
        "{log}"
    );
    assert_eq!(master.stop().code, 0);
}

#[test]
fn results_take_every_form() {
    let (_master, address) = native_master(&[]);
    let _worker = worker(&address, &["--jobs", "4", "--exec", "upper=tr a-z A-Z", "--serve", "same=cat"]);
    let input = numbers(200);
    for function in ["upper", "same"] {
        let ended = launch(&address, function, &["--lines", "-", "--ordered", "--window", "20"], input.as_bytes());
        let expected = if function == "upper" { input.to_uppercase() } else { input.clone() };
        assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, expected), "{}", ended.err);
    }
    let ended = launch(&address, "upper", &["--lines", "-", "--ordered", "--output", "raw"], b"a\nb\n\nc");
    assert_eq!((ended.code, ended.out.as_slice()), (0, &b"ABC"[..]));
    let ended = launch(&address, "upper", &["--lines", "-", "--output", "json", "--priority", "2"], b"a\nb");
    let objects = ended.lines().iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let payloads: BTreeSet<_> = objects.iter().map(|object| object["payload"].as_str().unwrap()).collect();
    assert_eq!((ended.code, payloads), (0, BTreeSet::from(["A", "B"])));
    assert!(launch(&address, "upper", &["--output", "none"], b"").out.is_empty());

    let folder = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).filter(|byte| *byte != b'\n').collect();
    std::fs::write(folder.path().join("big"), &big).unwrap();
    let [file, results] = ["big", "results"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let ended = launch(&address, "same", &["--output-dir", &results, "--files", &file], b"");
    assert_eq!((ended.code, ended.out.as_slice()), (0, &b""[..]), "{}", ended.err);
    assert!(std::fs::read(format!("{results}/big")).unwrap() == big, "every byte of it");
}

#[test]
fn failures_are_told() {
    let (_master, address) = native_master(&[]);
    let flags = ["--shell", "--exec", "bad=echo oh no >&2; exit 3", "--exec", "who=echo $PALM_METHOD $PALM_CACHE"];
    let mut worker = worker(&address, &flags);
    let ended = launch(&address, "bad", &["--repeat", "2", "--output", "json", "--ordered"], b"");
    assert_eq!(ended.code, 1);
    let object: Value = serde_json::from_str(&ended.lines()[1]).unwrap();
    assert_eq!((&object["status"], &object["error"]), (&"failed".into(), &"exit status: 3: oh no".into()));
    assert!(ended.err.contains("2 messages sent, 0 results, 2 failed, 0 missing"), "{}", ended.err);
    worker.wait_for_line(" - w - INFO - bad: oh no");
    let ended = launch(&address, "nothing", &["--repeat", "1"], b"");
    assert!(ended.code == 1 && ended.err.contains("failed: message 1: no such function"), "{}", ended.err);
    let ended = launch(&address, "who", &["--repeat", "1", "--cache", "some data", "--output", "raw"], b"");
    assert_eq!(ended.out, b"who some data\n");
    let ended = launch(&address, "who", &["--repeat", "1", "--results", "2"], b"");
    assert!(ended.code == 1 && ended.err.contains("the function gave 1 of 2 results"), "{}", ended.err);
    let ended = launch(&address, "who", &["--server", "other"], b"");
    assert!(ended.code == 2 && ended.err.contains("is named test, not other"), "{}", ended.err);
}

#[test]
fn what_is_late_is_missing_over_either_protocol() {
    let (master, address) = native_master(&[]);
    for transport in [&["--connect", &address][..], &["--db", &master.db, "--transport", "zmq"]] {
        let mut command = palm();
        command.args(["launch", "--server", "test", "--function", "foo", "--repeat", "3", "--deadline", "200ms"]);
        command.args(transport);
        let ended = run_with(command, b"");
        assert!(ended.code == 1 && ended.err.contains("0 results, 0 failed, 3 missing"), "{}", ended.err);
    }
}

#[test]
fn native_peers_and_those_over_zeromq_work_for_each_other() {
    let (master, address) = native_master(&[]);
    let input = numbers(100);
    let flags = ["--lines", "-", "--ordered"];
    {
        let _worker = master.worker("z", &["--transport", "zmq", "--exec", "upper=tr a-z A-Z", "--demo"]);
        let ended = launch(&address, "upper", &flags, input.as_bytes());
        assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, input.to_uppercase()), "{}", ended.err);
        assert_eq!(launch(&address, "foo", &[], b"").lines(), ["z processed a message"; 10]);
    }
    let _worker = worker(&address, &["--exec", "upper=tr a-z A-Z", "--demo"]);
    let flags = [&flags[..], &["--transport", "zmq"]].concat();
    let ended = master.launch("upper", &flags, input.as_bytes());
    assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, input.to_uppercase()), "{}", ended.err);
    assert_eq!(master.launch("foo", &["--transport", "zmq"], b"").lines(), ["w processed a message"; 10]);
}

#[test]
fn the_cache_leads_to_the_native_protocol() {
    let (master, address) = native_master(&[]);
    let mut command = palm();
    command.args(["worker", "--name", "w", "--demo", "--db", &master.db]);
    let mut worker = Running::start(command);
    worker.wait_for_line(&format!("Connecting to the master at {address}"));
    let ended = master.launch("foo", &["--log-level", "debug"], b"");
    assert_eq!(ended.lines(), ["w processed a message"; 10]);
    assert_eq!(master.launch("foo", &["--transport", "tcp"], b"").lines(), ["w processed a message"; 10]);

    let plain = Master::start("plain", &[]);
    let _worker = plain.worker("z", &["--demo"]);
    assert_eq!(plain.launch("foo", &[], b"").lines(), ["z processed a message"; 10]);
    let ended = plain.launch("foo", &["--transport", "tcp"], b"");
    assert!(ended.code == 2 && ended.err.contains("offers no native protocol"), "{}", ended.err);
}

#[test]
fn a_native_address_out_of_reach_leaves_zeromq() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let master = Master::start("test", &["--unix", socket.to_str().unwrap()]);
    std::fs::remove_file(&socket).unwrap();
    let _worker = master.worker("z", &["--demo"]);
    assert_eq!(master.launch("foo", &[], b"").lines(), ["z processed a message"; 10]);
    let ended = master.launch("foo", &["--transport", "tcp"], b"");
    assert!(ended.code == 1 && ended.err.contains("cannot be reached from here"), "{}", ended.err);
}

#[test]
fn a_token_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let token = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let (right, wrong) = (token("right", "secret\n"), token("wrong", "guess\n"));
    let (master, address) = native_master(&["--token-file", &right]);
    let missing = "the master refuses: it wants a token, and none was given: name its file with --token-file FILE\n";
    for (flags, why) in [(&["--token-file", &wrong][..], "the master refuses: wrong token\n"), (&[], missing)] {
        let ended = launch(&address, "foo", flags, b"");
        assert!(ended.code == 1 && ended.err.ends_with(why), "{}", ended.err);
        let ended = run(&[&["worker", "--demo", "--connect", &address], flags].concat());
        assert!(ended.code == 1 && ended.err.ends_with(why), "{}", ended.err);
        let ended = run(&[&["cache", "get", "name", "--connect", &address], flags].concat());
        assert!(ended.code == 1 && ended.err.ends_with(why), "{}", ended.err);
    }
    // A token goes only to an address that was given.
    let ended = master.launch("foo", &["--transport", "tcp"], b"");
    let remedy = format!("name its file with --connect {address} --token-file FILE\n");
    assert!(ended.code == 1 && ended.err.ends_with(&remedy), "{}", ended.err);
    let _worker = worker(&address, &["--demo", "--token-file", &right]);
    assert_eq!(launch(&address, "foo", &["--token-file", &right], b"").lines(), ["w processed a message"; 10]);
    // Nobody who has no token is worse off than before the master had a native listener.
    assert_eq!(master.launch("foo", &[], b"").lines(), ["w processed a message"; 10]);
    let _other = master.worker("z", &["--demo"]);
}

#[test]
fn a_master_that_is_killed_and_comes_back_costs_no_result() {
    let (mut master, address) = native_master(&[]);
    let mut worker = worker(&address, &["--jobs", "2", "--shell", "--exec", "slow=sleep 0.05; cat"]);
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), numbers(60)).unwrap();
    let flags = ["--lines", input.path().to_str().unwrap(), "--window", "20"];
    let mut launcher = Running::start(launch_command(&address, "slow", &flags));
    launcher.wait_for_line("line");
    master.process.signal("KILL");
    master.process.child.wait().unwrap();
    let master = Master::start("test", &["--tcp", address.trim_start_matches("tcp://")]);
    worker.wait_for_line("connected to master test");
    let ended = launcher.end();
    let mut lines = ended.lines();
    lines.sort_by_key(|line| line.split(' ').nth(1).unwrap().parse::<u32>().unwrap());
    assert_eq!((ended.code, lines.join("\n") + "\n"), (0, numbers(60)), "{}", ended.err);
    assert!(ended.err.contains("60 messages sent, 60 results, 0 failed, 0 missing"), "{}", ended.err);
    assert_eq!(master.stop().code, 0);
}

#[test]
fn a_master_that_comes_back_at_another_port_is_found_through_its_cache() {
    let (mut master, _) = native_master(&[]);
    let mut command = palm();
    command.args(["worker", "--name", "w", "--db", &master.db, "--shell", "--exec", "slow=sleep 0.05; cat"]);
    let mut worker = Running::start(command);
    worker.wait_for_line("connected to master test");
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), numbers(40)).unwrap();
    let flags = ["--transport", "zmq", "--ordered", "--lines", input.path().to_str().unwrap()];
    let mut launcher = master.launcher("slow", &flags);
    launcher.wait_for_line("line");
    master.process.signal("KILL");
    master.process.child.wait().unwrap();
    let (second, address) = native_master(&["--db", &master.db]);
    worker.wait_for_line(&format!("Looking for the master at {address}"));
    worker.wait_for_line("connected to master test");
    let ended = launcher.end();
    assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, numbers(40)), "{}", ended.err);
    worker.signal("TERM");
    assert_eq!((worker.end().code, second.stop().code), (0, 0));
}

/// A worker and a job that have found their master through its cache, which is killed then, with what is under way.
fn found_through_the_cache(master: &mut Master) -> (Running, Running, tempfile::NamedTempFile) {
    let mut command = palm();
    command.args(["worker", "--name", "w", "--db", &master.db, "--shell", "--exec", "slow=sleep 0.05; cat"]);
    let mut worker = Running::start(command);
    worker.wait_for_line("connected to master test");
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), numbers(40)).unwrap();
    let flags = ["--ordered", "--window", "8", "--lines", input.path().to_str().unwrap()];
    let mut launcher = master.launcher("slow", &flags);
    launcher.wait_for_line("line 3");
    master.process.signal("KILL");
    master.process.child.wait().unwrap();
    (worker, launcher, input)
}

fn assert_all_is_done(launcher: Running) {
    let ended = launcher.end();
    assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, numbers(40)), "{}", ended.err);
    assert!(ended.err.contains("40 messages sent, 40 results, 0 failed, 0 missing"), "{}", ended.err);
}

#[test]
fn a_job_follows_its_master_to_another_port() {
    let (mut master, _) = native_master(&[]);
    let (_worker, launcher, _input) = found_through_the_cache(&mut master);
    let (second, _) = native_master(&["--db", &master.db]);
    assert_all_is_done(launcher);
    assert_eq!(second.stop().code, 0);
}

#[test]
fn a_master_that_comes_back_without_the_native_protocol_is_spoken_to_over_zeromq() {
    let (mut master, _) = native_master(&[]);
    let (mut worker, launcher, _input) = found_through_the_cache(&mut master);
    let second = Master::start("test", &["--db", &master.db]);
    worker.wait_for_line("takes no native peers any more: speaking ZeroMQ");
    assert_all_is_done(launcher);
    worker.signal("TERM");
    assert_eq!((worker.end().code, second.stop().code), (0, 0));
}

#[test]
fn a_killed_workers_messages_go_to_another() {
    let (master, address) = native_master(&[]);
    let functions = ["--jobs", "4", "--shell", "--exec", "slow=sleep 0.05; cat"];
    let victim = worker(&address, &functions);
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), numbers(60)).unwrap();
    let flags = ["--lines", input.path().to_str().unwrap(), "--ordered"];
    let mut launcher = Running::start(launch_command(&address, "slow", &flags));
    launcher.wait_for_line("line");
    let _other = worker(&address, &functions);
    victim.signal("KILL");
    let ended = launcher.end();
    assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, numbers(60)), "{}", ended.err);
    assert_eq!(master.stop().code, 0);
}

#[test]
fn what_nobody_wants_any_more_is_ended() {
    let (_master, address) = native_master(&[]);
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let command = format!("hang=sleep 1000 & echo $! >>{0}; echo $$ >>{0}; wait", pids.display());
    let _worker = worker(&address, &["--shell", "--exec", &command]);
    let launcher = Running::start(launch_command(&address, "hang", &["--repeat", "1"]));
    until("the program's start", || lines_of(&pids).len() == 2);
    launcher.signal("INT");
    assert_eq!(launcher.end().code, 1);
    until("the end of the program", || lines_of(&pids).iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
}

fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn the_cache_has_versions_conditions_and_lifetimes() {
    let (master, address) = native_master(&[]);
    let cache = |arguments: &[&str]| run(&[&["cache", "--db", &master.db], arguments].concat());
    assert_eq!(cache(&["set", "k", "one"]).code, 0);
    let version = |text: &str| {
        let ended = cache(&["get", "--version", "k"]);
        let object: Value = serde_json::from_slice(&ended.out).unwrap();
        assert_eq!(object["value"], text);
        object["version"].as_u64().unwrap().to_string()
    };
    let first = version("one");
    let ended = cache(&["set", "k", "x", "--if-absent"]);
    assert!(ended.code == 1 && ended.err.contains(&format!("has a value of version {first}")), "{}", ended.err);
    let ended = cache(&["set", "k", "two", "--if-version", &first, "--version"]);
    let object: Value = serde_json::from_slice(&ended.out).unwrap();
    assert_eq!((ended.code, object["version"].as_u64().unwrap().to_string()), (0, version("two")));
    assert_eq!(cache(&["delete", "k", "--if-version", &first]).code, 1);
    assert_eq!(cache(&["delete", "k", "--if-version", &version("two")]).code, 0);
    assert_eq!(cache(&["set", "k", "three", "--if-absent", "--ttl", "100ms"]).code, 0);
    until("the value's end", || cache(&["get", "k"]).code == 1);

    let native = |arguments: &[&str]| run(&[&["cache", "--connect", &address], arguments].concat());
    assert_eq!(native(&["set", "k", "four"]).code, 0);
    assert_eq!(native(&["get", "k"]).out, b"four");
    assert_eq!((native(&["delete", "k"]).code, native(&["delete", "k"]).code, native(&["get", "k"]).code), (0, 0, 1));
    let plain = Master::start("plain", &[]);
    let ended = run(&["cache", "--db", &plain.db, "get", "--version", "name"]);
    assert!(ended.code == 2 && ended.err.contains("--version needs the native protocol"), "{}", ended.err);
    assert!(ended.err.contains("or leave --version away"), "{}", ended.err);
}

#[test]
fn a_worker_at_a_serial_line() {
    let ends = support::cable::ends();
    let mut master = Master::start("test", &["--serial", &ends[0]]);
    master.process.wait_for_line(&format!("served at serial://{}", ends[0]));
    let _worker = worker(&format!("serial://{}?baud=115200", ends[1]), &["--demo", "--exec", "upper=tr a-z A-Z"]);
    let input = numbers(50);
    let ended = master.launch("upper", &["--lines", "-", "--ordered"], input.as_bytes());
    assert_eq!((ended.code, String::from_utf8(ended.out).unwrap()), (0, input.to_uppercase()), "{}", ended.err);
    let ended = run(&["master", "--name", "m", "--serial", "/dev/null", "--pull", "tcp://127.0.0.1:0"]);
    assert_ne!(ended.code, 0);
}
