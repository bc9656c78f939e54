//! Who asks.

use std::collections::HashMap;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::permission::{self, Action, General, Relation, Standing, Verdict};
use super::{Peer, csrf_token, session};
use crate::http::app::App;
use crate::http::connections::known;
use crate::http::problem::Problem;
use crate::store::{Found, Scope, Store, User, secret};

/// By what a caller is known. Its secret is never shown, not by `Debug` either.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A session's cookie.
    Session(String),
    /// A token.
    Token(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Session(_) => "Session",
            Self::Token(_) => "Token",
        })
    }
}

/// Who asks, and what it may do.
///
/// As an extractor: 401 if nobody is known by what the request has. A request that changes something and is known by its cookie has to
/// carry `X-CSRF-Token`, too; a form of a page is a [`SignedForm`](super::SignedForm) instead.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: User,
    /// What the token may do at most.
    pub scope: Scope,
    /// By what it is known.
    pub credential: Credential,
    /// From where it asks.
    pub peer: Peer,
}

impl Caller {
    /// What it may do at most.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing { is_admin: self.user.is_admin, scope: self.scope }
    }

    /// Who it is among those who have something done that takes long.
    pub(in crate::http) fn whose(&self) -> String {
        format!("user {}", self.user.id)
    }

    /// What it may do to a cluster, if it may do that.
    #[must_use]
    pub fn may(&self, found: &Found, action: Action) -> Verdict {
        permission::on_cluster(self.standing(), relation(&self.user, found), action)
    }

    /// Whether it may do something that is about no cluster.
    ///
    /// # Errors
    /// 403 if not.
    pub fn check(&self, action: General) -> Result<(), Problem> {
        if permission::general(self.standing(), action) {
            return Ok(());
        }
        Err(Problem::forbidden(match action {
            General::Administer => "only an admin may do that, and with no token but one of the scope admin",
            General::Account => "this token may not do that: log in, or use one of the scope admin",
            General::Look | General::AddCluster => "this token may not do that: use one of the scope owner",
        }))
    }

    /// The cluster of this id, if the caller may do that to it.
    ///
    /// # Errors
    /// 404 if it is not there or not for the caller; 403 if the caller sees it, but may not do that.
    pub async fn cluster(&self, store: &Store, id: &str, action: Action) -> Result<Found, Problem> {
        let found = store.find_cluster(id, self.user.id).await?.ok_or_else(|| Problem::not_found("cluster"))?;
        match self.may(&found, action) {
            Verdict::Allowed => Ok(found),
            Verdict::Hidden => Err(Problem::not_found("cluster")),
            Verdict::Forbidden => Err(Problem::forbidden(match action {
                Action::Manage => "only the cluster's owner may do that",
                Action::See | Action::Operate | Action::Run => "you may see this cluster, but not do that to it",
            })),
        }
    }

    /// What a page's forms have to carry; `None`: it is known by a token, and needs none.
    #[must_use]
    pub fn csrf(&self) -> Option<String> {
        match &self.credential {
            Credential::Session(cookie) => Some(csrf_token(cookie)),
            Credential::Token(_) => None,
        }
    }

    /// The same caller as it is now; `None`: its session is over, its token revoked.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn again(&self, store: &Store) -> Result<Option<Self>, Problem> {
        let found = match &self.credential {
            Credential::Session(cookie) => store.session(cookie).await?.map(|user| (user, Scope::Admin)),
            Credential::Token(token) => store.token(token).await?,
        };
        Ok(found.map(|(user, scope)| Self { user, scope, ..self.clone() }))
    }
}

/// What a cluster is to a user who has found it.
pub(super) fn relation(user: &User, found: &Found) -> Relation {
    match found.share {
        _ if found.row.owner == user.id => Relation::Own,
        Some(share) => Relation::Shared(share),
        None => Relation::Other,
    }
}

/// What a program is known by.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, bearer) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(bearer.trim())
}

pub(super) fn unknown_token() -> Problem {
    let message = "the token is not valid: it was revoked, has expired, or never was one";
    Problem::new(StatusCode::UNAUTHORIZED, "bad-token", message)
}

/// Who a request is from, however it was sent.
pub(super) async fn identified(app: &App, headers: &HeaderMap, peer: Peer) -> Result<Option<Caller>, Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        let token = bearer(headers).ok_or_else(Problem::unknown_caller)?;
        let (user, scope) = app.store.token(token).await?.ok_or_else(unknown_token)?;
        known(&format!("user {}", user.id));
        return Ok(Some(Caller { user, scope, credential: Credential::Token(token.to_owned()), peer }));
    }
    let Some(cookie) = session::cookie(&app.settings, headers) else { return Ok(None) };
    let user = app.store.session(cookie).await?;
    if let Some(user) = &user {
        known(&format!("user {}", user.id));
    }
    let credential = Credential::Session(cookie.to_owned());
    Ok(user.map(|user| Caller { user, scope: Scope::Admin, credential, peer }))
}

impl<S> FromRequestParts<S> for Caller
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        found.ok_or_else(Problem::unknown_caller)
    }
}

impl<S> OptionalFromRequestParts<S> for Caller
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        let peer = <Peer as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let caller = identified(&App::from_ref(state), &parts.headers, peer).await?;
        let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if let Some(expected) = caller.as_ref().filter(|_| !is_safe).and_then(Caller::csrf) {
            let given = parts.headers.get("X-CSRF-Token").and_then(|value| value.to_str().ok());
            if !given.is_some_and(|given| secret::same(given, &expected)) {
                return Err(csrf_problem());
            }
        }
        Ok(caller)
    }
}

pub(super) fn csrf_problem() -> Problem {
    let message = "the request lacks the session's token, or has an old one: load the page again, or send `csrf` of `/api/v1/me` \
                   as `X-CSRF-Token`";
    Problem::new(StatusCode::FORBIDDEN, "csrf", message)
}

/// The cluster `{id}` of the path, for a caller who may do `ACTION` to it; an extractor that spares a handler both questions.
#[derive(Clone, Debug)]
pub struct ClusterFor<const ACTION: char> {
    /// Who asks.
    pub caller: Caller,
    /// The cluster.
    pub found: Found,
}

/// See it.
pub const SEE: char = 's';
/// Operate it.
pub const OPERATE: char = 'o';
/// Manage it.
pub const MANAGE: char = 'm';

impl<S, const ACTION: char> FromRequestParts<S> for ClusterFor<ACTION>
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let path = <Path<HashMap<String, String>> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let path = path.map_err(|_| Problem::not_found("cluster"))?;
        let id = path.get("id").map(String::as_str).unwrap_or_default();
        let action = match ACTION {
            SEE => Action::See,
            OPERATE => Action::Operate,
            _ => Action::Manage,
        };
        let found = caller.cluster(&App::from_ref(state).store, id, action).await?;
        Ok(Self { caller, found })
    }
}
