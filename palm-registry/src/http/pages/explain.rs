//! Problems as pages that say what to do; to programs they stay as they are.

use askama::Template;
use axum::extract::{FromRequestParts as _, OptionalFromRequestParts, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::frame::{Frame, page_with};
use crate::http::access::{Caller, Peer};
use crate::http::app::App;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "problem.html")]
struct Page {
    frame: Frame,
    status: u16,
    message: String,
    advice: &'static str,
}

/// Makes pages of problems, or leads to where one logs in.
pub(in crate::http) async fn explain(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") {
        return next.run(request).await;
    }
    let target = request.uri().path_and_query().map_or_else(|| path.to_owned(), ToString::to_string);
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let (mut parts, body) = request.into_parts();
    let mut asking = parts.clone();
    let response = next.run(Request::from_parts(parts.clone(), body)).await;
    let Some(problem) = response.extensions().get::<Problem>().cloned() else { return response };
    let mut answer = if problem.code == "not-logged-in" && is_get {
        let next = if target == "/" { String::new() } else { format!("?next={}", encoded(&target)) };
        Redirect::to(&format!("/login{next}")).into_response()
    } else {
        // Who asks is found anew, as if for a page: it may be a form's signature that is wrong.
        asking.method = Method::GET;
        let peer = Peer::from_request_parts(&mut parts, &app).await;
        let caller = match peer {
            Ok(_) => <Caller as OptionalFromRequestParts<App>>::from_request_parts(&mut asking, &app).await,
            Err(problem) => Err(problem),
        };
        told(&problem, caller.ok().flatten().as_ref())
    };
    for (name, value) in response.headers() {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH | header::WWW_AUTHENTICATE) {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    answer
}

fn told(problem: &Problem, caller: Option<&Caller>) -> Response {
    let (title, advice) = match problem.status {
        StatusCode::UNAUTHORIZED => ("Log in", "Your session is over, or never was one. Log in, and try again."),
        StatusCode::FORBIDDEN if problem.code == "csrf" => {
            ("Try again", "The page was older than your session. Go back, load it again, and repeat what you did.")
        }
        StatusCode::FORBIDDEN => {
            ("Not allowed", "Ask the cluster's owner or an admin of this registry to do it for you.")
        }
        StatusCode::NOT_FOUND => (
            "Not found",
            "It was deleted, is not yours, or never was there. The clusters that you see are on the first page.",
        ),
        StatusCode::CONFLICT => ("Not done", "Go back, look at how it is now, and try again."),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ("Later", "Wait a little, and try again."),
        status if status.is_server_error() => {
            ("The registry failed", "Try again. If it goes on, look into the registry's log: it says what is wrong.")
        }
        _ => ("Not understood", "Go back, and mend what the sentence above is about."),
    };
    let frame = caller.map_or_else(|| Frame::of_nobody(title), |caller| Frame::new(caller, "", title));
    let page = Page { frame, status: problem.status.as_u16(), message: sentence(&problem.message), advice };
    let mut response = page_with(problem.status, &page);
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// With a capital letter, and an end.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// As a value in an address.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_put_into_addresses_and_sentences() {
        assert_eq!(encoded("/clusters/a b?x=1&y=ä"), "/clusters/a%20b%3Fx%3D1%26y%3D%C3%A4");
        assert_eq!(sentence("there is no such user"), "There is no such user.");
        assert_eq!(sentence(""), ".");
    }
}
