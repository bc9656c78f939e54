//! Forms of pages.

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::caller::{csrf_problem, identified};
use super::{Caller, Peer};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::secret;

/// A form that a page of the caller's session has sent: its field `csrf` holds [`Caller::csrf`].
#[derive(Clone, Debug)]
pub struct SignedForm<T> {
    /// Who has sent it.
    pub caller: Caller,
    /// What it says.
    pub form: T,
}

#[derive(Deserialize)]
struct Signature {
    csrf: Option<String>,
}

impl<S, T> FromRequest<S> for SignedForm<T>
where
    App: FromRef<S>,
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let peer = <Peer as FromRequestParts<S>>::from_request_parts(&mut parts, state).await?;
        let caller = identified(&App::from_ref(state), &parts.headers, peer).await?;
        let caller = caller.ok_or_else(Problem::unknown_caller)?;
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let body = body.map_err(|error| Problem::new(error.status(), "invalid", error.body_text()))?;
        // It is read twice, as what it says beside its signature is the handler's business.
        let again = |body: Bytes| Request::from_parts(parts.clone(), Body::from(body));
        let Form(Signature { csrf }) = Form::from_request(again(body.clone()), state).await.map_err(unreadable)?;
        let expected = caller.csrf().ok_or_else(csrf_problem)?;
        if !csrf.is_some_and(|given| secret::same(&given, &expected)) {
            return Err(csrf_problem());
        }
        let Form(form) = Form::from_request(again(body), state).await.map_err(unreadable)?;
        Ok(Self { caller, form })
    }
}

fn unreadable(rejection: FormRejection) -> Problem {
    Problem::new(rejection.status(), "invalid", rejection.body_text())
}
