//! Lines as they come, over as many connections as it takes.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::{Answer, Client, ClientError, Method};
use crate::api::logs::{Asked, Line};

/// The registry says something each 15 s; after so long without a byte the connection is given up.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest that a connection stays.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Rests before another connection.
const REST: Duration = Duration::from_millis(250);
const REST_MAX: Duration = Duration::from_secs(5);
/// Longest event that is read, in bytes.
const EVENT_MAX: usize = 4 << 20;

/// Follows the lines of a cluster: each once, in order, also if the registry is away meanwhile.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    cluster: String,
    asked: Asked,
    /// The `id` of the last line that was handed out.
    last: i64,
    connection: Option<Response>,
    events: Events,
    lines: VecDeque<Answer<Line>>,
    rest: Duration,
}

impl Client {
    /// Follows the lines of a cluster that are asked for, and come after the one with the id `after`.
    pub fn follow(&self, cluster: &str, asked: Asked, after: i64) -> Follow {
        Follow {
            client: self.clone(),
            cluster: cluster.to_owned(),
            asked,
            last: after,
            connection: None,
            events: Events::default(),
            lines: VecDeque::new(),
            rest: REST,
        }
    }
}

impl Follow {
    /// The next line. `away` is told why, each time that the registry cannot be reached.
    ///
    /// # Errors
    /// If the registry says no: the cluster is there no more, or may not be seen.
    pub async fn next(&mut self, mut away: impl FnMut(&ClientError)) -> Result<Answer<Line>, ClientError> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                if line.value.id > self.last {
                    self.last = line.value.id;
                    return Ok(line);
                }
                continue;
            }
            if let Err(error) = self.read().await {
                if error.status().is_some_and(|status| status < 500 && status != 429) {
                    return Err(error);
                }
                away(&error);
                tokio::time::sleep(self.rest).await;
                self.rest = (self.rest * 2).min(REST_MAX);
            }
        }
    }

    /// Reads what has come, on a new connection if there is none. What was cut off is asked for again.
    async fn read(&mut self) -> Result<(), ClientError> {
        let Some(connection) = &mut self.connection else {
            let request = self.client.api(Method::GET, &["clusters", &self.cluster, "logs", "follow"])?;
            let request = request.query(&self.asked).header("Last-Event-ID", self.last.to_string()).timeout(LONGEST);
            self.connection = Some(self.client.answer(request).await?);
            self.events = Events::default();
            return Ok(());
        };
        match tokio::time::timeout(SILENCE, connection.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                let is_sound = self.events.take(&bytes, &mut self.lines);
                if !is_sound {
                    self.connection = None;
                    return Err(ClientError::TooLong { most: EVENT_MAX });
                }
                self.rest = REST;
            }
            // The registry ends a stream now and then, or goes; so does the network.
            _ => {
                self.connection = None;
                tokio::time::sleep(REST).await;
            }
        }
        Ok(())
    }
}

/// Server-sent events, as far as they are lines.
#[derive(Debug, Default)]
struct Events {
    /// Of an event that has not come whole.
    bytes: Vec<u8>,
}

impl Events {
    /// Takes what has come. Whether it can go on.
    fn take(&mut self, bytes: &[u8], lines: &mut VecDeque<Answer<Line>>) -> bool {
        // An end may be cut in two, so one byte of what was there is looked at again.
        let mut from = self.bytes.len().saturating_sub(1);
        self.bytes.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(found) = self.bytes[from..].windows(2).position(|pair| pair == b"\n\n") {
            let end = from + found;
            lines.extend(line(&self.bytes[start..end]));
            (start, from) = (end + 2, end + 2);
        }
        self.bytes.drain(..start);
        self.bytes.len() <= EVENT_MAX
    }
}

fn line(event: &[u8]) -> Option<Answer<Line>> {
    let text = std::str::from_utf8(event).ok()?;
    let fields: Vec<_> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let values = |name| fields.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value);
    values("event").find(|value| value.trim() == "line")?;
    let text = values("data").next()?.trim().to_owned();
    Some(Answer { value: serde_json::from_str(&text).ok()?, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_however_they_are_cut() {
        let data = |id: i64| format!("data: {{\"id\":{id},\"at\":0,\"level\":\"\",\"text\":\"t\",\"more\":1}}");
        let (first, second) = (data(7), data(8));
        let text = format!(
            ": still here\n\nevent: line\nid: 7\n{first}\n\nevent: other\ndata: {{}}\n\nevent: line\n{second}\n\nevent: li"
        );
        let text = text.as_bytes();
        for size in 1..text.len() {
            let (mut events, mut lines) = (Events::default(), VecDeque::new());
            assert!(text.chunks(size).all(|bytes| events.take(bytes, &mut lines)));
            let ids: Vec<_> = lines.iter().map(|line| line.value.id).collect();
            assert_eq!(ids, [7, 8], "{size}");
            assert_eq!(Some(lines[0].text.as_str()), first.strip_prefix("data: "), "as the registry has written it");
        }
    }
}
