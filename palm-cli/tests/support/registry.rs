//! A registry with a store of its own, and what is asked of it.

use std::time::Instant;

use serde_json::Value;

use super::{BOUND, Ended, Running, palm, run, run_with, until};

/// A cluster whose first component prints numbered lines.
pub(crate) const FILE: &str = "[Counter]\nScript = sh -c 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done'\n\n\
                    [Sleeper]\nScript = sleep 1000\n";

/// A registry that runs, and the token of its admin.
pub(crate) struct Registry {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) running: Running,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more flags.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("r.db");
        let added = run(&["registry", "add-user", "ann", "--admin", "--store", store.to_str().unwrap()]);
        let token = String::from_utf8(added.out).unwrap().trim().to_owned();
        let (running, url) = Self::serve(&folder, "127.0.0.1:0", flags).unwrap();
        Self { folder, url, token, running }
    }

    fn serve(folder: &tempfile::TempDir, listen: &str, flags: &[&str]) -> Option<(Running, String)> {
        let mut command = palm();
        command.args(["registry", "--listen", listen, "--store"]).arg(folder.path().join("r.db")).args(flags);
        let mut running = Running::start(command);
        let line = running.line("serving http")?;
        let url = line[line.find("http").unwrap()..].to_owned();
        Some((running, url))
    }

    /// Killed, and started again where it was.
    pub(crate) fn again(&mut self) {
        self.running.signal("KILL");
        until("its end", || !std::path::Path::new(&format!("/proc/{}/fd/1", self.running.child.id())).exists());
        // Meanwhile another's connection may have been given the port, for as long as that lasts.
        let end = Instant::now() + BOUND;
        self.running = loop {
            match Self::serve(&self.folder, self.url.trim_start_matches("http://"), &[]) {
                Some((running, _)) => break running,
                None => assert!(Instant::now() < end, "it cannot be started again at {}", self.url),
            }
        };
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = palm();
        command.args(arguments).env("PALM_REGISTRY", &self.url).env("PALM_TOKEN", &self.token);
        command
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Ended {
        run_with(self.command(arguments), b"")
    }

    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let Ended { code, out, err } = self.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    pub(crate) fn cluster(&self) -> String {
        let file = self.folder.path().join("c.ini");
        std::fs::write(&file, FILE).unwrap();
        let made = self.json(&["cluster", "new", file.to_str().unwrap(), "--alias", "test"]);
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn runner(&self) -> Running {
        let key = self.done(&["cluster", "key", "test"]);
        let mut command = palm();
        command.args(["runner", "--registry", &self.url, "--name", "here", "--processors", "4", "--spool"]);
        command.arg(self.folder.path().join("spool")).env("PALM_RUNNER_CLUSTER", key.trim());
        Running::start(command)
    }

    pub(crate) fn states(&self) -> Vec<String> {
        let status = self.json(&["cluster", "status", "test"]);
        let components = status["components"].as_array().unwrap().iter();
        let processes = components.flat_map(|component| component["processes"].as_array().unwrap().clone());
        processes.map(|process| process["state"].as_str().unwrap_or("none").to_owned()).collect()
    }
}
