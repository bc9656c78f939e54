//! A cluster inside this process, each component on a thread of its own, on free loopback ports.

use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use palm_transport_zmq::{
    Addresses, Counters, Master, MasterConfig, MasterHandle, Report, WorkerBuilder, WorkerHandle, WorkerReport,
};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A master on a thread.
pub(crate) struct LocalMaster {
    addresses: Addresses,
    handle: MasterHandle,
    thread: JoinHandle<Report>,
}

impl LocalMaster {
    /// Binds it and lets it run.
    ///
    /// # Errors
    /// If loopback has no free ports, or the system no thread.
    pub(crate) fn start(config: MasterConfig) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let master = runtime.block_on(Master::bind(config))?;
        let (addresses, handle) = (master.addresses().clone(), master.handle());
        let thread = spawn("palm-master", move || runtime.block_on(master.run()))?;
        Ok(Self { addresses, handle, thread })
    }

    /// Where its sockets are.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What it has done so far.
    pub(crate) fn counters(&self) -> Counters {
        self.handle.counters()
    }

    /// Stops it, and says how it ended.
    ///
    /// # Errors
    /// If it panicked.
    pub(crate) fn stop(self) -> anyhow::Result<Report> {
        self.handle.shutdown();
        joined(self.thread)
    }
}

/// A worker on a thread.
pub(crate) struct LocalWorker {
    handle: WorkerHandle,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<Option<WorkerReport>>,
}

impl LocalWorker {
    /// Lets it run.
    ///
    /// # Errors
    /// If it has no address, or the system no thread.
    pub(crate) fn start(builder: WorkerBuilder) -> anyhow::Result<Self> {
        let (kill, killed) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = spawn("palm-worker", move || {
            let worker = builder.build().context("cannot make a worker");
            let (worker, runtime) = match worker.and_then(|worker| Ok((worker, runtime()?))) {
                Ok(both) => both,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return None;
                }
            };
            let _ = tell.send(Ok(worker.handle()));
            let report = runtime.block_on(async {
                tokio::select! {
                    report = worker.run() => Some(report),
                    Ok(()) = killed => None,
                }
            });
            // Whatever still runs is dropped, and its connections close in the middle of what they were doing.
            runtime.shutdown_background();
            report
        })?;
        let handle = told.recv().context("the worker's thread has ended")??;
        Ok(Self { handle, kill, thread })
    }

    /// Ends it as a crash would: with what it has in hand, and without a word.
    pub(crate) fn kill(self) {
        let _ = self.kill.send(());
        let _ = self.thread.join();
    }

    /// Stops it, and says what it has done.
    ///
    /// # Errors
    /// If it panicked.
    pub(crate) fn stop(self) -> anyhow::Result<Option<WorkerReport>> {
        self.handle.shutdown();
        joined(self.thread)
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the async runtime")
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).context("cannot start a thread")
}

fn joined<T>(thread: JoinHandle<T>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))
}
