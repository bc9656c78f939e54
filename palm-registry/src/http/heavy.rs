//! That what takes long is done off the threads that answer: while nothing of it can be done, the rest is answered.

use std::sync::mpsc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{App, Settings, serve};
use crate::store::{Scope, Store};
use crate::work::Undone;

const FILE: &str = "[A]\nScript = a\n--db = _1\nReplicas = 3\n";

/// A registry whose places for work can be held.
struct Registry {
    app: App,
    base: String,
    token: String,
    /// A cluster: its id and its key.
    id: String,
    key: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store.db").to_str().unwrap()).await.unwrap();
        let user = store.add_user("ann", true).await.unwrap().unwrap();
        let (token, _) = store.add_token_with(&user, "of a test", Scope::Admin, None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = App::new(store, Settings::new(address));
        tokio::spawn(serve(listener, app.clone(), None, std::future::pending()));
        let base = format!("http://{address}");
        let mut registry = Self { app, base, token, id: String::new(), key: String::new(), _folder: folder };
        let made = registry.post("/api/v1/clusters", json!({ "file": FILE })).send().await.unwrap();
        registry.id = made.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
        let shown = registry.get(&format!("/api/v1/clusters/{}/key", registry.id)).send().await.unwrap();
        registry.key = shown.json::<Value>().await.unwrap()["key"].as_str().unwrap().to_owned();
        registry
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let request = Client::new().get(format!("{}{path}", self.base)).header("Key", &self.token);
        request.bearer_auth(&self.token).timeout(Duration::from_secs(120))
    }

    fn post(&self, path: &str, body: Value) -> RequestBuilder {
        let request = Client::new().post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        request.json(&body).timeout(Duration::from_secs(120))
    }

    fn put(&self, path: &str, body: Value) -> RequestBuilder {
        let request = Client::new().put(format!("{}{path}", self.base)).bearer_auth(&self.token);
        request.json(&body).timeout(Duration::from_secs(120))
    }

    /// Holds all places, until what is returned is dropped.
    async fn hold(&self) -> Vec<mpsc::Sender<()>> {
        let count = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let mut held = Vec::new();
        for index in 0..count {
            let (let_go, wait) = mpsc::channel::<()>();
            let work = self.app.store.work.clone();
            let (begun, is_begun) = tokio::sync::oneshot::channel();
            let holding: JoinHandle<Result<(), Undone>> = tokio::spawn(async move {
                let hold = move || {
                    let _ = begun.send(());
                    let _ = wait.recv();
                };
                work.run(&format!("holder {index}"), hold).await
            });
            is_begun.await.unwrap();
            drop(holding);
            held.push(let_go);
        }
        held
    }
}

#[tokio::test]
async fn what_takes_long_keeps_nobody_waiting() {
    let registry = Registry::start().await;
    let cluster = format!("/api/v1/clusters/{}", registry.id);
    let node = "[DEFAULT]\nName = n\nIp = 127.0.0.1\nProcessors = 4\nPorts_from = 5555\n";
    let file = json!({ "file": FILE.replace('3', "2") });
    let version = registry.put(&format!("{cluster}/file"), file.clone()).send().await.unwrap();
    assert_eq!(version.status(), 200);
    let sync = json!({
        "node": { "name": "m", "ip": "127.0.0.1", "processors": 4, "ports_from": 5555 },
        "run": uuid::Uuid::new_v4(), "processes": [],
    });
    let key = &registry.key;
    let python = |method: &str| registry.get("/cluster").query(&[("method", method), ("cluster", key)]);
    let page = format!("/clusters/{}", registry.id);
    let heavy: Vec<(&str, RequestBuilder)> = vec![
        ("validate", registry.post("/api/v1/validate", file.clone())),
        ("create", registry.post("/api/v1/clusters", file.clone())),
        ("set the file", registry.put(&format!("{cluster}/file"), file)),
        ("restore", registry.post(&format!("{cluster}/versions/1/restore"), json!({}))),
        ("diff", registry.get(&format!("{cluster}/versions/1/diff"))),
        ("status", registry.get(&format!("{cluster}/status"))),
        ("list", registry.get("/api/v1/clusters")),
        ("nodes", registry.get("/api/v1/nodes")),
        ("scale", registry.post(&format!("{cluster}/scale"), json!({ "component": "A", "replicas": 5 }))),
        ("restart", registry.post(&format!("{cluster}/restart"), json!({}))),
        ("reset", registry.post(&format!("{cluster}/reset"), json!({}))),
        ("sync", Client::new().post(format!("{}/api/v1/runner/sync", registry.base)).bearer_auth(key).json(&sync)),
        ("new_cluster", python("new_cluster").query(&[("description", FILE)])),
        ("node_config", python("node_config").query(&[("node", node)])),
        ("cluster_status", python("cluster_status")),
        ("cluster_reset", python("cluster_reset")),
        ("clusters_list", python("clusters_list")),
        ("page of a cluster", registry.get(&page)),
        ("page of processes", registry.get(&format!("{page}/processes"))),
        ("page of clusters", registry.get("/")),
        ("page of nodes", registry.get("/nodes")),
    ];
    for (what, request) in heavy {
        let held = registry.hold().await;
        let before = registry.app.store.work.waiting();
        let asked = tokio::spawn(request.send());
        // It waits for a place; whoever needs none is answered.
        while registry.app.store.work.waiting() == before {
            assert!(!asked.is_finished(), "{what}: it is answered on a thread that answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let health = registry.get("/healthz").send().await.unwrap();
        assert_eq!(health.status(), 200, "{what}");
        assert!(!asked.is_finished(), "{what}");
        drop(held);
        let answer = asked.await.unwrap().unwrap();
        assert!(answer.status().is_success(), "{what}: {}", answer.status());
    }
}
