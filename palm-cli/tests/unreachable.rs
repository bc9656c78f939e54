//! What is said where nobody listens.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use support::{Ended, Running, palm, run};

/// A port of this host at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn who_reaches_nobody_says_so_while_it_tries_and_why_at_its_end() {
    let address = nobody();
    let tcp = format!("tcp://{address}");
    let launch = &["launch", "--function", "f", "--server", "s", "--message", "m", "--connect-timeout", "3s"][..];
    let get = &["cache", "get", "--timeout", "3s", "key"][..];
    for (command, way, at) in [
        (launch, &["--db", &tcp][..], "the cache at "),
        (launch, &["--db", &tcp, "--transport", "zmq"], "the cache at "),
        (launch, &["--push", &tcp, "--sub", &tcp], ""),
        (launch, &["--connect", &tcp], ""),
        (get, &["--db", &tcp], "the cache at "),
        (get, &["--connect", &tcp], ""),
    ] {
        let Ended { code, err, .. } = run(&[command, way].concat());
        let lines: Vec<_> = err.lines().collect();
        let [said, end] = lines[..] else { panic!("{way:?}: {err}") };
        let refused = format!("cannot reach {at}{tcp}: Connection refused (os error 111); trying again");
        assert!(said.ends_with(&refused), "{way:?}: {err}");
        let why = if way.contains(&"--sub") { "nobody listens at tcp://" } else { "Connection refused" };
        assert!(code == 1 && end.starts_with("palm: ") && end.contains(why), "{way:?}: {err}");
    }
}

#[test]
fn a_worker_that_reaches_nobody_says_so_and_goes_on() {
    let address = nobody();
    let tcp = format!("tcp://{address}");
    for (way, at) in [
        (&["--db", &tcp][..], "the cache at "),
        (&["--db", &tcp, "--transport", "zmq"], "the cache at "),
        (&["--push", &tcp, "--pull", &tcp], ""),
        (&["--connect", &tcp], ""),
    ] {
        let mut command = palm();
        command.args(["worker", "--demo"]).args(way);
        let mut worker = Running::start(command);
        worker.wait_for_line(&format!("cannot reach {at}{tcp}: Connection refused (os error 111); trying again"));
        worker.signal("TERM");
        assert_eq!(worker.end().code, 0, "{way:?}");
    }
}
