//! Our runner with our registry, and real processes.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::path::Path;
use std::time::Duration;

use palm_registry::wire::{Exit, Process as Reported, State, Stream};
use palm_tests::cluster::subcommand;
use palm_tests::registry::Registry;
use palm_tests::{Process, until, within};
use rustix::process::Signal;

const WAIT: Duration = Duration::from_secs(60);
const KEY: &str = "key";

fn runner(registry: &Registry) -> Process {
    let mut command = subcommand("runner");
    command.args(["--registry", &registry.url, "--cluster", KEY, "--name", "node", "--processors", "9"]);
    command.arg("--spool").arg(registry.folder.join("spool"));
    Process::start("runner", command)
}

fn component(name: &str, script: &str, more: &str) -> String {
    format!("[[component]]\nname = {name:?}\nscript = '''sh -c {script:?}'''\n{more}\n")
}

/// Waits until what is reported of a component is as it should be.
fn reported(registry: &Registry, name: &str, what: &str, is_so: impl Fn(&[Reported]) -> bool) -> Vec<Reported> {
    until(&format!("{name}: {what}"), WAIT, || {
        let processes = registry.processes(KEY, name);
        is_so(&processes).then_some(processes)
    })
}

fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that nobody has waited for yet is no more, too.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn pid(processes: &[Reported]) -> u32 {
    processes[0].pid.unwrap()
}

fn texts(registry: &Registry, stream: Stream) -> Vec<String> {
    let lines = registry.logs(KEY).into_iter();
    lines.filter(|line| line.origin.as_ref().unwrap().stream == stream).map(|line| line.text).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

/// Prints numbered lines, a few at a time.
fn counting(to: usize) -> String {
    format!(
        "i=0; while [ $i -lt {to} ]; do i=$((i+1)); echo line $i; [ $((i % 50)) = 0 ] && sleep 0.05; done; exec sleep 1000"
    )
}

#[test]
fn lines_are_complete_though_the_registry_is_killed() {
    within(180, || {
        let mut registry = Registry::start("lines");
        registry.add_cluster(KEY, &component("A", &counting(2000), ""));
        let _runner = runner(&registry);
        until("some lines", WAIT, || (texts(&registry, Stream::Out).len() > 100).then_some(()));
        registry.restart();
        let some = texts(&registry, Stream::Out).len();
        until("more lines", WAIT, || (texts(&registry, Stream::Out).len() > some).then_some(()));
        registry.restart();
        until("all lines", WAIT, || (texts(&registry, Stream::Out).len() >= 2000).then_some(()));
        assert_eq!(texts(&registry, Stream::Out), numbered(2000));
        let line = &registry.logs(KEY)[0];
        assert_eq!(
            line.origin.as_ref().map(|origin| (origin.node.as_str(), origin.component.as_str())),
            Some(("node", "A"))
        );
    });
}

#[test]
fn a_killed_runner_goes_on_with_its_spool_and_leaves_no_orphan() {
    within(180, || {
        let mut registry = Registry::start("killed");
        // Another process in its group, and one that has left it.
        let script = format!("sleep 1000 & setsid sleep 1000 & echo $! >&2; {}", counting(500));
        registry.add_cluster(KEY, &component("A", &script, "restart = 'always'"));
        let mut first = runner(&registry);
        let old = pid(&reported(&registry, "A", "runs", |all| all.len() == 1 && all[0].state == State::Running));
        let escaped: u32 = until("the other's number", WAIT, || texts(&registry, Stream::Err).first()?.parse().ok());
        registry.process.kill();
        let spool = registry.folder.join("spool/1.lines");
        let last = || std::fs::read_to_string(&spool).unwrap_or_default().contains("line 500");
        until("all lines in the spool", WAIT, || last().then_some(()));
        first.signal(Signal::KILL);
        first.exit(WAIT);
        until("the end of what it started", WAIT, || (!is_there(old) && !is_there(escaped)).then_some(()));
        registry.serve_again();
        let _second = runner(&registry);
        until("all lines of both", WAIT, || (texts(&registry, Stream::Out).len() >= 1000).then_some(()));
        assert_eq!(texts(&registry, Stream::Out), [numbered(500), numbered(500)].concat());
        let new = pid(&reported(&registry, "A", "runs again", |all| {
            all.len() == 1 && all[0].state == State::Running && all[0].pid != Some(old)
        }));
        assert!(is_there(new));
    });
}

#[test]
fn what_is_done_is_not_done_again_by_a_runner_that_starts_anew() {
    within(180, || {
        let registry = Registry::start("done");
        let file = component("Job", "echo done", "") + &component("Long", "exec sleep 1000", "");
        registry.add_cluster(KEY, &file);
        let runs_after = |old: Option<u32>| {
            let is_new = |all: &[Reported]| {
                all.len() == 1 && all[0].state == State::Running && all[0].pid.is_some_and(|pid| old != Some(pid))
            };
            pid(&reported(&registry, "Long", "runs", is_new))
        };
        let mut runner_now = runner(&registry);
        let mut long = runs_after(None);
        let is_done = |all: &[Reported]| all.len() == 1 && all[0].state == State::Exited;
        let done = reported(&registry, "Job", "is done", is_done);
        for signal in [Signal::KILL, Signal::TERM] {
            runner_now.signal(signal);
            runner_now.exit(WAIT);
            runner_now = runner(&registry);
            long = runs_after(Some(long));
            let again = reported(&registry, "Job", "is done still", is_done);
            assert_eq!((again[0].exit, again[0].since), (Some(Exit::Code(0)), done[0].since), "{signal:?}");
            assert_eq!(texts(&registry, Stream::Out), ["done"], "{signal:?}");
        }
        registry.change(KEY, |plan| assert!(plan.restart("Job")));
        until("it is done again", WAIT, || (texts(&registry, Stream::Out) == ["done", "done"]).then_some(()));
    });
}

#[test]
fn what_dies_is_started_again_and_a_crash_loop_is_told() {
    within(180, || {
        let registry = Registry::start("restart");
        let file = component("Killed", "exec sleep 1000", "")
            + &component("Crashing", "echo no >&2; exit 3", "")
            + &component("Never", "exit 4", "restart = 'never'")
            + &component("Done", "exit 0", "")
            + "[[component]]\nname = 'Absent'\nscript = 'no-such-program-at-all'\nrestart = 'never'\n";
        registry.add_cluster(KEY, &file);
        let _runner = runner(&registry);
        let before =
            pid(&reported(&registry, "Killed", "runs", |all| all.len() == 1 && all[0].state == State::Running));
        rustix::process::kill_process(rustix::process::Pid::from_raw(before as i32).unwrap(), Signal::KILL).unwrap();
        let after =
            reported(&registry, "Killed", "runs again", |all| all[0].restarts == 1 && all[0].state == State::Running);
        assert_eq!(after[0].exit, Some(Exit::Signal(9)));
        assert!(after[0].pid != Some(before) && is_there(pid(&after)));
        let crashed = reported(&registry, "Crashing", "crash loop", |all| all[0].state == State::CrashLoop);
        assert_eq!((crashed[0].exit, crashed[0].restarts), (Some(Exit::Code(3)), 5));
        for (name, state, exit) in [
            ("Never", State::Failed, Some(Exit::Code(4))),
            ("Done", State::Exited, Some(Exit::Code(0))),
            ("Absent", State::Failed, None),
        ] {
            let is_so = |all: &[Reported]| all.len() == 1 && (all[0].state, all[0].exit) == (state, exit);
            reported(&registry, name, "ends", is_so);
        }
        let told = until("what is told", WAIT, || {
            let told = texts(&registry, Stream::Runner);
            told.iter().any(|line| line.contains("ends soon after each start")).then_some(told)
        });
        assert!(told.contains(&"cannot be started: there is no program no-such-program-at-all".to_owned()), "{told:?}");
        assert_eq!(texts(&registry, Stream::Err), ["no"; 5]);
    });
}

#[test]
fn components_stop_start_restart_and_scale() {
    within(240, || {
        let registry = Registry::start("orders");
        let file = component(
            "Polite",
            "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done",
            "restart = 'always'",
        ) + &component("Deaf", "trap '' TERM; echo up; while :; do sleep 0.05; done", "grace-seconds = 1")
            + &component("Many", "exec sleep 1000", "replicas = 2\nconnected = ['Polite']")
            + &component("Ready", "sleep 0.2; echo now ready; exec sleep 1000", "ready.line = 'now ready'");
        registry.add_cluster(KEY, &file);
        let runner = runner(&registry);
        reported(&registry, "Ready", "is ready", |all| all.len() == 1 && all[0].state == State::Ready);
        let runs = |all: &[Reported]| all.len() == 1 && all[0].state == State::Running;
        let polite = pid(&reported(&registry, "Polite", "runs", runs));
        reported(&registry, "Deaf", "runs", runs);
        until("both listen", WAIT, || {
            (texts(&registry, Stream::Out).iter().filter(|text| *text == "up").count() == 2).then_some(())
        });

        registry.change(KEY, |plan| {
            plan.stop("Polite");
            plan.stop("Deaf");
        });
        let ended =
            |exit| move |all: &[Reported]| all.len() == 1 && (all[0].state, all[0].exit) == (State::Exited, Some(exit));
        reported(&registry, "Polite", "stops", ended(Exit::Code(7)));
        reported(&registry, "Deaf", "is killed after its grace", ended(Exit::Signal(9)));
        assert!(texts(&registry, Stream::Out).contains(&"bye".to_owned()) && !is_there(polite));

        registry.change(KEY, |plan| _ = plan.start("Polite"));
        let again = pid(&reported(&registry, "Polite", "starts", runs));
        registry.change(KEY, |plan| _ = plan.restart("Polite"));
        let anew = reported(&registry, "Polite", "starts anew", |all| runs(all) && all[0].generation == 1);
        assert!(pid(&anew) != again && !is_there(again));
        assert!(anew[0].memory_bytes > 0, "its memory is known");

        registry.change(KEY, |plan| _ = plan.scale("Many", 0));
        reported(&registry, "Many", "is one", |all| all.len() == 1);
        registry.change(KEY, |plan| _ = plan.scale("Many", 3));
        let many = reported(&registry, "Many", "are four", |all| {
            all.len() == 4 && all.iter().all(|one| one.state == State::Running)
        });
        runner.signal(Signal::TERM);
        until("the end of all", WAIT, || (!many.iter().any(|one| is_there(one.pid.unwrap()))).then_some(()));
        until("the runner has said so", WAIT, || registry.processes(KEY, "Many").is_empty().then_some(()));
    });
}

#[test]
fn what_processes_tell_of_their_messages_is_reported() {
    within(180, || {
        let registry = Registry::start("told");
        let tell = "import os, socket, time\n\
                    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
                    tell = lambda words: told.sendto(words, os.environ['PALM_STATUS'])\n\
                    tell(b'x' * 5000); tell(b'messages=many'); tell(b'messages=-3 \\xff')\n\
                    assert len(os.environ['PALM_STATUS']) < 108\n";
        let file = |name: &str, rest: &str| registry.file(name, &format!("{tell}{rest}")).display().to_string();
        // One that goes on, one that floods, one that ends with a last word, and one that says nothing.
        let counting = file(
            "counting.py",
            "total = 0\nwhile True: tell(b'messages=%d more=1' % total); total += 10; time.sleep(0.1)\n",
        );
        let flood = file("flood.py", "total = 0\nwhile True: tell(b'messages=%d' % total); total += 1\n");
        let ending = file("ending.py", "tell(b'messages=77')\n");
        let script = |name: &str, file: String, more: &str| component(name, &format!("exec python3 {file}"), more);
        let all = script("Counting", counting, "")
            + &script("Flood", flood, "")
            + &script("Ending", ending, "restart = 'never'")
            + &component("Silent", "exec sleep 1000", "");
        registry.add_cluster(KEY, &all);
        let _runner = runner(&registry);
        let counting = reported(&registry, "Counting", "has a rate", |all| {
            all.iter().any(|one| one.rate.is_some_and(|rate| rate > 0.0) && one.messages > Some(10))
        });
        assert_eq!(counting[0].messages.unwrap() % 10, 0);
        reported(&registry, "Flood", "has a rate", |all| all.iter().any(|one| one.rate.is_some()));
        let ended = reported(&registry, "Ending", "has ended", |all| all.iter().any(|one| one.state == State::Exited));
        assert_eq!((ended[0].messages, ended[0].rate), (Some(77), None));
        let silent = reported(&registry, "Silent", "runs", |all| all.iter().any(|one| one.state == State::Running));
        assert_eq!((silent[0].messages, silent[0].rate), (None, None));
        // One that is started again counts anew.
        registry.change(KEY, |plan| _ = plan.restart("Ending"));
        let again = reported(&registry, "Ending", "has ended again", |all| {
            all.iter().any(|one| one.generation == 1 && one.state == State::Exited)
        });
        assert_eq!(again[0].messages, Some(77));
    });
}

#[test]
fn a_second_runner_of_a_node_waits_until_the_first_is_gone() {
    within(180, || {
        let registry = Registry::start("second");
        registry.add_cluster(KEY, &component("A", "echo $$; exec sleep 1000", ""));
        let mut first = runner(&registry);
        let old = pid(&reported(&registry, "A", "runs", |all| all.len() == 1 && all[0].state == State::Running));
        let mut command = subcommand("runner");
        command.args(["--registry", &registry.url, "--cluster", KEY, "--name", "node", "--spool"]);
        command.arg(registry.folder.join("other"));
        let second = Process::start("second", command);
        second.line("another runner speaks for the node", WAIT);
        assert!(is_there(old));
        first.signal(Signal::TERM);
        assert!(first.exit(WAIT).success());
        reported(&registry, "A", "runs there", |all| all.len() == 1 && all[0].pid != Some(old) && all[0].pid.is_some());
        assert!(!is_there(old));
    });
}

#[test]
fn runners_of_one_name_at_two_ips_are_two_nodes() {
    within(180, || {
        let registry = Registry::start("alike");
        registry.add_cluster(KEY, &component("A", "echo here; exec sleep 1000", "replicas = 1"));
        let start = |ip: &str| {
            let mut command = subcommand("runner");
            command.args(["--registry", &registry.url, "--cluster", KEY, "--name", "node", "--ip", ip]);
            command.args(["--processors", "1", "--spool"]).arg(registry.folder.join(ip));
            Process::start(ip, command)
        };
        let _first = start("127.0.0.1");
        reported(&registry, "A", "one copy runs", |all| all.iter().any(|one| one.state == State::Running));
        let second = start("127.0.0.2");
        second.line("this one is called node (127.0.0.2)", WAIT);
        reported(&registry, "A", "both copies run", |all| {
            all.iter().filter(|one| one.state == State::Running).count() == 2
        });
        until("a line of each", WAIT, || {
            let lines = registry.logs(KEY).into_iter();
            let mut nodes: Vec<_> =
                lines.filter(|line| line.text == "here").map(|line| line.origin.unwrap().node).collect();
            nodes.sort();
            (nodes == ["node", "node (127.0.0.2)"]).then_some(())
        });
    });
}

#[test]
fn what_is_wrong_with_its_use_is_told() {
    within(120, || {
        let registry = Registry::start("wrong");
        let spool = registry.folder.join("spool");
        let ends = |arguments: &[&str]| {
            let mut command = subcommand("runner");
            command.args(arguments).arg("--spool").arg(&spool as &Path);
            let mut process = Process::start("runner", command);
            let status = process.exit(WAIT);
            let said =
                [process.printed(palm_tests::process::Stream::Out), process.printed(palm_tests::process::Stream::Err)]
                    .concat();
            (status.code(), said.join("\n"))
        };
        let (code, said) = ends(&["--registry", "localhost", "--cluster", KEY]);
        assert!(code == Some(2) && said.contains("expected the URL of a registry"), "{said}");
        let (code, said) = ends(&["--registry", "http://192.0.2.1", "--cluster", KEY]);
        assert!(code == Some(2) && said.contains("not encrypted"), "{said}");
        let (code, said) = ends(&["--registry", &registry.url, "--cluster", "another"]);
        assert!(code == Some(1) && said.contains("there is no cluster with this key"), "{said}");
        let file = registry.file("node.ini", "[DEFAULT]\nName = n\n");
        let (code, said) = ends(&["--registry", &registry.url, "--cluster", KEY, "--config", file.to_str().unwrap()]);
        assert!(code == Some(2) && said.contains("node.ini, line 1, [DEFAULT], Ip"), "{said}");
    });
}

#[test]
fn what_runs_outlasts_a_registry_that_refuses_its_runner() {
    within(240, || {
        let mut registry = Registry::start("refused");
        registry.add_cluster(KEY, &component("A", &counting(100), ""));
        let mut runner = runner(&registry);
        let runs = |all: &[Reported]| all.len() == 1 && all[0].state == State::Running;
        let running = pid(&reported(&registry, "A", "runs", runs));
        registry.process.kill();
        registry.serve_empty();
        runner.line("there is no cluster with this key", WAIT);
        // Often enough that nobody could take it for a mishap; what asks are the runner itself, and who sends its lines.
        until("refusals", WAIT, || (registry.refusals() >= 5).then_some(()));
        assert!(is_there(running) && runner.is_running());
        registry.process.kill();
        registry.serve_again();
        runner.line("the registry answers again", WAIT);
        // A key that is another's from now on does not end it either; one that is started with the new key takes its place.
        let new = registry.change_key(KEY);
        runner.line("the cluster has another key now", WAIT);
        assert!(is_there(running) && runner.is_running());
        runner.signal(Signal::TERM);
        assert!(runner.exit(WAIT).success());
        let mut command = subcommand("runner");
        command.args(["--registry", &registry.url, "--cluster", &new, "--name", "node", "--spool"]);
        command.arg(registry.folder.join("spool"));
        let _again = Process::start("again", command);
        reported(&registry, "A", "runs by the new key", |all| runs(all) && all[0].pid != Some(running));
        until("all lines of both", WAIT, || (texts(&registry, Stream::Out).len() >= 200).then_some(()));
        assert_eq!(texts(&registry, Stream::Out), [numbered(100), numbered(100)].concat());
    });
}

#[test]
fn a_deleted_cluster_ends_its_runner_and_all_that_it_runs() {
    within(180, || {
        let registry = Registry::start("deleted");
        registry.add_cluster(KEY, &component("A", "exec sleep 1000", ""));
        let mut runner = runner(&registry);
        let running = pid(&reported(&registry, "A", "runs", |all| all.len() == 1 && all[0].state == State::Running));
        registry.delete_cluster(KEY);
        runner.line("the cluster was deleted", WAIT);
        assert_eq!(runner.exit(WAIT).code(), Some(1));
        assert!(!is_there(running));
    });
}

#[test]
fn a_runner_is_known_by_a_token_which_its_components_do_not_get() {
    within(180, || {
        let registry = Registry::start("token");
        registry.add_cluster(KEY, &component("A", "echo token=$PALM_TOKEN; exec sleep 1000", ""));
        let id = registry.get("/api/v1/clusters").unwrap()[0]["id"].as_str().unwrap().to_owned();
        let mut command = subcommand("runner");
        command.args(["--registry", &registry.url, "--cluster", &id, "--name", "node", "--spool"]);
        command.arg(registry.folder.join("spool")).env("PALM_TOKEN", registry.runner_token());
        let _runner = Process::start("runner", command);
        reported(&registry, "A", "runs", |all| all.len() == 1 && all[0].state == State::Running);
        until("its line", WAIT, || texts(&registry, Stream::Out).first().cloned().filter(|line| line == "token="));

        let file = registry.file("own", &registry.runner_token());
        let mut command = subcommand("runner");
        command.args([
            "--registry",
            &registry.url,
            "--cluster",
            KEY,
            "--token-file",
            file.to_str().unwrap(),
            "--spool",
        ]);
        command.arg(registry.folder.join("other"));
        let mut wrong = Process::start("wrong", command);
        wrong.line("with a token --cluster is the cluster's id", WAIT);
        assert_eq!(wrong.exit(WAIT).code(), Some(1));
        let file = registry.file("token", "0123");
        let mut command = subcommand("runner");
        command.args([
            "--registry",
            &registry.url,
            "--cluster",
            &id,
            "--token-file",
            file.to_str().unwrap(),
            "--spool",
        ]);
        command.arg(registry.folder.join("other"));
        let mut wrong = Process::start("wrong", command);
        wrong.line("the token is not valid", WAIT);
        assert_eq!(wrong.exit(WAIT).code(), Some(1));
    });
}
