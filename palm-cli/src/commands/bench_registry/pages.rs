//! How long pages take that somebody looks at.

use std::time::{Duration, Instant};

use palm_registry::client::Client;

use crate::output::latency::Latencies;

/// Between two looks.
const REST: Duration = Duration::from_millis(50);

/// Looks at one page after the other, again and again, for so long.
pub(super) async fn measure(admin: &Client, id: &str, time: Duration) -> anyhow::Result<Vec<(String, Latencies)>> {
    let paths = [
        "/".to_owned(),
        "/nodes".to_owned(),
        format!("/clusters/{id}"),
        format!("/clusters/{id}/logs"),
        format!("/clusters/{id}/logs?component=c3&text=lost"),
        format!("/api/v1/clusters/{id}/status"),
        format!("/api/v1/clusters/{id}/logs?limit=500"),
        "/metrics".to_owned(),
    ];
    let mut pages: Vec<_> = paths.into_iter().map(|path| (path, Latencies::new())).collect();
    let end = Instant::now() + time;
    while Instant::now() < end {
        for (path, times) in &mut pages {
            let begun = Instant::now();
            admin.page(path).await?;
            times.record(begun.elapsed());
            tokio::time::sleep(REST).await;
        }
    }
    let named = pages.into_iter().map(|(path, times)| (path.replace(id, "ID"), times));
    Ok(named.collect())
}
