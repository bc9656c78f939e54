//! A registry that is none, and answers without an end: nobody who asks it reads for ever.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::net::SocketAddr;

use palm_registry::api::logs::Asked;
use palm_registry::client::{Client, ClientError};
use palm_registry::plan::NodeOffer;
use palm_registry::wire::{Lines, Sync};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

/// A server that answers every request with this head, and then with this for ever.
async fn endless(head: &'static str, part: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes()).await;
                let body = part.repeat(65_536 / part.len());
                while stream.write_all(body.as_bytes()).await.is_ok() {}
            });
        }
    });
    address
}

fn client(address: SocketAddr) -> Client {
    Client::new(&format!("http://{address}"), "key", None).unwrap()
}

fn offer() -> NodeOffer {
    NodeOffer { name: "n".into(), ip: "127.0.0.1".into(), processors: 1, ports_from: 5555 }
}

#[track_caller]
fn is_too_long<T: std::fmt::Debug>(answer: Result<T, ClientError>, most: usize) {
    let error = answer.unwrap_err();
    assert!(matches!(&error, ClientError::TooLong { most: found } if *found == most), "{error}");
    assert_eq!(
        error.to_string(),
        format!("the registry's answer is longer than {most} bytes, and was not read to its end")
    );
}

const LONG: usize = 64 << 20;

#[tokio::test]
async fn a_runner_reads_no_endless_answer() {
    let said = Sync { node: offer(), run: Uuid::new_v4(), processes: Vec::new(), leaving: false };
    let lines = Lines { node: "n".into(), spool: Uuid::new_v4(), lines: Vec::new() };
    for head in ["200 OK", "200 OK\r\nContent-Length: 9000000000"] {
        let client = client(endless(head, " ").await);
        is_too_long(client.sync(&said).await, LONG);
        is_too_long(client.send_lines(&lines).await, 64 << 10);
        is_too_long(client.node_config(&offer()).await, LONG);
    }
}

#[tokio::test]
async fn people_read_no_endless_answer() {
    let client = client(endless("200 OK", " ").await);
    is_too_long(client.get::<Value>(&["clusters"], &()).await, LONG);
    is_too_long(client.text(&["clusters", "c", "logs", "download"], &()).await, LONG);
    is_too_long(client.page("/").await, LONG);
}

#[tokio::test]
async fn a_refusal_is_read_as_far_as_it_is_shown() {
    let client = client(endless("403 Forbidden", "no ").await);
    let error = client.get::<Value>(&["clusters"], &()).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(error.to_string().len() < 600, "{error}");
}

#[tokio::test]
async fn a_stream_has_no_endless_line() {
    for part in ["x", "data: x\n"] {
        let client = client(endless("200 OK\r\nContent-Type: text/event-stream", part).await);
        let mut follow = client.follow("c", Asked::default(), 0);
        let (send, mut told) = tokio::sync::mpsc::unbounded_channel();
        let following = tokio::spawn(async move {
            follow.next(|error| send.send(error.to_string()).unwrap()).await.map(|line| line.value.id)
        });
        let told = told.recv().await.unwrap();
        assert_eq!(told, "the registry's answer is longer than 4194304 bytes, and was not read to its end");
        following.abort();
    }
}
