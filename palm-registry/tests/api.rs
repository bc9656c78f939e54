//! `/api/v1` as its document has it, and who sees what.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{FILE, PASSWORD, Registry};
use palm_registry::store::{Saved, Scope};
use serde_json::{Value, json};

/// Each method and path of the document, with what it says of it.
async fn documented(registry: &Registry) -> Vec<(String, String, Value)> {
    let document = registry.get("/api/v1/openapi.json").send().await.expect(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            all.push((method.to_ascii_uppercase(), path.clone(), operation.clone()));
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    all
}

fn filled(path: &str, cluster: &str) -> String {
    let values =
        [("{id}", cluster), ("{number}", "1"), ("{user}", "ann"), ("{name}", "ann"), ("{token}", "0"), ("{node}", "n")];
    values.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

#[tokio::test]
async fn the_document_has_the_routes_and_no_others() {
    let registry = Registry::start().await;
    let all = documented(&registry).await;
    let mut names: Vec<_> = all.iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "each operation has a name of its own");
    for (method, path, operation) in &all {
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
        let answer = registry.request(method, &filled(path, "none")).json(&json!({})).send().await;
        // Without a word of who asks, there is none but the public ones that look at a request at all.
        let is_public = operation["security"] == json!([]);
        let expected: &[u16] = if is_public { &[400, 422] } else { &[401] };
        assert!(expected.contains(&answer.status), "{method} {path}: {answer:?}");
        assert!(!answer.code().is_empty() && answer.json()["error"]["message"].is_string());
        for other in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if all.iter().any(|(method, found, _)| found == path && method == other) {
                continue;
            }
            let answer = registry.request(other, &filled(path, "none")).send().await;
            assert_eq!(answer.status, 405, "{other} {path} is answered, and not in the document");
            assert_eq!(answer.code(), "method");
        }
    }
    assert_eq!(registry.get("/api/v1/nothing").send().await.expect(404).code(), "not-found");
}

#[tokio::test]
async fn nobody_gets_anything_of_anothers_cluster() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let eve = registry.token("eve", false, Scope::Admin).await;
    let id = registry.cluster(&ann).await;
    let before = registry.get(&format!("/api/v1/clusters/{id}")).bearer(&ann).send().await.expect(200).body;
    let bodies = [
        ("file", json!({ "file": "[Evil]\nScript = evil\n" })),
        ("scale", json!({ "component": "Worker", "replicas": 1 })),
        ("shares", json!({ "share": "operate" })),
    ];
    for (method, path, _) in documented(&registry).await {
        if !path.contains("{id}") {
            continue;
        }
        let body = bodies.iter().find(|(part, _)| path.contains(part)).map_or(json!({}), |(_, body)| body.clone());
        let ask = |cluster: &str| registry.request(&method, &filled(&path, cluster)).bearer(&eve).json(&body).send();
        let (hers, none) = (ask(&id).await, ask("0123456789abcdef").await);
        assert_eq!(hers.status, 404, "{method} {path}");
        assert_eq!(hers.body, none.body, "{method} {path}: as if it were not there");
    }
    for path in ["/api/v1/clusters", "/api/v1/nodes"] {
        assert_eq!(registry.get(path).bearer(&eve).send().await.expect(200).json(), json!([]));
    }
    let after = registry.get(&format!("/api/v1/clusters/{id}")).bearer(&ann).send().await.expect(200).body;
    assert_eq!(before, after);
}

#[tokio::test]
async fn what_is_shared_is_seen_or_operated_and_no_more() {
    let registry = Registry::start().await;
    let (ann, bob) =
        (registry.token("ann", false, Scope::Owner).await, registry.token("bob", false, Scope::Owner).await);
    let id = registry.cluster(&ann).await;
    let path = |rest: &str| format!("/api/v1/clusters/{id}{rest}");
    let share = |level| registry.put(&path("/shares/bob")).bearer(&ann).json(&json!({ "share": level })).send();
    let as_bob =
        |method: &str, rest: &str, body: Value| registry.request(method, &path(rest)).bearer(&bob).json(&body).send();
    share("read").await.expect(204);
    let seen = as_bob("GET", "", json!({})).await.expect(200).json();
    assert_eq!((&seen["owner"], &seen["may"]), (&json!("ann"), &json!({ "operate": false, "manage": false })));
    as_bob("POST", "/stop", json!({})).await.expect(403);
    share("operate").await.expect(204);
    as_bob("POST", "/stop", json!({})).await.expect(200);
    let not_his = [("PUT", "/file", json!({ "file": FILE })), ("GET", "/key", json!({})), ("DELETE", "", json!({}))];
    for (method, rest, body) in not_his {
        as_bob(method, rest, body).await.expect(403);
    }
    registry.delete(&path("/shares/bob")).bearer(&ann).send().await.expect(204);
    as_bob("GET", "", json!({})).await.expect(404);
    let admin = registry.token("carl", true, Scope::Admin).await;
    registry.get(&path("")).bearer(&admin).send().await.expect(200);
    assert_eq!(registry.get("/api/v1/clusters").bearer(&admin).send().await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pythons_interface_is_turned_off_by_the_owner() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let id = registry.cluster(&ann).await;
    let key = registry.get(&format!("/api/v1/clusters/{id}/key")).bearer(&ann).send().await.expect(200);
    let key = key.json()["key"].as_str().unwrap().to_owned();
    let node = "%5BDEFAULT%5D%0AName=n%0AIp=127.0.0.1%0AProcessors=3%0APorts_from=5555";
    let config = || registry.get(&format!("/cluster?method=node_config&cluster={key}&node={node}")).send();
    let line = || registry.post(&format!("/logs?cluster={key}")).text("a line").send();
    assert_eq!(config().await.expect(200).json().as_array().unwrap().len(), 3);
    line().await.expect(200);
    let turn =
        |on: bool| registry.put(&format!("/api/v1/clusters/{id}")).bearer(&ann).json(&json!({ "python": on })).send();
    turn(false).await.expect(200);
    config().await.expect(403);
    line().await.expect(403);
    registry.get(&format!("/logs?cluster={key}")).send().await.expect(403);
    turn(true).await.expect(200);
    config().await.expect(200);
    // A list is no object, though its second thing could be said in place of `python`.
    let list = registry.put(&format!("/api/v1/clusters/{id}")).bearer(&ann).json(&json!([null, false])).send().await;
    let told = list.expect(422).json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(told.contains("invalid type: sequence, expected an object"), "{told}");
    config().await.expect(200);
    // A token that may only read is no key there.
    let read = registry.token("ann", false, Scope::Read).await;
    registry.get("/cluster?method=clusters_list").header("Key", &read).send().await.expect(400);
    registry.get("/cluster?method=clusters_list").header("Key", &ann).send().await.expect(200);
}

#[tokio::test]
async fn a_file_is_checked_set_compared_and_put_back() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let id = registry.cluster(&ann).await;
    let path = |rest: &str| format!("/api/v1/clusters/{id}{rest}");
    let check = |file: &str| registry.post("/api/v1/validate").bearer(&ann).json(&json!({ "file": file })).send();
    assert_eq!(check(FILE).await.expect(200).json()["components"], json!(["Master", "Worker"]));
    let wrong = check("[A]\nScript = a\nReplicas = many\n").await.expect(200).json();
    assert_eq!((&wrong["valid"], &wrong["line"], &wrong["key"]), (&json!(false), &json!(3), &json!("Replicas")));
    let set = |file: String| registry.put(&path("/file")).bearer(&ann).json(&json!({ "file": file })).send();
    assert_eq!(set("no file".to_owned()).await.expect(400).code(), "bad-file");
    set(FILE.replace("Script = w", "Script = worker")).await.expect(200);
    let versions = registry.get(&path("/versions")).bearer(&ann).send().await.expect(200).json();
    assert_eq!((versions[0]["number"].as_i64(), versions[1]["author"].as_str()), (Some(2), Some("ann")));
    let diff = registry.get(&path("/versions/1/diff")).bearer(&ann).send().await.expect(200);
    assert!(diff.body.contains("--- version 1\n+++ version 2\n"), "{}", diff.body);
    assert!(diff.body.contains("-Script = w\n+Script = worker\n"), "{}", diff.body);
    registry.post(&path("/versions/1/restore")).bearer(&ann).send().await.expect(204);
    let now = registry.get(&path("")).bearer(&ann).send().await.expect(200).json();
    assert_eq!(now["file"], FILE);
    registry.get(&path("/versions/4")).bearer(&ann).send().await.expect(404);
}

#[tokio::test]
async fn the_state_says_what_is_missing_and_actions_change_it() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let id = registry.cluster(&ann).await;
    let path = |rest: &str| format!("/api/v1/clusters/{id}{rest}");
    let status = || registry.get(&path("/status")).bearer(&ann).send();
    let act = |rest: &str, body: Value| registry.post(&path(rest)).bearer(&ann).json(&body).send();
    let before = status().await.expect(200).json();
    assert_eq!((&before["ready"], before["missing"].as_array().unwrap().len()), (&json!(false), 4));
    assert_eq!(before["missing"][0]["reason"], "Master: there is no node");
    act("/scale", json!({ "component": "Worker", "replicas": 0 })).await.expect(204);
    act("/stop", json!({ "component": "Worker" })).await.expect(200);
    act("/restart", json!({ "component": "Master" })).await.expect(200);
    let after = status().await.expect(200).json();
    let [master, worker] = [&after["components"][0], &after["components"][1]];
    assert_eq!((&master["generation"], &worker["stopped"], &worker["replicas"]), (&json!(1), &json!(true), &json!(0)));
    act("/start", json!({})).await.expect(200);
    act("/stop", json!({ "component": "Nobody" })).await.expect(404);
    act("/scale", json!({ "component": "Worker", "replicas": 10_000 })).await.expect(400);
    registry.delete(&path("/nodes/n")).bearer(&ann).send().await.expect(404);
}

#[tokio::test]
async fn lines_are_found_paged_and_downloaded() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let id = registry.cluster(&ann).await;
    let user = registry.store.user("ann").await.unwrap().unwrap();
    let key = registry.store.find_cluster(&id, user.id).await.unwrap().unwrap().row.key;
    let lines: Vec<_> =
        (0..10).map(|line| format!("{} line {line} of 100%", if line == 3 { "ERROR" } else { "INFO" })).collect();
    assert_eq!(registry.store.add_logs(&key, &lines).await.unwrap(), Saved::Yes);
    let ask = |query: &str| registry.get(&format!("/api/v1/clusters/{id}/logs?{query}")).bearer(&ann).send();
    let texts = |answer: common::Answer| -> Vec<String> {
        answer
            .expect(200)
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(texts(ask("").await), lines);
    assert_eq!(texts(ask("limit=2").await), lines[8..]);
    let ids: Vec<i64> =
        ask("").await.json().as_array().unwrap().iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert_eq!(texts(ask(&format!("limit=2&before={}", ids[8])).await), lines[6..8]);
    assert_eq!(texts(ask(&format!("limit=2&after={}", ids[0])).await), lines[1..3]);
    assert_eq!(texts(ask("level=error").await), lines[3..4]);
    assert_eq!(texts(ask("text=line%204%20of%20100%25").await), lines[4..5]);
    assert!(texts(ask("text=100_").await).is_empty() && texts(ask("component=Master").await).is_empty());
    assert!(texts(ask("to=1").await).is_empty());
    ask("limit=many").await.expect(400);
    let text = registry.get(&format!("/api/v1/clusters/{id}/logs/download")).bearer(&ann).send().await.expect(200);
    assert_eq!(text.body.lines().count(), 10);
}

#[tokio::test]
async fn streams_go_on_where_they_were_and_end_with_their_token() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let id = registry.cluster(&ann).await;
    let user = registry.store.user("ann").await.unwrap().unwrap();
    let key = registry.store.find_cluster(&id, user.id).await.unwrap().unwrap().row.key;
    let path = |rest: &str| format!("/api/v1/clusters/{id}{rest}");
    let mut state = registry.get(&path("/events")).bearer(&ann).stream().await;
    state.until("event: status").await;
    // Not by this registry, as another would.
    let mut row = registry.store.cluster(&key).await.unwrap().unwrap();
    row.plan_mut().stop("Worker");
    registry.store.save_cluster(&row).await.unwrap();
    state.until("\"stopped\":true").await;

    let mut lines = registry.get(&path("/logs/follow")).bearer(&ann).stream().await;
    lines.until("\r\n\r\n").await;
    registry.store.add_logs(&key, &["first".to_owned(), "second".to_owned()]).await.unwrap();
    lines.until("\"first\"").await;
    lines.until("\"second\"").await;
    let ids = registry.get(&path("/logs")).bearer(&ann).send().await.json();
    let resumed = registry.get(&path("/logs/follow")).bearer(&ann).header("Last-Event-ID", &ids[0]["id"].to_string());
    let mut resumed = resumed.stream().await;
    resumed.until("\"second\"").await;
    assert!(!resumed.text.contains("\"first\""));

    let token = registry.store.tokens_of(user.id).await.unwrap()[0].id.clone();
    registry.store.revoke_token(user.id, &token).await.unwrap();
    state.end().await;
    lines.end().await;
    resumed.end().await;
}

#[tokio::test]
async fn a_stream_ends_with_what_it_was_seen_by() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let id = registry.cluster(&ann).await;
    let path = |rest: &str| format!("/api/v1/clusters/{id}{rest}");
    for name in ["bob", "joe"] {
        let share = registry.put(&path(&format!("/shares/{name}"))).bearer(&ann).json(&json!({ "share": "read" }));
        registry.token(name, false, Scope::Read).await;
        share.send().await.expect(204);
    }
    let (bob, joe) = (registry.session("bob", false).await, registry.session("joe", false).await);
    let (root, admin) = (registry.session("root", true).await, registry.token("boss", true, Scope::Admin).await);
    let follow = async |request: common::Request| {
        let mut stream = request.stream().await;
        stream.until("200 OK").await;
        stream
    };
    let mut shared = follow(registry.get(&path("/events")).cookie(&bob)).await;
    let mut logged_in = follow(registry.get(&path("/logs/follow")).cookie(&joe)).await;
    let mut of_admin = follow(registry.get(&format!("/clusters/{id}/changes")).cookie(&root)).await;
    let mut own = follow(registry.get(&path("/logs/follow")).bearer(&ann)).await;
    registry.delete(&path("/shares/bob")).bearer(&ann).send().await.expect(204);
    shared.end().await;
    registry.delete("/api/v1/session").signed(&joe).send().await.expect(204);
    logged_in.end().await;
    registry.put("/api/v1/users/root").bearer(&admin).json(&json!({ "admin": false })).send().await.expect(204);
    of_admin.end().await;
    registry.delete(&path("")).bearer(&admin).send().await.expect(204);
    own.end().await;
}

#[tokio::test]
async fn health_and_totals_name_nobody() {
    let registry = Registry::start().await;
    let ann = registry.token("ann-the-user", false, Scope::Read).await;
    assert_eq!(registry.get("/healthz").send().await.expect(200).body, "ok\n");
    let metrics = registry.get("/metrics").bearer(&ann).send().await.expect(200);
    assert!(metrics.body.contains("\npalm_registry_users 1\n"), "{}", metrics.body);
    assert!(metrics.body.contains("palm_registry_requests_total{class=\"2xx\"}") && !metrics.body.contains("ann"));
}

#[tokio::test]
async fn bodies_have_bounds() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let create = |file: String| registry.post("/api/v1/clusters").bearer(&ann).json(&json!({ "file": file })).send();
    create(format!("[A]\nScript = {}\n", "a".repeat(2 << 20))).await.expect(400);
    let users = registry.session("bob", false).await;
    let password = json!({ "old": PASSWORD, "new": "x".repeat(2000) });
    registry.put("/api/v1/me/password").signed(&users).json(&password).send().await.expect(400);
}

#[tokio::test]
async fn a_clusters_key_is_changed_by_its_owner() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Admin).await;
    let bob = registry.token("bob", false, Scope::Admin).await;
    let id = registry.cluster(&ann).await;
    let path = format!("/api/v1/clusters/{id}/key");
    let key = async |request: common::Request| {
        request.bearer(&ann).send().await.expect(200).json()["key"].as_str().unwrap().to_owned()
    };
    let old = key(registry.get(&path)).await;
    registry.post(&path).bearer(&bob).send().await.expect(404);
    registry.post("/api/v1/clusters/%00/key").bearer(&bob).send().await.expect(400);
    let share = registry.put(&format!("/api/v1/clusters/{id}/shares/bob")).bearer(&ann);
    share.json(&json!({ "share": "operate" })).send().await.expect(204);
    registry.post(&path).bearer(&bob).send().await.expect(403);
    let new = key(registry.post(&path)).await;
    assert_eq!((new.clone(), new == old), (key(registry.get(&path)).await, false));
    let said = json!({
        "node": { "name": "n", "ip": "127.0.0.1", "processors": 3, "ports_from": 7000 },
        "run": "0b0e0e1c-43b3-4b0a-9d3e-111111111111", "processes": [],
    });
    let sync = |key: &str| registry.post("/api/v1/runner/sync").bearer(key).json(&said).send();
    let refused = sync(&old).await.expect(401);
    assert_eq!(refused.code(), "old-key");
    assert_eq!(sync(&new).await.expect(200).json()["wanted"].as_array().unwrap().len(), 3);
    // Python's clients know the new one, too, and nobody makes a cluster with the old one.
    let python = |query: &str| registry.get(&format!("/cluster?{query}")).header("Key", &ann).send();
    python(&format!("method=cluster_status&cluster={new}")).await.expect(200);
    python(&format!("method=cluster_status&cluster={old}")).await.expect(400);
    python("method=cluster_status&cluster=%00").await.expect(400);
    python(&format!("method=new_cluster&key={old}&description=%5BA%5D%0AScript=a")).await.expect(400);
    registry
        .get(&format!(
            "/cluster?method=node_config&cluster={old}&node=%5BDEFAULT%5D%0AName=m%0AIp=1%0AProcessors=1%0APorts_from=1"
        ))
        .send()
        .await
        .expect(404);
    registry.post(&format!("/logs?cluster={old}")).text("a line").send().await.expect(404);
    let list: Value = serde_json::from_str(&python("method=clusters_list").await.expect(200).body).unwrap();
    assert_eq!(list[&new]["key"], new.as_str());
    let audit = registry.get(&format!("/api/v1/clusters/{id}/audit")).bearer(&ann).send().await.expect(200).body;
    assert!(audit.contains("key changed") && !audit.contains(&new) && !audit.contains(&old), "{audit}");
}
