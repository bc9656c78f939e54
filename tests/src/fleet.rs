//! Runners with a proxy each before the registry, components that print numbered lines, and what is true of them whatever dies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use palm_registry::wire::Stream;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cluster::subcommand;
use crate::proxy::Proxy;
use crate::registry::Registry;
use crate::{Process, until};

/// The cluster's key.
pub const KEY: &str = "key";
/// Bound of all waits: machines are slow.
const WAIT: Duration = Duration::from_secs(90);

/// A node: its runner, and the network between that and the registry.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its runner.
    pub runner: Process,
    /// The network.
    pub network: Proxy,
    ip: String,
    spool: PathBuf,
    slots: usize,
}

impl Node {
    /// Starts the runner of the node with this number, which has an address of loopback to itself.
    pub fn start(registry: &Registry, number: usize, slots: usize) -> Self {
        let network = Proxy::start(registry.address());
        let (name, ip) = (format!("node{number}"), format!("127.0.0.{}", number + 1));
        let spool = registry.folder.join(&name);
        let runner = runner(&name, &ip, &network, &spool, slots);
        Self { name, runner, network, ip, spool, slots }
    }

    /// Starts its runner again.
    pub fn start_again(&mut self) {
        self.runner = runner(&self.name, &self.ip, &self.network, &self.spool, self.slots);
    }
}

fn runner(name: &str, ip: &str, network: &Proxy, spool: &PathBuf, slots: usize) -> Process {
    let mut command = subcommand("runner");
    let url = network.address().replace("tcp://", "http://");
    command.args(["--registry", &url, "--cluster", KEY, "--name", name, "--ip", ip]);
    command.args(["--processors", &slots.to_string(), "--spool"]).arg(spool);
    Process::start(name, command)
}

/// A cluster of components, each of which prints numbered lines until there are `lines` of them, and writes how far it is into a
/// file after each. Its name is on its command line, so that it is found whoever has started it.
#[derive(Debug)]
pub struct Printers {
    names: Vec<String>,
    progress: PathBuf,
    lines: usize,
}

impl Printers {
    /// So many, as a cluster of the registry.
    ///
    /// # Panics
    /// If that cannot be made.
    pub fn add(registry: &Registry, count: usize, lines: usize) -> Self {
        let progress = registry.folder.join("progress");
        std::fs::create_dir(&progress).expect("the folder is there");
        let label = registry.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<_> = (0..count).map(|number| format!("{label}-printer{number}-")).collect();
        let component = |name: &String| {
            let script = format!(
                ": {name}; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $$ $i; echo $i > {}/$$; sleep 0.1; done; \
                 while :; do sleep 10; done",
                progress.display()
            );
            format!("[[component]]\nname = {name:?}\nscript = '''sh -c {script:?}'''\nrestart = 'always'\n")
        };
        registry.add_cluster(KEY, &names.iter().map(component).collect::<String>());
        Self { names, progress, lines }
    }

    /// The processes of each component that lead a group: its shells, but no children of theirs.
    pub fn processes(&self) -> BTreeMap<String, Vec<u32>> {
        let mut found: BTreeMap<String, Vec<u32>> = self.names.iter().map(|name| (name.clone(), Vec::new())).collect();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let Some(name) = self.names.iter().find(|name| line.contains(name.as_str())) else { continue };
            if leads_and_lives(pid) {
                found.entry(name.clone()).or_default().push(pid);
            }
        }
        found
    }

    /// Kills a process of a component. Its number.
    ///
    /// # Panics
    /// If it has none.
    pub fn kill(&self, component: usize) -> u32 {
        let name = self.names.get(component).expect("there are so many");
        let pid = self.processes().get(name).and_then(|all| all.first().copied()).expect("it runs");
        let number = Pid::from_raw(i32::try_from(pid).unwrap_or(-1)).expect("a process has a number");
        kill_process(number, Signal::KILL).expect("it is there");
        pid
    }

    /// Whether what the registry shows is what is: each component is one process on a node that was heard of since an instant (in
    /// microseconds since 1970), and runs; and just those nodes are silent that should be.
    pub fn is_shown(&self, registry: &Registry, silent: &[&str], since: i64) -> bool {
        let Some(status) = registry.status() else { return false };
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let is_silent = |node: &Value| silent.iter().any(|name| node["name"] == *name);
        let nodes = list(&status, "nodes");
        let is_heard = |node: &Value| node["seen"].as_i64().is_some_and(|seen| seen >= since);
        if nodes.is_empty()
            || !nodes.iter().all(|node| node["silent"] == is_silent(node) && (is_silent(node) || is_heard(node)))
        {
            return false;
        }
        let real = self.processes();
        let components = list(&status, "components");
        components.len() == self.names.len()
            && components.iter().all(|component| {
                let processes = list(component, "processes");
                let [process] = processes.as_slice() else { return false };
                if silent.iter().any(|name| process["node"] == *name) {
                    return true;
                }
                let pids = component["name"].as_str().and_then(|name| real.get(name));
                process["state"] == "running"
                    && pids.is_some_and(|pids| *pids == [process["pid"].as_u64().unwrap_or(0) as u32])
            })
    }

    /// Waits until what is shown is what is, and prints how long that took.
    #[expect(clippy::print_stdout, reason = "the test tells what it has measured")]
    pub fn settle(&self, what: &str, registry: &Registry, silent: &[&str]) {
        let start = Instant::now();
        // What is shown is to come from after what was done, not to be right by chance because nobody has said anything yet.
        let since =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(0));
        until(&format!("{what}: the right state"), WAIT, || self.is_shown(registry, silent, since).then_some(()));
        println!("{what}: the state shown is right after {:.1} s", start.elapsed().as_secs_f64());
    }

    /// Waits until the living have printed all, and looks whether all lines that they and the dead have printed are kept once and in
    /// order. Of those in `cut`, which have died together with their runner, the last may be missing. How many lines there are.
    ///
    /// # Panics
    /// If one is missing or there twice.
    pub fn check_lines(&self, registry: &Registry, cut: &[u32]) -> usize {
        let living: Vec<u32> = self.processes().into_values().flatten().collect();
        let bound = WAIT + Duration::from_millis(200) * u32::try_from(self.lines).unwrap_or(u32::MAX);
        until("all lines of those that live", bound, || {
            let printed = self.kept(registry);
            living.iter().all(|pid| printed.get(pid).is_some_and(|lines| lines.len() >= self.lines)).then_some(())
        });
        let printed = self.kept(registry);
        for (pid, lines) in &printed {
            let expected: Vec<usize> = (1..=lines.len()).collect();
            assert_eq!(*lines, expected, "the lines of process {pid}");
        }
        for entry in std::fs::read_dir(&self.progress).into_iter().flatten().flatten() {
            let pid: u32 = entry.file_name().to_string_lossy().parse().expect("files are named by processes");
            let wrote: usize = std::fs::read_to_string(entry.path()).unwrap_or_default().trim().parse().unwrap_or(0);
            let kept = printed.get(&pid).map_or(0, Vec::len);
            assert!(kept >= wrote || cut.contains(&pid), "process {pid} has printed {wrote} lines, {kept} are kept");
        }
        printed.values().map(Vec::len).sum()
    }

    /// The numbers of the lines of each process, in the order in which they are kept.
    fn kept(&self, registry: &Registry) -> BTreeMap<u32, Vec<usize>> {
        let mut printed: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for line in registry.logs(KEY) {
            if line.origin.is_some_and(|origin| origin.stream == Stream::Out) {
                let (pid, number) = line.text.split_once(' ').expect("two numbers");
                let number = number.parse().expect("a number");
                printed.entry(pid.parse().expect("a number")).or_default().push(number);
            }
        }
        printed
    }

    /// Waits until nothing is left of them.
    pub fn gone(&self) {
        until("the end of all components", WAIT, || self.processes().values().all(Vec::is_empty).then_some(()));
    }
}

/// Whether it leads its process group and has not ended.
fn leads_and_lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split(' ');
    let (state, group) = (fields.next(), fields.nth(1));
    !matches!(state, Some("Z" | "X")) && group == Some(pid.to_string().as_str())
}

/// Looks all the time whether a component runs twice.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    twice: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins.
    pub fn start(printers: Arc<Printers>) -> Self {
        let (over, twice) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (until, found) = (Arc::clone(&over), Arc::clone(&twice));
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for (name, pids) in printers.processes() {
                    // Reading /proc takes a while, in which one may end and another begin.
                    if pids.len() > 1 && pids.iter().all(|pid| leads_and_lives(*pid)) {
                        found.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {pids:?}"));
                    }
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { over, twice, thread: Some(thread) }
    }

    /// Ends.
    ///
    /// # Panics
    /// If something ran twice.
    pub fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
        let twice = self.twice.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(twice.is_empty(), "ran twice: {twice:?}");
    }
}
