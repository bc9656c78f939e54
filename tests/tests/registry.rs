//! Our registry with the real package's clients and its runner.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::process::Command;
use std::time::Duration;

use palm_tests::cluster::START;
use palm_tests::registry::Registry;
use palm_tests::{Process, palm, python, until, within};
use serde_json::{Value, json};

const EXAMPLE: &str = "[Valuation Master]
Script = python3 master.py
--pull = _1
--pub = _2
--wpush = _3
--wpull = _4
--db = _5

[Valuation Worker]
Script = python3 worker.py
--db = _5
Connected = Valuation Master
Role = Worker
Replicas = 2
";

#[test]
fn the_real_clients_do_a_whole_session() {
    within(180, || {
        let registry = Registry::start("session");
        let file = registry.file("cluster.ini", EXAMPLE);
        let mut command = python::program("registry.py");
        command.args(["--registry", &registry.url, "--key", &registry.key, "--file"]).arg(file);
        let mut session = Process::start("session", command);
        assert!(session.exit(START).success());

        let cluster = session.events("set")[0]["key"].as_str().unwrap().to_owned();
        assert_eq!(session.events("set")[1]["key"], "chosen");
        let list = &session.events("list")[0]["clusters"];
        assert_eq!(list[&cluster]["description"], EXAMPLE);
        assert_eq!(list["chosen"]["key"], "chosen");

        let master = "python3 master.py --pull tcp://127.0.0.1:5555 --pub tcp://127.0.0.1:5556 --wpush tcp://127.0.0.1:5557 \
                      --wpull tcp://127.0.0.1:5558 --db tcp://127.0.0.1:5559";
        let worker = "python3 worker.py --db tcp://127.0.0.1:5559";
        let commands: Vec<_> = session.events("request").iter().map(|event| event["commands"].clone()).collect();
        assert_eq!(commands, [json!([master, worker]), json!([master, worker]), json!([worker, worker])]);

        let statuses: Vec<_> = session.events("status").iter().map(|event| event["status"].clone()).collect();
        assert_eq!([&statuses[0], &statuses[2]], ["Empty", "Empty"]);
        assert_eq!(statuses[1]["socket mapping"]["_5"], "tcp://127.0.0.1:5559");
        assert_eq!(statuses[1]["highest port used"], json!({"127.0.0.1": 5560}));
        assert_eq!(
            (&statuses[1]["ready"], statuses[1]["configured resources"].as_object().unwrap().len()),
            (&json!(true), 4)
        );
        assert_eq!(
            statuses[1]["configured resources"]["Valuation Worker 1"],
            json!({"commands": ["python3 worker.py", "--db tcp://127.0.0.1:5559"], "node": "127.0.0.1"})
        );

        let logs: Vec<_> = session.events("logs").iter().map(|event| texts(&event["lines"])).collect();
        let all = vec!["a line".to_owned(), "ä second one\nof two".to_owned()];
        assert_eq!(logs, [all.clone(), all, vec![]]);
        assert!(session.events("refused")[0]["error"].as_str().unwrap().contains("400"));
    });
}

#[test]
fn the_real_runner_runs_what_the_registry_says_and_sends_its_output() {
    within(240, || {
        let mut registry = Registry::start("runner");
        let palm = palm::executable().display().to_string();
        let script = |name: &str| python::script(name).display().to_string();
        let interpreter = python::interpreter().display();
        let file = format!(
            "[Master]\nScript = {palm} master --name server\n--pull = _1\n--pub = _2\n--wpush = _3\n--wpull = _4\n--db = _5\n\n\
             [Worker]\nScript = {interpreter} -u {}\n--name = from-the-registry\n--db = _5\nConnected = Master\n\n\
             [Launcher]\nScript = {palm} launch --server server --function foo --connect-timeout 60s\n--db = _5\n\
             Connected = Worker\n",
            script("worker.py")
        );
        let file = registry.file("cluster.ini", &file);
        let mut command = python::program("registry_set.py");
        command.args(["--registry", &registry.url, "--key", &registry.key, "--file"]).arg(file);
        let mut set = Process::start("set", command);
        assert!(set.exit(START).success());
        let cluster = set.events("set")[0]["key"].as_str().unwrap().to_owned();
        // What was set outlives the registry.
        registry.restart();

        let ports_from = palm_tests::Addresses::free().pull.rsplit(':').next().unwrap().to_owned();
        let node = format!("[DEFAULT]\nName = here\nIp = 127.0.0.1\nProcessors = 3\nPorts_from = {ports_from}\n");
        let node = registry.file("node.ini", &node);
        let mut command = Command::new(python::interpreter().with_file_name("pylm-runner"));
        command.args(["--registry", &registry.url, "--cluster", &cluster, "--config"]).arg(node);
        let _runner = Process::start("runner", command);
        let results = until("the job's results in the registry", Duration::from_secs(90), || {
            let mut command = python::program("registry_logs.py");
            command.args(["--registry", &registry.url, "--cluster", &cluster]);
            let lines = texts(&serde_json::from_slice(&command.output().ok()?.stdout).ok()?);
            let results = lines.iter().filter(|line| line.contains("from-the-registry processed a message")).count();
            (results > 0).then_some(results)
        });
        assert!(results > 0);
    });
}

#[test]
fn two_real_runners_of_one_name_share_a_cluster() {
    within(240, || {
        let registry = Registry::start("one-name");
        let palm = palm::executable().display().to_string();
        let file = format!(
            "[Master]\nScript = {palm} master --name server\n--pull = _1\n--pub = _2\n--wpush = _3\n--wpull = _4\n--db = _5\n\n\
             [Worker]\nScript = {palm} worker --demo --name beside\n--db = _5\nConnected = Master\n\n\
             [Launcher]\nScript = {palm} launch --server server --function foo --connect-timeout 60s\n--db = _5\n\
             Connected = Worker\n"
        );
        registry.add_cluster("key", &file);
        let ports_from = palm_tests::Addresses::free().pull.rsplit(':').next().unwrap().to_owned();
        let _runners: Vec<_> = [("127.0.0.1", 1), ("127.0.0.2", 2)]
            .map(|(ip, processors)| {
                let node = format!(
                    "[DEFAULT]\nName = My Worker\nIp = {ip}\nProcessors = {processors}\nPorts_from = {ports_from}\n"
                );
                let node = registry.file(&format!("{ip}.ini"), &node);
                let mut command = Command::new(python::interpreter().with_file_name("pylm-runner"));
                command.args(["--registry", &registry.url, "--cluster", "key", "--config"]).arg(node);
                Process::start(ip, command)
            })
            .into();
        let with = |text: &str| {
            let lines = registry.logs("key").into_iter();
            lines.filter(|line| line.text.contains(text)).count()
        };
        until("the job in the registry", Duration::from_secs(90), || {
            (with("beside processed a message") >= 10).then_some(())
        });
        assert_eq!(with("Starting the router"), 1, "there is one master");
    });
}

fn texts(lines: &Value) -> Vec<String> {
    lines.as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}
