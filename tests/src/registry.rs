//! A registry of ours as a process, with one user; and what it keeps.

use std::future::Future;
use std::path::{Path, PathBuf};

use palm_registry::cluster::Cluster;
use palm_registry::plan::Plan;
use palm_registry::store::{ClusterRow, LogLine, LogQuery, Period, Saved, Store};
use palm_registry::wire::Process as Reported;

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
}

/// The user's name.
const USER: &str = "ann";

impl Registry {
    /// Starts one.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("palm-registry-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).expect("the folder is not there yet");
        let store = folder.join("store.db");
        let mut adding = palm::program();
        adding.args(["registry", "add-user", USER, "--store"]).arg(&store);
        let added = adding.output().expect("the program starts");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let key = String::from_utf8_lossy(&added.stdout).trim().to_owned();
        let (process, url) = Self::serve(&store, "127.0.0.1:0");
        Self { process, url, key, folder }
    }

    fn serve(store: &Path, listen: &str) -> (Process, String) {
        let mut command = subcommand("registry");
        command.args(["--listen", listen, "--store"]).arg(store);
        let process = Process::start("registry", command);
        let url = process.line("serving ", START).text.rsplit(' ').next().unwrap_or_default().to_owned();
        (process, url)
    }

    /// Kills it, and starts it again at the same address.
    pub fn restart(&mut self) {
        self.process.kill();
        self.serve_again();
    }

    /// Starts it again at the same address, once it was killed.
    pub fn serve_again(&mut self) {
        let listen = self.url.trim_start_matches("http://");
        (self.process, _) = Self::serve(&self.folder.join("store.db"), listen);
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
                change(&mut row.plan);
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
        let rows = self.with_store(async |store| store.processes(key).await.expect("the store is there"));
        rows.into_iter().map(|row| row.process).filter(|process| process.component == component).collect()
    }

    /// What has been printed.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub fn logs(&self, key: &str) -> Vec<LogLine> {
        self.with_store(async |store| store.logs(key, &LogQuery::of(Period::ALL)).await.expect("the store is there"))
    }

    fn with_store<T, F: Future<Output = T>>(&self, work: impl FnOnce(Store) -> F) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        let store = self.folder.join("store.db");
        runtime.block_on(async {
            let store = Store::open(&store.to_string_lossy()).await.expect("the store opens");
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
