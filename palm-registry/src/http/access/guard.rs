//! Before and after every request: hosts, origins, headers.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::app::{App, Settings};
use crate::http::problem::Problem;

/// No script or style but the registry's own files, in nobody's frame, with forms that only go to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Turns away what a page of somebody else can have sent, and tells browsers to be strict.
pub(in crate::http) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let admitted = admit(&app.settings, request.method(), request.headers());
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    secure(response.headers_mut());
    response
}

fn admit(settings: &Settings, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    // A name that leads here without our knowledge may be anybody's, whose pages then count as ours.
    if !settings.is_host(host) {
        let message = "the registry does not know itself by this name: start it with `--host NAME`";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", message));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    // Who can answer in our name in the clear is not us, if we encrypt. If we do not, a proxy before us may.
    let is_same = |origin: &str| {
        let parts = origin.split_once("://");
        parts.is_some_and(|(scheme, authority)| {
            authority.eq_ignore_ascii_case(host) && (scheme == "https" || (scheme == "http" && !settings.tls))
        })
    };
    let is_origin = text(header::ORIGIN).is_none_or(is_same);
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let is_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    if is_origin && is_site {
        return Ok(());
    }
    let message = "a page of another site has sent this: use the registry's own pages, or a token from a program";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", message))
}

fn secure(headers: &mut HeaderMap) {
    let lines = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // To nobody else; with `no-referrer` browsers would not say of our own forms either where they come from.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in lines {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What one sees is not for who comes to the browser next; files of pages say otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
