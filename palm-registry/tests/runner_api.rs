//! What a runner asks the registry for, over HTTP.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

mod common;

use palm_registry::cluster::Cluster;
use palm_registry::http::{App, Settings};
use palm_registry::store::{ClusterRow, LogSearch, Store};
use palm_registry::wire::State;
use serde_json::{Value, json};

struct Registry {
    url: String,
    store: Store,
    _folder: tempfile::TempDir,
}

const FILE: &str = r#"
[[component]]
name = "Master"
script = "m"
ready.cache = "_db"
grace-seconds = 3
flags = { "--db" = "_db" }

[[component]]
name = "Worker"
script = "w"
connected = ["Master"]
restart = "always"
replicas = 1
environment = { A = "b" }
flags = { "--db" = "_db" }
"#;

impl Registry {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = common::store(&folder).await;
        let user = store.add_user("ann", false).await.unwrap().unwrap();
        let row = ClusterRow::new("key".into(), &user, None, FILE.into(), Cluster::from_toml(FILE).unwrap());
        store.add_cluster(&row).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (url, app) = (format!("http://{address}"), App::new(store.clone(), Settings::new(address)));
        tokio::spawn(palm_registry::http::serve(listener, app, None, std::future::pending()));
        Self { url, store, _folder: folder }
    }

    async fn post(&self, path: &str, key: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = reqwest::Client::new().post(format!("{}/api/v1/runner/{path}", self.url)).body(body);
        let request = if key.is_empty() { request } else { request.bearer_auth(key) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    async fn sync(&self, body: &Value) -> Value {
        let (status, answer) = self.post("sync", "key", body.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

fn said(state: Option<&str>) -> Value {
    let process = |state| json!({"component": "Master", "copy": 0, "state": state, "since": 1});
    json!({
        "node": {"name": "n", "ip": "127.0.0.1", "processors": 3, "ports_from": 7000},
        "run": "0b0e0e1c-43b3-4b0a-9d3e-111111111111",
        "processes": state.map(process).into_iter().collect::<Vec<_>>(),
    })
}

/// A sign of life of a node called `name` at an Ip, by one start of its runner.
fn sign(name: &str, ip: &str, run: u32) -> Value {
    let mut said = said(None);
    said["node"]["name"] = name.into();
    said["node"]["ip"] = ip.into();
    said["run"] = format!("0b0e0e1c-43b3-4b0a-9d3e-{run:012}").into();
    said
}

#[tokio::test]
async fn nodes_of_one_name_are_one_for_each_ip() {
    let registry = Registry::start().await;
    let name = async |said: Value| registry.sync(&said).await["node"].as_str().unwrap().to_owned();
    assert_eq!(name(sign("n", "10.0.0.1", 1)).await, "n");
    assert_eq!(name(sign("n", "10.0.0.2", 2)).await, "n (10.0.0.2)", "as over Python's interface");
    // It calls itself so from then on; and again under the name that it was given, after a new start.
    assert_eq!(name(sign("n (10.0.0.2)", "10.0.0.2", 2)).await, "n (10.0.0.2)");
    assert_eq!(name(sign("n", "10.0.0.1", 1)).await, "n");
    let mut leaving = sign("n (10.0.0.2)", "10.0.0.2", 2);
    leaving["leaving"] = true.into();
    registry.sync(&leaving).await;
    assert_eq!(name(sign("n", "10.0.0.2", 3)).await, "n (10.0.0.2)");
    // A second one at the same Ip cannot be told from the first.
    let (status, answer) = registry.post("sync", "key", sign("n", "10.0.0.1", 4).to_string()).await;
    let reason = answer["error"]["message"].as_str().unwrap();
    assert!(status == 409 && reason.contains("the node n at 10.0.0.1: give this one another Name or Ip"), "{answer}");
    let nodes = registry.store.nodes("key").await.unwrap();
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["n", "n (10.0.0.2)"]);
}

#[tokio::test]
async fn a_node_that_moves_keeps_its_name() {
    let registry = Registry::start().await;
    let name = async |said: Value| registry.sync(&said).await["node"].as_str().unwrap().to_owned();
    assert_eq!(name(sign("n", "10.0.0.1", 1)).await, "n");
    assert_eq!(name(sign("n", "10.0.0.2", 1)).await, "n", "the same runner says so");
    let mut leaving = sign("n", "10.0.0.2", 1);
    leaving["leaving"] = true.into();
    registry.sync(&leaving).await;
    assert_eq!(name(sign("n", "10.0.0.3", 2)).await, "n", "its runner at the other Ip has left");
}

#[tokio::test]
async fn a_runner_is_told_what_is_wanted() {
    let registry = Registry::start().await;
    let answer = registry.sync(&said(None)).await;
    let wanted = answer["wanted"].as_array().unwrap();
    assert_eq!(
        wanted[0],
        json!({
            "component": "Master", "copy": 0, "command": "m --db tcp://127.0.0.1:7000", "environment": {}, "directory": null,
            "restart": "on-failure", "grace_seconds": 3, "ready": {"cache": "tcp://127.0.0.1:7000"}, "run": true,
            "hold": false, "generation": 0, "level": 0
        })
    );
    assert_eq!((&wanted[1]["restart"], &wanted[1]["environment"]), (&json!("always"), &json!({"A": "b"})));
    assert_eq!([&wanted[1]["hold"], &wanted[2]["hold"]], [true, true]);
    assert_eq!(registry.sync(&said(Some("starting"))).await["wanted"][1]["hold"], true);
    assert_eq!(registry.sync(&said(Some("ready"))).await["wanted"][1]["hold"], false);
    assert_eq!(registry.store.nodes("key").await.unwrap()["n"].processes[0].state, State::Ready);

    let mut row = registry.store.cluster("key").await.unwrap().unwrap();
    row.plan_mut().stop("Master");
    row.plan_mut().restart("Worker");
    row.plan_mut().scale("Worker", 0);
    registry.store.save_cluster(&row).await.unwrap();
    let answer = registry.sync(&said(None)).await;
    let wanted = answer["wanted"].as_array().unwrap();
    assert_eq!((wanted.len(), &wanted[0]["run"], &wanted[1]["generation"]), (2, &json!(false), &json!(1)));
    assert_eq!(wanted[1]["hold"], false, "nobody waits for what was stopped");
}

#[tokio::test]
async fn lines_are_taken_once() {
    let registry = Registry::start().await;
    let line = |seq: u64| json!({"seq": seq, "component": "Master", "copy": 0, "stream": "err", "at": 5, "text": format!("{seq}\0")});
    let body = json!({"node": "n", "spool": "0b0e0e1c-43b3-4b0a-9d3e-222222222222", "lines": [line(1), line(2)]});
    for _ in 0..2 {
        assert_eq!(registry.post("logs", "key", body.to_string()).await, (200, json!({"seq": 2})));
    }
    let lines = registry.store.search_logs("key", &LogSearch { limit: 9, ..LogSearch::default() }).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["1\u{fffd}", "2\u{fffd}"]);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_was_expected() {
    let registry = Registry::start().await;
    let with = |path: &str, value: Value| {
        let mut said = said(Some("ready"));
        *said.pointer_mut(path).unwrap() = value;
        said.to_string()
    };
    let twice = json!([{"component": "A", "copy": 0, "state": "ready", "since": 1}, {"component": "A", "copy": 0, "state": "ready", "since": 1}]);
    for (body, told) in [
        ("{".to_owned(), "expected {\"node\""),
        ("{}".to_owned(), "missing field `node`"),
        (with("/processes/0/state", "asleep".into()), "unknown variant `asleep`, expected one of `waiting`"),
        (with("/node/name", "".into()), "node.name: expected a name"),
        (with("/node/ports_from", 0.into()), "ports_from from 1"),
        (with("/processes", twice), "comes twice"),
        (
            with("/processes", json!([{"component": "A", "copy": 0, "state": "ready", "since": 1, "rate": -1}])),
            "rate: expected 0",
        ),
    ] {
        let (status, answer) = registry.post("sync", "key", body).await;
        assert_eq!(status, 400);
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{answer}");
        assert_eq!(answer["error"]["code"], "invalid");
    }
    for (body, told) in [
        (json!({"node": "n", "spool": "x", "lines": []}), "UUID"),
        (
            json!({"node": "n", "spool": "0b0e0e1c-43b3-4b0a-9d3e-222222222222", "lines": [
            {"seq": 0, "component": "A", "copy": 0, "stream": "out", "at": 1, "text": ""}]}),
            "a seq greater than 0",
        ),
    ] {
        let (status, answer) = registry.post("logs", "key", body.to_string()).await;
        assert_eq!(status, 400);
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{answer}");
    }
    assert_eq!(registry.post("sync", "", said(None).to_string()).await.0, 401);
    assert_eq!(registry.post("sync", "another", said(None).to_string()).await.0, 401);
    assert_eq!(registry.post("logs", "key", vec![b' '; 9 << 20]).await.0, 413);

    registry.sync(&said(None)).await;
    let (status, answer) =
        registry.post("sync", "key", with("/run", "0b0e0e1c-43b3-4b0a-9d3e-333333333333".into())).await;
    assert_eq!(status, 409, "{answer}");
}

#[tokio::test]
async fn a_node_is_known_by_a_token_of_who_may_run_its_cluster() {
    use palm_registry::store::{Scope, Share};
    let registry = Registry::start().await;
    let store = &registry.store;
    let id = store.cluster("key").await.unwrap().unwrap().id;
    let token = async |user: &str, scope| {
        let user = store.user(user).await.unwrap().unwrap();
        store.add_token_with(&user, "t", scope, None).await.unwrap().0
    };
    for name in ["bob", "eve", "joe"] {
        store.add_user(name, false).await.unwrap();
    }
    store.add_user("root", true).await.unwrap();
    store.share("key", &store.user("bob").await.unwrap().unwrap(), Share::Operate).await.unwrap();
    store.share("key", &store.user("joe").await.unwrap().unwrap(), Share::Read).await.unwrap();
    let sync = format!("sync?cluster={id}");
    let lines = json!({"node": "n", "spool": "0b0e0e1c-43b3-4b0a-9d3e-222222222222", "lines": []}).to_string();
    // As the table of who may do what has it.
    for (user, scope, status) in [
        ("ann", Scope::Runner, 200),
        ("ann", Scope::Owner, 200),
        ("ann", Scope::Admin, 200),
        ("ann", Scope::Read, 403),
        ("bob", Scope::Runner, 200),
        ("bob", Scope::Admin, 200),
        ("joe", Scope::Runner, 404),
        ("joe", Scope::Admin, 403),
        ("eve", Scope::Runner, 404),
        ("eve", Scope::Admin, 404),
        ("root", Scope::Admin, 200),
        ("root", Scope::Runner, 404),
    ] {
        let token = token(user, scope).await;
        let (found, answer) = registry.post(&sync, &token, said(None).to_string()).await;
        assert_eq!(found, status, "{user} {scope} {answer}");
        assert_eq!(registry.post(&format!("logs?cluster={id}"), &token, lines.clone()).await.0, status);
        assert_eq!(registry.post("sync", &token, said(None).to_string()).await.0, 401, "a token is no key");
    }
    let runner = token("ann", Scope::Runner).await;
    assert_eq!(registry.post("sync?cluster=0", &runner, said(None).to_string()).await.0, 404);
    assert_eq!(registry.post("sync?cluster=%00", &runner, said(None).to_string()).await.0, 400);
    assert_eq!(registry.post(&sync, "key", said(None).to_string()).await.0, 401, "a key is no token");
    assert_eq!(registry.post(&sync, "", said(None).to_string()).await.0, 401);

    store.delete_cluster("key").await.unwrap();
    let (status, answer) = registry.post("sync", "key", said(None).to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (410, &json!("deleted")));
    assert_eq!(registry.post("logs", "key", lines.clone()).await.0, 410);
    assert_eq!(registry.post(&sync, &runner, said(None).to_string()).await.0, 410);
    assert_eq!(registry.post(&sync, &token("ann", Scope::Read).await, said(None).to_string()).await.0, 404);
}
