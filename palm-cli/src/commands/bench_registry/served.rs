//! The registry that is measured: a process, of which the system says what it takes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry.
pub(super) struct Served {
    child: Child,
    pub(super) url: String,
    /// An admin's.
    pub(super) token: String,
}

impl Served {
    /// Starts one on a free port.
    pub(super) async fn start(store: &str) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let added = Command::new(&program)
            .args(["registry", "--store", store, "add-user", "bench", "--admin"])
            .stderr(Stdio::inherit())
            .output()
            .await?;
        anyhow::ensure!(added.status.success(), "cannot add a user to {store}");
        let token = String::from_utf8(added.stdout)?.trim().to_owned();
        let mut child = Command::new(&program)
            .args(["registry", "--store", store, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("it has no standard output")?).lines();
        let url = timeout(PATIENCE, async {
            while let Some(line) = said.next_line().await? {
                if let Some((_, url)) = line.split_once("serving ") {
                    return Ok(url.trim().to_owned());
                }
            }
            anyhow::bail!("the registry has ended at once")
        });
        let url = url.await.context("the registry does not start")??;
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                crate::output::say(&line);
            }
        });
        Ok(Self { child, url, token })
    }

    /// Processor time that it has used.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = self.proc("stat")?;
        // The name before it may have anything in it.
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory that it has.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let pid = self.child.id().context("the registry has ended")?;
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).context("this system does not say what a process takes")
    }

    /// Stops it.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        timeout(PATIENCE, self.child.wait()).await.context("the registry does not stop")??;
        Ok(())
    }
}
