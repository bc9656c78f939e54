//! What a runner asks of Python's registry, which has the cluster's key in the URL.

use prost::Message as _;

use super::{Client, ClientError, bounded};
use crate::plan::NodeOffer;
use crate::wire::LogMessages;

impl Client {
    /// The command lines that a node is to run. Each time that it is asked it may hand out more.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn node_config(&self, offer: &NodeOffer) -> Result<Vec<String>, ClientError> {
        let NodeOffer { name, ip, processors, ports_from } = offer;
        let node =
            format!("[DEFAULT]\nName = {name}\nIp = {ip}\nProcessors = {processors}\nPorts_from = {ports_from}\n");
        let query = [("method", "node_config"), ("cluster", &self.key), ("node", &node)];
        let answer = self.answer(self.http.get(format!("{}/cluster", self.base)).query(&query)).await?;
        bounded::json(answer, bounded::ANSWER_MAX).await
    }

    /// Sends lines. Sent again they are there twice.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn send_messages(&self, messages: Vec<String>) -> Result<(), ClientError> {
        let body = LogMessages { messages }.encode_to_vec();
        let request = self.http.post(format!("{}/logs", self.base)).query(&[("cluster", &self.key)]);
        self.answer(request.body(body)).await.map(drop)
    }
}
