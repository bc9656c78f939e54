//! Where a master listens, and where it does not.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;

use support::cluster::Master;
use support::{Ended, Running, cable, palm, run};

/// A master that speaks no ZeroMQ, and where its native peers connect to.
fn native_only(flags: &[&str], sockets: usize) -> (Running, Vec<String>) {
    let mut command = palm();
    command.args(["master", "--name", "test", "--grace", "2s", "--no-zmq"]).args(flags);
    let mut master = Running::start(command);
    master.wait_for_line(" - INFO - test successfully started");
    let address = |line: String| line.split("connect to ").nth(1).unwrap().to_owned();
    let addresses =
        (0..sockets).map(|_| address(master.wait_for_line("Native clients and workers connect to"))).collect();
    (master, addresses)
}

/// Ports at which a process listens, and paths.
fn listening(process: u32) -> (Vec<u16>, Vec<String>) {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let own: BTreeSet<_> =
        links.map(|link| link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).to_owned()).collect();
    let table = |name: &str| std::fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let tcp = [table("tcp"), table("tcp6")].concat();
    let tcp = tcp
        .lines()
        .map(words)
        .filter(|words| words.get(3).is_some_and(|state| state == "0A") && own.contains(&words[9]));
    let ports = tcp.map(|words| u16::from_str_radix(words[1].rsplit(':').next().unwrap(), 16).unwrap());
    // A socket that accepts connections has this flag.
    let unix = table("unix");
    let unix = unix.lines().map(words).filter(|words| words.get(3).is_some_and(|flags| flags == "00010000"));
    let paths = unix.filter(|words| own.contains(&words[6])).map(|words| words.get(7).cloned().unwrap_or_default());
    (ports.collect(), paths.collect())
}

#[test]
fn without_zeromq_only_native_peers_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s").to_str().unwrap().to_owned();
    let [line, other_end] = cable::ends();
    let flags = ["--tcp", "127.0.0.1:0", "--unix", &path, "--serial", &line];
    let (master, addresses) = native_only(&flags, 2);
    let port: u16 = addresses[0].rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(listening(master.id()), (vec![port], vec![path.clone()]));
    let serial = format!("serial://{other_end}");
    for address in [&addresses[0], &addresses[1], &serial] {
        let mut command = palm();
        command.args(["worker", "--name", "w", "--connect", address, "--exec", "upper=tr a-z A-Z"]);
        let mut worker = Running::start(command);
        worker.wait_for_line("connected to master test");
        // At the line is one peer at a time.
        let from = if *address == serial { &addresses[0] } else { address };
        let launched =
            run(&["launch", "--function", "upper", "--connect", from, "--message", "text", "--connect-timeout", "30s"]);
        assert_eq!((launched.code, launched.lines()), (0, vec!["TEXT".to_owned()]), "{}", launched.err);
        assert_eq!(run(&["cache", "set", "k", address, "--connect", from]).code, 0);
        assert_eq!(run(&["cache", "get", "k", "--connect", from]).out, address.as_bytes());
        assert_eq!(run(&["cache", "get", "name", "--connect", from]).out, b"test");
        assert_eq!(run(&["cache", "get", "pull_address", "--connect", from]).code, 1, "there is none");
        worker.signal("TERM");
        assert_eq!(worker.end().code, 0);
    }
    master.signal("TERM");
    let Ended { code, out, .. } = master.end();
    let log = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("Pull") && !log.contains("Pub"), "{log}");
}

#[test]
fn a_serial_line_may_be_all_that_a_master_has() {
    let [line, other_end] = cable::ends();
    let (master, _) = native_only(&["--serial", &line], 0);
    assert_eq!(listening(master.id()).0, [0; 0]);
    let address = format!("serial://{other_end}");
    assert_eq!(run(&["cache", "get", "name", "--connect", &address, "--timeout", "30s"]).out, b"test");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, link, left) = (path("file"), path("link"), path("left"));
    std::fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let free = ["--pub", "--wpush", "--wpull", "--db"].map(|flag| [flag, "tcp://127.0.0.1:0"]).concat();
    let master = ["master", "--name", "m"];
    for (place, what) in [(&file, "a file that is no socket"), (&link, "a symbolic link")] {
        let ipc = format!("ipc://{place}");
        let zeromq = run(&[&master[..], &free, &["--pull", &ipc]].concat());
        let native = run(&[&master[..], &["--no-zmq", "--unix", place]].concat());
        for (ended, named) in [(zeromq, format!("--pull {ipc}")), (native, format!("--unix unix://{place}"))] {
            let said = format!("palm: cannot bind {named}: there is {what}, which is left alone\n");
            assert_eq!((ended.code, ended.err), (1, said));
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str().unwrap(), file);
    // One that a master has left behind is replaced, and goes with the master.
    drop(UnixListener::bind(&left).unwrap());
    let (running, _) = native_only(&["--unix", &left], 1);
    let Ended { code, err, .. } = run(&[&master[..], &["--no-zmq", "--unix", &left]].concat());
    assert!(code == 1 && err.contains(&format!("--unix unix://{left} is in use: is another master running?")), "{err}");
    running.signal("TERM");
    assert_eq!(running.end().code, 0);
    assert!(std::fs::symlink_metadata(&left).is_err());
}

#[test]
fn an_interface_is_bound_by_its_name() {
    let master = Master::start("test", &["--pull", "tcp://lo:0", "--tcp", "lo:0"]);
    assert!(master.pull.starts_with("tcp://127.0.0.1:"), "{}", master.pull);
    assert_eq!(
        master.launch("none", &["--timeout", "100ms", "--message", "m"], b"").code,
        1,
        "it is reached, and has no worker"
    );
    let Ended { code, err, .. } = run(&["master", "--name", "m", "--pull", "tcp://[fe80::1%none]:0"]);
    let told = "palm: cannot bind --pull tcp://[fe80::1%none]:0: there is no interface none (interfaces: ";
    assert!(code == 1 && err.starts_with(told) && err.contains("lo"), "{err}");
    for (flag, address) in [("--pull", "tcp://eth99:0"), ("--tcp", "eth99:0")] {
        let Ended { code, err, .. } = run(&["master", "--name", "m", flag, address]);
        let told = "://eth99:0: there is no interface eth99, and no host of that name (interfaces: ";
        assert!(code == 1 && err.contains(told) && err.contains("lo"), "{err}");
    }
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let master = Master::start("test", &["--pull", "tcp://[::1%lo]:0", "--tcp", "[::1%lo]:0"]);
    assert!(master.pull.starts_with("tcp://[::1]:"), "{}", master.pull);
    let _worker = master.worker("w", &["--demo", "--transport", "zmq"]);
    for transport in ["zmq", "tcp"] {
        let ended = master.launch("echo", &["--message", "m", "--transport", transport], b"");
        assert_eq!((ended.code, ended.lines()), (0, vec!["m".to_owned()]), "{}", ended.err);
    }
}

#[test]
fn what_cannot_be_bound_is_told_by_its_flag() {
    let master = Master::start("test", &["--tcp", "127.0.0.1:0"]);
    let run = |flags: &[&str]| run(&[&["master", "--name", "other"][..], flags].concat());
    let pull = master.pull.as_str();
    for (flags, said) in [
        (&["--pull", pull, "--db", pull][..], format!("--pull {pull} and --db {pull} are the same address")),
        (
            &["--tcp", "lo:7777", "--wpull", "tcp://*:7777"],
            "--wpull tcp://*:7777 and --tcp tcp://lo:7777 are the".into(),
        ),
        (&["--unix", "/x", "--unix", "/x"], "--unix unix:///x and --unix unix:///x are the same address".into()),
        (&["--no-zmq"], "--no-zmq leaves no way to reach the master: add --tcp, --unix or --serial".into()),
        (&["--no-zmq", "--tcp", "lo:0", "--pull", "tcp://*:1"], "cannot be used with".into()),
    ] {
        let Ended { code, err, .. } = run(flags);
        assert!(code == 2 && err.contains(&said), "{flags:?}: {code} {err}");
    }
    let taken = pull.trim_start_matches("tcp://");
    let Ended { code, err, .. } = run(&["--no-zmq", "--tcp", "127.0.0.1:0", "--tcp", taken]);
    assert!(code == 1 && err.contains(&format!("--tcp {pull} is in use: is another master running?")), "{err}");
}
