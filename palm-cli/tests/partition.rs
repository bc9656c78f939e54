//! A network that carries nothing any more: no connection ends, so that only the operating system's own timers tell that a
//! subscriber is gone, who is sent no PING (`docs/spec.md`, section 6.2).
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::io::Write as _;
use std::process::Command;

use support::{Running, until, without_variables};

/// A shell in a network that nobody else has; all that it starts ends with it.
struct Network(Running);

impl Network {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "sh"]);
        command.env("PALM", env!("CARGO_BIN_EXE_palm"));
        without_variables(&mut command);
        let mut network = Self(Running::start(command));
        network.hear("ip link set lo up && echo a network || echo no network");
        network.0.wait_for_line("a network");
        network
    }

    /// Has the shell do something.
    fn hear(&mut self, line: &str) {
        writeln!(self.0.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits until the master's counters say this.
    fn wait_until_counted(&mut self, what: &str) {
        let before = self.0.said().len();
        let (network, stdin) = (&self.0, std::cell::RefCell::new(self.0.child.stdin.as_ref().unwrap()));
        until(what, || {
            writeln!(stdin.borrow_mut(), "kill -s USR1 $master").unwrap();
            network.said()[before..].contains(what)
        });
    }
}

#[test]
#[ignore = "makes a network of its own, for which it has to be root, or to be allowed user namespaces"]
fn subscribers_behind_a_network_that_carries_nothing_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    let mut network = Network::new();
    network.hear(&format!("w='ipc://{folder}/push'; r='ipc://{folder}/pull'; go='{folder}/go'"));
    network.hear("$PALM master --name test --heartbeat 1s --keep 1s --wpush $w --wpull $r & master=$!");
    network.0.wait_for_line("Outbound Pub connects to exterior");
    // The worker stays, over Unix sockets: one message is never answered, the other after the network is cut.
    let functions = "--exec 'never=sleep 1000' --exec \"later=while [ ! -e $go ]; do sleep 0.05; done\"";
    network.hear(&format!("$PALM worker --name w --shell --jobs 2 {functions} --pull $w --push $r &"));
    network.0.wait_for_line("Got worker pull address");
    for function in ["never", "later"] {
        network.hear(&format!("$PALM launch --server test --function {function} --repeat 1 &"));
    }
    network.wait_until_counted("2 with 1 worker, 0 results for 2 subscribers");
    // From here on one connection is idle, for keep-alive, and one has what is not acknowledged, for the user time-out.
    network.hear("ip link set lo down; : >$go");
    network.wait_until_counted("1 with 1 worker, 0 results for 0 subscribers");
}

/// Neither end is gone, nothing passes for a while, and then everything does again: whoever connected notices by itself, and what was
/// under way is done.
#[test]
#[ignore = "makes a network of its own, for which it has to be root, or to be allowed user namespaces"]
fn workers_and_launchers_come_back_from_a_connection_that_carries_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    let mut network = Network::new();
    network.hear(&format!("go='{folder}/go'; beat='--heartbeat 1s'"));
    network.hear("$PALM master --name test $beat & master=$!");
    network.0.wait_for_line("Outbound Pub connects to exterior");
    let function = "--exec \"later=while [ ! -e $go ]; do sleep 0.05; done; cat\"";
    network.hear(&format!("$PALM worker --name w $beat --transport zmq --shell --jobs 2 {function} &"));
    network.0.wait_for_line("Got worker pull address");
    network.hear("seq 20 >$go.lines");
    network.hear(
        "($PALM launch --server test $beat --transport zmq --function later --lines $go.lines --ordered 2>&1; \
         echo launch has ended with $?) &",
    );
    network.wait_until_counted("taken=20 ");
    network.hear("ip link set lo down");
    let (mut worker, mut launch) = (false, false);
    while !(worker && launch) {
        let line = network.0.wait_for_line(" is gone (");
        worker |= line.contains("the master is gone");
        launch |= line.contains("test is gone");
    }
    network.hear("ip link set lo up; : >$go");
    network.0.wait_for_line("launch has ended with 0");
    let said = network.0.said();
    let results: Vec<_> = said.lines().filter_map(|line| line.parse::<u32>().ok()).collect();
    assert_eq!(results, (1..=20).collect::<Vec<_>>(), "{said}");
}
