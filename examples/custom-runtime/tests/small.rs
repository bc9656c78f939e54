//! A master without a heap, with four workers: all tasks of two clients are done, whatever goes.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::process::Command;

use palm_tests::cluster::START;
use palm_tests::process::Stream;
use palm_tests::{Process, within};

/// The master, and where it is.
fn master() -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_small"));
    command.arg("0");
    let process = Process::start("the small master", command);
    let line = process.line("native is at ", START).text;
    let address = line.rsplit('/').next().unwrap().to_owned();
    (process, address)
}

fn worker(address: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg(address);
    let worker = Process::start("a worker", command);
    worker.line("connected to server", START);
    worker
}

fn client(address: &str, function: &str, count: usize) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command.args([address, function, &count.to_string()]);
    Process::start("a client", command)
}

/// The client's tasks are done, each once and each for itself.
fn assert_done(mut client: Process, count: usize) {
    assert!(client.exit(START).success());
    let mut printed = client.printed(Stream::Out);
    printed.sort();
    let mut due: Vec<String> = (0..count).map(|number| format!("{number}: MESSAGE {number}")).collect();
    due.sort();
    assert!(printed == due, "{count} tasks, {} lines", printed.len());
}

#[test]
fn a_thousand_tasks_are_done_by_four_workers() {
    within(240, || {
        let (_master, address) = master();
        let _workers: Vec<Process> = (0..4).map(|_| worker(&address)).collect();
        assert_done(client(&address, "server.upper", 1000), 1000);
        let both = [client(&address, "server.upper", 300), client(&address, "server.upper", 300)];
        both.into_iter().for_each(|client| assert_done(client, 300));
    });
}

#[test]
fn what_lost_workers_held_is_done_by_others() {
    within(240, || {
        let (_master, address) = master();
        // No more than a message may lose without being given up.
        let mut lost: Vec<Process> = (0..2).map(|_| worker(&address)).collect();
        let client = client(&address, "server.upper", 1000);
        client.line("10: ", START);
        lost.iter_mut().for_each(Process::kill);
        let _worker = worker(&address);
        assert_done(client, 1000);
    });
}

#[test]
fn what_is_too_long_fails_and_does_no_harm() {
    within(240, || {
        let (_master, address) = master();
        let _worker = worker(&address);
        let name = "server.a_function_with_a_name_that_is_longer_than_fits_into_any_of_its_messages_at_all";
        assert!(!client(&address, name, 1).exit(START).success());
        assert_done(client(&address, "server.upper", 10), 10);
    });
}
