//! `palm up` and `palm down`, with real processes.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use palm_tests::cluster::subcommand;
use palm_tests::process::Stream;
use palm_tests::{Addresses, Process, python, until, within};
use rustix::process::{Pid, Signal, kill_process};

const WAIT: Duration = Duration::from_secs(60);

/// A folder for a cluster file, and for what is up.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("palm-up-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.join("cluster.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn palm(&self, name: &str, arguments: &[&str], file: &Path) -> Process {
        let mut command = subcommand(name);
        command.args(arguments).arg(file).env("XDG_RUNTIME_DIR", &self.0).env("TMPDIR", &self.0);
        if name == "up" {
            // Test programs run at the same time.
            let port = Addresses::free().pull.rsplit(':').next().unwrap().to_owned();
            command.args(["--ports-from", &port]).env("PYTHON", python::interpreter());
        }
        Process::start(name, command)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn component(name: &str, script: &str, more: &str) -> String {
    format!("[[component]]\nname = {name:?}\nscript = '''sh -c {script:?}'''\n{more}\n")
}

fn numbers(process: &Process) -> Vec<u32> {
    let lines = process.printed(Stream::Out).into_iter();
    lines.filter_map(|line| line.split_once("pid ")?.1.parse().ok()).collect()
}

fn gone(pids: &[u32]) {
    assert!(!pids.is_empty());
    let is_there = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    until("the end of all", WAIT, || (!pids.iter().any(is_there)).then_some(()));
}

#[test]
fn the_example_shows_a_job_done() {
    within(240, || {
        let folder = Folder::new("example");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/parallel.toml");
        let file = std::fs::read_to_string(&example).unwrap();
        let readme = std::fs::read_to_string(example.parent().unwrap().join("../README.md")).unwrap();
        let shown: Vec<_> = readme.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
        let components = &file[file.find("[[component]]").unwrap()..];
        assert!(shown.join("\n").contains(components.trim_end()), "the README shows the example");
        let mut up = folder.palm("up", &["--exit-when", "Launcher"], &example);
        assert!(up.exit(Duration::from_secs(120)).success());
        let lines = up.printed(Stream::Out);
        let with = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(with("30 results, 0 failed, 0 missing"), 1, "{lines:?}");
        assert_eq!(with("processed a message"), 30);
        assert_eq!(with("Python worker | "), 2, "it has found its master: {lines:?}");
        assert!(!lines.iter().any(|line| line.contains('\u{1b}')), "no colours into a pipe");
    });
}

#[test]
fn it_ends_when_all_has_ended_and_says_how() {
    within(180, || {
        let folder = Folder::new("ends");
        let fine = component("A", "echo a; pwd", "") + &component("B", "echo b >&2", "connected = ['A']");
        let mut up = folder.palm("up", &[], &folder.file(&fine));
        assert_eq!(up.exit(WAIT).code(), Some(0));
        let lines = up.printed(Stream::Out);
        let pwd = format!("A | {}", folder.0.canonicalize().unwrap().display());
        for line in ["A | a", &pwd, "B | b", "B * exited with code 0"] {
            assert!(lines.iter().any(|printed| printed == line), "{line}: {lines:?}");
        }
        let failing = component("A", "exit 5", "restart = 'never'") + &component("B", "exit 0", "");
        let file = folder.file(&failing);
        assert_eq!(folder.palm("up", &[], &file).exit(WAIT).code(), Some(1));
        assert_eq!(folder.palm("up", &["--exit-when", "A"], &file).exit(WAIT).code(), Some(5));
        // One that waits for what has failed does not keep it.
        let stuck = component("A", "exit 5", "restart = 'never'") + &component("B", "exit 0", "connected = ['A']");
        assert_eq!(folder.palm("up", &[], &folder.file(&stuck)).exit(WAIT).code(), Some(1));
    });
}

#[test]
fn a_signal_stops_all_in_order_and_a_kill_leaves_no_orphan() {
    within(180, || {
        let folder = Folder::new("signal");
        let script = |name: &str| {
            format!(
                "trap 'echo {name} ends; exit 0' TERM; echo pid $$; sleep 1000 & echo pid $!; while :; do sleep 0.05; done"
            )
        };
        let file = component("First", &script("first"), "")
            + &component("Second", &script("second"), "connected = ['First']\nreplicas = 1")
            + &component("Third", &script("third"), "connected = ['Second']");
        let file = folder.file(&file);
        let all_up = |up: &Process| until("all processes", WAIT, || Some(numbers(up)).filter(|all| all.len() == 8));
        let mut up = folder.palm("up", &[], &file);
        let pids = all_up(&up);
        up.signal(Signal::INT);
        assert_eq!(up.exit(WAIT).code(), Some(0));
        let ends: Vec<_> = up.printed(Stream::Out).into_iter().filter(|line| line.ends_with(" ends")).collect();
        let ends: Vec<_> = ends.iter().map(|line| line.split(" | ").nth(1).unwrap()).collect();
        assert_eq!(ends, ["third ends", "second ends", "second ends", "first ends"]);
        gone(&pids);

        let mut up = folder.palm("up", &[], &file);
        let pids = all_up(&up);
        up.signal(Signal::KILL);
        up.exit(WAIT);
        gone(&pids);
        let is_left = || {
            let names = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name());
            names.into_iter().any(|name| name.to_string_lossy().starts_with("palm-"))
        };
        until("the end of its temporary folders", WAIT, || (!is_left()).then_some(()));
    });
}

#[test]
fn the_last_lines_arrive_before_their_folder_goes() {
    within(180, || {
        let folder = Folder::new("last");
        let script = "trap 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; exit 0' TERM; echo up; \
                      while :; do sleep 0.05; done";
        let mut up = folder.palm("up", &[], &folder.file(&component("A", script, "")));
        up.line("A | up", WAIT);
        up.signal(Signal::TERM);
        assert_eq!(up.exit(WAIT).code(), Some(0));
        let lines = up.printed(Stream::Out);
        assert_eq!(lines.iter().filter(|line| line.starts_with("A | line ")).count(), 3000);
        let said = ["palm: stopping the components; a second Ctrl-C kills them"];
        assert_eq!(up.printed(Stream::Err), said, "nothing is wrong with the spool");
        let left = std::fs::read_dir(&folder.0).unwrap().flatten().map(|entry| entry.file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("palm-")), "its folders are gone");
    });
}

/// What goes into the background leaves its runner, which takes it for one that has ended.
#[test]
#[cfg(target_os = "linux")]
fn what_goes_into_the_background_is_ended_and_told() {
    within(180, || {
        let folder = Folder::new("daemon");
        let script = "setsid sh -c 'echo pid $$; touch up; exec sleep 1000' & until [ -e up ]; do sleep 0.05; done";
        let script = format!("sh -c {}", quoted(script));
        let file = folder.file(&format!("[[component]]\nname = 'A'\nscript = {script:?}\n"));
        let mut up = folder.palm("up", &[], &file);
        assert_eq!(up.exit(WAIT).code(), Some(0));
        gone(&numbers(&up));
        let lines = up.printed(Stream::Out);
        let told =
            "A * 1 process that it had left in the background ended with it; what is to run on stays in the foreground";
        assert!(lines.iter().any(|line| line == told), "{lines:?}");
    });
}

#[test]
fn what_is_not_connected_ends_side_by_side() {
    within(180, || {
        let folder = Folder::new("side");
        // Each ends only once all three of them were asked to.
        let script = "trap 'touch $0; until [ -e a -a -e b -a -e c ]; do sleep 0.05; done; echo $0 ends; exit 0' TERM; echo $0 up; \
                      while :; do sleep 0.05; done";
        let ends_alone = "trap 'ls; exit 0' TERM; while :; do sleep 0.05; done";
        let others = ["a", "b", "c"]
            .map(|name| component(name, &script.replace("$0", name), "grace-seconds = 3600\nconnected = ['First']"));
        let file = folder.file(&(component("First", ends_alone, "") + &others.concat()));
        let mut up = folder.palm("up", &[], &file);
        for name in ["a", "b", "c"] {
            up.line(&format!("{name} up"), WAIT);
        }
        up.signal(Signal::TERM);
        assert_eq!(up.exit(WAIT).code(), Some(0));
        let lines = up.printed(Stream::Out);
        assert_eq!(lines.iter().filter(|line| line.ends_with(" ends")).count(), 3, "{lines:?}");
        assert!(lines.iter().any(|line| line == "First | c"), "it ends after them: {lines:?}");
    });
}

/// The first process of a container is the parent of all that has lost its own.
#[test]
#[cfg(target_os = "linux")]
fn as_the_first_process_it_leaves_no_zombies() {
    within(180, || {
        let folder = Folder::new("first");
        let script = "for i in 1 2 3; do sh -c '(sleep 0.1; touch orphan-'$i') &'; done; echo up; exec sleep 1000";
        let file =
            folder.file(&format!("[[component]]\nname = 'A'\nscript = {:?}\n", format!("sh -c {}", quoted(script))));
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--pid", "--fork", "--kill-child"]).arg(palm_tests::palm::executable());
        command.arg("up").arg(&file).env("XDG_RUNTIME_DIR", &folder.0).env("TMPDIR", &folder.0);
        let mut outside = Process::start("up", command);
        outside.line("A | up", WAIT);
        let first = children(outside.id())[0].0;
        until("the end of its orphans", WAIT, || {
            let is_there = |number: u32| folder.0.join(format!("orphan-{number}")).exists();
            let zombies = children(first).into_iter().filter(|(_, state)| *state == 'Z').count();
            ((1..=3).all(is_there) && zombies == 0).then_some(())
        });
        kill_process(Pid::from_raw(i32::try_from(first).unwrap()).unwrap(), Signal::TERM).unwrap();
        assert_eq!(outside.exit(WAIT).code(), Some(0));
        outside.line("A * stopped", WAIT);
    });
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The children of a process, and their states.
fn children(parent: u32) -> Vec<(u32, char)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let child = |number: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, its_parent) = (fields.next()?.chars().next()?, fields.next()?.parse::<u32>().ok()?);
        (its_parent == parent).then_some((number, state))
    };
    numbers.filter_map(child).collect()
}

#[test]
fn what_is_detached_is_taken_down() {
    within(180, || {
        let folder = Folder::new("detach");
        let file = folder.file(&component("A", "echo $$ > pid; exec sleep 1000", ""));
        let mut up = folder.palm("up", &["--detach"], &file);
        assert!(up.exit(WAIT).success(), "{:?}", up.printed(Stream::Err));
        up.line("end it with: palm down", WAIT);
        let pid =
            until("the process", WAIT, || std::fs::read_to_string(folder.0.join("pid")).ok()?.trim().parse().ok());
        let mut again = folder.palm("up", &[], &file);
        assert_eq!(again.exit(WAIT).code(), Some(1));
        again.line("is up already", WAIT);
        // That the file is elsewhere meanwhile does not keep it up.
        let elsewhere = folder.0.join("elsewhere.toml");
        std::fs::rename(&file, &elsewhere).unwrap();
        assert!(folder.palm("down", &[], &file).exit(WAIT).success());
        gone(&[pid]);
        std::fs::rename(&elsewhere, &file).unwrap();
        let mut down = folder.palm("down", &[], &file);
        assert!(down.exit(WAIT).success());
        down.line("is not up", WAIT);
    });
}

/// Without a folder that goes at the end of a session, what is up is written down beside the file, where others may write too.
#[test]
fn what_was_planted_beside_the_file_is_refused() {
    within(180, || {
        let folder = Folder::new("planted");
        let file = folder.file(&component("A", "exec sleep 1000", ""));
        let palm = |name: &str| {
            let mut command = subcommand(name);
            command.arg(&file).env_remove("XDG_RUNTIME_DIR").env("TMPDIR", &folder.0);
            Process::start(name, command)
        };
        let (claim, precious) = (folder.0.join(".cluster.toml.up"), folder.0.join("precious"));
        std::fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &claim).unwrap();
        for name in ["up", "down"] {
            let mut refused = palm(name);
            assert_eq!(refused.exit(WAIT).code(), Some(1));
            refused.line("is a link", WAIT);
        }
        std::fs::remove_file(&claim).unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
        // One that somebody has locked, with the number of a process that has nothing to do with it, or of a group.
        let mut bystander = Process::start("bystander", {
            let mut command = std::process::Command::new("sleep");
            command.arg("1000");
            command
        });
        let running = |pid: i64| format!(r#"{{"pid":{pid},"started":1,"registry":"r","cluster":"c"}}"#);
        let locked = std::fs::File::create(&claim).unwrap();
        locked.lock().unwrap();
        for pid in [i64::from(bystander.id()), 0, -i64::from(bystander.id())] {
            std::fs::write(&claim, running(pid)).unwrap();
            let mut command = subcommand("down");
            command.args(["--timeout", "1s"]).arg(&file).env_remove("XDG_RUNTIME_DIR");
            let mut down = Process::start("down", command);
            assert_eq!(down.exit(WAIT).code(), Some(1));
            assert!(bystander.is_running(), "{pid}");
        }
        drop(locked);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&claim, Some(65_534), None).unwrap();
            for name in ["up", "down"] {
                let mut refused = palm(name);
                assert_eq!(refused.exit(WAIT).code(), Some(1));
                refused.line("belongs to another user", WAIT);
            }
        }
    });
}

#[test]
fn nobody_else_sees_what_it_keeps() {
    use std::os::unix::fs::PermissionsExt as _;
    within(180, || {
        let folder = Folder::new("private");
        let file = folder.file(&component("A", "echo up; exec sleep 1000", ""));
        let store = folder.0.join("store");
        let mut up = folder.palm("up", &["--store", store.to_str().unwrap()], &file);
        up.line("A | up", WAIT);
        until("its spool", WAIT, || store.join("spool/1.lines").metadata().ok().filter(|file| file.len() > 0));
        let mut ways = vec![folder.0.clone()];
        let mut seen = 0;
        while let Some(way) = ways.pop() {
            for entry in std::fs::read_dir(way).unwrap().flatten() {
                let Ok(found) = entry.metadata() else { continue };
                let mode = found.permissions().mode() & 0o077;
                // Who cannot look into a folder does not get at a socket in it.
                let is_socket = std::os::unix::fs::FileTypeExt::is_socket(&found.file_type());
                assert!(mode == 0 || is_socket || entry.path() == file, "{}: {mode:o}", entry.path().display());
                seen += 1;
                if found.is_dir() {
                    ways.push(entry.path());
                }
            }
        }
        assert!(seen >= 10, "store, spool, claim, sockets: {seen}");
        up.signal(Signal::TERM);
        up.exit(WAIT);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_has_no_room_ends_it_and_is_told() {
    within(120, || {
        let folder = Folder::new("full");
        let file = folder.file(&component("A", "echo a; exec sleep 1000", ""));
        let mut command = subcommand("up");
        command.arg(&file).env("XDG_RUNTIME_DIR", &folder.0).env("TMPDIR", &folder.0);
        command.stdin(std::process::Stdio::null()).stdout(std::fs::File::create("/dev/full").unwrap());
        let ended = command.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1));
        assert!(said.contains("cannot write to standard output"), "{said}");
    });
}

#[test]
fn a_file_that_is_none_is_told() {
    within(120, || {
        let folder = Folder::new("wrong");
        for (text, told) in
            [("[A]\n", "cluster.toml, line 1, [A]"), ("[[component]]\nname = 'a'\nscrip = 'b'\n", "line 3")]
        {
            let mut up = folder.palm("up", &[], &folder.file(text));
            assert_eq!(up.exit(WAIT).code(), Some(2));
            up.line(told, WAIT);
        }
        let file = folder.file(&component("A", "exit", ""));
        let mut up = folder.palm("up", &["--exit-when", "B"], &file);
        assert_eq!(up.exit(WAIT).code(), Some(2));
        up.line("there is no component B; there are A", WAIT);
    });
}

/// A cluster whose messages take some time, so that it works for as long as it is looked at.
const BUSY: &str = r#"
[[component]]
name = "Master"
script = "palm master --name busy"
ready.cache = "_db"
flags = { "--pull" = "_1", "--pub" = "_2", "--wpush" = "_3", "--wpull" = "_4", "--db" = "_db", "--tcp" = "_native" }

[[component]]
name = "Worker"
script = "palm worker --transport zmq --exec 'foo=sleep 0.02'"
connected = ["Master"]
flags = { "--db" = "_db" }

[[component]]
name = "Native worker"
script = "palm worker --exec 'foo=sleep 0.02'"
connected = ["Master"]
flags = { "--connect" = "_native" }

[[component]]
name = "Launcher"
script = "palm launch --server busy --function foo --repeat 1000000 --window 8 --output-dir results"
connected = ["Master"]
flags = { "--db" = "_db" }
"#;

#[test]
fn how_many_messages_components_handle_is_shown() {
    within(240, || {
        let folder = Folder::new("rates");
        let file = folder.file(BUSY);
        let store = folder.0.join("store");
        let mut up = folder.palm("up", &["--store", store.to_str().unwrap()], &file);
        let url = until("its registry", WAIT, || {
            let claims = std::fs::read_dir(folder.0.join("palm")).ok()?.flatten();
            let texts = claims.filter_map(|claim| std::fs::read(claim.path()).ok());
            let claim: serde_json::Value = texts.filter_map(|text| serde_json::from_slice(&text).ok()).next()?;
            Some(claim["registry"].as_str()?.to_owned())
        });
        let store = store.join("registry.db");
        let added = subcommand("registry").args(["add-user", "ann", "--admin", "--store"]).arg(store).output().unwrap();
        let token = String::from_utf8(added.stdout).unwrap();
        let status = |format: &[&str]| {
            let mut command = subcommand("cluster");
            command.arg("status").arg(file.canonicalize().unwrap()).args(["--registry", &url]).args(format);
            let shown = command.env("PALM_TOKEN", token.trim()).output().unwrap();
            String::from_utf8(shown.stdout).unwrap()
        };
        let names = ["Master", "Worker", "Native worker", "Launcher"];
        until("messages that each component handles", WAIT, || {
            let status: serde_json::Value = serde_json::from_str(&status(&["--json"])).ok()?;
            let handles = |name: &str| {
                let components = status["components"].as_array()?.iter();
                let process =
                    components.into_iter().find(|component| component["name"] == name)?["processes"].get(0)?;
                (process["messages"].as_u64()? > 0 && process["rate"].as_f64()? > 0.0).then_some(())
            };
            names.iter().all(|name| handles(name).is_some()).then_some(())
        });
        let table = status(&[]);
        assert!(table.contains(" RATE ") && table.matches("/s ").count() >= names.len(), "{table}");
        let sockets = || {
            let entries = std::fs::read_dir(&folder.0).unwrap().flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("palm-runner-")).count()
        };
        assert_eq!(sockets(), 1);
        up.signal(Signal::INT);
        up.exit(WAIT);
        assert_eq!(sockets(), 0, "nothing is left of where they told");
        let mut up = folder.palm("up", &[], &file);
        until("another folder", WAIT, || (sockets() == 1).then_some(()));
        up.signal(Signal::KILL);
        up.exit(WAIT);
        until("nothing is left by one that was killed", WAIT, || (sockets() == 0).then_some(()));
    });
}
