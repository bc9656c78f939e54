//! The programs, files and commands of `docs/components.md`, taken from the page and run.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use palm_tests::cluster::START;
use palm_tests::process::Stream;
use palm_tests::python_registry::{self, PythonRegistry, USER_KEY, free_port, logs, set_cluster};
use palm_tests::registry::Registry;
use palm_tests::{Addresses, Master, Process, Side, palm, python, until, within};
use rustix::process::Signal;

const WAIT: Duration = Duration::from_secs(120);
/// Files that the page shows, in its order.
const FILES: [&str; 9] = [
    "master.py",
    "worker.py",
    "launcher.py",
    "cluster.ini",
    "node.ini",
    "words.py",
    "palm-transport-zmq/examples/worker.rs",
    "reverse.ini",
    "count.sh",
];
/// How its other blocks begin, in its order: commands.
const COMMANDS: [&str; 4] = ["palm up", "palm cache", "palm launch", "cargo run"];

/// A block of the page.
struct Block {
    /// The file that it is, if the paragraph before it names one.
    file: Option<String>,
    text: String,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All blocks of the page.
fn blocks() -> Vec<Block> {
    let page = std::fs::read_to_string(top().join("docs/components.md")).unwrap();
    let (mut blocks, mut paragraph, mut lines) = (Vec::new(), String::new(), page.lines());
    while let Some(line) = lines.next() {
        assert!(!line.starts_with("    "), "a block without a fence: {line}");
        if line.starts_with("```") {
            let text: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            let mut quoted = paragraph.split('`').skip(1).step_by(2);
            let is_file = |word: &&str| [".py", ".ini", ".sh", ".rs"].iter().any(|end| word.ends_with(end));
            blocks.push(Block { file: quoted.find(is_file).map(str::to_owned), text });
            paragraph.clear();
        } else if line.is_empty() {
            if !paragraph.ends_with(":\n") {
                paragraph.clear();
            }
        } else {
            paragraph += line;
            paragraph.push('\n');
        }
    }
    blocks
}

/// A folder with the page's files.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("palm-components-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        for block in blocks() {
            match block.file {
                // Where the page's ports may be taken, by a test beside this one.
                Some(name) if name == "node.ini" => {
                    let text = block.text.replace("Ports_from = 5555", &format!("Ports_from = {}", free_port()));
                    assert_ne!(text, block.text);
                    std::fs::write(path.join(name), text).unwrap();
                }
                Some(name) if !name.contains('/') => std::fs::write(path.join(name), block.text).unwrap(),
                _ => {}
            }
        }
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A command in the folder, which finds `palm`, and a `python3` that has pylm.
    fn with_path(&self, mut command: Command) -> Command {
        let first = [palm::executable().parent().unwrap(), python::interpreter().parent().unwrap()];
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(first.into_iter().map(Path::to_owned).chain(std::env::split_paths(&rest)));
        command.env("PATH", path.unwrap()).env("XDG_RUNTIME_DIR", &self.0).current_dir(&self.0);
        command
    }

    /// Runs text of the page as a shell does.
    fn shell(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        self.with_path(command)
    }

    fn start(&self, text: &str) -> Process {
        Process::start(text, self.shell(&format!("exec {text}")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The block of commands that begins so.
fn commands(begin: &str) -> String {
    let block = blocks().into_iter().find(|block| block.file.is_none() && block.text.starts_with(begin));
    block.unwrap_or_else(|| panic!("the page has no block that begins with {begin}")).text
}

/// A launcher's lines with results.
fn results(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("b'") && line.contains(" processed a message'")).count()
}

#[test]
fn each_block_of_the_page_is_run() {
    let (files, commands): (Vec<_>, Vec<_>) = blocks().into_iter().partition(|block| block.file.is_some());
    let files: Vec<_> = files.into_iter().filter_map(|block| block.file).collect();
    assert_eq!(files, FILES);
    let begins: Vec<_> =
        commands.iter().map(|block| block.text.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(begins, COMMANDS);
}

#[test]
fn the_example_runs_on_one_machine() {
    within(600, || {
        let folder = Folder::new("up");
        // A stock master forgets the results that come before its client's subscription; then they are never all there.
        let has_results = (0..5).any(|_| {
            let mut command = folder.shell(&format!("exec {}", commands("palm up")));
            command.env("PALM_UP_PORTS_FROM", free_port());
            let mut up = Process::start("palm up", command);
            let is_done =
                (0..600).any(|_| up.end(Duration::from_millis(100)).is_some() || results(&up.printed(Stream::Out)) > 0);
            let has_results = is_done && results(&up.printed(Stream::Out)) > 0;
            up.signal(Signal::TERM);
            up.exit(WAIT);
            has_results
        });
        assert!(has_results);
    });
}

#[test]
fn the_example_runs_with_both_registries_and_both_runners() {
    within(900, || {
        let folder = Folder::new("registries");
        let ours = Registry::start("components");
        let pythons = PythonRegistry::start(&folder.0);
        for (url, key, name) in [(&ours.url, ours.key.as_str(), "ours"), (&pythons.url, USER_KEY, "Python's")] {
            for runner_of in [Side::Ours, Side::Stock] {
                let has_results = (0..5).any(|attempt| {
                    let cluster = set_cluster(url, key, &folder.path("cluster.ini"));
                    let command = match runner_of {
                        Side::Stock => python_registry::runner(url, &cluster, &folder.path("node.ini")),
                        Side::Ours => {
                            let spool = folder.path(&format!("spool-{name}-{attempt}"));
                            let mut command = palm::program();
                            command.args(["runner", "--registry", url, "--cluster", &cluster, "--config", "node.ini"]);
                            command.arg("--spool").arg(spool);
                            command
                        }
                    };
                    let mut runner = Process::start("runner", folder.with_path(command));
                    // To ask takes a program its while.
                    let found = (0..200).any(|_| results(&logs(url, &cluster)) > 0);
                    if found && runner_of == Side::Ours && name == "ours" {
                        until("what the workers tell", WAIT, || {
                            let told = ours
                                .processes(&cluster, "Worker")
                                .iter()
                                .filter_map(|worker| worker.messages)
                                .sum::<u64>();
                            (told == 10).then_some(())
                        });
                    }
                    if runner_of == Side::Ours {
                        runner.signal(Signal::TERM);
                        runner.exit(WAIT);
                    }
                    found
                });
                assert!(has_results, "{name} registry, {runner_of:?} runner");
            }
        }
    });
}

/// A master of the page's, with its name, at free addresses.
fn python_master(folder: &Folder) -> (Process, Addresses) {
    let addresses = Addresses::free();
    let Addresses { pull, publish, worker_push, worker_pull, cache } = &addresses;
    let flags = format!("--pull {pull} --pub {publish} --wpush {worker_push} --wpull {worker_pull} --db {cache}");
    let master = folder.start(&format!("python3 -u master.py --name parallel {flags}"));
    master.line("parallel successfully started", START);
    (master, addresses)
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_cache_says_which_socket_is_which_and_a_message_has_several_results() {
    within(300, || {
        let folder = Folder::new("words");
        let (_master, addresses) = python_master(&folder);
        let on_page = |begin: &str| {
            let mut command = folder.shell(&commands(begin));
            command.env("PALM_DB", &addresses.cache);
            printed(command)
        };
        let both = format!("{}{}", addresses.worker_push, addresses.worker_pull);
        assert_eq!(on_page("palm cache").replace('\n', ""), both);
        let worker = folder.start(&format!("python3 -u words.py --db {}", addresses.cache));
        worker.line("Got worker pull address", START);
        let mut words: Vec<_> = on_page("palm launch").lines().map(str::to_owned).collect();
        words.sort_unstable();
        assert_eq!(words, ["one", "one", "three", "three", "two", "two"]);
    });
}

#[test]
fn the_rust_worker_is_the_example_and_works_beside_the_python_master() {
    within(900, || {
        let block =
            blocks().into_iter().find(|block| block.file.as_deref().is_some_and(|file| file.ends_with(".rs"))).unwrap();
        let path = top().join(block.file.unwrap());
        assert_eq!(block.text, std::fs::read_to_string(path).unwrap(), "the page shows the example");

        let folder = Folder::new("rust");
        let (_master, addresses) = python_master(&folder);
        let command = commands("cargo run").replace("tcp://127.0.0.1:5559", &addresses.cache);
        assert!(command.contains(&addresses.cache));
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).current_dir(top());
        let worker = Process::start("the Rust worker", shell);
        worker.line(" has begun", Duration::from_secs(600));
        let launch = |flags: &str| {
            let mut command = folder.shell(&format!("palm launch --server parallel {flags}"));
            command.env("PALM_DB", &addresses.cache);
            printed(command)
        };
        assert_eq!(launch("--function upper --message loud"), "LOUD\n");
        assert_eq!(launch("--function words --message 'one two three' --results 3 --ordered"), "one\ntwo\nthree\n");
    });
}

#[test]
fn programs_that_know_nothing_of_palm_are_workers() {
    within(300, || {
        let folder = Folder::new("reverse");
        let mut command = folder.shell("exec palm up --exit-when Launcher reverse.ini");
        command.env("PALM_UP_PORTS_FROM", free_port());
        let mut up = Process::start("palm up", command);
        assert!(up.exit(WAIT).success());
        assert!(up.printed(Stream::Out).iter().any(|line| line.ends_with("| sdrow owt")));

        let master = Master::start(Side::Ours, "texts", &[]);
        let worker = folder.start(&format!("sh count.sh --db {}", master.addresses.cache));
        worker.line("Got worker pull address", START);
        let mut command = folder.shell("palm launch --server texts --function size --message 'two words'");
        command.env("PALM_DB", &master.addresses.cache);
        assert_eq!(printed(command).trim(), "9");
    });
}
