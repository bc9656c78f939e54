//! Whether a process is ready.

use std::future::Future;
use std::process::Stdio;
use std::time::Duration;

use palm_transport_zmq::CacheClient;
use tokio::net::TcpStream;

use super::child::{Surroundings, program};
use crate::cluster::Readiness;
use crate::process::Group;
use crate::wire::WantedProcess;

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);
/// The rest between two looks.
const REST: Duration = Duration::from_millis(200);

/// Looks until the check says that the process is ready. That of a line is not among those that look.
pub(super) async fn wait(check: &Readiness, wanted: &WantedProcess, around: &Surroundings) {
    match check {
        Readiness::Cache(address) => {
            let cache = CacheClient::new(address.clone(), LOOK);
            until(async || cache.get("name").await.is_ok()).await;
        }
        Readiness::Tcp(address) => {
            let address = address.strip_prefix("tcp://").unwrap_or(address);
            until(async || TcpStream::connect(address).await.is_ok()).await;
        }
        Readiness::Command(line) => until(async || succeeds(line, wanted, around).await).await,
        Readiness::Line(_) => std::future::pending().await,
    }
}

async fn until<F: Future<Output = bool>>(mut look: impl FnMut() -> F) {
    while !tokio::time::timeout(LOOK, look()).await.unwrap_or(false) {
        tokio::time::sleep(REST).await;
    }
}

/// Whether a command exits with 0, in the process's own surroundings.
async fn succeeds(line: &str, wanted: &WantedProcess, around: &Surroundings) -> bool {
    let Ok(mut command) = program(line, wanted, around) else { return false };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    around.lifeline.mark(&mut command);
    let Ok(mut child) = command.spawn() else { return false };
    // Ended when it is dropped, also when it takes too long.
    let _group = Group::adopt(child.id(), &around.lifeline);
    child.wait().await.is_ok_and(|status| status.success())
}
