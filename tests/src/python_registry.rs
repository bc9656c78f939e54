//! The real `pylm-registry` as a process, with one user.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::{START, free_ports};
use crate::{Process, python, until};

/// Adds the user that the registry would ask a terminal for.
const ADD_USER: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute(\"INSERT INTO users (name, key, active, admin) VALUES ('ann', 'token', 1, 0)\")
connection.commit()";

/// Ports that a cluster of a test takes, at most.
const PORTS: u16 = 30;
/// The user's key.
pub const USER_KEY: &str = "token";

/// The real registry.
#[derive(Debug)]
pub struct PythonRegistry {
    /// Its process.
    pub process: Process,
    /// Where it is.
    pub url: String,
}

impl PythonRegistry {
    /// Starts one with its store in this folder, and waits until it listens.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(folder: &Path) -> Self {
        let (port, store) = (free_port(), folder.join("python.db"));
        let server = || {
            let mut command = Command::new(python::interpreter().with_file_name("pylm-registry"));
            command.arg("--db").arg(format!("sqlite:///{}", store.display()));
            command.args(["--port", &port, "--debug", "--secret", "S"]).env("PYTHONUNBUFFERED", "1");
            command
        };
        // It makes its tables, and then wants to be told a password.
        let made = server().arg("--sync").stdin(Stdio::null()).output();
        made.expect("the registry starts");
        let added = Command::new(python::interpreter()).args(["-c", ADD_USER]).arg(&store).status();
        assert!(added.is_ok_and(|status| status.success()), "a user is added");
        let process = Process::start("pylm-registry", server());
        until("the registry", START, || TcpStream::connect(format!("127.0.0.1:{port}")).ok());
        Self { process, url: format!("http://127.0.0.1:{port}") }
    }
}

/// The first of some free ports, one after the other, as text: what takes ports from there on takes nobody else's.
///
/// # Panics
/// If there is none.
pub fn free_port() -> String {
    free_ports(PORTS).to_string()
}

/// Gives a registry a cluster's file by the real client, and returns the cluster's key.
///
/// # Panics
/// If the registry refuses it.
pub fn set_cluster(url: &str, user_key: &str, file: &Path) -> String {
    let mut command = python::program("registry_set.py");
    command.args(["--registry", url, "--key", user_key, "--file"]).arg(file);
    let mut set = Process::start("set", command);
    assert!(set.exit(START).success());
    set.events("set")[0]["key"].as_str().expect("a key is text").to_owned()
}

/// The lines that a registry has of a cluster, as the real client gets them; none if it gets none.
pub fn logs(url: &str, cluster: &str) -> Vec<String> {
    let mut command = python::program("registry_logs.py");
    command.args(["--registry", url, "--cluster", cluster]);
    let output = command.output().ok().map(|output| output.stdout).unwrap_or_default();
    let lines: Vec<Value> = serde_json::from_slice(&output).unwrap_or_default();
    lines.iter().filter_map(|line| line["text"].as_str().map(str::to_owned)).collect()
}

/// A command that runs the real runner with a node's file.
pub fn runner(url: &str, cluster: &str, node: &Path) -> Command {
    let mut command = Command::new(python::interpreter().with_file_name("pylm-runner"));
    command.args(["--registry", url, "--cluster", cluster, "--config"]).arg(node);
    command
}
