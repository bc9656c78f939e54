//! Sends what is in the spool, and again until it has arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::output::Output;
use super::spool::Batch;
use crate::client::{Client, ClientError};
use crate::wire::{Line, Lines, Stream};

/// How long lines may gather before they are sent.
const GATHER: Duration = Duration::from_millis(100);
/// The rest before they are sent again.
const REST: Duration = Duration::from_secs(1);
/// The longest of a node that is refused.
const REST_MAX: Duration = Duration::from_secs(15);

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

/// Sends for ever, once it is known whose registry it is, and so what the `node` is called there.
pub(super) async fn send(
    client: Client,
    node: watch::Receiver<String>,
    output: Arc<Output>,
    mut dialect: watch::Receiver<Dialect>,
) {
    let Ok(dialect) = dialect.wait_for(|dialect| *dialect != Dialect::Unknown).await.map(|dialect| *dialect) else {
        return;
    };
    let mut sender = Sender { client, node, dialect, output: output.clone(), refused: BTreeMap::new() };
    let (mut is_away, mut rest) = (false, REST);
    loop {
        let batch = output.spool().batch();
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
        match sender.send_batch(batch).await {
            Ok(()) => {
                rest = REST;
                if std::mem::take(&mut is_away) {
                    tracing::info!("lines are sent again");
                }
            }
            // The cluster is no more, and nobody wants to know.
            Err(error) if error.status() == Some(410) => return,
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!("lines are kept here until they can be sent: {error}");
                }
                tokio::time::sleep(rest).await;
                let is_denied = matches!(error.status(), Some(401 | 403 | 404));
                rest = if is_denied { (rest * 2).min(REST_MAX) } else { REST };
            }
        }
    }
}

struct Sender {
    client: Client,
    node: watch::Receiver<String>,
    dialect: Dialect,
    output: Arc<Output>,
    /// How many lines of each process the registry has refused.
    refused: BTreeMap<(String, u32), u64>,
}

impl Sender {
    /// Sends a batch, and leaves out what the registry refuses for what is in it.
    ///
    /// A batch that is refused is sent in ever smaller parts, until the line at fault is alone; then a line takes its place that says so.
    /// Parts grow again with each that arrives. What has arrived is known, should the registry go meanwhile.
    async fn send_batch(&mut self, mut batch: Batch) -> Result<(), ClientError> {
        let (mut from, mut count) = (0, batch.lines.len());
        // Whether what is alone now stands in for a line that was refused.
        let mut is_told = false;
        while from < batch.lines.len() {
            let part = batch.part(from, count);
            match self.send_lines(part.lines.clone()).await {
                Ok(()) => {}
                Err(error) if self.is_about_lines(&error) => {
                    if count > 1 {
                        count = count.min(part.lines.len()).div_ceil(2);
                        continue;
                    }
                    if let Some(line) = batch.lines.get_mut(from).filter(|_| !is_told) {
                        self.replace(line, &error);
                        is_told = true;
                        continue;
                    }
                    tracing::warn!("a line is lost, as the registry refuses even to be told of it: {error}");
                }
                Err(error) => return Err(error),
            }
            if let Err(error) = self.output.spool().sent(&part) {
                tracing::error!("the spool cannot be written: {error}");
            }
            is_told = false;
            from += part.lines.len();
            count = count.saturating_mul(2);
        }
        Ok(())
    }

    async fn send_lines(&self, lines: Vec<Line>) -> Result<(), ClientError> {
        match self.dialect {
            Dialect::Python => {
                // It has no place for what there is besides text, as pylm-runner sends none.
                let texts: Vec<_> =
                    lines.into_iter().map(|line| line.text).filter(|text| !text.trim().is_empty()).collect();
                self.client.send_messages(texts).await
            }
            Dialect::Palm | Dialect::Unknown => {
                let (node, spool) = (self.node.borrow().clone(), self.output.spool().id());
                self.client.send_lines(&Lines { node, spool, lines }).await.map(drop)
            }
        }
    }

    /// Whether the registry would take other lines. Python's says 400 whatever it is that it does not like.
    fn is_about_lines(&self, error: &ClientError) -> bool {
        match error.status() {
            Some(413) => true,
            Some(400 | 422) => self.dialect != Dialect::Python,
            _ => false,
        }
    }

    /// Has a line say that the registry has refused what stood in its place.
    fn replace(&mut self, line: &mut Line, error: &ClientError) {
        let refused = self.refused.entry((line.component.clone(), line.copy)).or_default();
        *refused += 1;
        // On a terminal not each of many.
        if refused.is_power_of_two() {
            tracing::warn!("{refused} lines of {} are left out so far, as they are refused: {error}", line.component);
        }
        line.stream = Stream::Runner;
        line.text = format!("the line here is left out ({refused} so far): {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Json;
    use axum::extract::{DefaultBodyLimit, State};
    use axum::http::StatusCode;
    use axum::routing::post;
    use serde_json::{Value, json};

    use super::super::output::Source;
    use super::super::spool::Spool;
    use super::*;
    use crate::wire::LOGS_PATH;

    /// What a registry that is particular about its lines has kept, and how often it was asked.
    #[derive(Clone, Default)]
    struct Particular(Arc<Mutex<(Vec<Line>, usize)>>);

    /// Of a request that is refused it keeps nothing, and says no more than the status.
    async fn take(State(kept): State<Particular>, Json(sent): Json<Lines>) -> Result<Json<Value>, StatusCode> {
        let mut kept = kept.0.lock().unwrap();
        kept.1 += 1;
        if sent.lines.iter().any(|line| line.component.is_empty() || line.text.starts_with("poison")) {
            return Err(StatusCode::UNPROCESSABLE_ENTITY);
        }
        let last = kept.0.last().map_or(0, |line| line.seq);
        kept.0.extend(sent.lines.into_iter().filter(|line| line.seq > last));
        Ok(Json(json!({ "seq": kept.0.last().map_or(0, |line| line.seq) })))
    }

    async fn sent(lines: &[(&str, String)]) -> (Vec<Line>, usize) {
        let kept = Particular::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route(LOGS_PATH, post(take)).with_state(kept.clone());
        let app = app.layer(DefaultBodyLimit::max(100_000));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().unwrap();
        let output = Arc::new(Output::new(Spool::open(folder.path(), 1 << 20).unwrap(), None));
        for (component, text) in lines {
            let source = Source { component: (*component).to_owned(), copy: 0, stream: Stream::Out };
            output.put_now(&source, text.clone());
        }
        let (_dialect, told) = watch::channel(Dialect::Palm);
        let client = Client::new(&url, "key", None).unwrap();
        let (_name, called) = watch::channel("n".to_owned());
        let sending = tokio::spawn(send(client, called, output.clone(), told));
        let all = async {
            while !output.spool().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("all is sent");
        sending.abort();
        let kept = kept.0.lock().unwrap();
        kept.clone()
    }

    #[tokio::test]
    async fn a_line_that_is_refused_is_left_out_and_the_rest_goes_on() {
        let mut lines: Vec<_> = (1..=1000).map(|number| ("A", format!("line {number}"))).collect();
        for at in [0, 499, 500, 999] {
            lines[at].1 = "poison".to_owned();
        }
        // Not even the line in its place is taken.
        lines[700].0 = "";
        let (kept, asked) = sent(&lines).await;
        let is_right = |line: &Line| match usize::try_from(line.seq).unwrap() - 1 {
            at @ (0 | 499 | 500 | 999) => {
                let number = 1 + [0, 499, 500, 999].iter().position(|found| *found == at).unwrap();
                let told = format!("the line here is left out ({number} so far): the registry answers 422");
                (line.stream, line.text.as_str()) == (Stream::Runner, told.as_str())
            }
            at => (line.stream, line.text.as_str()) == (Stream::Out, lines[at].1.as_str()),
        };
        assert_eq!(kept.len(), 999);
        assert!(kept.iter().all(is_right), "{kept:?}");
        assert!(asked < 200, "{asked} requests");
    }

    #[tokio::test]
    async fn what_is_too_long_together_goes_in_parts() {
        let lines: Vec<_> = (0..40).map(|number| ("A", format!("{number} {}", "x".repeat(20_000)))).collect();
        let (kept, _) = sent(&lines).await;
        assert!(kept.len() == 40 && kept.iter().all(|line| line.stream == Stream::Out));
    }
}
