//! What a runner asks the registry for, over HTTP.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

mod common;

use palm_registry::cluster::Cluster;
use palm_registry::http::{App, Settings};
use palm_registry::store::{ClusterRow, LogQuery, Period, Store};
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
            "hold": false, "generation": 0
        })
    );
    assert_eq!((&wanted[1]["restart"], &wanted[1]["environment"]), (&json!("always"), &json!({"A": "b"})));
    assert_eq!([&wanted[1]["hold"], &wanted[2]["hold"]], [true, true]);
    assert_eq!(registry.sync(&said(Some("starting"))).await["wanted"][1]["hold"], true);
    assert_eq!(registry.sync(&said(Some("ready"))).await["wanted"][1]["hold"], false);
    assert_eq!(registry.store.processes("key").await.unwrap()[0].process.state, State::Ready);

    let mut row = registry.store.cluster("key").await.unwrap().unwrap();
    row.plan.stop("Master");
    row.plan.restart("Worker");
    row.plan.scale("Worker", 0);
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
    let lines = registry.store.logs("key", &LogQuery::of(Period::ALL)).await.unwrap();
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
        assert!(answer["error"].as_str().unwrap().contains(told), "{answer}");
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
        assert!(answer["error"].as_str().unwrap().contains(told), "{answer}");
    }
    assert_eq!(registry.post("sync", "", said(None).to_string()).await.0, 401);
    assert_eq!(registry.post("sync", "another", said(None).to_string()).await.0, 401);
    assert_eq!(registry.post("logs", "key", vec![b' '; 9 << 20]).await.0, 413);

    registry.sync(&said(None)).await;
    let (status, answer) =
        registry.post("sync", "key", with("/run", "0b0e0e1c-43b3-4b0a-9d3e-333333333333".into())).await;
    assert_eq!(status, 409, "{answer}");
}
