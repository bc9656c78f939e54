//! What strangers, and those who are slow, cannot do to a registry.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{PASSWORD, Registry, Request};
use palm_registry::http::{App, Bounds, Settings, serve};
use palm_registry::store::Scope;
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
        // There is one place, which the other one has.
        registry.get("/healthz").send().await.expect(200);
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), silent.read_to_end(&mut rest)).await;
        let _ = ended.expect("a connection that says nothing is ended");
    }
    let mut long = TcpStream::connect(registry.address).await.unwrap();
    let _ = long.write_all(format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(1 << 20)).as_bytes()).await;
    let mut rest = Vec::new();
    let _ = long.read_to_end(&mut rest).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&rest));
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
    log_in(PASSWORD).send().await.expect(429);
    // Who is in already can set its password.
    let change = registry.put("/api/v1/me/password").signed(&ann);
    change.json(&json!({ "old": PASSWORD, "new": "another password" })).send().await.expect(204);
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
