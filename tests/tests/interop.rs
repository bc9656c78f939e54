//! Ours and the stock peer in every mix, each time with exact results.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use palm_tests::cluster::{START, subcommand, ten_results};
use palm_tests::payload::payload;
use palm_tests::process::Stream;
use palm_tests::raw::{self, written};
use palm_tests::zmtp::PATIENCE;
use palm_tests::{Launcher, Master, Process, RawClient, Side, StockClient, Worker, palm, within};

use Side::{Ours, Stock};

const SIZES: [usize; 4] = [0, 10, 1 << 10, 4 << 20];

#[test]
fn our_master_our_worker_our_client() {
    mix(Ours, Ours, Ours);
}

#[test]
fn our_master_our_worker_stock_client() {
    mix(Ours, Ours, Stock);
}

#[test]
fn our_master_stock_worker_our_client() {
    mix(Ours, Stock, Ours);
}

#[test]
fn our_master_stock_worker_stock_client() {
    mix(Ours, Stock, Stock);
}

#[test]
fn stock_master_our_worker_our_client() {
    mix(Stock, Ours, Ours);
}

#[test]
fn stock_master_our_worker_stock_client() {
    mix(Stock, Ours, Stock);
}

#[test]
fn stock_master_stock_worker_our_client() {
    mix(Stock, Stock, Ours);
}

/// Every size of payload, a job of many messages, and the example application.
fn mix(master: Side, worker: Side, client: Side) {
    within(240, move || {
        let label = format!("{master:?}-{worker:?}-{client:?}");
        let master = Master::start(master, "server", &[]);
        let _worker = master.worker(worker, "worker1");
        match client {
            Ours => {
                files_come_back(&master, &label);
                lines_come_back(&master, &label);
            }
            Stock => {
                StockClient::echo_sizes(&master, &SIZES);
                StockClient::echo_job(&master, 1000, 10, 100, START);
                StockClient::echo_job(&master, 200, 1 << 10, 0, START);
            }
        }
        ten_results(client, &master, "worker1");
    });
}

/// Our launcher sends a file of each size to `echo` and writes the results.
fn files_come_back(master: &Master, label: &str) {
    let folder = scratch(&format!("files-{label}"));
    let (sent, received) = (folder.join("sent"), folder.join("received"));
    fs::create_dir(&sent).unwrap();
    let mut flags = vec!["--quiet".to_owned(), "--output-dir".to_owned(), text(&received), "--files".to_owned()];
    for (index, size) in SIZES.into_iter().enumerate() {
        let path = sent.join(size.to_string());
        fs::write(&path, payload(index, size)).unwrap();
        flags.push(text(&path));
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut launcher = Launcher::start(Ours, master, "echo", &flags);
    assert!(launcher.process.exit(START).success());
    for (index, size) in SIZES.into_iter().enumerate() {
        let result = fs::read(received.join(size.to_string())).unwrap();
        assert!(result == payload(index, size), "the result of {size} bytes has {} and differs", result.len());
    }
}

/// Our launcher sends the lines of a file to `echo` and prints the results in order.
fn lines_come_back(master: &Master, label: &str) {
    let folder = scratch(&format!("lines-{label}"));
    let path = text(&folder.join("lines"));
    let lines: Vec<String> = (0..1000).map(|number| format!("line {number} of ä thousand")).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    let mut launcher = Launcher::start(Ours, master, "echo", &["--ordered", "--lines", &path]);
    assert!(launcher.process.exit(START).success());
    assert_eq!(launcher.process.printed(Stream::Out), lines);
}

#[test]
fn the_output_of_our_components_is_that_of_the_example_application() {
    within(180, || {
        let master = Master::start(Ours, "server", &[]);
        let worker = master.worker(Ours, "worker1");
        let mut launcher = Launcher::start(Ours, &master, "foo", &["--repeat", "10", "--message", " a message"]);
        assert!(launcher.process.exit(START).success());
        // Data on standard output, the rest elsewhere.
        assert_eq!(launcher.process.printed(Stream::Out), ["worker1 processed a message"; 10]);
        let log = master.process.printed(Stream::Out);
        for text in [
            "Starting the router",
            "Inbound Pull connects to WorkerPush",
            "Inbound WorkerPull connects to Pub",
            "Outbound WorkerPush connects to exterior",
            "Outbound Pub connects to exterior",
        ] {
            assert!(log.iter().any(|line| line.ends_with(text)), "no {text:?} in {log:#?}");
        }
        for line in log.iter().chain(&worker.process.printed(Stream::Out)) {
            assert!(is_log_line(line), "not a log line of PALM: {line:?}");
        }
        let pushes = format!("worker push address: {}", master.addresses.worker_push);
        worker.process.line(&pushes, START);
        worker.process.line(&format!("worker pull address: {}", master.addresses.worker_pull), START);
    });
}

/// `2017-02-01 10:11:41,485 - root - INFO - Starting the router`
fn is_log_line(line: &str) -> bool {
    let mut parts = line.splitn(4, " - ");
    let time = parts.next().unwrap_or_default();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (name, level) = (parts.next(), parts.next());
    shape == "0000-00-00 00:00:00,000"
        && name.is_some_and(|name| !name.is_empty())
        && matches!(level, Some("INFO" | "WARNING" | "ERROR" | "DEBUG"))
        && parts.next().is_some()
}

#[test]
fn the_cache_is_one_for_clients_and_workers_of_both_sides() {
    within(240, || {
        for side in [Stock, Ours] {
            let master = Master::start(side, "server", &[]);
            let _worker = master.worker(Stock, "worker1");
            let ours = |arguments: &[&str]| our_cache(&master, arguments);
            // A stock client sets; ours reads, and the other way round.
            assert_eq!(StockClient::cache(&master, None, &["set=from stock=00ff0a", "get=from stock"])[1], "00ff0a");
            assert_eq!(ours(&["get", "from stock"]), (0, b"\x00\xff\x0a".to_vec()));
            assert_eq!(ours(&["set", "from ours", "a value"]).0, 0);
            assert_eq!(StockClient::cache(&master, None, &["get=from ours"]), ["612076616c7565"]);
            // A worker sees what clients have set, and they what it has.
            assert_eq!(StockClient::eval(&master, "recall", &[b"from ours"], 1), [[b"a value"]]);
            assert_eq!(StockClient::eval(&master, "remember", &[b"x"], 1), [[b"remembered=x"]]);
            assert_eq!(ours(&["get", "remembered"]), (0, b"x".to_vec()));
            // Deleted, it is gone for all; deleting it again is no harm from our side.
            assert_eq!(StockClient::cache(&master, None, &["delete=from ours"]), ["from ours"]);
            assert_eq!(ours(&["get", "from ours"]).0, 1);
            assert_eq!(ours(&["delete", "from ours"]).0, 0);
            assert_eq!(ours(&["delete", "from stock"]).0, 0);
            assert_eq!(StockClient::cache(&master, None, &["get=from stock"]), [""]);
            // A named session is in front of the key; an empty key is one that the store makes.
            let replies = StockClient::cache(&master, Some("session"), &["set=key=31", "set==32"]);
            assert_eq!(replies[0], "sessionkey");
            assert_eq!(ours(&["get", "sessionkey"]), (0, b"1".to_vec()));
            assert_eq!(ours(&["get", &replies[1]]), (0, b"2".to_vec()));
            assert_eq!(ours(&["get", "name"]), (0, b"server".to_vec()));
            let extensions = if side == Ours { (0, b"1".to_vec()) } else { (1, vec![]) };
            assert_eq!(ours(&["get", "palm_extensions"]), extensions);
        }
    });
}

/// `palm cache`: its exit code and output.
fn our_cache(master: &Master, arguments: &[&str]) -> (i32, Vec<u8>) {
    let mut command = palm::program();
    let output = command.args(["cache", "--db", &master.addresses.cache]).args(arguments).output().unwrap();
    (output.status.code().unwrap_or(-1), output.stdout)
}

#[test]
fn every_result_of_a_mux_worker_arrives() {
    within(240, || {
        for side in [Stock, Ours] {
            let master = Master::start(side, "server", &[]);
            let _worker = Worker::start(Stock, "mux", &master.addresses.cache, &["--mux"]);
            let results = StockClient::eval(&master, "split", &[b"a b c", b"d e f", b"g h i"], 3);
            assert_eq!(results, [[b"a", b"b", b"c"], [b"d", b"e", b"f"], [b"g", b"h", b"i"]]);
            let flags = ["--message", "one two three", "--repeat", "50", "--results", "3", "--ordered"];
            let mut launcher = Launcher::start(Ours, &master, "split", &flags);
            assert!(launcher.process.exit(START).success());
            assert_eq!(launcher.process.printed(Stream::Out), ["one", "two", "three"].repeat(50));
        }
        // More than one, over all, with our master between: none lost, none twice.
        let master = Master::start(Ours, "server", &[]);
        let _workers = ["mux1", "mux2"].map(|name| Worker::start(Stock, name, &master.addresses.cache, &["--mux"]));
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        for number in 0..500 {
            client.send(&master.call("split"), format!("{number}a {number}b {number}c").as_bytes()).unwrap();
        }
        let mut results: Vec<_> = (0..1500).map(|_| String::from_utf8(client.recv().unwrap()).unwrap()).collect();
        results.sort();
        let mut expected: Vec<_> = (0..500).flat_map(|n| [format!("{n}a"), format!("{n}b"), format!("{n}c")]).collect();
        expected.sort();
        assert_eq!(results, expected);
    });
}

#[test]
fn a_mux_worker_may_yield_nothing() {
    within(120, || {
        let master = Master::start(Ours, "server", &["--silent-workers"]);
        let _worker = Worker::start(Stock, "mux", &master.addresses.cache, &["--mux"]);
        let mut client = RawClient::connect(&master.addresses, "client").unwrap();
        for number in 0..1_000 {
            let payload = if number % 10 == 0 { number.to_string() } else { " ".to_owned() };
            client.send(&master.call("split"), payload.as_bytes()).unwrap();
        }
        let results: Vec<_> = (0..100).map(|_| String::from_utf8(client.recv().unwrap()).unwrap()).collect();
        let expected: Vec<_> = (0..1_000).step_by(10).map(|number| number.to_string()).collect();
        assert_eq!(results, expected);
    });
}

#[test]
fn a_function_that_fails_is_told_as_each_side_can() {
    within(240, || {
        let master = Master::start(Ours, "server", &[]);
        let stock = master.worker(Stock, "worker1");
        assert_eq!(StockClient::eval(&master, "fail", &[b"x"], 1), [[b"0"]]);
        assert_eq!(StockClient::eval(&master, "no_such_function", &[b"x"], 1), [[b"0"]]);
        drop(stock);
        let flags = ["--exec", "fail=false", "--exec", "cat=cat"];
        let _ours = Worker::start(Ours, "worker2", &master.addresses.cache, &flags);
        assert_eq!(StockClient::eval(&master, "cat", &[b"x"], 1), [[b"x"]]);
        assert_eq!(StockClient::eval(&master, "fail", &[b"x"], 1), [[b"0"]]);
        assert_eq!(StockClient::eval(&master, "no_such_function", &[b"x"], 1), [[b"0"]]);
        // Ours learns that it is a failure, and of which kind.
        for (function, status) in [("fail", "failed"), ("no_such_function", "no such function")] {
            let mut launcher = Launcher::start(Ours, &master, function, &["--repeat", "1", "--output", "json"]);
            assert_eq!(launcher.process.exit(START).code(), Some(1));
            let printed = launcher.process.printed(Stream::Out).join("\n");
            let outcome: serde_json::Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(outcome["status"], status, "{printed}");
        }
    });
}

#[test]
fn what_a_client_puts_into_a_message_reaches_the_worker() {
    within(180, || {
        let master = Master::start(Ours, "server", &[]);
        let _worker = master.worker(Stock, "worker1");
        let mut client =
            StockClient::start(&master, "eval", &["--function", "userdata", "--cache", "user data", "--hex", "00"]);
        let result = client.process.event("result", START);
        assert_eq!(result["hex"][0], "75736572206461746168"[..18].to_owned());
        client.process.exit(START);
        // An empty cache field gets a UUID, a name that the message can be known by.
        let results = StockClient::eval(&master, "userdata", &[b"a", b"b"], 1);
        assert_eq!(results.iter().map(|result| result[0].len()).collect::<Vec<_>>(), [36, 36]);
        assert_ne!(results[0], results[1]);
        // The function of a message with several is that of its stage.
        let mut client = RawClient::connect(&master.addresses, "staged").unwrap();
        let staged = written(|writer| {
            writer.client("staged").function("server.fail server.echo server.fail").stage(1).payload(b"second");
        });
        client.push.send(&[&staged]).unwrap();
        assert_eq!(client.recv().unwrap(), b"second");
    });
}

#[test]
fn many_clients_and_workers_of_both_sides_at_once() {
    within(300, || {
        let master = Master::start(Ours, "server", &[]);
        let _workers = [
            master.worker(Stock, "worker1"),
            master.worker(Ours, "worker2"),
            master.worker(Stock, "worker3"),
            master.worker(Ours, "worker4"),
        ];
        std::thread::scope(|scope| {
            for number in 0..3 {
                let master = &master;
                scope.spawn(move || StockClient::echo_job(master, 3000, 50 + number, 200, Duration::from_secs(120)));
                scope.spawn(move || lines_come_back(master, &format!("many-{number}")));
            }
        });
    });
}

#[test]
fn a_client_of_another_server_is_told() {
    within(120, || {
        let master = Master::start(Ours, "server", &[]);
        for program in [palm::program(), palm_tests::python::program("launcher.py")] {
            let ours = program.get_program() == palm::executable();
            let mut command = program;
            if ours {
                command.arg("launch");
            }
            command.args(["--server", "another", "--function", "foo", "--db", &master.addresses.cache]);
            let mut launcher = Process::start("launcher of another server", command);
            assert!(!launcher.exit(START).success());
        }
    });
}

#[test]
fn addresses_can_be_ipc_wildcards_and_port_zero() {
    within(180, || {
        let folder = scratch("addresses");
        let ipc = |name: &str| format!("ipc://{}", text(&folder.join(name)));
        let db = palm_tests::Addresses::free().cache;
        let mut command = subcommand("master");
        command.args(["--name", "server", "--db", &db, "--pub", "tcp://127.0.0.1:0", "--pull", "tcp://*:0"]);
        command.args(["--advertise", "localhost", "--wpush", &ipc("wpush"), "--wpull", &ipc("wpull")]);
        let process = Process::start("master", command);
        let key = |name: &str| {
            let value =
                palm_tests::until("the master's cache", START, || raw::cache(&db, "get", name, b"", PATIENCE).ok());
            String::from_utf8(value).unwrap()
        };
        assert!(key("pull_address").starts_with("tcp://localhost:"), "{}", key("pull_address"));
        assert!(key("pub_address").starts_with("tcp://") && !key("pub_address").ends_with(":0"));
        assert_eq!((key("worker_push_address"), key("worker_pull_address")), (ipc("wpush"), ipc("wpull")));
        let mut addresses = palm_tests::Addresses::free();
        addresses.cache = db.clone();
        let master = Master { side: Ours, name: "server".to_owned(), addresses, process };
        let _workers = [master.worker(Stock, "worker1"), master.worker(Ours, "worker2")];
        StockClient::echo_job(&master, 300, 100, 50, START);
        lines_come_back(&master, "addresses");
    });
}

/// An empty folder of this test's own in the target directory.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _absent = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_stock_master_is_asked_for_nothing_that_it_lacks() {
    within(180, || {
        let master = Master::start(Stock, "server", &[]);
        let _worker = master.worker(Ours, "worker1");
        let mut launcher = Launcher::start(Ours, &master, "echo", &["--message", "x", "--repeat", "3"]);
        assert!(launcher.process.exit(START).success());
        assert_eq!(our_cache(&master, &["set", "key", "value"]).0, 0);
        assert_eq!(our_cache(&master, &["get", "key"]), (0, b"value".to_vec()));
        assert_eq!(our_cache(&master, &["delete", "key"]).0, 0);
        // Only a key that a person asks for can be one that is not there.
        for stream in [Stream::Out, Stream::Err] {
            let printed = master.process.printed(stream);
            assert!(!printed.iter().any(|line| line.contains("ERROR") || line.contains("palm_")), "{printed:#?}");
        }
    });
}
