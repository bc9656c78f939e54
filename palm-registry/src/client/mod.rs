//! Asks a registry: ours, or for what a runner needs the one of Python's `pylm-registry`.

mod api;
mod bounded;
mod error;
mod follow;
mod python;
mod runner;

pub use api::Answer;
pub use error::ClientError;
pub use follow::Follow;
pub use reqwest::Method;

use std::time::Duration;

use reqwest::{Certificate, RequestBuilder, Response};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// A registry, and the key that it is asked with.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
    /// The id of the cluster that a runner runs, if `key` is a token.
    cluster: Option<String>,
}

impl Client {
    /// Asks the registry at `url` with `key`: that of a cluster, or a user's token. `ca`, in PEM, is trusted beside what the system
    /// trusts.
    ///
    /// # Errors
    /// If the URL is none, or the certificate.
    pub fn new(url: &str, key: &str, ca: Option<&[u8]>) -> Result<Self, ClientError> {
        let parsed = reqwest::Url::parse(url).ok().filter(|parsed| matches!(parsed.scheme(), "http" | "https"));
        if parsed.is_none_or(|parsed| parsed.host_str().is_none()) {
            return Err(ClientError::Url(url.to_owned()));
        }
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).no_proxy();
        if let Some(ca) = ca {
            let certificates = Certificate::from_pem_bundle(ca).map_err(ClientError::Certificate)?;
            if certificates.is_empty() {
                return Err(ClientError::NoCertificate);
            }
            builder = certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = builder.build().map_err(ClientError::Certificate)?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), key: key.to_owned(), cluster: None })
    }

    /// Asks by a token for what nodes of the cluster with this id are told; otherwise they are known by the cluster's key.
    #[must_use]
    pub fn for_cluster(self, id: &str) -> Self {
        Self { cluster: Some(id.to_owned()), ..self }
    }

    /// Whether it asks as a node by a token.
    pub fn is_by_token(&self) -> bool {
        self.cluster.is_some()
    }

    /// Where the registry is.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Whether what is sent can be read on the way, on a network that is not this machine's own.
    pub fn is_open_to_others(&self) -> bool {
        let Ok(url) = reqwest::Url::parse(&self.base) else { return true };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        url.scheme() != "https" && !is_here
    }

    /// A request to a path, with the key in its header.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|error| ClientError::no_answer(&self.base, error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = bounded::beginning(answer, bounded::SHORT_MAX).await;
        Err(ClientError::Refused { status: status.as_u16(), reason: error::reason(&body) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_none() {
        let refused = Client::new("https://127.0.0.1:1", "k", Some(b"root:x:0:0::/root:/bin/sh")).unwrap_err();
        assert_eq!(refused.to_string(), "there is no certificate, as PEM, in the file that names one");
        assert!(std::error::Error::source(&refused).is_none(), "nothing is said twice");
    }

    #[test]
    fn urls_are_checked() {
        for url in ["", "localhost:8080", "ftp://h", "http://"] {
            assert!(Client::new(url, "k", None).is_err(), "{url}");
        }
        for (url, open) in [
            ("http://127.0.0.1:1/", false),
            ("http://[::1]:1", false),
            ("http://localhost:1", false),
            ("http://10.0.0.1:1", true),
            ("https://example.org", false),
        ] {
            let client = Client::new(url, "k", None).unwrap();
            assert_eq!(client.is_open_to_others(), open, "{url}");
        }
    }
}
