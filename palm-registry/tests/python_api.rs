//! What Python's clients and runners ask, as they ask it, and what `pylm-registry` was seen to answer.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Answer, FILE, Registry};
use palm_registry::store::Scope;
use serde_json::{Value, json};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn new_cluster(registry: &Registry, token: &str, file: &str, more: &str) -> Answer {
    let path = format!("/cluster?method=new_cluster&description={}{more}", encoded(file));
    registry.get(&path).header("Key", token).send().await
}

async fn node(registry: &Registry, key: &str, name: &str, ip: &str, processors: u32) -> Answer {
    let node = format!("[DEFAULT]\nName = {name}\nIp = {ip}\nProcessors = {processors}\nPorts_from = 5555\n");
    registry.get(&format!("/cluster?method=node_config&cluster={key}&node={}", encoded(&node))).send().await
}

async fn commands(registry: &Registry, key: &str, name: &str, ip: &str, processors: u32) -> Vec<String> {
    let answer = node(registry, key, name, ip, processors).await.expect(200);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn nodes_of_one_name_are_told_apart_by_their_ips() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "").await.expect(200).body;
    let (master, worker) = ("m --db tcp://127.0.0.1:5555", "w --db tcp://127.0.0.1:5555");
    for _ in 0..2 {
        assert_eq!(commands(&registry, &key, "My Worker", "127.0.0.1", 1).await, [master]);
        assert_eq!(commands(&registry, &key, "My Worker", "127.0.0.2", 2).await, [worker, worker]);
        assert_eq!(commands(&registry, &key, "My Worker", "127.0.0.3", 9).await, [worker]);
    }
    // One of our runners that has the name is none of them: it takes nothing from them.
    let sync = |name: &str, ip: &str| {
        let node = json!({ "name": name, "ip": ip, "processors": 4, "ports_from": 7000 });
        let body = json!({ "node": node, "run": "00000000-0000-4000-8000-000000000000", "processes": [] });
        registry.post("/api/v1/runner/sync").bearer(&key).json(&body)
    };
    let another = sync("My Worker", "127.0.0.9").send().await.expect(200).json();
    assert_eq!(another["node"], "My Worker (127.0.0.9)");
    assert_eq!(commands(&registry, &key, "My Worker", "127.0.0.1", 1).await, [master]);
    // Nor are they one of ours that is there.
    sync("ours", "127.0.0.9").send().await.expect(200);
    let refused = node(&registry, &key, "ours", "127.0.0.9", 4).await.expect(409);
    assert_eq!(refused.body, "a runner speaks for the node ours: name this one differently, or end that one");
    assert_eq!(commands(&registry, &key, "ours", "127.0.0.8", 4).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_means_nodes_by_the_names_that_they_gave() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let file = "[[component]]\nname = 'A'\nscript = 'a'\nreplicas = 1\nnodes = ['My Worker']\n";
    let key = new_cluster(&registry, &token, file, "").await.expect(200).body;
    assert_eq!(commands(&registry, &key, "My Worker", "127.0.0.1", 1).await, ["a"]);
    assert_eq!(commands(&registry, &key, "Other", "127.0.0.3", 1).await, Vec::<String>::new());
    assert_eq!(commands(&registry, &key, "My Worker", "127.0.0.2", 1).await, ["a"]);
}

#[tokio::test]
async fn a_list_has_the_state_of_each_cluster_as_pythons_has_it() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "&alias=test").await.expect(200).body;
    let list = async || -> Value {
        let answer = registry.get("/cluster?method=clusters_list").header("Key", &token).send().await.expect(200);
        serde_json::from_str::<Value>(&answer.body).unwrap()[&key].clone()
    };
    assert_eq!(list().await["status"], "");
    commands(&registry, &key, "n", "127.0.0.1", 2).await;
    let worker = json!({ "commands": ["w", "--db tcp://127.0.0.1:5555"], "node": "127.0.0.1" });
    let master = json!({ "commands": ["m", "--db tcp://127.0.0.1:5555"], "node": "127.0.0.1", "ready": true });
    let status = json!([
        { "_1": "tcp://127.0.0.1:5555" }, { "Master": master, "Worker 1": worker }, { "127.0.0.1": 5556 }, false
    ]);
    assert_eq!((&list().await["status"], &list().await["alias"]), (&status, &json!("test")));
    let path = format!("/cluster?method=cluster_status&cluster={key}");
    let told = registry.get(&path).header("Key", &token).send().await.expect(200).json();
    for (index, name) in ["socket mapping", "configured resources", "highest port used", "ready"].iter().enumerate() {
        assert_eq!(told[name], status[index]);
    }
}

#[tokio::test]
async fn a_period_can_cut_between_two_lines_of_one_request() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "").await.expect(200).body;
    // As protobuf has them: field 1, a length, the text.
    let body: String = (0..5).map(|index| format!("\n\u{6}line {index}")).collect();
    for _ in 0..2 {
        registry.post(&format!("/logs?cluster={key}")).text(&body).send().await.expect(200);
    }
    let lines = async |query: &str| -> Vec<(String, String)> {
        let answer = registry.get(&format!("/logs?cluster={key}{query}")).send().await.expect(200);
        let lines: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
        let line = |line: Value| (line["when"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().to_owned());
        lines.into_iter().map(line).collect()
    };
    let all = lines("").await;
    let texts: Vec<_> = (0..5).chain(0..5).map(|index| format!("line {index}")).collect();
    assert_eq!(all.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>(), texts);
    assert!(all.is_sorted_by(|(one, _), (other, _)| one < other), "{all:?}");
    for (index, (when, _)) in all.iter().enumerate() {
        assert_eq!(lines(&format!("&fr={when}")).await, all[index + 1..]);
        assert_eq!(lines(&format!("&to={when}")).await, all[..index]);
    }
    assert_eq!(lines(&format!("&fr={}&to={}", all[2].0, all[6].0)).await, all[3..6]);
}

#[tokio::test]
async fn addresses_of_pythons_pages_lead_to_ours() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let bob = registry.token("bob", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "").await.expect(200).body;
    let others = new_cluster(&registry, &bob, FILE, "").await.expect(200).body;
    let id = registry.get("/api/v1/clusters").bearer(&token).send().await.expect(200).json()[0]["id"].clone();
    let id = id.as_str().unwrap();
    let led = async |path: &str| {
        let answer = registry.get(path).cookie(&ann).send().await;
        assert!((301..=308).contains(&answer.status), "{path}: {answer:?}");
        answer.header("Location").unwrap().to_owned()
    };
    for (path, to) in [
        ("/dashboard".to_owned(), "/".to_owned()),
        ("/dashboard?error=forbidden".to_owned(), "/".to_owned()),
        ("/new_cluster".to_owned(), "/clusters/new".to_owned()),
        ("/new_user".to_owned(), "/users".to_owned()),
        ("/logout".to_owned(), "/account".to_owned()),
        (format!("/view_cluster?cluster={key}"), format!("/clusters/{id}")),
        (format!("/view_logs?cluster={key}"), format!("/clusters/{id}/logs")),
        (format!("/reset_cluster?cluster={key}"), format!("/clusters/{id}/confirm?what=reset")),
    ] {
        assert_eq!(led(&path).await, to, "{path}");
        if to != "/users" {
            registry.get(&to).cookie(&ann).send().await.expect(200);
        }
    }
    for path in ["/view_cluster", "/view_cluster?cluster=none", &format!("/view_logs?cluster={others}")] {
        registry.get(path).cookie(&ann).send().await.expect(404);
    }
    // Who is nobody yet is led there once it has logged in.
    let first = registry.get(&format!("/view_cluster?cluster={key}")).send().await.expect(303);
    assert_eq!(first.header("Location").unwrap(), format!("/login?next=/view_cluster%3Fcluster%3D{key}"));
    registry.get("/").cookie(&ann).send().await.expect(200);
    let icon = registry.get("/favicon.ico").send().await.expect(200);
    assert_eq!(icon.header("Content-Type"), Some("image/x-icon"));
    assert!(icon.body.starts_with("\0\0\u{1}\0\u{1}\0") && icon.body.contains("PNG"), "an icon of one picture");
}

#[tokio::test]
async fn names_that_would_do_something_are_refused_at_every_door() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "").await.expect(200).body;
    let id = registry.get("/api/v1/clusters").bearer(&token).send().await.expect(200).json()[0]["id"].clone();
    let id = id.as_str().unwrap();
    for (name, told) in [
        ("a\u{1b}]52;c;eA==\u{7}", "without control characters"),
        ("a\u{202e}b", "without characters that turn or hide others"),
    ] {
        let alias = format!("&alias={}", encoded(name));
        let refused = new_cluster(&registry, &token, FILE, &alias).await.expect(400);
        assert_eq!(refused.body, format!("expected a name {told}"));
        new_cluster(&registry, &token, FILE, &format!("&key={}", encoded(name))).await.expect(400);
        new_cluster(&registry, &token, &format!("[{name}]\nScript = a\n"), "").await.expect(400);
        new_cluster(&registry, &token, &format!("[A]\nScript = a\nRole = {name}\n"), "").await.expect(400);
        new_cluster(&registry, &token, &format!("[A]\nScript = a\n--db = _{name}\n"), "").await.expect(400);
        assert!(node(&registry, &key, name, "127.0.0.1", 1).await.expect(400).body.contains(told));
        let body = json!({ "file": FILE, "alias": name });
        assert!(
            registry.post("/api/v1/clusters").bearer(&token).json(&body).send().await.expect(400).body.contains(told)
        );
        let rename = registry.put(&format!("/api/v1/clusters/{id}")).bearer(&token);
        rename.json(&json!({ "alias": name })).send().await.expect(400);
        let made = registry.post("/api/v1/tokens").bearer(&token).json(&json!({ "name": name, "scope": "read" }));
        made.send().await.expect(400);
        let offer = json!({ "name": name, "ip": "h", "processors": 1, "ports_from": 1 });
        let sync = json!({ "node": offer, "run": "00000000-0000-4000-8000-000000000000", "processes": [] });
        let refused = registry.post("/api/v1/runner/sync").bearer(&key).json(&sync).send().await.expect(400);
        assert!(refused.body.contains(told), "{}", refused.body);
    }
    assert_eq!(registry.get("/api/v1/clusters").bearer(&token).send().await.json().as_array().unwrap().len(), 1);
    // Names that are only strange are names.
    new_cluster(&registry, &token, FILE, &format!("&alias={}", encoded("日本 Ännchen"))).await.expect(200);
    // What a component prints is kept as it is, and shown as what it is.
    let line = "\u{1b}[31mred <b> a\u{202e}b";
    registry.post(&format!("/logs?cluster={key}")).text(line).send().await.expect(200);
    let kept = registry.get(&format!("/logs?cluster={key}")).send().await.expect(200).json();
    assert_eq!(kept[0]["text"], line);
    let page = registry.get(&format!("/clusters/{id}/logs")).bearer(&token).send().await.expect(200).body;
    assert!(page.contains("^[[31mred &#60;b&#62; a&#60;U+202E&#62;b"), "{page}");
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_ends_with_what_it_was_asked_with() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let other = registry.token("ann", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "").await.expect(200).body;
    let id = registry.get("/api/v1/clusters").bearer(&token).send().await.expect(200).json()[0]["id"].clone();
    let id = id.as_str().unwrap();
    // More than what the system keeps of an answer that nobody reads.
    for _ in 0..2 {
        registry.post(&format!("/logs?cluster={key}")).text(&"a".repeat(16 << 20)).send().await.expect(200);
    }
    let mut text = registry.get(&format!("/api/v1/clusters/{id}/logs/download")).bearer(&other).slow_stream().await;
    let mut list = registry.get(&format!("/logs?cluster={key}")).slow_stream().await;
    text.until("200 OK").await;
    list.until("200 OK").await;
    let user = registry.store.user("ann").await.unwrap().unwrap();
    for revoked in registry.store.tokens_of(user.id).await.unwrap() {
        registry.store.revoke_token(user.id, &revoked.id).await.unwrap();
    }
    let token = registry.token("ann", false, Scope::Admin).await;
    registry.post(&format!("/api/v1/clusters/{id}/key")).bearer(&token).send().await.expect(200);
    for mut stream in [text, list] {
        stream.end().await;
        assert!(stream.text.len() < 30 << 20 && !stream.text.ends_with("\r\n0\r\n\r\n"), "{}", stream.text.len());
    }
}

#[tokio::test]
async fn long_lines_come_in_pieces_and_an_answer_has_so_much_of_them() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let key = new_cluster(&registry, &token, FILE, "").await.expect(200).body;
    let id = registry.get("/api/v1/clusters").bearer(&token).send().await.expect(200).json()[0]["id"].clone();
    let id = id.as_str().unwrap();
    let line = "ä".repeat(5 << 20);
    for _ in 0..2 {
        registry.post(&format!("/logs?cluster={key}")).text(&line).send().await.expect(200);
    }
    let path = format!("/api/v1/clusters/{id}/logs?limit=5000");
    let found = registry.get(&path).bearer(&token).send().await.expect(200).json();
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 256, "of 320 pieces of 64 KiB those that have 16 MiB");
    assert!(found.iter().all(|line| line["text"].as_str().unwrap().len() <= 64 << 10));
    let all = registry.get(&format!("/logs?cluster={key}")).send().await.expect(200).json();
    let all: String = all.as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(all, line.repeat(2), "nothing is lost");
    let path = format!("/api/v1/clusters/{id}/logs/download");
    let download = async |query: &str| -> Vec<String> {
        let answer = registry.get(&format!("{path}{query}")).bearer(&token).send().await.expect(200);
        answer.body.lines().map(|line| line.split_once(' ').map_or(line, |(_, text)| text).to_owned()).collect()
    };
    let whole = download("").await;
    assert_eq!((whole.len(), whole.concat() == line.repeat(2)), (320, true), "nothing is left out");
    let first = found[0]["id"].as_i64().unwrap();
    assert_eq!(download("?limit=300").await, whole[20..], "the last");
    assert_eq!(download(&format!("?limit=30&before={first}")).await, whole[34..64]);
    assert_eq!(download(&format!("?limit=30&after={first}")).await, whole[65..95]);
    assert!(download("?limit=1000").await == whole && download("?text=nowhere").await.is_empty());
    let many = "\n\0".repeat(20_001);
    registry.post(&format!("/logs?cluster={key}")).text(&many).send().await.expect(413);
}
