//! A session's cookie.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::app::Settings;
use crate::store::secret;

/// Under TLS, so that no other host can have set it; else a browser would not take it.
const SECURE_NAME: &str = "__Host-palm-session";
const NAME: &str = "palm-session";

/// What the cookie is called.
#[must_use]
pub fn cookie_name(settings: &Settings) -> &'static str {
    if settings.tls { SECURE_NAME } else { NAME }
}

/// The header `Set-Cookie` by which a browser keeps a session.
#[must_use]
pub fn session_cookie(settings: &Settings, cookie: &str) -> HeaderValue {
    header_value(settings, cookie, settings.session / 1_000_000)
}

/// The header `Set-Cookie` by which a browser forgets its session.
#[must_use]
pub fn expired_cookie(settings: &Settings) -> HeaderValue {
    header_value(settings, "", 0)
}

fn header_value(settings: &Settings, cookie: &str, seconds: i64) -> HeaderValue {
    let secure = if settings.tls { "; Secure" } else { "" };
    let text = format!("{}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}", cookie_name(settings));
    HeaderValue::from_str(&text).expect("a cookie is made of hexadecimal digits")
}

/// The cookie that a request has.
pub(super) fn cookie<'a>(settings: &Settings, headers: &'a HeaderMap) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == cookie_name(settings)).map(|(_, value)| value)
}

/// What a page of a session puts into its forms, and its scripts into `X-CSRF-Token`: a page of somebody else cannot know it.
#[must_use]
pub fn csrf_token(cookie: &str) -> String {
    secret::hash(&format!("csrf {cookie}"))
}
