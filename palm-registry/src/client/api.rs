//! What people and their programs ask: `/api/v1` (`docs/registry.md`, section 8).

use reqwest::RequestBuilder;
use serde_json::Value;

use super::{Client, ClientError, Method};

impl Client {
    /// Asks for what is at a path below `/api/v1`, whose parts may have any characters. JSON of an answer, null if it has none.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let mut request = self.api(method, path)?.query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.answer(request).await?;
        let strange = |error: &dyn std::fmt::Display| ClientError::Strange(error.to_string());
        let text = answer.text().await.map_err(|error| strange(&error.without_url()))?;
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).map_err(|error| strange(&error)) }
    }

    /// As [`Self::ask`], of what is text.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn text(&self, path: &[&str], query: &[(&str, String)]) -> Result<String, ClientError> {
        let answer = self.answer(self.api(Method::GET, path)?.query(query)).await?;
        answer.text().await.map_err(|error| ClientError::Strange(error.without_url().to_string()))
    }

    /// A page, by its whole path.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn page(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.answer(self.request(Method::GET, path)).await?;
        answer.text().await.map_err(|error| ClientError::Strange(error.without_url().to_string()))
    }

    pub(super) fn api(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, ClientError> {
        let wrong = || ClientError::Url(self.base.clone());
        let mut url = reqwest::Url::parse(&self.base).map_err(|_| wrong())?;
        // `.` and `..` would be steps on the way, not names.
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(ClientError::Refused { status: 404, reason: "there is nothing of this name".to_owned() });
        }
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["api", "v1"]).extend(path);
        Ok(self.http.request(method, url).bearer_auth(&self.key))
    }
}
