//! A registry at a loopback port, and a client that sends what it is told to, byte by byte.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part of it, and a helper that panics fails the test"
)]

pub mod browser;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use palm_registry::http::{App, Settings, serve};
use palm_registry::store::{Scope, Store};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What every password of a test is.
pub const PASSWORD: &str = "correct horse";

/// A cluster of a master and three workers.
pub const FILE: &str =
    "[Master]\nScript = m\n--db = _1\n\n[Worker]\nScript = w\n--db = _1\nConnected = Master\nReplicas = 2\n";

#[path = "../../../tests/src/postgres.rs"]
mod postgres;

/// Whether this is the test program that has its stores on PostgreSQL.
const IS_ON_POSTGRES: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"on_postgres");

/// An empty store: on PostgreSQL in the test program of that name, if there is one here, otherwise in a file.
pub async fn store(folder: &TempDir) -> Store {
    let database = IS_ON_POSTGRES.then(postgres::database).flatten();
    let url = database.unwrap_or_else(|| folder.path().join("store.db").to_str().unwrap().to_owned());
    Store::open(&url).await.unwrap()
}

/// A registry that ends with the test.
pub struct Registry {
    pub address: SocketAddr,
    pub store: Store,
    pub folder: TempDir,
}

impl Registry {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::new(address);
        change(&mut settings);
        let app = App::new(store.clone(), settings);
        tokio::spawn(async move { serve(listener, app, None, std::future::pending()).await });
        Self { address, store, folder }
    }

    /// What was written to its store last; `None`: that is on PostgreSQL, whose files are not looked into.
    pub fn written(&self) -> Option<Vec<u8>> {
        let read = std::fs::read(self.folder.path().join("store.db-wal"));
        if IS_ON_POSTGRES { read.ok() } else { Some(read.unwrap()) }
    }

    /// A user, and a token of a scope of it.
    pub async fn token(&self, name: &str, is_admin: bool, scope: Scope) -> String {
        let user = match self.store.user(name).await.unwrap() {
            Some(user) => user,
            None => self.store.add_user(name, is_admin).await.unwrap().unwrap(),
        };
        self.store.add_token_with(&user, "of a test", scope, None).await.unwrap().0
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::to(self.address, method, path)
    }

    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    pub fn put(&self, path: &str) -> Request {
        self.request("PUT", path)
    }

    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    /// A user with a password, logged in.
    pub async fn session(&self, name: &str, is_admin: bool) -> Session {
        let admin = self.token("the-one-who-sets-passwords", true, Scope::Admin).await;
        let _ = self.store.add_user(name, is_admin).await.unwrap();
        let set = self.put(&format!("/api/v1/users/{name}")).bearer(&admin);
        set.json(&serde_json::json!({ "password": PASSWORD })).send().await.expect(204);
        self.log_in(name, PASSWORD).await.session()
    }

    pub async fn log_in(&self, name: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "name": name, "password": password });
        self.post("/api/v1/session").json(&body).send().await
    }

    /// A cluster of a token's user.
    pub async fn cluster(&self, token: &str) -> String {
        let body = serde_json::json!({ "alias": "a cluster", "file": FILE });
        let answer = self.post("/api/v1/clusters").bearer(token).json(&body).send().await.expect(201);
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

/// A cookie, and what changes have to carry.
#[derive(Clone)]
pub struct Session {
    pub cookie: String,
    pub csrf: String,
}

#[derive(Clone)]
pub struct Request {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    pub fn to(address: SocketAddr, method: &str, path: &str) -> Self {
        let headers = vec![("Host".to_owned(), address.to_string())];
        Self { address, method: method.to_owned(), path: path.to_owned(), headers, body: String::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With a session's cookie alone.
    pub fn cookie(self, session: &Session) -> Self {
        self.header("Cookie", &session.cookie)
    }

    /// As a page of the registry sends it.
    pub fn signed(self, session: &Session) -> Self {
        self.cookie(session).header("X-CSRF-Token", &session.csrf)
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self.header("Content-Type", "application/json")
    }

    pub fn text(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    pub fn bytes(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\nConnection: close\r\n\r\n{}", self.body.len(), self.body);
        text
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn send(self) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.send_over(stream).await
    }

    pub async fn send_over(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Answer {
        let name = format!("{} {}", self.method, self.path);
        let _ = stream.write_all(self.bytes().as_bytes()).await;
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await;
        let _ = read.unwrap_or_else(|_| panic!("{name}: no answer"));
        Answer::parse(name, &bytes)
    }

    /// As [`stream`](Self::stream), by a system that keeps little of what was not read.
    pub async fn slow_stream(self) -> Stream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(self.bytes().as_bytes()).await.unwrap();
        Stream { stream, text: String::new() }
    }

    /// Sends it, and reads the answer as it comes.
    pub async fn stream(self) -> Stream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(self.bytes().as_bytes()).await.unwrap();
        Stream { stream, text: String::new() }
    }
}

/// An answer that does not end by itself.
pub struct Stream {
    stream: TcpStream,
    pub text: String,
}

impl Stream {
    /// Reads until this has come; what has come before it is dropped.
    pub async fn until(&mut self, part: &str) {
        while !self.text.contains(part) {
            assert!(self.more().await, "ended without `{part}`: {}", self.text);
        }
        let end = self.text.find(part).unwrap() + part.len();
        self.text.drain(..end);
    }

    /// Reads until it ends.
    pub async fn end(&mut self) {
        while self.more().await {}
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(60), self.stream.read(&mut bytes)).await;
        let count = read.unwrap_or_else(|_| panic!("nothing comes after {}", self.text)).unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub request: String,
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn parse(request: String, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: no answer: {text}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let mut answer = Self { request, status, head: head.to_owned(), body: body.to_owned() };
        if answer.header("Transfer-Encoding") == Some("chunked") {
            answer.body = String::from_utf8_lossy(&whole(&bytes[head.len() + 4..])).into_owned();
        }
        answer
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}\n{}", self.request, self.head, self.body);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}: no JSON: {}", self.request, self.body))
    }

    /// What programs tell problems by.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn session(&self) -> Session {
        let cookie = self.header("Set-Cookie").unwrap_or_else(|| panic!("no cookie: {self:?}"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Session { cookie, csrf: self.json()["csrf"].as_str().unwrap().to_owned() }
    }
}

/// A body that came in chunks; it has to be whole.
fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").expect("the length of a chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        let (chunk, rest) = chunks[end + 2..].split_at(length);
        body.extend(chunk);
        chunks = rest.strip_prefix(b"\r\n").expect("the end of a chunk");
        if length == 0 {
            return body;
        }
    }
}
