//! A worker over ZeroMQ.

use std::convert::Infallible;

use palm_transport_zmq::{Call, Worker, WorkerBuilder, WorkerReport, tell_runner};

use super::{Function, Functions, Report, until_stopped};
use crate::commands::StopSignals;
use crate::process::Context;

/// Adds functions to a worker.
pub(crate) fn offer(mut builder: WorkerBuilder, functions: &Functions) -> WorkerBuilder {
    for (method, function) in functions {
        builder = match function.clone() {
            Function::Immediate(function) => builder
                .inline_function(method, move |call: Call| Ok::<_, Infallible>(function.call(call.into_payload()))),
            Function::Program(program) => builder.function(method, move |call: Call| {
                let program = program.clone();
                let context = Context { method: call.method().to_owned(), cache: call.user_data().to_owned() };
                async move { program.call(context, call.into_payload()).await }
            }),
        };
    }
    builder
}

/// Runs a worker, which has answered `before` messages otherwise, until it has stopped, as a first signal asks; `None` if a second one cut
/// that short.
pub(crate) async fn run(worker: Worker, before: u64, signals: &mut StopSignals) -> Option<Report> {
    let handle = worker.handle();
    let counted = handle.clone();
    let _telling = tell_runner(move || before + counted.answered());
    until_stopped(worker.run(), || handle.shutdown(), signals).await.map(Report::from)
}

impl From<WorkerReport> for Report {
    fn from(report: WorkerReport) -> Self {
        let WorkerReport { counters, left, flushed, .. } = report;
        Self {
            results: counters.results,
            failures: counters.failures,
            handed_back: counters.handed_back,
            left,
            flushed,
        }
    }
}
