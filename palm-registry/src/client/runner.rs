//! What a runner asks.

use reqwest::RequestBuilder;

use super::{Client, ClientError, Method, bounded};
use crate::wire::{Kept, LOGS_PATH, Lines, SYNC_PATH, Sync, Wanted};

impl Client {
    /// Says how a node is, and learns how it is to be.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn sync(&self, said: &Sync) -> Result<Wanted, ClientError> {
        let answer = self.answer(self.of_runner(SYNC_PATH).json(said)).await?;
        bounded::json(answer, bounded::ANSWER_MAX).await
    }

    /// Sends what processes print; they may be sent again, and are kept once.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn send_lines(&self, lines: &Lines) -> Result<Kept, ClientError> {
        let answer = self.answer(self.of_runner(LOGS_PATH).json(lines)).await?;
        bounded::json(answer, bounded::SHORT_MAX).await
    }

    fn of_runner(&self, path: &str) -> RequestBuilder {
        let request = self.request(Method::POST, path);
        match &self.cluster {
            Some(id) => request.query(&[("cluster", id)]),
            None => request,
        }
    }
}
