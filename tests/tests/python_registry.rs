//! Our runner with the real Python registry.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::time::Duration;

use palm_tests::cluster::subcommand;
use palm_tests::python_registry::{PythonRegistry, USER_KEY, free_port, logs, set_cluster};
use palm_tests::{Process, palm, until, within};
use rustix::process::Signal;

const WAIT: Duration = Duration::from_secs(60);

#[test]
fn our_runner_does_a_session_with_the_real_registry() {
    within(240, || {
        let folder = std::env::temp_dir().join(format!("palm-python-registry-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let registry = PythonRegistry::start(&folder);
        let url = registry.url.clone();

        let palm = palm::executable().display();
        let chatty = folder.join("chatty.sh");
        std::fs::write(&chatty, "for i in 1 2 3; do echo line $i; done\necho error >&2\n").unwrap();
        let file = folder.join("cluster.ini");
        let text = format!(
            "[Master]\nScript = {palm} master --name server\n--pull = _1\n--pub = _2\n--wpush = _3\n--wpull = _4\n--db = _5\n\n\
             [Worker]\nScript = {palm} worker --demo --name ours\n--db = _5\nConnected = Master\n\n\
             [Launcher]\nScript = {palm} launch --server server --function foo --connect-timeout 60s\n--db = _5\nConnected = Worker\n\n\
             [Chatty]\nScript = sh {}\n",
            chatty.display()
        );
        std::fs::write(&file, text).unwrap();
        let cluster = set_cluster(&url, USER_KEY, &file);

        let node = folder.join("node.ini");
        let ports_from = free_port();
        let text = format!("[DEFAULT]\nName = here\nIp = 127.0.0.1\nProcessors = 4\nPorts_from = {ports_from}\n");
        std::fs::write(&node, text).unwrap();
        let mut command = subcommand("runner");
        command.args(["--registry", &url, "--cluster", &cluster, "--config"]).arg(&node);
        command.arg("--spool").arg(folder.join("spool"));
        let mut runner = Process::start("runner", command);
        runner.line("which is Python's", WAIT);
        let lines = until("the job's results in the registry", WAIT, || {
            let lines = logs(&url, &cluster);
            let has = |text: &str| lines.iter().any(|line| line.contains(text));
            (has("10 results, 0 failed") && has("error")).then_some(lines)
        });
        let with = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(with("ours processed a message"), 10);
        let numbered: Vec<_> = lines.iter().filter(|line| line.starts_with("line ")).collect();
        assert_eq!(numbered, ["line 1", "line 2", "line 3"]);
        runner.signal(Signal::TERM);
        assert!(runner.exit(WAIT).success());

        // All is handed out.
        let mut command = subcommand("runner");
        command
            .args(["--registry", &url, "--cluster", &cluster, "--ip", "127.0.0.9", "--spool"])
            .arg(folder.join("other"));
        let mut second = Process::start("second", command);
        second.line("has nothing for this node", WAIT);
        assert_eq!(second.exit(WAIT).code(), Some(1));
        let _ = std::fs::remove_dir_all(&folder);
    });
}
