//! Answers that are read up to a length: whoever answers may go on for ever.

use reqwest::Response;

use super::ClientError;

/// Longest answer that is read, in bytes: more than any cluster has that may be (`docs/registry.md`, section 1).
pub(super) const ANSWER_MAX: usize = 64 << 20;
/// Longest answer that says no more than a number.
pub(super) const SHORT_MAX: usize = 64 << 10;

/// Reads an answer to its end.
///
/// # Errors
/// If it is longer than it may be, or is cut off.
pub(super) async fn whole(mut answer: Response, most: usize) -> Result<Vec<u8>, ClientError> {
    let too_long = || ClientError::TooLong { most };
    // Who says so beforehand need not send it.
    if answer.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| ClientError::Strange(error.without_url().to_string()))?
    {
        if bytes.len() + chunk.len() > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`whole`].
pub(super) async fn text(answer: Response, most: usize) -> Result<String, ClientError> {
    let bytes = whole(answer, most).await?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The same as JSON.
///
/// # Errors
/// As [`whole`], or if it is none.
pub(super) async fn json<T: serde::de::DeserializeOwned>(answer: Response, most: usize) -> Result<T, ClientError> {
    let bytes = whole(answer, most).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::Strange(error.to_string()))
}

/// The beginning of it, as text: what is longer, or is cut off, is left out.
pub(super) async fn beginning(mut answer: Response, most: usize) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
        if bytes.len() >= most {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
