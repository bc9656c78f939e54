//! A registry, a runner, and the commands that ask the one about the other.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::Value;
use support::{Ended, Running, palm, run, run_with, until};

const FILE: &str = "[Counter]\nScript = sh -c 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done'\n\n\
                    [Sleeper]\nScript = sleep 1000\n";

struct Registry {
    folder: tempfile::TempDir,
    url: String,
    token: String,
    running: Running,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("r.db");
        let added = run(&["registry", "add-user", "ann", "--admin", "--store", store.to_str().unwrap()]);
        let token = String::from_utf8(added.out).unwrap().trim().to_owned();
        let (running, url) = Self::serve(&folder, "127.0.0.1:0");
        Self { folder, url, token, running }
    }

    fn serve(folder: &tempfile::TempDir, listen: &str) -> (Running, String) {
        let mut command = palm();
        command.args(["registry", "--listen", listen, "--store"]).arg(folder.path().join("r.db"));
        let mut running = Running::start(command);
        let line = running.wait_for_line("serving http://");
        (running, line[line.find("http://").unwrap()..].to_owned())
    }

    /// Killed, and started again where it was.
    fn again(&mut self) {
        self.running.signal("KILL");
        until("its end", || !std::path::Path::new(&format!("/proc/{}/fd/1", self.running.child.id())).exists());
        self.running = Self::serve(&self.folder, self.url.trim_start_matches("http://")).0;
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = palm();
        command.args(arguments).env("PALM_REGISTRY", &self.url).env("PALM_TOKEN", &self.token);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Ended {
        run_with(self.command(arguments), b"")
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let Ended { code, out, err } = self.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn cluster(&self) -> String {
        let file = self.folder.path().join("c.ini");
        std::fs::write(&file, FILE).unwrap();
        let made = self.json(&["cluster", "new", file.to_str().unwrap(), "--alias", "test"]);
        made["id"].as_str().unwrap().to_owned()
    }

    fn runner(&self) -> Running {
        let key = self.done(&["cluster", "key", "test"]);
        let mut command = palm();
        command.args(["runner", "--registry", &self.url, "--name", "here", "--processors", "4", "--spool"]);
        command.arg(self.folder.path().join("spool")).env("PALM_RUNNER_CLUSTER", key.trim());
        Running::start(command)
    }

    fn states(&self) -> Vec<String> {
        let status = self.json(&["cluster", "status", "test"]);
        let components = status["components"].as_array().unwrap().iter();
        let processes = components.flat_map(|component| component["processes"].as_array().unwrap().clone());
        processes.map(|process| process["state"].as_str().unwrap_or("none").to_owned()).collect()
    }
}

#[test]
fn a_cluster_is_made_watched_changed_and_deleted() {
    let registry = Registry::start();
    let id = registry.cluster();
    let status = registry.done(&["cluster", "status", "test"]);
    assert!(status.contains("no place") && status.contains("missing: Counter"), "{status}");
    let _runner = registry.runner();
    until("what runs", || registry.states() == ["running", "running"]);
    let status = registry.done(&["cluster", "status", &id[..6]]);
    assert!(status.contains("alive") && status.contains("everything has a place"), "{status}");

    let list = registry.done(&["cluster", "list"]);
    assert!(list.starts_with("ALIAS") && list.contains(&id) && !list.contains('\x1b'), "{list}");
    assert_eq!(registry.json(&["cluster", "list"])[0]["alias"], "test");
    assert_eq!(registry.done(&["cluster", "show", "test"]), FILE);
    assert_eq!(registry.json(&["nodes", "test"])[0]["name"], "here");
    assert!(registry.done(&["nodes"]).contains("here"));

    registry.done(&["cluster", "scale", "test", "Sleeper", "1"]);
    until("a copy more", || registry.states() == ["running", "running", "running"]);
    assert_eq!(registry.json(&["cluster", "stop", "test", "Sleeper"])["components"][0], "Sleeper");
    until("their end", || !registry.states()[1..].contains(&"running".to_owned()));
    registry.done(&["cluster", "start", "test"]);
    registry.done(&["cluster", "restart", "test", "Counter"]);
    until("all of it", || registry.states() == ["running", "running", "running"]);

    let file = registry.folder.path().join("c.ini");
    std::fs::write(&file, FILE.replace("1000", "2000")).unwrap();
    registry.done(&["cluster", "set", "test", file.to_str().unwrap()]);
    let diff = registry.done(&["cluster", "diff", "test"]);
    assert!(diff.contains("-Script = sleep 1000") && diff.contains("+Script = sleep 2000"), "{diff}");
    registry.done(&["cluster", "versions", "test", "--restore", "1"]);
    assert_eq!(registry.json(&["cluster", "versions", "test"]).as_array().unwrap().len(), 3);

    until("lines", || {
        registry.json(&["cluster", "logs", "test", "--since", "1h", "--search", "line 3"])[0]["text"] == "line 3"
    });
    assert!(
        registry.done(&["cluster", "logs", "test", "--component", "Counter", "-n", "5"]).contains("Counter 0 | line ")
    );

    let key = |arguments: &[&str]| registry.done(&[&["cluster", "key", "test"], arguments].concat());
    let (old, new) = (key(&[]), key(&["--new"]));
    assert!(old != new && new == key(&[]), "{old} {new}");

    registry.done(&["users", "add", "bob"]);
    registry.done(&["cluster", "share", "test", "bob", "--operate"]);
    assert_eq!(registry.json(&["cluster", "share", "test"])[0]["share"], "operate");
    registry.done(&["cluster", "share", "test", "bob", "--end"]);
    registry.done(&["nodes", "remove", "test", "here", "--yes"]);
    registry.done(&["cluster", "reset", "test", "--yes"]);
    registry.done(&["cluster", "delete", "test", "--yes"]);
    assert_eq!(registry.json(&["cluster", "list"]), serde_json::json!([]));
}

#[test]
fn followed_lines_come_once_and_in_order_over_a_restart() {
    let mut registry = Registry::start();
    registry.cluster();
    let _runner = registry.runner();
    let flags =
        ["cluster", "logs", "test", "-f", "--json", "--component", "Counter", "--stream", "out", "--since", "1h"];
    let mut follow = Running::start(registry.command(&flags));
    follow.wait_for_line("line 20\"");
    registry.again();
    follow.wait_for_line("line 60\"");
    registry.again();
    follow.wait_for_line("line 100\"");
    let texts = follow
        .said()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone())
        .collect::<Vec<_>>();
    let wanted: Vec<_> = (1..=texts.len()).map(|n| Value::from(format!("line {n}"))).collect();
    assert_eq!(texts, wanted);
    follow.hang_up();
    let Ended { code, err, .. } = follow.end();
    assert!(code == 0 && !err.contains("panic") && !err.contains("closed"), "{code} {err}");
}

#[test]
fn users_and_tokens() {
    let registry = Registry::start();
    registry.done(&["users", "add", "bob"]);
    assert_eq!(registry.json(&["users"]).as_array().unwrap().len(), 2);
    registry.done(&["users", "remove", "bob", "--yes"]);
    assert!(!registry.done(&["users", "list"]).contains("bob"));
    let token = registry.done(&["tokens", "new", "board", "--scope", "read", "--expires", "1h"]);
    let mut command = registry.command(&["cluster", "list"]);
    command.env("PALM_TOKEN", token.trim());
    assert_eq!(run_with(command, b"").code, 0);
    let tokens = registry.json(&["tokens"]);
    let found = tokens.as_array().unwrap().iter().find(|token| token["name"] == "board").unwrap();
    registry.done(&["tokens", "revoke", found["id"].as_str().unwrap()]);
    let mut command = registry.command(&["cluster", "list"]);
    command.env("PALM_TOKEN", token.trim());
    let Ended { code, err, .. } = run_with(command, b"");
    assert!(code == 1 && err.contains("does not know this token") && err.contains("add-user"), "{err}");
}

#[test]
fn mistakes_say_what_to_do() {
    let registry = Registry::start();
    let mut command = palm();
    command.args(["cluster", "list", "--registry", &registry.url]);
    let Ended { code, err, .. } = run_with(command, b"");
    assert!(code == 2 && err.contains("palm registry add-user NAME"), "{err}");
    let bad = registry.folder.path().join("bad.ini");
    std::fs::write(&bad, "[A]\n").unwrap();
    registry.cluster();
    for (arguments, wanted, said) in [
        (&["cluster", "new", bad.to_str().unwrap()][..], 2, "bad.ini: line 1"),
        (&["cluster", "new", "/no/such"], 2, "cannot read /no/such"),
        (&["cluster", "status", "nobody"], 1, "palm cluster list"),
        (&["cluster", "stop", "test", "Nobody"], 1, "no such component"),
        (&["cluster", "delete", "test"], 2, "--yes"),
        (&["cluster", "reset", "test"], 2, "--yes"),
        (&["users", "remove", "ann"], 2, "--yes"),
        (&["nodes", "remove", "test", "n", "--yes"], 1, "no such node"),
        (&["cluster", "list", "--registry", "http://10.0.0.1:1"], 2, "--insecure"),
        (&["cluster", "list", "--registry", "http://127.0.0.1:1"], 1, "is it running?"),
    ] {
        let Ended { code, out, err } = registry.ask(arguments);
        assert_eq!((code, out.as_slice()), (wanted, &b""[..]), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}
