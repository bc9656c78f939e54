//! A terminal that is closed stops a program in order, as SIGTERM does.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use palm_tests::cluster::{START, subcommand};
use palm_tests::registry::Registry;
use palm_tests::{Launcher, Master, Process, Side, Worker, palm, until, within};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

const WAIT: Duration = Duration::from_secs(60);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("palm-hangup-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a process does something of its own when it is hung up.
fn catches_hangups(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0
}

#[test]
fn a_master_stops_in_order() {
    within(120, || {
        let mut master = Master::start(Side::Ours, "server", &["--grace", "50s"]);
        master.process.signal(Signal::HUP);
        master.process.line("SIGHUP: taking no more messages", WAIT);
        assert_eq!(master.process.exit(WAIT).code(), Some(0));
    });
}

#[test]
fn a_registry_stops_in_order_unless_it_was_started_to_outlast_its_terminal() {
    within(180, || {
        let folder = Folder::new("registry");
        let store = folder.0.join("store.db");
        let mut command = subcommand("registry");
        command.args(["--listen", "127.0.0.1:0", "--store"]).arg(&store);
        let mut registry = Process::start("registry", command);
        registry.line("serving http", START);
        assert!(catches_hangups(&registry));
        registry.signal(Signal::HUP);
        registry.line("stopping", WAIT);
        assert!(registry.exit(WAIT).success());

        let mut command = Command::new("sh");
        let line = "trap '' HUP; exec \"$0\" registry --listen 127.0.0.1:0 --store \"$1\"";
        command.args(["-c", line]).arg(palm::executable()).arg(&store);
        let mut registry = Process::start("registry", command);
        registry.line("serving http", START);
        assert!(!catches_hangups(&registry));
        registry.signal(Signal::TERM);
        assert!(registry.exit(WAIT).success());
    });
}

/// A worker whose function `slow` says that it has begun, and ends when it may.
fn slow_worker(folder: &Folder, master: &Master) -> Worker {
    let at = folder.0.display();
    let function =
        format!("slow=echo begun >>{at}/begun; while [ ! -e {at}/go ]; do sleep 0.05; done; printf 'it is done'");
    Worker::start(Side::Ours, "w", &master.addresses.cache, &["--shell", "--exec", &function])
}

/// Who sends that function one message, which is in hand.
fn slow_launcher(folder: &Folder, master: &Master) -> Launcher {
    let launcher = Launcher::start(Side::Ours, master, "slow", &["--repeat", "1"]);
    until("a message in hand", WAIT, || (!folder.read("begun").is_empty()).then_some(()));
    launcher
}

#[test]
fn a_worker_finishes_what_it_has_in_hand() {
    within(180, || {
        let folder = Folder::new("worker");
        let master = Master::start(Side::Ours, "server", &[]);
        let mut worker = slow_worker(&folder, &master);
        let mut launcher = slow_launcher(&folder, &master);
        worker.process.signal(Signal::HUP);
        worker.process.line("SIGHUP: finishing what is in hand", WAIT);
        std::fs::write(folder.0.join("go"), "").unwrap();
        assert_eq!(worker.process.exit(WAIT).code(), Some(0));
        launcher.process.line("it is done", WAIT);
        assert!(launcher.process.exit(WAIT).success());
    });
}

#[test]
fn a_launcher_says_what_is_missing() {
    within(180, || {
        let folder = Folder::new("launch");
        let master = Master::start(Side::Ours, "server", &[]);
        let _worker = slow_worker(&folder, &master);
        let mut launcher = slow_launcher(&folder, &master);
        launcher.process.signal(Signal::HUP);
        launcher.process.line("missing: message 1", WAIT);
        assert_eq!(launcher.process.exit(WAIT).code(), Some(1));
    });
}

#[test]
fn a_runner_ends_its_processes_in_order() {
    within(180, || {
        let registry = Registry::start("hangup");
        let folder = Folder::new("runner");
        let script = format!(
            "cd {}; trap 'echo ended >>order; exit 0' TERM; echo up >>up; while :; do sleep 0.05; done",
            folder.0.display()
        );
        registry.add_cluster("key", &format!("[[component]]\nname = 'A'\nscript = '''sh -c {script:?}'''\n"));
        let mut command = subcommand("runner");
        command.args(["--registry", &registry.url, "--cluster", "key", "--name", "node", "--processors", "9"]);
        command.arg("--spool").arg(folder.0.join("spool"));
        let mut runner = Process::start("runner", command);
        until("the component", WAIT, || (!folder.read("up").is_empty()).then_some(()));
        runner.signal(Signal::HUP);
        runner.line("SIGHUP: stopping", WAIT);
        assert_eq!(runner.exit(WAIT).code(), Some(0));
        assert_eq!(folder.read("order"), "ended\n");
    });
}

/// A person at a terminal, who reads what is shown there, and closes it.
struct Person {
    leaves: Arc<AtomicBool>,
    reads: std::thread::JoinHandle<()>,
}

impl Person {
    fn sit_down() -> (Self, File) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let end = openpt(flags).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let terminal = File::from(ioctl_tiocgptpeer(&end, flags).unwrap());
        let leaves = Arc::new(AtomicBool::new(false));
        let is_gone = Arc::clone(&leaves);
        let reads = std::thread::spawn(move || {
            let (mut end, mut shown) = (File::from(end), [0; 4096]);
            while !is_gone.load(Ordering::SeqCst) && end.read(&mut shown).is_ok() {}
        });
        (Self { leaves, reads }, terminal)
    }

    /// Something has to be shown all the time.
    fn leave(self) {
        self.leaves.store(true, Ordering::SeqCst);
        self.reads.join().unwrap();
    }
}

#[test]
fn all_components_end_in_order_when_the_terminal_is_closed() {
    within(180, || {
        let folder = Folder::new("up");
        let component = |name: &str, more: &str| {
            let script = format!(
                "trap 'echo {name} >>order; exit 0' TERM; echo {name} >>up; while :; do echo shown; sleep 0.05; done"
            );
            format!("[[component]]\nname = {name:?}\nscript = '''sh -c {script:?}'''\n{more}\n")
        };
        let file = folder.0.join("cluster.toml");
        let cluster = component("First", "") + &component("Second", "connected = ['First']");
        std::fs::write(&file, cluster + &component("Third", "connected = ['Second']")).unwrap();

        let (person, terminal) = Person::sit_down();
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(palm::executable()).arg("up").arg(&file);
        command.env("XDG_RUNTIME_DIR", &folder.0).env("TMPDIR", &folder.0);
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let mut up = command.spawn().unwrap();
        drop(command);
        until("all components", WAIT, || (folder.read("up").lines().count() == 3).then_some(()));
        person.leave();
        let ended = until("the end", WAIT, || up.try_wait().unwrap());
        assert_eq!(folder.read("order"), "Third\nSecond\nFirst\n");
        assert!(ended.success(), "{ended}");
    });
}
