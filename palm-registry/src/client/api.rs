//! What people and their programs ask: `/api/v1` (`docs/registry.md`, section 8), in the types of [`api`](crate::api).

use std::fmt::Display;

use reqwest::{RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Client, ClientError, Method, bounded};

/// What a registry has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What it says.
    pub value: T,
    /// The same as the registry has written it, with what `T` does not know of: JSON, `null` if the answer was empty.
    pub text: String,
}

impl Client {
    /// Asks for what is at a path below `/api/v1`, whose parts may have any characters; `query` is a map or a struct, or `()`.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &(impl Serialize + ?Sized),
    ) -> Result<Answer<T>, ClientError> {
        read(self.answer(self.api(Method::GET, path)?.query(query)).await?).await
    }

    /// Has something done that needs no more words.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn order<T: DeserializeOwned>(&self, method: Method, path: &[&str]) -> Result<Answer<T>, ClientError> {
        read(self.answer(self.api(method, path)?).await?).await
    }

    /// Has something done, as `body` says.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn order_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Answer<T>, ClientError> {
        read(self.answer(self.api(method, path)?.json(body)).await?).await
    }

    /// Asks for what is text.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn text(&self, path: &[&str], query: &(impl Serialize + ?Sized)) -> Result<String, ClientError> {
        let answer = self.answer(self.api(Method::GET, path)?.query(query)).await?;
        bounded::text(answer, bounded::ANSWER_MAX).await
    }

    /// A page, by its whole path.
    ///
    /// # Errors
    /// If there is no answer, or another.
    pub async fn page(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.answer(self.request(Method::GET, path)).await?;
        bounded::text(answer, bounded::ANSWER_MAX).await
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

impl<T> Answer<Vec<T>> {
    /// What a list holds, each with what the registry has written of it.
    ///
    /// # Errors
    /// If what is written is no such list.
    pub fn items(self) -> Result<Vec<Answer<T>>, ClientError> {
        let texts: Vec<&RawValue> = serde_json::from_str(&self.text).map_err(strange)?;
        let texts = texts.into_iter().map(|text| text.get().to_owned());
        Ok(self.value.into_iter().zip(texts).map(|(value, text)| Answer { value, text }).collect())
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> Result<Answer<T>, ClientError> {
    let mut text = bounded::text(answer, bounded::ANSWER_MAX).await?;
    if text.is_empty() {
        text.push_str("null");
    }
    Ok(Answer { value: serde_json::from_str(&text).map_err(strange)?, text })
}

fn strange(error: impl Display) -> ClientError {
    ClientError::Strange(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use crate::api::versions::Entry;

    #[test]
    fn an_answer_is_kept_as_it_was_written() {
        let text =
            r#"[{"number":1, "at":5,"author":"ann","later":[ 1.50 ]},{"number":2,"at":6,"author":"bob"}]"#.to_owned();
        let answer = Answer::<Vec<Entry>> { value: serde_json::from_str(&text).unwrap(), text };
        let items = answer.items().unwrap();
        assert_eq!((items[0].value.number, items[1].value.author.as_str()), (1, "bob"));
        assert_eq!(items[0].text, r#"{"number":1, "at":5,"author":"ann","later":[ 1.50 ]}"#);
    }
}
