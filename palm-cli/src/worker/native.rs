//! A worker over the native protocol: its connection has a thread of its own, and so has each message at work; the programs
//! behind functions are tended by the runtime of the thread that waits for all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use palm_transport_tcp::{Call, Worker, WorkerReport};
use palm_transport_zmq::tell_runner;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::{Function, Functions, Options, Program, Report, until_stopped};
use crate::commands::StopSignals;
use crate::native::{Peer, follow};
use crate::process::Context;
use crate::wrong_use;

/// How often to look whether a message is still wanted that a process works on.
const LOOK: Duration = Duration::from_millis(100);

/// How long calls may take to end when the worker does not wait for them any longer.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a worker ended.
pub(crate) enum Ended {
    /// It has stopped, as it was asked to.
    Stopped(Report),
    /// A second signal cut that short.
    CutShort,
    /// The master did not want it.
    Refused {
        /// Why.
        why: String,
        /// Whether it ever was connected.
        connected: bool,
    },
    /// Its master takes no native peers any more. What it had in hand comes again from its clients.
    NotNative {
        /// Tasks that it has answered.
        answered: u64,
    },
}

/// Runs a worker until it has stopped.
///
/// # Errors
/// If it cannot be started.
pub(crate) async fn run(
    peer: &Peer,
    functions: &Functions,
    options: &Options,
    signals: &mut StopSignals,
) -> anyhow::Result<Ended> {
    let calls = Calls { runtime: Handle::current(), over: Arc::new(watch::Sender::new(())) };
    let worker = build(peer, functions, options, &calls)?;
    let handle = worker.handle();
    let counted = handle.clone();
    let _telling = tell_runner(move || counted.answered());
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("palm-worker".to_owned());
    thread.spawn(move || tell.send(worker.run())).context("cannot start a thread")?;
    let relocate = |address: &str| {
        if let Err(error) = handle.relocate(address) {
            tracing::warn!("{address}: {error}");
        }
    };
    let mut stopped = std::pin::pin!(until_stopped(told, || handle.shutdown(), signals));
    let ended = tokio::select! {
        ended = &mut stopped => ended,
        () = follow(peer, || handle.is_connected(), relocate) => {
            handle.shutdown();
            calls.end().await;
            let _ = tokio::time::timeout(options.grace + FAREWELL, &mut stopped).await;
            return Ok(Ended::NotNative { answered: handle.answered() });
        }
    };
    calls.end().await;
    let Some(ended) = ended else { return Ok(Ended::CutShort) };
    let report = ended.context("the worker's thread has panicked")?.context("the worker's connection")?;
    Ok(match report {
        WorkerReport { refused: Some(why), counters, .. } => {
            Ended::Refused { why, connected: counters.connections > 0 }
        }
        WorkerReport { counters, left, .. } => Ended::Stopped(Report {
            results: counters.results,
            failures: counters.failures,
            handed_back: counters.handed_back,
            left,
            flushed: true,
        }),
    })
}

fn build(peer: &Peer, functions: &Functions, options: &Options, calls: &Calls) -> anyhow::Result<Worker> {
    let mut builder = Worker::builder(&peer.address)
        .name(&options.name)
        .token(&peer.token)
        .jobs(options.jobs.into())
        .grace(options.grace);
    for (method, function) in functions {
        builder = match function.clone() {
            Function::Immediate(function) => builder
                .inline_function(method, move |call: Call| Ok::<_, Infallible>(function.call(call.into_payload()))),
            Function::Program(program) => {
                let calls = calls.clone();
                builder.function(method, move |call: Call| calls.call(&program, &call))
            }
        };
    }
    builder.build().map_err(|error| wrong_use(error.to_string()))
}

/// What calls of programs need.
#[derive(Clone)]
struct Calls {
    runtime: Handle,
    /// A receiver of it is a call under way, which ends when something is sent.
    over: Arc<watch::Sender<()>>,
}

impl Calls {
    /// Calls a program, in a thread that may wait.
    fn call(&self, program: &Program, call: &Call) -> Result<Bytes, String> {
        let context = Context { method: call.method().to_owned(), cache: call.user_data().to_owned() };
        let work = program.call(context, call.payload().clone());
        let mut over = self.over.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                result = work => result.map_err(|error| error.to_string()),
                _ = over.changed() => Err("the worker has stopped".to_owned()),
                // A process that lives on stays useful only if its answer is waited for.
                () = unwanted(call), if matches!(program, Program::Exec(_)) => Err("cancelled".to_owned()),
            }
        })
    }

    /// Ends what is under way. No call may outlive the runtime.
    async fn end(&self) {
        let _ = self.over.send(());
        let _ = tokio::time::timeout(FAREWELL, self.over.closed()).await;
    }
}

/// Waits until nobody wants the result any more.
async fn unwanted(call: &Call) {
    while !call.is_cancelled() {
        tokio::time::sleep(LOOK).await;
    }
}
