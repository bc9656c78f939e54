//! Sends what is in the spool, and again until it has arrived.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::output::Output;
use crate::client::{Client, ClientError};
use crate::wire::Lines;

/// How long lines may gather before they are sent.
const GATHER: Duration = Duration::from_millis(100);
/// The rest before they are sent again.
const REST: Duration = Duration::from_secs(1);

/// Whose registry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Nobody knows yet.
    Unknown,
    /// Ours.
    Palm,
    /// Python's.
    Python,
}

/// Sends for ever, once it is known whose registry it is.
pub(super) async fn send(client: Client, node: String, output: Arc<Output>, mut dialect: watch::Receiver<Dialect>) {
    let Ok(dialect) = dialect.wait_for(|dialect| *dialect != Dialect::Unknown).await.map(|dialect| *dialect) else {
        return;
    };
    let mut is_away = false;
    loop {
        let (spool, batch) = {
            let spool = output.spool();
            (spool.id(), spool.batch())
        };
        let batch = match batch {
            Ok(batch) if batch.lines.is_empty() => {
                output.more.notified().await;
                tokio::time::sleep(GATHER).await;
                continue;
            }
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!("the spool cannot be read: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let lines = batch.lines.clone();
        let sent: Result<(), ClientError> = match dialect {
            Dialect::Python => {
                // It has no place for what there is besides text, as pylm-runner sends none.
                let texts: Vec<_> =
                    lines.into_iter().map(|line| line.text).filter(|text| !text.trim().is_empty()).collect();
                client.send_messages(texts).await
            }
            Dialect::Palm | Dialect::Unknown => {
                client.send_lines(&Lines { node: node.clone(), spool, lines }).await.map(drop)
            }
        };
        match sent {
            Ok(()) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!("lines are sent again");
                }
                if let Err(error) = output.spool().sent(&batch) {
                    tracing::error!("the spool cannot be written: {error}");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!("lines are kept here until they can be sent: {error}");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
}
