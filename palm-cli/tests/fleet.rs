//! A registry, a runner, and the commands that ask the one about the other.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::Value;
use support::registry::{FILE, Registry};
use support::{Ended, Running, palm, run_with, until};

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
fn a_cluster_gets_a_file_a_name_and_no_python_and_all_of_it_is_written_down() {
    let registry = Registry::start();
    let id = registry.cluster();
    let file = registry.folder.path().join("c.ini");
    let file = file.to_str().unwrap();
    assert_eq!(registry.done(&["cluster", "diff", "test", file]), "");
    std::fs::write(file, FILE.replace("1000", "2000")).unwrap();
    let diff = registry.done(&["cluster", "diff", "test", file]);
    assert!(diff.starts_with(&format!("--- version 1\n+++ {file}\n")), "{diff}");
    assert!(diff.contains("-Script = sleep 1000\n+Script = sleep 2000\n"), "{diff}");

    let said = registry.done(&["cluster", "set", "test", file, "--alias", "prod", "--python", "off"]);
    assert_eq!(said, "the file is set\nthe cluster is named prod\nPython's clients are not answered\n");
    let list = registry.json(&["cluster", "list"]);
    assert_eq!((&list[0]["alias"], &list[0]["python"]), (&"prod".into(), &false.into()));
    assert_eq!(registry.done(&["cluster", "diff", "prod", file]), "");
    assert_eq!(registry.json(&["cluster", "diff", "prod", file, "--from", "1"])["from"], 1);
    assert_eq!(registry.json(&["cluster", "set", "prod", "--python", "on"])["python"], true);
    assert_eq!(registry.json(&["cluster", "set", "prod", "--alias", ""])["alias"], Value::Null);

    let audit = registry.done(&["cluster", "audit", &id]);
    let lines: Vec<_> = audit.lines().collect();
    assert!(lines[0].starts_with("ID") && lines[1].contains("cluster named"), "{audit}");
    assert!(lines[6].contains("cluster made") && lines[6].contains("127.0.0.1") && lines.len() == 7, "{audit}");
    let newest = registry.json(&["audit", "-n", "1"]);
    let before = registry.json(&["audit", "--before", &newest[0]["id"].to_string()]);
    assert_eq!((&newest[0]["what"], &before[0]["what"]), (&"cluster named".into(), &"Python's interface on".into()));
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
    let admin = |name: &str| {
        let users = registry.json(&["users"]);
        users.as_array().unwrap().iter().find(|user| user["name"] == name).unwrap()["admin"].clone()
    };
    registry.done(&["users", "set", "bob", "--admin", "true"]);
    assert_eq!(admin("bob"), true);
    registry.done(&["users", "set", "bob", "--admin", "false"]);
    assert_eq!(admin("bob"), false);
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
        (&["cluster", "set", "test", bad.to_str().unwrap(), "--alias", "other"], 2, "bad.ini: line 1"),
        (&["cluster", "set", "test"], 2, "--alias"),
        (&["cluster", "set", "test", "--python", "maybe"], 2, "possible values: on, off"),
        (&["cluster", "diff", "test", "/no/such"], 2, "cannot read /no/such"),
        (&["cluster", "diff", "test", "--from", "9"], 1, "no such version"),
        (&["cluster", "audit", "test", "-n", "0"], 2, "0 is not in 1..=1000"),
        (&["users", "set", "ann"], 2, "--admin"),
        (&["users", "set", "ann", "--admin", "false"], 1, "no admin left"),
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
