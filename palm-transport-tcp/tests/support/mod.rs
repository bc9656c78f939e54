//! A master, workers and clients in threads of this process.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub(crate) mod lines;
pub(crate) mod relay;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use palm_transport_tcp::{
    Call, Client, ClientBuilder, Master, MasterConfig, MasterHandle, Report, Worker, WorkerBuilder, WorkerHandle,
    WorkerReport,
};

/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A master that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) handle: MasterHandle,
    thread: Option<JoinHandle<std::io::Result<Report>>>,
}

impl Running {
    pub(crate) fn start(config: MasterConfig) -> Self {
        let master = Master::bind(config).unwrap();
        let (address, handle) = (master.addresses()[0].to_string(), master.handle());
        Self { address, handle, thread: Some(std::thread::spawn(move || master.run())) }
    }

    pub(crate) fn on_free_port() -> Self {
        Self::start(MasterConfig::on_free_port("server"))
    }

    /// Stops, and says how it ended.
    pub(crate) fn stop(mut self) -> Report {
        self.end().unwrap()
    }

    fn end(&mut self) -> Option<Report> {
        let thread = self.thread.take()?;
        self.handle.shutdown();
        Some(thread.join().unwrap().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// A worker that runs until it is dropped.
pub(crate) struct Working {
    pub(crate) handle: WorkerHandle,
    thread: Option<JoinHandle<std::io::Result<WorkerReport>>>,
}

impl Working {
    pub(crate) fn start(builder: WorkerBuilder) -> Self {
        let worker = builder.build().unwrap();
        let handle = worker.handle();
        Self { handle, thread: Some(std::thread::spawn(move || worker.run())) }
    }

    pub(crate) fn stop(mut self) -> WorkerReport {
        self.end().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn join(mut self) -> WorkerReport {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }

    fn end(&mut self) -> Option<WorkerReport> {
        let thread = self.thread.take()?;
        self.handle.shutdown();
        Some(thread.join().unwrap().unwrap())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// A worker with functions that tests need.
pub(crate) fn worker(address: &str) -> WorkerBuilder {
    Worker::builder(address)
        .inline_function("echo", |call: Call| Ok::<_, String>(call.into_payload()))
        .function("pooled", |call: Call| Ok::<_, String>(call.into_payload()))
        .function("fail", |_: Call| Err::<Vec<u8>, _>("on purpose"))
        .function("panic", |_: Call| -> Result<Vec<u8>, String> { panic!("by accident") })
}

pub(crate) fn client(address: &str) -> ClientBuilder {
    Client::builder(address).patience(LONG)
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
