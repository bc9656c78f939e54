//! A worker as a program that a registry's runner can start (`docs/components.md`):
//!
//!     cargo run -p palm-transport-zmq --features clap --example worker -- --db tcp://127.0.0.1:5559

#![expect(clippy::print_stdout, reason = "a runner takes what a component prints as its log")]

use clap::Parser as _;
use palm_transport_zmq::args::WorkerArgs;
use palm_transport_zmq::{Call, Results, tell_runner};
use tokio::signal::unix::{SignalKind, signal};

/// Answers `upper` with the payload in upper case, and `words` with its words, each a result
#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    worker: WorkerArgs,
}

async fn words(call: Call, results: Results) -> Result<(), std::str::Utf8Error> {
    for word in std::str::from_utf8(call.payload())?.split_whitespace() {
        results.send(word.to_owned()).await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let worker = Cli::parse().worker.builder();
    let worker = worker
        .function("upper", async |call: Call| std::str::from_utf8(call.payload()).map(str::to_uppercase))
        .yielding_function("words", words)
        .build()?;
    println!("worker {} has begun", worker.name());

    // Once a second, until `_telling` is dropped.
    let handle = worker.handle();
    let _telling = tell_runner(move || handle.answered());

    let handle = worker.handle();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminate.recv().await;
        handle.shutdown();
    });
    let report = worker.run().await;
    println!("done: {report:?}");
    Ok(())
}
