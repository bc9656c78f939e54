//! Native peers of our program with stock peers on the other side of the master.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use palm_tests::cluster::{START, subcommand, ten_results};
use palm_tests::process::Stream;
use palm_tests::{Master, Process, Side, StockClient, within};

use Side::{Ours, Stock};

const SIZES: [usize; 4] = [0, 10, 1 << 10, 4 << 20];

/// A master that takes native peers too, and where.
fn master() -> (Master, String) {
    let master = Master::start(Ours, "server", &["--tcp", "127.0.0.1:0"]);
    let line = master.process.line("Native clients and workers connect to", START);
    let address = line.text.rsplit(' ').next().unwrap().to_owned();
    (master, address)
}

/// What a native launcher prints.
fn launch(address: &str, function: &str, flags: &[&str]) -> Vec<String> {
    let mut command = subcommand("launch");
    command.args(["--connect", address, "--function", function, "--timeout", "60s"]).args(flags);
    let mut launcher = Process::start("native launcher", command);
    assert!(launcher.exit(START).success());
    launcher.printed(Stream::Out)
}

#[test]
fn a_native_launcher_has_its_results_from_a_stock_worker() {
    within(180, || {
        let (master, address) = master();
        let _worker = master.worker(Stock, "worker1");
        assert_eq!(launch(&address, "foo", &[]), vec!["worker1 processed a message"; 10]);
        let path = std::env::temp_dir().join(format!("palm-native-lines-{}", std::process::id()));
        let lines: Vec<String> = (0..500).map(|number| format!("line {number} of ä thousand")).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert_eq!(launch(&address, "echo", &["--ordered", "--lines", path.to_str().unwrap()]), lines);
        std::fs::remove_file(&path).unwrap();
        let flags = ["--repeat", "1", "--cache", "a key", "--message", "x"];
        assert_eq!(launch(&address, "userdata", &flags), ["a key"], "what goes beside the payload");
        assert_eq!(launch(&address, "remember", &flags), ["remembered=x"], "and the cache is there");
    });
}

#[test]
fn a_native_worker_does_the_messages_of_a_stock_client() {
    within(180, || {
        let (master, address) = master();
        let mut command = subcommand("worker");
        command.args(["--name", "worker1", "--connect", &address, "--demo", "--exec", "upper=tr a-z A-Z"]);
        let worker = Process::start("native worker", command);
        worker.line("connected to master server", START);
        ten_results(Stock, &master, "worker1");
        StockClient::echo_sizes(&master, &SIZES);
        StockClient::echo_job(&master, 1000, 10, 100, START);
        StockClient::echo_job(&master, 200, 1 << 10, 0, START);
        assert_eq!(StockClient::eval(&master, "upper", &[b"abc", b""], 1), [[b"ABC".to_vec()], [Vec::new()]]);
        assert_eq!(
            StockClient::eval(&master, "no_such_function", &[b"x"], 1),
            [[b"0"]],
            "a failure, as stock clients see it"
        );
    });
}
