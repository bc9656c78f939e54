//! Why a registry did not do what it was asked.

use std::fmt;

use serde::Deserialize;

use crate::api::refusal::Refusal;

/// Longest reason that is shown, in characters.
const REASON_MAX: usize = 500;

/// Why there is no answer, or another than was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// This is no URL of a registry.
    Url(String),
    /// The certificate cannot be used.
    Certificate(reqwest::Error),
    /// There is no certificate where one was expected.
    NoCertificate,
    /// The registry cannot be reached, or did not answer in time.
    NoAnswer {
        /// Where it was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// There is a registry, or something else, whose certificate is not trusted.
    Untrusted {
        /// Where it was asked.
        url: String,
        /// Why not.
        reason: String,
    },
    /// It says no.
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// Its answer cannot be understood.
    Strange(String),
    /// Its answer, or an event of a stream, is longer than any that it may give, and was not read to its end.
    TooLong {
        /// The longest that is read, in bytes.
        most: usize,
    },
}

impl ClientError {
    pub(super) fn no_answer(url: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        // What is behind it says more than "error sending request".
        let mut cause: &dyn std::error::Error = &error;
        let mut is_untrusted = is_about_certificate(cause);
        while let Some(source) = cause.source() {
            cause = source;
            is_untrusted |= is_about_certificate(cause);
        }
        if is_untrusted {
            return Self::Untrusted { url: url.to_owned(), reason: cause.to_string() };
        }
        let reason = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        Self::NoAnswer { url: url.to_owned(), reason }
    }

    /// The status that it was refused with.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn is_about_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    // What is inside of such an error is not its source.
    if let Some(inside) = error.downcast_ref().and_then(std::io::Error::get_ref) {
        return is_about_certificate(inside);
    }
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

/// A refusal, as people or a runner are told.
#[derive(Deserialize)]
#[serde(untagged)]
enum Refused {
    People(Refusal),
    Runner { error: String },
}

/// The reason in the body of a refusal.
pub(super) fn reason(body: &str) -> String {
    let told = serde_json::from_str(body).map(|refused| match refused {
        Refused::People(Refusal { error }) => error.message,
        Refused::Runner { error } => error,
    });
    let told = told.unwrap_or_else(|_| body.trim().to_owned());
    told.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect()
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url}: expected the URL of a registry, such as http://127.0.0.1:8080"),
            Self::NoCertificate => f.write_str("there is no certificate, as PEM, in the file that names one"),
            Self::Certificate(error) => write!(f, "the certificate cannot be used: {error}"),
            Self::NoAnswer { url, reason } => write!(f, "the registry at {url} cannot be reached: {reason}"),
            Self::Untrusted { url, reason } => write!(f, "the certificate of {url} is not trusted: {reason}"),
            Self::Refused { status, reason } if reason.is_empty() => write!(f, "the registry answers {status}"),
            Self::Refused { status, reason } => write!(f, "the registry answers {status}: {reason}"),
            Self::TooLong { most } => {
                write!(f, "the registry's answer is longer than {most} bytes, and was not read to its end")
            }
            Self::Strange(reason) => write!(f, "the registry's answer cannot be understood: {reason}"),
        }
    }
}

// What each says has its cause in it, which whoever prints the whole chain would print again.
impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reason_is_found_wherever_it_is() {
        for (body, reason) in [
            (r#"{"error":{"code":"c","message":"no\nsuch"}}"#, "no such"),
            (r#"{"error":"another runner"}"#, "another runner"),
            (" bad gateway\n", "bad gateway"),
            (r#"{"error":7}"#, r#"{"error":7}"#),
            ("", ""),
        ] {
            assert_eq!(super::reason(body), reason);
        }
    }
}
