//! A registry of ours as a process, with one user; and what it keeps.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use palm_registry::cluster::Cluster;
use palm_registry::plan::Plan;
use palm_registry::store::{ClusterRow, LogLine, Saved, Scope, Store};
use palm_registry::wire::Process as Reported;

use serde_json::Value;

use crate::cluster::{START, subcommand};
use crate::{Process, palm};

/// A registry with one user, in a folder that goes with it.
#[derive(Debug)]
pub struct Registry {
    /// Its process.
    pub process: Process,
    /// Where it is.
    pub url: String,
    /// The user's key.
    pub key: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What its store is opened by.
    pub store: String,
}

/// The user's name.
const USER: &str = "ann";
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

impl Registry {
    /// Starts one, with its store in a file.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(name: &str) -> Self {
        let folder = folder(name);
        let store = folder.join("store.db").display().to_string();
        Self::start_in(folder, store)
    }

    /// Starts one on the database with this URL.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_on(name: &str, database: String) -> Self {
        Self::start_in(folder(name), database)
    }

    fn start_in(folder: PathBuf, store: String) -> Self {
        let mut adding = palm::program();
        adding.args(["registry", "add-user", USER, "--store", &store]);
        let added = adding.output().expect("the program starts");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let key = String::from_utf8_lossy(&added.stdout).trim().to_owned();
        let (process, url) = Self::serve(&store, "127.0.0.1:0");
        Self { process, url, key, folder, store }
    }

    /// Starts another with the same store and the same user.
    ///
    /// # Panics
    /// If it does not start.
    pub fn beside(&self, name: &str) -> Self {
        let (process, url) = Self::serve(&self.store, "127.0.0.1:0");
        Self { process, url, key: self.key.clone(), folder: folder(name), store: self.store.clone() }
    }

    fn serve(store: &str, listen: &str) -> (Process, String) {
        let mut command = subcommand("registry");
        command.args(["--listen", listen, "--store", store]);
        let process = Process::start("registry", command);
        let url = process.line("serving ", START).text.rsplit(' ').next().unwrap_or_default().to_owned();
        (process, url)
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If that is no address.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("it tells its address")
    }

    /// What it answers as its user to a GET; `None`: nothing within some seconds, or a refusal.
    pub fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        let (host, key) = (self.address(), &self.key);
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| serde_json::from_str(body).ok())?
    }

    /// The state of the first of its clusters, as it shows it.
    pub fn status(&self) -> Option<Value> {
        let clusters = self.get("/api/v1/clusters")?;
        let id = clusters.get(0)?.get("id")?.as_str()?.to_owned();
        self.get(&format!("/api/v1/clusters/{id}/status"))
    }

    /// Kills it, and starts it again at the same address.
    pub fn restart(&mut self) {
        self.process.kill();
        self.serve_again();
    }

    /// Starts it again at the same address, once it was killed.
    pub fn serve_again(&mut self) {
        let listen = self.url.trim_start_matches("http://");
        (self.process, _) = Self::serve(&self.store, listen);
    }

    /// Starts one with an empty store at its address, once it was killed.
    pub fn serve_empty(&mut self) {
        let (listen, store) = (self.url.trim_start_matches("http://"), self.folder.join("empty.db"));
        (self.process, _) = Self::serve(&store.display().to_string(), listen);
    }

    /// Requests that it has refused since it was started.
    ///
    /// # Panics
    /// If it does not say.
    pub fn refusals(&self) -> u64 {
        let mut stream = TcpStream::connect(self.address()).expect("it is there");
        stream.set_read_timeout(Some(ANSWER)).expect("a time is one");
        let head = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address());
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let mut lines = answer.lines().filter_map(|line| line.split_once("{class=\"4xx\"} "));
        lines.next().and_then(|(_, count)| count.parse().ok()).expect("refusals are counted")
    }

    /// Deletes a cluster, past the registry.
    ///
    /// # Panics
    /// If the store cannot be written.
    pub fn delete_cluster(&self, key: &str) {
        self.with_store(async |store| assert!(store.delete_cluster(key).await.expect("the store is there")));
    }

    /// Gives a cluster another key, past the registry, and says which.
    ///
    /// # Panics
    /// If the store cannot be written.
    pub fn change_key(&self, key: &str) -> String {
        self.with_store(async |store| {
            let row = store.cluster(key).await.expect("the store is there").expect("so is the cluster");
            store.change_key(&row).await.expect("the store can be written").expect("nobody else does so")
        })
    }

    /// A token of its user that may do no more than run clusters.
    ///
    /// # Panics
    /// If the store cannot be written.
    pub fn runner_token(&self) -> String {
        self.with_store(async |store| {
            let user = store.user(USER).await.expect("the store is there").expect("so is the user");
            store.add_token_with(&user, "", Scope::Runner, None).await.expect("the store can be written").0
        })
    }

    /// Writes a file into its folder.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    /// Adds a cluster, past the registry.
    ///
    /// # Panics
    /// If it cannot.
    pub fn add_cluster(&self, key: &str, file: &str) {
        self.with_store(async |store| {
            let user = store.user(USER).await.expect("the store is there").expect("so is the user");
            let cluster = Cluster::from_text(file).unwrap_or_else(|error| panic!("{error}"));
            let row = ClusterRow::new(key.to_owned(), &user, None, file.to_owned(), cluster);
            assert_eq!(store.add_cluster(&row).await.ok(), Some(Saved::Yes));
        });
    }

    /// Changes a cluster, past the registry.
    ///
    /// # Panics
    /// If it cannot.
    pub fn change(&self, key: &str, change: impl Fn(&mut Plan)) {
        self.with_store(async |store| {
            loop {
                let mut row = store.cluster(key).await.expect("the store is there").expect("so is the cluster");
                change(row.plan_mut());
                if store.save_cluster(&row).await.ok() == Some(Saved::Yes) {
                    return;
                }
            }
        });
    }

    /// What nodes have reported of a component, by copy.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn processes(&self, key: &str, component: &str) -> Vec<Reported> {
        let nodes = self.with_store(async |store| store.nodes(key).await.expect("the store is there"));
        let all = nodes.values().flat_map(|node| node.processes.clone());
        let mut found: Vec<_> = all.filter(|process| process.component == component).collect();
        found.sort_by_key(|process| process.copy);
        found
    }

    /// What has been printed.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn logs(&self, key: &str) -> Vec<LogLine> {
        self.with_store(async |store| store.logs(key).await.expect("the store is there"))
    }

    fn with_store<T, F: Future<Output = T>>(&self, work: impl FnOnce(Store) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        runtime.block_on(async {
            let store = Store::open(&self.store).await.expect("the store opens");
            let result = work(store.clone()).await;
            store.close().await;
            result
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("palm-registry-{}-{name}", std::process::id()));
    std::fs::create_dir(&folder).expect("the folder is not there yet");
    folder
}
