//! What strangers, and those who are slow, cannot do to a registry.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{PASSWORD, Registry, Request};
use palm_registry::cluster::Cluster;
use palm_registry::http::{App, Bounds, Settings, serve};
use palm_registry::store::{ClusterRow, Scope};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

fn bounded(bounds: Bounds) -> impl FnOnce(&mut Settings) {
    move |settings| settings.bounds = bounds
}

/// The head of the answer to a request that says that it is so long, and of which no more comes.
async fn begun(registry: &Registry, head: &str, length: usize) -> String {
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let host = registry.address;
    let text =
        format!("{head}\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let count = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[..count]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn of_strangers_no_long_body_is_read() {
    let registry = Registry::start().await;
    let bad = "\r\nAuthorization: Bearer nobody";
    for (head, expected) in [
        ("POST /api/v1/runner/sync HTTP/1.1", 401),
        (&format!("POST /api/v1/runner/sync HTTP/1.1{bad}"), 401),
        (&format!("POST /api/v1/runner/logs HTTP/1.1{bad}"), 401),
        (&format!("POST /api/v1/runner/logs?cluster=x HTTP/1.1{bad}"), 401),
        ("POST /logs?cluster=nobody HTTP/1.1", 404),
        ("POST /logs HTTP/1.1", 400),
        ("POST /api/v1/clusters HTTP/1.1", 401),
        ("POST /api/v1/validate HTTP/1.1", 401),
        ("POST /clusters/new HTTP/1.1", 401),
    ] {
        let status = begun(&registry, head, 8 << 20).await;
        assert!(status.contains(&format!(" {expected} ")), "{head}: {status}");
    }
    let long = json!({ "name": "ann", "password": "x".repeat(1 << 20) });
    registry.post("/api/v1/session").json(&long).send().await.expect(413);
    let long = format!("name=ann&password={}", "x".repeat(1 << 20));
    for path in ["/login", "/setup"] {
        let form = registry.post(path).header("Content-Type", "application/x-www-form-urlencoded").text(&long);
        form.send().await.expect(413);
    }
}

#[tokio::test]
async fn a_slow_or_endless_body_is_given_up() {
    let bounds = Bounds { body: Duration::from_millis(100), ..Bounds::default() };
    let registry = Registry::start_with(bounded(bounds)).await;
    let token = registry.token("ann", false, Scope::Admin).await;
    let head = format!("POST /api/v1/clusters HTTP/1.1\r\nAuthorization: Bearer {token}");
    let status = begun(&registry, &head, 1000).await;
    assert!(status.contains(" 408 "), "{status}");
    let status = begun(&registry, &head, 100 << 20).await;
    assert!(status.contains(" 413 "), "{status}");
    let status = begun(&registry, "POST /api/v1/session HTTP/1.1", 1000).await;
    assert!(status.contains(" 408 "), "{status}");
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_waiting_for_long() {
    let bounds = Bounds { connections: 1, head: Duration::from_millis(100), ..Bounds::default() };
    let registry = Registry::start_with(bounded(bounds)).await;
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nA: b\r\n"] {
        let mut silent = TcpStream::connect(registry.address).await.unwrap();
        silent.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), silent.read_to_end(&mut rest)).await;
        let _ = ended.expect("a connection that says nothing is ended");
        registry.get("/healthz").send().await.expect(200);
    }
    let mut long = TcpStream::connect(registry.address).await.unwrap();
    let _ = long.write_all(format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(1 << 20)).as_bytes()).await;
    let mut rest = Vec::new();
    let _ = long.read_to_end(&mut rest).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn half_heads_keep_nobody_out() {
    let registry = Registry::start_with(bounded(Bounds { connections: 64, ..Bounds::default() })).await;
    let mut begun = Vec::new();
    // As many again as there are places, ten times over.
    for count in 0..640 {
        let mut half = TcpStream::connect(registry.address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nA:").await.unwrap();
        begun.push(half);
        if count % 64 == 0 {
            registry.get("/healthz").send().await.expect(200);
        }
        if begun.len() > 128 {
            // Those that gave way long ago.
            begun.remove(0);
        }
    }
    registry.get("/healthz").send().await.expect(200);
}

#[tokio::test]
async fn there_are_so_many_streams() {
    let registry = Registry::start_with(bounded(Bounds { streams_of_one: 2, ..Bounds::default() })).await;
    let (ann, bob) =
        (registry.token("ann", false, Scope::Admin).await, registry.token("bob", false, Scope::Admin).await);
    let (own, other) = (registry.cluster(&ann).await, registry.cluster(&bob).await);
    let events = |id: &str, token: &str| registry.get(&format!("/api/v1/clusters/{id}/events")).bearer(token);
    let mut first = events(&own, &ann).stream().await;
    first.until("event: status").await;
    let follow = registry.get(&format!("/api/v1/clusters/{own}/logs/follow")).bearer(&ann);
    let mut second = follow.clone().stream().await;
    second.until("200 OK").await;
    for third in [events(&own, &ann), follow, registry.get(&format!("/clusters/{own}/changes")).bearer(&ann)] {
        let answer = third.send().await.expect(503);
        assert!(answer.header("Retry-After").is_some());
    }
    events(&other, &bob).stream().await.until("event: status").await;
    drop(first);
    // That somebody has gone is seen a moment later.
    let mut again = events(&own, &ann).stream().await;
    while !again.text.contains("event: status") {
        if again.text.contains("503") {
            tokio::time::sleep(Duration::from_millis(20)).await;
            again = events(&own, &ann).stream().await;
        }
        again.until("\n").await;
        let seen = again.text.clone();
        if seen.contains("event: status") || again.text.is_empty() {
            break;
        }
    }
}

/// Sends from another address of this machine.
async fn from(address: &str, request: Request) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(request.address()).await.unwrap();
    request.send_over(stream).await.status
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_is_kept_out_by_log_ins_from_elsewhere() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let log_in =
        |password: &str| registry.post("/api/v1/session").json(&json!({ "name": "ann", "password": password }));
    for address in ["127.0.0.2", "127.0.0.3"] {
        for _ in 0..10 {
            assert_eq!(from(address, log_in("wrong password")).await, 401);
        }
        assert_eq!(from(address, log_in(PASSWORD)).await, 429, "this address has tried too often");
    }
    log_in(PASSWORD).send().await.expect(200);
    // But nobody tries from everywhere for ever: no more than 200 fail. A password that is too long is not hashed.
    let long = "x".repeat(2000);
    for index in 0..180 {
        assert_eq!(from(&format!("127.0.1.{}", index / 9), log_in(&long)).await, 401, "{index}");
    }
    assert_eq!(from("127.0.2.1", log_in(PASSWORD)).await, 429);
    log_in(PASSWORD).send().await.expect(200).header("Set-Cookie").expect("it has logged in from here before");
    // Who is in already can set its password.
    let change = registry.put("/api/v1/me/password").signed(&ann);
    change.json(&json!({ "old": PASSWORD, "new": "another password" })).send().await.expect(204);
}

/// What `/metrics` says of something.
async fn metric(registry: &Registry, name: &str) -> u64 {
    // From another address, so that who has all places of this one does not matter.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.9.9.9:0".parse().unwrap()).unwrap();
    let stream = socket.connect(registry.address).await.unwrap();
    let body = registry.get("/metrics").send_over(stream).await.expect(200).body;
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {body}")).parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn slow_uploads_of_one_keep_nobody_else_from_sending() {
    let bounds = Bounds { bodies: 8 << 20, bodies_of_one: 4 << 20, ..Bounds::default() };
    let registry = Registry::start_with(bounded(bounds)).await;
    let (ann, bob) =
        (registry.token("ann", false, Scope::Admin).await, registry.token("bob", false, Scope::Admin).await);
    let host = registry.address;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST /api/v1/clusters HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ann}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{{",
            4 << 20
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    while metric(&registry, "palm_registry_bodies_room_bytes").await == 8 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(metric(&registry, "palm_registry_bodies_room_bytes").await, 4 << 20, "one of ann's is read at a time");
    let long = json!({ "file": "x".repeat(3 << 20) });
    let told = registry.post("/api/v1/clusters").bearer(&bob).json(&long).send().await.expect(400);
    assert!(told.body.contains("at most 1 MiB"), "it was read: {}", told.body);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_ended() {
    let bounds = Bounds { silence: Duration::from_millis(50), ..Bounds::default() };
    let registry = Registry::start_with(bounded(bounds)).await;
    let ann = registry.token("ann", false, Scope::Admin).await;
    let head = format!("POST /api/v1/clusters HTTP/1.1\r\nAuthorization: Bearer {ann}");
    assert_eq!(begun(&registry, &head, 1 << 20).await, "HTTP/1.1 408 Request Timeout");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_that_say_nothing_keep_out_nobody_who_is_known() {
    let bounds = Bounds { connections: 64, ..Bounds::default() };
    let registry = Registry::start_with(bounded(bounds)).await;
    let ann = registry.token("ann", false, Scope::Admin).await;
    let ask = format!("GET /api/v1/me HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ann}\r\n\r\n", registry.address);
    let mut known = TcpStream::connect(registry.address).await.unwrap();
    let mut answer = vec![0; 4096];
    known.write_all(ask.as_bytes()).await.unwrap();
    let count = known.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200 "));
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(registry.address).await.unwrap());
    }
    // This address has its share: who asks something has the place of the one that has been silent longest.
    registry.get("/healthz").send().await.expect(200);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), silent[0].read_to_end(&mut rest)).await;
    assert!(ended.is_ok() && rest.is_empty());
    assert!(metric(&registry, "palm_registry_refused_total{what=\"connections\"}").await > 0);
    // Others come, and who is known goes on.
    assert_eq!(from("127.0.0.2", registry.get("/healthz")).await, 200);
    known.write_all(ask.as_bytes()).await.unwrap();
    let count = known.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200 "));
    assert_eq!(metric(&registry, "palm_registry_connections{of=\"known\"}").await, 1);
    drop(silent);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn few_passwords_are_checked_at_a_time_and_each_address_has_its_turn() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    let attempt = |index: usize| {
        let body = json!({ "name": format!("nobody-{index}"), "password": "wrong password" });
        tokio::spawn(registry.post("/api/v1/session").json(&body).send())
    };
    let attempts: Vec<_> = (0..40).map(attempt).collect();
    while metric(&registry, "palm_registry_refused_total{what=\"passwords\"}").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let right = registry.post("/api/v1/session").json(&json!({ "name": "ann", "password": PASSWORD }));
    assert_eq!(from("127.0.0.2", right).await, 200, "another address has a turn of its own");
    let mut statuses = std::collections::BTreeMap::new();
    for attempt in attempts {
        let answer = attempt.await.unwrap();
        if answer.status == 503 {
            assert!(answer.header("Retry-After").is_some());
        }
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [401, 503], "{statuses:?}");
    assert!(statuses[&401] >= 16, "those that wait are done: {statuses:?}");
    assert_eq!(metric(&registry, "palm_registry_passwords_waiting").await, 0);
}

#[tokio::test]
async fn a_user_has_so_many_clusters() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Admin).await;
    let user = registry.store.user("ann").await.unwrap().unwrap();
    for index in 0..999 {
        let cluster = Cluster::from_text(common::FILE).unwrap();
        let row = ClusterRow::new(format!("key {index}"), &user, None, common::FILE.to_owned(), cluster);
        registry.store.add_cluster(&row).await.unwrap();
    }
    registry.cluster(&ann).await;
    let more = registry.post("/api/v1/clusters").bearer(&ann).json(&json!({ "file": common::FILE })).send().await;
    assert!(more.expect(409).body.contains("you have 1000 clusters"));
    let python = |key: &str| {
        let path = format!("/cluster?method=new_cluster&key={key}&description=%5BA%5D%0AScript%20%3D%20a%0A");
        registry.get(&path).header("Key", &ann).send()
    };
    python("another").await.expect(400);
    python("key%201").await.expect(200);
}

#[tokio::test]
async fn a_registry_that_stops_ends_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let store = common::store(&folder).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app = App::new(store.clone(), Settings::new(address));
    let serving = tokio::spawn(serve(listener, app, None, async move { drop(stopped.await) }));
    let registry = Registry { address, store, folder };
    let ann = registry.token("ann", false, Scope::Admin).await;
    let id = registry.cluster(&ann).await;
    let mut stream = registry.get(&format!("/api/v1/clusters/{id}/events")).bearer(&ann).stream().await;
    stream.until("event: status").await;
    let _idle = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    stream.end().await;
    serving.await.unwrap().unwrap();
}
