//! A worker as a program that a registry's runner can start (`docs/components.md`):
//!
//!     cargo run -p palm-transport-zmq --features clap --example worker -- --db tcp://127.0.0.1:5559

#![expect(clippy::print_stdout, reason = "a runner takes what a component prints as its log")]

use clap::Parser as _;
use palm_transport_zmq::Call;
use palm_transport_zmq::args::WorkerArgs;
use tokio::signal::unix::{SignalKind, signal};

/// Answers `upper` with the payload in upper case
#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    worker: WorkerArgs,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let worker = Cli::parse().worker.builder();
    let worker =
        worker.function("upper", async |call: Call| std::str::from_utf8(call.payload()).map(str::to_uppercase));
    let worker = worker.build()?;
    println!("worker {} has begun", worker.name());
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
